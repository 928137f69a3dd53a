"""CSV files with a row for each image or frame, and DeepLabCut's among them. No TensorFlow."""

import contextlib
import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rectloc_tf.results.label_writers import table_header
from rectloc_tf.results.output_files import atomic_path

WriteRow = Callable[[list[str]], None]


@contextlib.contextmanager
def open_table(
    path: Path, names: Sequence[str], scorer: str, coords: tuple[str, ...]
) -> Iterator[WriteRow]:
    """Yields a function that adds a row to a table of DeepLabCut; the file appears at the end."""
    with open_csv(path, table_header(names, scorer, coords)) as write_row:
        yield write_row


@contextlib.contextmanager
def open_csv(path: Path, header: Iterable[list[str]]) -> Iterator[WriteRow]:
    """Yields a function that adds a row; its first cell is a name. The file appears at the end."""
    # Names of files need not be text: they come out as the bytes they are.
    how: dict[str, Any] = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with atomic_path(path) as temporary, open(temporary, "w", **how) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        quoting = csv.writer(handle, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerows(header)

        def write_row(cells: list[str]) -> None:
            # Python leaves a lone \r as it is, and readers take it as the end of the row.
            (quoting if "\r" in cells[0] else writer).writerow(cells)

        yield write_row
