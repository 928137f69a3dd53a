"""Image files of users: checked by their header, and read as bytes."""

import struct
from pathlib import Path

import tensorflow as tf

from rectloc_tf.errors import UserError, reason
from rectloc_tf.serving.image_decoding import JPEG_START, PNG_START

MAX_PIXELS = 64_000_000
MAX_BYTES = 256 * 2**20


def image_size_in_header(data: bytes) -> tuple[int, int]:
    """Width and height as the header of a PNG or JPEG says, without decoding it.

    Raises:
        ValueError: if it is neither, or the header is cut off.
    """
    if data.startswith(PNG_START):
        if len(data) < 24 or data[12:16] != b"IHDR":
            raise ValueError("truncated or damaged PNG")
        return struct.unpack(">II", data[16:24])
    if data.startswith(JPEG_START):
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
        pixels = f"{width} x {height} = {width * height:,} pixels"
        raise UserError(f"{path}: {pixels}; the limit is {MAX_PIXELS:,}")
    return data
