"""What became of every label in the files: nothing is left out in silence."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

READ = "read"
CONFLICT = "image twice, with different labels"
UNREADABLE = "image unreadable"
MISSING = "image missing"
OUTSIDE = "outside the image"
DUPLICATE = "image twice, with the same labels"
NOT_CHOSEN = "not chosen"
UNLABELLED = "no label"
KINDS = (READ, CONFLICT, UNREADABLE, MISSING, OUTSIDE, DUPLICATE, NOT_CHOSEN, UNLABELLED)
EXPECTED = (READ, NOT_CHOSEN)  # not reported


class Row(NamedTuple):
    """A row of a label file, 1 for the file's first; or, as `unit` says, an annotation of COCO, or
    an instance of SLEAP, which counts from 0."""

    file: Path
    number: int
    unit: str = "row"

    def __str__(self):
        return f"{self.file} {self.unit} {self.number}"


@dataclass(frozen=True)
class Entry:
    """What became of some labels of a row.

    Attributes:
        kind: one of KINDS.
        row: where they stand.
        keypoints: which of its labels they are.
        detail: what else people should know, or nothing.
    """

    kind: str
    row: Row
    keypoints: tuple[str, ...]
    detail: str = ""

    def __str__(self):
        names = ", ".join(self.keypoints)
        return (
            f"{self.row}{names and f', {names}'}: {self.kind}{self.detail and f' ({self.detail})'}"
        )


class Count(NamedTuple):
    """How many labels, and in how many rows they stand."""

    labels: int
    rows: int


@dataclass(frozen=True)
class Ledger:
    """Every label of every file, once: each is one keypoint of one row, labelled or not.

    Attributes:
        entries: in the order of the files.
        notes: what was left out as a whole, a line each.
    """

    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, Count]:
        """Of each kind that there is, in the order of KINDS."""
        labels, rows = Counter(), {}
        for entry in self.entries:
            labels[entry.kind] += len(entry.keypoints)
            rows.setdefault(entry.kind, set()).add(entry.row)
        return {kind: Count(labels[kind], len(rows[kind])) for kind in KINDS if kind in rows}

    def lines(self, limit: int | None = None) -> list[str]:
        """What did not become a label, the worst kinds first; names file, row and keypoints.

        Args:
            limit: the most lines, before one with the number of the rest.
        """
        told = [e for e in self.entries if e.kind not in EXPECTED]
        return first_of(map(str, sorted(told, key=lambda e: KINDS.index(e.kind))), limit)


def first_of(lines: Iterable[str], limit: int | None) -> list[str]:
    """The first of some lines, and one that says how many more there are."""
    lines = list(lines)
    if limit is None or len(lines) <= limit:
        return lines
    return [*lines[:limit], f"... and {len(lines) - limit} more"]
