"""Images of users: checked by their header, and read as bytes."""

import io
from pathlib import Path

from pipelines.image_files import ImageFiles
from pipelines.image_headers import MAX_PIXELS, read_size
from rectloc_tf.errors import UserError, reason

MAX_BYTES = 256 * 2**20


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
        width, height = read_size(io.BytesIO(data))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if width * height > MAX_PIXELS:
        pixels = f"{width} x {height} = {width * height:,} pixels"
        raise UserError(f"{path}: {pixels}; the limit is {MAX_PIXELS:,}")
    return data
