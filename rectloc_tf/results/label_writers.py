"""Labels as label files of DeepLabCut (CSV) and COCO (JSON): what readers of them give back."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.labels.labelled import NOT_LABELLED, OCCLUDED
from rectloc_tf.errors import UserError
from rectloc_tf.results.output_files import atomic_path, is_there

SCORER = "rectloc_tf"
_GREATEST = float(np.finfo(np.float64).max)  # JSON has no infinity
_COLLECTED = "CollectedData_"  # DeepLabCut's files are named after who labelled


@dataclass(frozen=True, eq=False)
class LabelRows:
    """Labels of R images, or of animals in them, to be written.

    Attributes:
        names: of the K keypoints.
        images: R paths with slashes.
        centred: float64 [R, K, 2], (x, y) from the centre of the first pixel; NaN without a label.
        visibility: uint8 [R, K], as in `LabelledImages`.
        sizes: R widths and heights; only COCO has them.
        animal: what COCO's category is called.
    """

    names: tuple[str, ...]
    images: tuple[str, ...]
    centred: np.ndarray
    visibility: np.ndarray
    sizes: tuple[tuple[int, int], ...] = ()
    animal: str = "animal"


def table_header(names: Sequence[str], scorer: str, coords: tuple[str, ...]) -> list[list[str]]:
    """The first rows of a table of DeepLabCut: scorer, bodyparts and coords."""
    return [
        ["scorer", *[scorer] * (len(coords) * len(names))],
        ["bodyparts", *(name for name in names for _ in coords)],
        ["coords", *coords * len(names)],
    ]


def csv_text(labels: LabelRows, scorer: str = SCORER) -> str:
    """A table of DeepLabCut; with a column `visible`, as Lightning Pose has, if any is occluded.

    Raises:
        UserError: if an image has two different rows.
    """
    has_visible = bool((labels.visibility == OCCLUDED).any())
    coords = ("x", "y", "visible") if has_visible else ("x", "y")
    rows = {}
    for image, points, visibility in zip(
        labels.images, labels.centred, labels.visibility, strict=True
    ):
        cells = []
        for (x, y), seen in zip(points.tolist(), visibility.tolist(), strict=True):
            is_labelled = seen != NOT_LABELLED
            # Python writes the fewest digits that read back as the same number.
            cells += [repr(x), repr(y)] if is_labelled else ["", ""]
            cells += [str(seen)] * has_visible
        if rows.setdefault(image, cells) != cells:
            raise UserError(
                f"{image}: two animals, but a CSV has one row per image; choose one with "
                "--individual, or write COCO (--output=NAME.json)"
            )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(table_header(labels.names, scorer, coords))
    writer.writerows([image, *cells] for image, cells in rows.items())
    return text.getvalue()


def coco_content(labels: LabelRows) -> dict[str, Any]:
    """COCO's keypoints as JSON values, an annotation for each row; `sizes` must be there."""
    numbers: dict[str, int] = {}
    images, annotations = [], []
    for row, (image, (width, height)) in enumerate(zip(labels.images, labels.sizes, strict=True)):
        if image not in numbers:
            numbers[image] = len(numbers) + 1
            about = {"id": numbers[image], "file_name": image, "width": width, "height": height}
            images.append(about)
        seen = labels.visibility[row]
        points = np.where((seen != NOT_LABELLED)[:, None], labels.centred[row], 0.0)
        box = _box(points[seen != NOT_LABELLED])
        annotations.append(
            {
                "id": row + 1,
                "image_id": numbers[image],
                "category_id": 1,
                "iscrowd": 0,
                "num_keypoints": int((seen != NOT_LABELLED).sum()),
                "keypoints": [
                    value
                    for (x, y), v in zip(points.tolist(), seen.tolist(), strict=True)
                    for value in (x, y, v)
                ],
                "bbox": box,
                "area": min(box[2] * box[3], _GREATEST),
            }
        )
    category = {"id": 1, "name": labels.animal, "keypoints": [*labels.names], "skeleton": []}
    return {"images": images, "annotations": annotations, "categories": [category]}


def _box(points: np.ndarray) -> list[float]:
    """x, y, width and height of the box around points [n, 2]; zeros if there are none."""
    if not len(points):
        return [0.0] * 4
    low, high = points.min(0).tolist(), points.max(0).tolist()
    return [*low, *(min(b - a, _GREATEST) for a, b in zip(low, high, strict=True))]


def write_csv(path: Path, labels: LabelRows) -> None:
    """Writes a label file of DeepLabCut, whose scorer is named as the file is."""
    is_named = path.stem.startswith(_COLLECTED)
    scorer = path.stem.removeprefix(_COLLECTED) if is_named else ""
    _write(path, csv_text(labels, scorer or SCORER))


def write_coco(path: Path, labels: LabelRows) -> None:
    """Writes a label file of COCO."""
    _write(path, json.dumps(coco_content(labels), allow_nan=False) + "\n")


WRITERS: dict[str, Callable[[Path, LabelRows], None]] = {".csv": write_csv, ".json": write_coco}


def _write(path: Path, text: str) -> None:
    """Writes a label file.

    Raises:
        UserError: if another one is there: it may be somebody's work.
    """
    # Names of files need not be text: they come out as the bytes they are.
    data = text.encode("utf-8", "surrogateescape")
    is_there(path, data, f"--output={path}", "file")  # refuses another one
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def count_labels(labels: LabelRows) -> str:
    """Counts of images, keypoints and labels, as text."""
    count = int((labels.visibility != NOT_LABELLED).sum())
    images, keypoints = len(set(labels.images)), len(labels.names)
    return f"{images} images, {keypoints} keypoints, {count} labels"
