"""CSV files of users as rows of text: in UTF-8, with commas."""

import csv
import io
from pathlib import Path

from rectloc_tf.errors import UserError, reason

Rows = list[tuple[int, list[str]]]

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BINARY = {
    b"PK\x03\x04": "a spreadsheet (.xlsx, .ods) or ZIP file; export it as CSV",
    b"\x89HDF": "an HDF5 file; must be CSV (DeepLabCut keeps labels as CollectedData*.csv too)",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls); export it as CSV",
}


def read_rows(path: Path) -> Rows:
    """The rows of a CSV file with their numbers, the first of the file being 1; blank ones not.

    Raises:
        UserError: naming the file, the row and what would be right.
    """
    try:
        text = _decode(path.read_bytes(), path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    # newline="": a cell in quotes may hold line breaks.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        for number, cells in enumerate(reader, start=1):
            if any(cell.strip() for cell in cells):
                rows.append((number, cells))
    except csv.Error as error:
        line = reader.line_num
        raise UserError(f"{path} line {line}: {error}; is a quotation mark open?") from error
    if not rows:
        raise UserError(f"{path}: empty file")
    first = rows[0][1]
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(first) == 1 and mark in first[0]:
            raise UserError(f"{path}: cells are separated by {name}; must be commas")
    return rows


def _decode(data: bytes, path: Path) -> str:
    for start, what in _BINARY.items():
        if data.startswith(start):
            raise UserError(f"{path}: {what}")
    if data.startswith(_UTF_16):
        raise UserError(f"{path}: text in UTF-16; save it as UTF-8")
    if b"\0" in data:
        raise UserError(f"{path}: not a CSV file (it holds binary data)")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} line {line}: not UTF-8; save the file as UTF-8") from error


def align(path: Path, rows: Rows, first: list[str], names: int) -> Rows:
    """Rows as wide as the `first` of their file.

    Blank cells that are missing or too many at the end of a row are added or left out; but if any
    are missing, only where the row has nothing but its `names` first cells. Of a file that was cut
    short nothing is guessed.

    Raises:
        UserError: naming the row.
    """
    return [(number, _align(path, number, cells, len(first), names)) for number, cells in rows]


def _align(path: Path, number: int, cells: list[str], width: int, names: int) -> list[str]:
    lacking = width - len(cells)
    surplus = cells[width:] if lacking < 0 else cells[names:] if lacking else []
    if any(cell.strip() for cell in surplus) or len(cells) < names:
        raise UserError(f"{path} row {number}: {len(cells)} cells; the header has {width}")
    return cells[:width] + [""] * lacking
