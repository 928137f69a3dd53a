"""Image files of users: found, checked by their header, and read as bytes."""

import glob
import struct
from pathlib import Path

import tensorflow as tf

from rectloc_tf.errors import UserError, reason

MAX_PIXELS = 64_000_000
MAX_BYTES = 256 * 2**20

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"


def find_images(pattern: str) -> list[Path]:
    """Files that match a pattern (`**` for subfolders), sorted.

    Raises:
        UserError: if there are none.
    """
    found = {Path(name) for name in glob.glob(pattern, recursive=True)}  # ** may name one twice
    paths = sorted(path for path in found if path.is_file())
    if not paths:
        raise UserError(f"--images={pattern}: no such file")
    return paths


def image_size_in_header(data: bytes) -> tuple[int, int]:
    """Width and height as the header of a PNG or JPEG says, without decoding it.

    Raises:
        ValueError: if it is neither, or the header is cut off.
    """
    if data.startswith(_PNG):
        if len(data) < 24 or data[12:16] != b"IHDR":
            raise ValueError("truncated or damaged PNG")
        return struct.unpack(">II", data[16:24])
    if data.startswith(_JPEG):
        try:
            height, width, _ = tf.io.extract_jpeg_shape(data).numpy().tolist()
        except tf.errors.InvalidArgumentError as error:
            raise ValueError("truncated or damaged JPEG") from error
        return width, height
    raise ValueError("not a PNG or JPEG file")


def read_image_bytes(path: Path) -> bytes:
    """Reads a PNG or JPEG file, after a look at its size and header.

    Raises:
        UserError: if the file cannot be read, is empty, no PNG or JPEG, or over 64 megapixels.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(f"{path}: {size / 2**20:.0f} MiB; the limit is {MAX_BYTES >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    if not data:
        raise UserError(f"{path}: empty file")
    try:
        width, height = image_size_in_header(data)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if width * height > MAX_PIXELS:
        megapixels = f"{width * height / 1e6:.0f} megapixels"
        raise UserError(f"{path}: {width} x {height}, {megapixels}; the limit is 64")
    return data


def decode_image(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG or JPEG (scalar string): uint8 [H, W, 3]; EXIF orientation is ignored."""
    image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])
