"""Images inside packages of SLEAP (HDF5), as PNG. No TensorFlow.

Packages hold encoded images (int8, of any length or padded with zeros) or raw arrays, and the
numbers that the frames have in their video. OpenCV writes blue, green and red; SLEAP gave it red,
green and blue, so red and blue are exchanged in its files unless `channel_order` is RGB.
"""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipelines.image_headers import PNG_START, is_whole, read_size
from rectloc_tf.errors import reason

_FIRST_WITH_ORDER = 1.4  # format_id from which packages say `channel_order`


def embedded_png(path: Path, dataset: str, number: int) -> bytes:
    """An image of a package as a PNG.

    Args:
        path: the HDF5 file.
        dataset: a dataset of images, or the group of `video` and `frame_numbers`.
        number: of the frame in its video.

    Raises:
        ValueError: saying what is wrong.
    """
    stored, is_swapped = _read_stored(path, dataset, number)
    if isinstance(stored, np.ndarray):
        return encode_png(stored[..., ::-1] if stored.shape[-1] == 3 else stored)
    if stored.startswith(PNG_START) and not is_swapped:
        return stored
    # As SLEAP sees it: not turned by EXIF.
    image = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("truncated or damaged image")
    if image.ndim == 2:
        return stored if stored.startswith(PNG_START) else encode_png(image)
    if is_swapped:
        image = image[..., [2, 1, 0, *range(3, image.shape[-1])]]
    return encode_png(image)


def embedded_size(path: Path, dataset: str, number: int) -> tuple[int, int]:
    """Width and height of an image of a package; arguments and errors as of `embedded_png`."""
    stored, _ = _read_stored(path, dataset, number)
    if isinstance(stored, np.ndarray):
        return stored.shape[1], stored.shape[0]
    file = io.BytesIO(stored)
    size = read_size(file)
    if not is_whole(file):
        raise ValueError("cut off before its end")
    return size


def _read_stored(path: Path, dataset: str, number: int) -> tuple[bytes | np.ndarray, bool]:
    """An encoded image or a raw one [H, W, C], and whether its red and blue are exchanged."""
    import h5py  # comes with Keras, which requires it

    try:
        with h5py.File(path, "r") as file:
            found: Any = file.get(dataset)
            if isinstance(found, h5py.Group):
                found = found.get("video")
            if not isinstance(found, h5py.Dataset):
                raise ValueError(f"no images {dataset} in this file")
            place = _place(found, number)
            is_encoded = h5py.check_vlen_dtype(found.dtype) is not None or found.ndim == 2
            if is_encoded:
                return found[place].tobytes().rstrip(b"\0"), _is_swapped(file, found)
            return _as_picture(found[place]), False
    except (OSError, RuntimeError) as error:
        raise ValueError(f"damaged HDF5 file ({reason(error)})") from error


def _place(images: Any, number: int) -> int:
    """The index of the frame with this number."""
    place, numbers = number, images.parent.get("frame_numbers")
    if numbers is not None:
        (found,) = np.nonzero(numbers[:] == number)
        place = int(found[0]) if len(found) else -1
    if not 0 <= place < len(images):
        raise ValueError(f"no frame {number} in this file")
    return place


def _is_swapped(file: Any, images: Any) -> bool:
    order = images.attrs.get("channel_order")
    if order is not None:
        return (order.decode() if isinstance(order, bytes) else order) == "BGR"
    metadata = file.get("metadata")
    version = metadata.attrs.get("format_id") if metadata is not None else None
    return version is not None and float(version) < _FIRST_WITH_ORDER


def _as_picture(image: Any) -> np.ndarray:
    if not isinstance(image, np.ndarray) or image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"images of {getattr(image, 'dtype', type(image))}; must be uint8")
    if image.ndim == 2:
        return image[..., None]
    if image.ndim == 3 and image.shape[-1] not in (1, 3) and image.shape[0] in (1, 3):
        image = image.T  # channels, width, height: what SLEAP calls channels_first
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise ValueError(f"an image of shape {image.shape}; must be height, width, 1 or 3")
    return image


def encode_png(image: np.ndarray) -> bytes:
    """A PNG of an image as OpenCV has it, blue first; grey if its channels are the same."""
    if image.shape[-1] == 3 and image.ndim == 3 and (image == image[..., :1]).all():
        image = image[..., 0]
    done, data = cv2.imencode(".png", np.ascontiguousarray(image))
    if not done:
        raise ValueError("cannot be encoded")
    return data.tobytes()
