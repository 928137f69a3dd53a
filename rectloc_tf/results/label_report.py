"""What `check_labels` prints of labelled images."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from pipelines.labels.checks import Mistake
from pipelines.labels.labelled import OCCLUDED, LabelledImages
from pipelines.labels.ledger import Ledger, first_of
from pipelines.labels.splits import Split

LINES = 12  # of a list that may be long


def ledger_lines(ledger: Ledger, limit: int = LINES) -> list[str]:
    """How many labels became what, and the first of those that were not used."""
    counts = ledger.counts()
    width = max(map(len, counts), default=0)
    lines = ["labels:"]
    for kind, (labels, rows) in counts.items():
        lines.append(f"  {kind:<{width}}  {labels:>6,} in {rows:,} row{'s' * (rows != 1)}")
    return lines + _indented([*ledger.notes, *ledger.lines(limit)])


def statistics_lines(data: LabelledImages) -> list[str]:
    """Images, groups and sizes, and a row for each keypoint.

    Args:
        data: at least one image.
    """
    sizes = Counter(f"{width} x {height}" for width, height in data.sizes.tolist())
    groups = Counter(data.groups)
    lines = [
        f"images: {len(data)}, {_most_common(sizes)}",
        f"groups: {len(groups)}, {_most_common(groups)}",
    ]
    width = max(8, *map(len, data.names))
    lines.append(
        f"{'keypoint':<{width}}  labelled  occluded  missing  "
        f"{'x: median (5–95 %)':>22}  {'y: median (5–95 %)':>22}"
    )
    for k, name in enumerate(data.names):
        points, visibility = data.points[:, k], data.visibility[:, k]
        labelled = ~np.isnan(points[:, 0])
        spread = "".join(f"  {_spread(points[labelled, axis]):>22}" for axis in (0, 1))
        lines.append(
            f"{name:<{width}}  {labelled.sum():>8}  {(visibility == OCCLUDED).sum():>8}  "
            f"{(~labelled).sum():>7}{spread}"
        )
    return lines


def mistake_lines(data: LabelledImages, mistakes: Sequence[Mistake]) -> list[str]:
    """Likely mistakes, each with file, row and keypoints."""
    if not mistakes:
        return ["likely mistakes: none found"]
    lines = [
        f"{', '.join([str(data.rows[m.image]), *m.keypoints])}: {m.text}"
        f" ({data.paths[m.image].name})"
        for m in mistakes
    ]
    return ["likely mistakes:", *_indented(first_of(lines, LINES))]


def split_line(split: Split) -> str:
    """How many images each split has, and how they were chosen."""
    counts = {
        "train": split.train,
        "validation": split.validation,
        "test": split.test,
        "left out": split.left_out,
    }
    return f"split: {', '.join(f'{len(v)} {n}' for n, v in counts.items() if len(v))} ({split.how})"


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _most_common(counts: Counter, most: int = 4) -> str:
    parts = [f"{name} ({count})" for name, count in counts.most_common(most)]
    more = len(counts) - most
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")


def _spread(values: np.ndarray) -> str:
    if not len(values):
        return "–"
    low, middle, high = np.percentile(values, (5, 50, 95))
    return f"{middle:.1f} ({low:.1f}–{high:.1f})"
