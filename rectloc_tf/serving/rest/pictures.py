"""What a request may ask of a network: pictures that are none too large. No TensorFlow."""

import math
from collections.abc import Mapping

import numpy as np

from rectloc_tf.serving.image_files import check_pixels, encoded_size
from rectloc_tf.serving.rest.protocol import TensorInfo
from rectloc_tf.serving.rest.values import ServingError

# Resizing costs the working size times a side, so long strips would cost more than their pixels.
MAX_SIDE = 16_384
MAX_NUMBERS = 16_000_000  # of the response to several images


def check_images(images: np.ndarray) -> list[int]:
    """Pixels of each image of an array.

    Raises:
        ServingError: if it is not [N, H, W, 1 or 3], or an image is empty or too large.
    """
    shape = "x".join(map(str, images.shape))
    if images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise ServingError(f"images: of shape {shape}; must be N x H x W x 1 or N x H x W x 3")
    _, height, width, _ = images.shape
    if len(images) and not height * width:
        raise ServingError(f"images: of shape {shape}; an image has no pixels")
    _check_size("images", width, height)
    return [height * width] * len(images)


def check_files(files: np.ndarray) -> list[int]:
    """Pixels of each file of an array of bytes, [N].

    Raises:
        ServingError: if one is not a PNG or JPEG, or too large.
    """
    if files.ndim != 1:
        shape = "x".join(map(str, files.shape))
        raise ServingError(f"image_bytes: of shape {shape or 'of one value'}; must be a list")
    return [_check_file(f"image_bytes {number}", data) for number, data in enumerate(files)]


def _check_file(name: str, data: bytes) -> int:
    try:
        width, height = encoded_size(data)
    except ValueError as error:
        raise ServingError(f"{name}: {error}") from error
    _check_size(name, width, height)
    return width * height


def fits(images: np.ndarray, outputs: Mapping[str, TensorInfo]) -> bool:
    """Whether the response has at most `MAX_NUMBERS`, or is to one image.

    Args:
        images: of a request, or its files.
        outputs: what an answer consists of.
    """
    count = len(images) if images.ndim else 1
    numbers = sum(math.prod(info.shape[1:]) for info in outputs.values())
    return count == 1 or count * numbers <= MAX_NUMBERS


def _check_size(name: str, width: int, height: int) -> None:
    try:
        check_pixels(width, height)
    except ValueError as error:
        raise ServingError(f"{name}: {error}") from error
    if max(width, height) > MAX_SIDE:
        raise ServingError(f"{name}: {width} x {height}; the limit of a side is {MAX_SIDE:,}")
