"""Text, JSON and NPZ files: written whole or not at all, and read in bounded memory.

Files that are read may come from anywhere: whatever they hold ends in one line. No TensorFlow.
"""

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from rectloc_tf.errors import UserError, reason
from rectloc_tf.results.output_files import atomic_path

# Far above what any run leaves, and a bound on the memory that a file can ask for.
MAX_TEXT, MAX_ARRAYS = 32 * 2**20, 2**30
MAX_CONTENTS = 512 * 2**20  # the names and digests of millions of images
_DAMAGED_ARRAYS = (
    OSError, ValueError, EOFError, RuntimeError, OverflowError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON (no NaN), whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_text(path: Path, most: int = MAX_TEXT) -> str:
    """Reads a text file of at most `most` bytes.

    Raises:
        UserError: if it is missing, unreadable, too large or not UTF-8.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise OSError(0, "not a file")
        with open(path, "rb") as handle:
            data = handle.read(most + 1)
        if len(data) > most:
            raise UserError(f"{path}: damaged (over {most:,} bytes)")
        return data.decode("utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: damaged, not text ({reason(error)})") from error


def read_json(path: Path, most: int = MAX_TEXT) -> Any:
    """Reads a JSON file of at most `most` bytes.

    Raises:
        UserError: if it is missing, unreadable, too large or not JSON.
    """
    text = read_text(path, most)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged, not valid JSON ({reason(error)})") from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Reads an NPZ file, of plain numbers and at most `MAX_ARRAYS` bytes when unpacked.

    Raises:
        UserError: if it is missing, unreadable, damaged or too large.
    """
    try:
        # An open file, since NumPy does not close those that it finds damaged.
        with open(path, "rb") as handle:
            with zipfile.ZipFile(handle) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > MAX_ARRAYS:
                raise ValueError(f"it unpacks to {unpacked:,} bytes, over {MAX_ARRAYS:,}")
            handle.seek(0)
            with np.load(handle, allow_pickle=False) as arrays:
                return dict(arrays)
    except _DAMAGED_ARRAYS as error:
        raise UserError(f"{path}: damaged ({reason(error)})") from error
