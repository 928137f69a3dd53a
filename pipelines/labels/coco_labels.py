"""Label files of COCO: JSON with images, categories, and annotations with keypoints as x, y, v.

As COCO's "Data format" has it, v is 0 where a keypoint is not labelled, whatever x and y then say,
1 where it is hidden and 2 where it is seen. Some tools write 1 on every keypoint, so hidden ones
are labels like any other. Coordinates are indices of pixels: they count from the *centre* of the
first one.
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.labels.labelled import NOT_LABELLED, VISIBLE, LabelFile
from rectloc_tf.errors import ConfigError, UserError, reason

UNIT = "annotation"
_LISTS = ("images", "annotations", "categories")


class _Category(NamedTuple):
    name: str
    keypoints: tuple[str, ...]


def is_coco(start: bytes) -> bool:
    """Whether a file that starts so is JSON."""
    return start.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def read_coco_file(path: Path, individual: str = "") -> LabelFile:
    """Reads a file of COCO keypoints; groups of several animals (`iscrowd`) are left out.

    Args:
        path: the JSON file.
        individual: the category to read, in a file of several with keypoints.

    Raises:
        UserError: naming the file, the annotation and what would be right.
        ConfigError: if there are several categories and none is chosen, or another one is.
    """
    content = _load(path)
    categories = _categories(path, content["categories"])
    chosen = _choose(path, categories, individual)
    names = categories[chosen].keypoints
    files = _files(path, content["images"])
    known = {_get(category, "id", path, "a category") for category in content["categories"]}
    numbers, images, points, visibility, crowds, others = [], [], [], [], 0, 0
    annotated = set()
    for place, annotation in enumerate(content["annotations"], start=1):
        number = annotation.get("id", place) if isinstance(annotation, dict) else place
        number = number if isinstance(number, int) and number >= 0 else place
        where = f"{path} {UNIT} {number}"
        if not isinstance(annotation, dict):
            raise UserError(f"{where}: must be an object in braces")
        category = _get(annotation, "category_id", path, f"{UNIT} {number}")
        if category not in known:
            raise UserError(f"{where}: no category has the id {category!r} (category_id)")
        image = _get(annotation, "image_id", path, f"{UNIT} {number}")
        if image not in files:
            raise UserError(f"{where}: no image has the id {image!r} (image_id)")
        annotated.add(image)
        if category != chosen:
            others += 1
            continue
        if annotation.get("iscrowd"):
            crowds += 1
            continue
        place_xy, seen = _keypoints(annotation, len(names), where)
        numbers.append(number)
        images.append(files[image])
        points.append(place_xy)
        visibility.append(seen)
    if not numbers:
        raise UserError(f"{path}: no {UNIT} of {categories[chosen].name!r} with keypoints")
    notes = [f"{path}: {crowds} groups of several animals (iscrowd) left out"] * bool(crowds)
    notes += [f"{path}: {others} annotations of other categories left out"] * bool(others)
    bare = len(files.keys() - annotated)
    notes += [f"{path}: {bare} images without an {UNIT}"] * bool(bare)
    return LabelFile(
        path,
        tuple(numbers),
        tuple(images),
        names,
        np.array(points, np.float64).reshape(-1, len(names), 2),
        np.array(visibility, np.uint8).reshape(-1, len(names)),
        notes=tuple(notes),
        unit=UNIT,
    )


def _load(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    except RecursionError as error:
        raise UserError(f"{path}: not COCO, nested too deeply") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UserError(f"{path} {where}: damaged JSON ({error.msg})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8; save the file as UTF-8") from error
    except ValueError as error:  # a number of thousands of digits
        raise UserError(f"{path}: damaged JSON (a number of thousands of digits)") from error
    for name in _LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            hint = "COCO has images, annotations and categories"
            raise UserError(f"{path}: no list {name!r} ({hint})")
    return content


def _get(values: Any, name: str, path: Path, whose: str) -> Any:
    if not isinstance(values, dict) or name not in values:
        raise UserError(f"{path}: {whose} has no {name!r}")
    value = values[name]
    if isinstance(value, list | dict):
        raise UserError(f"{path}: {whose}: {name!r} must be a number or a string")
    return value


def _file_name(image: Any, path: Path) -> str:
    name = _get(image, "file_name", path, f"image {image.get('id')!r}")
    if not isinstance(name, str) or not name.strip() or len(name.splitlines()) > 1:
        raise UserError(f"{path}: image {image.get('id')!r}: file_name {name!r} is not a path")
    return name.replace("\\", "/")


def _files(path: Path, images: list[Any]) -> dict[Any, str]:
    """The path of each image, by id."""
    files: dict[Any, str] = {}
    for image in images:
        number = _get(image, "id", path, "an image")
        if number in files:
            raise UserError(f"{path}: two images have the id {number!r}")
        files[number] = _file_name(image, path)
    return files


def _categories(path: Path, found: list[Any]) -> dict[Any, _Category]:
    """Those that have keypoints, by id."""
    categories = {}
    for category in found:
        number = _get(category, "id", path, "a category")
        names = category.get("keypoints")
        if not names:
            continue
        name = str(category.get("name", number))
        if not isinstance(names, list) or not all(isinstance(n, str) and n.strip() for n in names):
            raise UserError(f"{path}: category {name!r}: keypoints must be a list of names")
        if len(set(names)) < len(names) or any(len(n.splitlines()) > 1 for n in names):
            raise UserError(
                f"{path}: category {name!r}: keypoint names must differ and have no line breaks"
            )
        categories[number] = _Category(name, tuple(names))
    if not categories:
        raise UserError(f"{path}: no category has keypoints; boxes and masks alone are not labels")
    return categories


def _choose(path: Path, categories: dict[Any, _Category], individual: str) -> Any:
    names = {category.name: number for number, category in categories.items()}
    if not individual and len(categories) == 1:
        return next(iter(categories))
    if individual in names:
        return names[individual]
    start = f"--individual={individual}: {path}: no such category" if individual else (
        f"{path}: several categories; choose one with --individual"
    )  # fmt: skip
    raise ConfigError(f"{start} (there are {', '.join(names)})")


def _keypoints(annotation: dict[str, Any], count: int, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Points [K, 2] as in the file, NaN where not labelled, and their visibility [K]."""
    values = annotation.get("keypoints", [0] * (3 * count))
    if not isinstance(values, list) or len(values) != 3 * count:
        found = len(values) if isinstance(values, list) else "not a list"
        raise UserError(
            f"{where}: keypoints must be {3 * count} numbers (x, y, v of each): {found}"
        )
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise UserError(f"{where}: keypoints: {value!r} is not a number")
    points, visibility = np.full((count, 2), np.nan), np.zeros(count, np.uint8)
    for k in range(count):
        x, y, v = values[3 * k : 3 * k + 3]
        if v not in (0, 1, 2):
            raise UserError(f"{where}: keypoint {k + 1}: v is {v!r}; must be 0, 1 or 2")
        if v == NOT_LABELLED:
            continue
        if not (_is_finite(x) and _is_finite(y)):
            raise UserError(f"{where}: keypoint {k + 1}: v is {v:g}, but x or y is missing")
        points[k], visibility[k] = (x, y), min(int(v), VISIBLE)
    return points, visibility


def _is_finite(value: float | None) -> bool:
    """Whether this is a number that a coordinate can be."""
    try:
        return value is not None and math.isfinite(value)
    except OverflowError:  # whole numbers of JSON have any length
        return False
