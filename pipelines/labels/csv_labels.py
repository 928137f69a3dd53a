"""Label files of DeepLabCut and Lightning Pose: CSV with rows scorer / bodyparts / coords.

Several animals have a row `individuals` below the first. The image is one path, or several cells
under blank headers. Lightning Pose may have a third column for each keypoint, `visible`: 0 not
labelled, 1 occluded, 2 visible. Coordinates count from the *centre* of the first pixel.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.labels.labelled import NOT_LABELLED, VISIBLE, LabelFile
from pipelines.labels.tables import Rows, align, read_rows
from rectloc_tf.errors import ConfigError, UserError

_COORDS = ("x", "y", "likelihood", "visible")
_EMPTY = {"", "nan", "na", "n/a", "null", "none"}  # what pandas writes and reads
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

Columns = dict[str, dict[str, int]]  # keypoint -> coordinate -> column


def read_csv_file(path: Path, individual: str = "") -> LabelFile:
    """Reads a file of either format.

    Args:
        path: the CSV file.
        individual: whose keypoints, in a file of several animals; `single` has those that are
            there once. Nothing: of the only one.

    Raises:
        UserError: naming the file, the row, the column and what would be right.
        ConfigError: if there are several animals and none is chosen, or another one is.
    """
    rows = read_rows(path)
    header, body = _split_header(path, rows)
    width = _index_width(header[-1][1])
    header = align(path, header, rows[0][1], width)
    body = align(path, body, rows[0][1], width)
    everyone = _columns(path, header, width)
    chosen = _choose(path, everyone, individual)
    columns = everyone[chosen]
    _check_complete(path, columns)
    points = np.full((len(body), len(columns), 2), np.nan)
    visibility = np.zeros((len(body), len(columns)), np.uint8)
    for r, (number, cells) in enumerate(body):
        for k, (name, at) in enumerate(columns.items()):
            where = f"{path} row {number}"
            points[r, k], visibility[r, k] = _label(cells, name, at, where)
    others = {who: parts for who, parts in everyone.items() if who != chosen}
    return LabelFile(
        path,
        tuple(number for number, _ in body),
        tuple(_image(path, number, cells[:width]) for number, cells in body),
        tuple(columns),
        points,
        visibility,
        tuple(f"{who}/{name}" for who, parts in others.items() for name in parts),
        any("likelihood" in at for at in columns.values()),
    )


def _split_header(path: Path, rows: Rows) -> tuple[Rows, Rows]:
    """The rows scorer, individuals (if it is there), bodyparts and coords; and all below."""
    wanted = ["scorer", "individuals", "bodyparts", "coords"]
    header = []
    for number, cells in rows[: len(wanted)]:
        found = cells[0].strip().lower()
        if found == "bodyparts" and wanted[0] == "individuals":
            del wanted[0]
        if found != wanted[0]:
            hint = "labels of DeepLabCut and Lightning Pose have rows scorer, bodyparts, coords"
            must = " or ".join(map(repr, wanted[:2] if wanted[0] == "individuals" else wanted[:1]))
            raise UserError(
                f"{path} row {number}: starts with {cells[0][:40]!r}; must be {must} ({hint})"
            )
        header.append((number, cells))
        del wanted[0]
        if not wanted:
            break
    if wanted:
        raise UserError(f"{path}: ends in its header; rows {' and '.join(wanted)} are missing")
    if len(rows) == len(header):
        raise UserError(f"{path}: has a header only; a row for each image must follow")
    return header, rows[len(header) :]


def _index_width(coords: list[str]) -> int:
    """How many cells of a row name the image: those under blank headers too."""
    blank = 1
    while blank < len(coords) and not coords[blank].strip():
        blank += 1
    return blank


def _columns(path: Path, header: Rows, width: int) -> dict[str, Columns]:
    """The column of each coordinate of each individual's keypoints; the key "" is unnamed."""
    numbers, lines = zip(*header, strict=True)
    scorers, parts, coords = lines[0], lines[-2], lines[-1]
    owners = lines[1] if len(lines) == 4 else [""] * len(parts)
    found: dict[str, Columns] = {}
    labelled_by: dict[tuple[str, str], str] = {}
    for column in range(width, len(parts)):
        who, name, coord = owners[column].strip(), parts[column].strip(), coords[column].strip()
        coord = coord.lower()
        if not name or (len(lines) == 4 and not who):
            number, row = (numbers[-2], "bodyparts") if not name else (numbers[1], "individuals")
            raise UserError(f"{path} row {number}, column {column + 1}: no name in the {row} row")
        if len((who + name).splitlines()) > 1:
            where = f"{path} row {numbers[-2]}, column {column + 1}"
            raise UserError(f"{where}: {name!r} has a line break; a name must have none")
        if coord not in _COORDS:
            where = f"{path} row {numbers[-1]}, column {column + 1} ({name})"
            raise UserError(f"{where}: {coords[column]!r} must be one of {', '.join(_COORDS)}")
        at = found.setdefault(who, {}).setdefault(name, {})
        scorer = labelled_by.setdefault((who, name), scorers[column])
        if scorer != scorers[column]:
            both = f"{scorer!r} and {scorers[column]!r}"
            raise UserError(f"{path}: {name} was labelled by {both}; keep the columns of one")
        if coord in at:
            raise UserError(
                f"{path}: columns {at[coord] + 1} and {column + 1} are both {coord} of {name}; "
                "must be one"
            )
        at[coord] = column
    if not found:
        raise UserError(f"{path} row {numbers[-2]}: no body parts; each needs columns x and y")
    return found


def _choose(path: Path, everyone: dict[str, Columns], individual: str) -> str:
    if [*everyone] == [""]:
        if individual:
            raise ConfigError(
                f"--individual={individual}: {path} names no individuals; leave the flag out"
            )
        return ""
    if not individual and len(everyone) == 1:
        return next(iter(everyone))
    if individual not in everyone:
        start = f"--individual={individual}: {path}: no such animal" if individual else (
            f"{path}: several animals; choose one with --individual"
        )  # fmt: skip
        raise ConfigError(f"{start} (there are {', '.join(everyone)})")
    return individual


def _check_complete(path: Path, columns: Columns) -> None:
    for name, at in columns.items():
        for coord in ("x", "y"):
            if coord not in at:
                raise UserError(f"{path}: {name} has no column {coord}; it needs x and y")


def _label(
    cells: list[str], name: str, at: dict[str, int], where: str
) -> tuple[tuple[float, float], int]:
    """A keypoint of a row: (x, y) as in the file, and its visibility."""
    x, y, visible = (
        _number(cells[at[c]], f"{where}, column {at[c] + 1} ({name} {c})") if c in at else math.nan
        for c in ("x", "y", "visible")
    )
    if math.isnan(x) != math.isnan(y):
        there, lacking = ("x", "y") if math.isnan(y) else ("y", "x")
        raise UserError(
            f"{where}, column {at[lacking] + 1}: {name} has {there} but no {lacking}; give both, "
            "or none where there is no label"
        )
    if "visible" in at and not math.isnan(visible) and visible not in (0, 1, 2):
        column = f"column {at['visible'] + 1} ({name} visible)"
        raise UserError(f"{where}, {column}: {visible:g} must be 0, 1 or 2")
    if math.isnan(x) or visible == NOT_LABELLED:
        return (math.nan, math.nan), NOT_LABELLED
    return (x, y), VISIBLE if math.isnan(visible) else int(visible)


def _number(text: str, where: str) -> float:
    text = text.strip()
    if text.lower() in _EMPTY:
        return math.nan
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    if not math.isfinite(number):
        raise UserError(f"{where}: {text[:40]!r} is not a number; must be one, as 12.5, or empty")
    return number


def _image(path: Path, number: int, cells: list[str]) -> str:
    """The path of a row, its parts joined; Windows' back-slashes are slashes."""
    name = "/".join(_parts(cells))
    if not name:
        raise UserError(f"{path} row {number}, column 1: no image; must be the path of one")
    if len(name.splitlines()) > 1:
        raise UserError(f"{path} row {number}, column 1: {name[:40]!r} has a line break")
    if name.isdecimal():
        hint = "these look like predictions on a video, not labels"
        raise UserError(
            f"{path} row {number}, column 1: {name} is not the path of an image; {hint}"
        )
    return name


def _parts(cells: list[str]) -> Iterator[str]:
    for cell in cells:
        if cell.strip():
            yield cell.replace("\\", "/").rstrip("/") if len(cells) > 1 else cell.replace("\\", "/")
