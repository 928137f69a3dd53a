"""Image files of users: checked by their header, and read as bytes."""

import io
from pathlib import Path

from pipelines.image_headers import MAX_PIXELS, read_size
from rectloc_tf.errors import UserError, reason

MAX_BYTES = 256 * 2**20


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
        width, height = read_size(io.BytesIO(data))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if width * height > MAX_PIXELS:
        pixels = f"{width} x {height} = {width * height:,} pixels"
        raise UserError(f"{path}: {pixels}; the limit is {MAX_PIXELS:,}")
    return data
