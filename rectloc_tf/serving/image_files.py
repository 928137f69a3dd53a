"""Images of users: checked by their header, and read as bytes."""

import io
from pathlib import Path

from pipelines.image_files import ImageFiles
from pipelines.image_headers import MAX_PIXELS, read_size
from rectloc_tf.errors import UserError, reason

MAX_BYTES = 256 * 2**20


def check_pixels(width: int, height: int) -> None:
    """Refuses images of over 64 megapixels, from files and requests alike.

    Raises:
        ValueError: saying so.
    """
    if width * height > MAX_PIXELS:
        pixels = f"{width} x {height} = {width * height:,} pixels"
        raise ValueError(f"{pixels}; the limit is {MAX_PIXELS:,}")


def encoded_size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG or JPEG, by its header.

    Raises:
        ValueError: if it is none, or over 64 megapixels.
    """
    width, height = read_size(io.BytesIO(data))
    check_pixels(width, height)
    return width, height


def read_image_bytes(path: Path, files: ImageFiles | None = None) -> bytes:
    """Reads a PNG or JPEG, after a look at its size and header.

    Args:
        path: of a file, or of an image inside one.
        files: what reads it; frames of a video are read in one pass by the same.

    Raises:
        UserError: if the file cannot be read, is empty, no PNG or JPEG, or over 64 megapixels.
    """
    try:
        size = path.stat().st_size if path.is_file() else 0
        if size > MAX_BYTES:
            raise UserError(f"{path}: {size / 2**20:.0f} MiB; the limit is {MAX_BYTES >> 20} MiB")
        data = (files or ImageFiles()).read(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if not data:
        raise UserError(f"{path}: empty file")
    try:
        encoded_size(data)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    return data
