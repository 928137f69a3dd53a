"""Label files and the images that they name, as one set: `read_labels`."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from pipelines.image_files import ImageFiles
from pipelines.labels.data_files import find_label_files, split_at_commas
from pipelines.labels.find_images import ImageFinder, Listings, chosen_root, default_roots
from pipelines.labels.label_files import read_label_file
from pipelines.labels.labelled import (
    NOT_LABELLED,
    LabelFile,
    LabelledImages,
    keypoint_places,
)
from pipelines.labels.ledger import (
    CONFLICT,
    DUPLICATE,
    MISSING,
    NOT_CHOSEN,
    OUTSIDE,
    READ,
    UNLABELLED,
    UNREADABLE,
    Entry,
    Ledger,
    Row,
)
from rectloc_tf.errors import UserError

_DATA = "labeled-data"


@dataclass(frozen=True, eq=False)
class _Label:
    """A row whose image was found: its keypoints after those outside the image are left out."""

    row: Row
    path: Path
    group: str
    size: tuple[int, int]
    points: np.ndarray
    visibility: np.ndarray


def read_labels(
    data: str,
    images_root: str = "",
    individual: str = "",
    keypoints: Sequence[str] | str = "",
) -> tuple[LabelledImages, Ledger]:
    """Reads label files and looks at the headers of their images.

    Args:
        data: a label file, a folder with several (CollectedData*.csv, at any depth), or several
            of these with commas.
        images_root: folder below which the images lie; by default the label file's own, and its
            parents up to the one that holds `labeled-data`.
        individual: whose keypoints, where a file has several animals.
        keypoints: the names of those to use, in this order, also with commas; by default all.

    Returns:
        the images that have a label, in the order of the files; and what became of every label.
        Both are empty of images if none can be used.

    Raises:
        UserError: if a file is not as it must be, naming it, the row and the column; if the
            files differ in their keypoints; or if an image may be either of two.
        ConfigError: if an argument names what is not there.
    """
    files, chosen, notes = read_label_files(data, individual, keypoints)
    entries, labels, listings = [], [], Listings()
    for file in files:
        finder = make_finder(file, images_root, listings)
        found = _read_images(file, chosen, finder)
        for label, accounts in found:
            entries += accounts
            labels += [label] if label else []
    kept, accounts = _without_duplicates(_distinguish_groups(labels), chosen)
    entries = sorted([*entries, *accounts], key=_place(files))
    return _join(kept, chosen), Ledger(tuple(entries), tuple(notes))


def read_label_files(
    data: str, individual: str = "", keypoints: Sequence[str] | str = ""
) -> tuple[list[LabelFile], list[str], list[str]]:
    """Reads label files alone; arguments and errors as of `read_labels`.

    Returns:
        the files; the keypoints to use, all of which each file has; and what was left out as a
        whole, a line each.
    """
    paths, notes = find_label_files(data)
    files = [read_label_file(path, individual) for path in paths]
    names = _common_names(files)
    chosen = [names[k] for k in keypoint_places(_as_names(keypoints, names), names)]
    for file in files:
        notes += file.notes
        if file.has_likelihood:
            notes.append(f"{file.path}: likelihood columns are not used")
    return files, chosen, notes


def make_finder(file: LabelFile, images_root: str, listings: Listings) -> ImageFinder:
    """What finds the images of a label file; arguments and errors as of `read_labels`."""
    roots = chosen_root(images_root) if images_root else default_roots(file.path)
    return ImageFinder(roots, listings, not images_root, file.path)


def _as_names(keypoints: Sequence[str] | str, names: Sequence[str]) -> Sequence[str]:
    if not keypoints:
        return names
    if isinstance(keypoints, str):
        return split_at_commas(keypoints, lambda name: name in names)
    return keypoints


def _common_names(files: Sequence[LabelFile]) -> tuple[str, ...]:
    """The keypoints of all files, in the order of the first.

    Raises:
        UserError: if one of them has others, naming the difference.
    """
    first = files[0]
    for file in files[1:]:
        lacking = [name for name in first.names if name not in file.names]
        more = [name for name in file.names if name not in first.names]
        if lacking or more:
            parts = [f"without {', '.join(lacking)}"] * bool(lacking)
            parts += [f"with {', '.join(more)}"] * bool(more)
            raise UserError(
                f"{file.path}: other keypoints than in {first.path}: {' and '.join(parts)}; "
                "all files must have the same"
            )
    return first.names


def _read_images(
    file: LabelFile, chosen: Sequence[str], finder: ImageFinder
) -> list[tuple[_Label | None, list[Entry]]]:
    """For each row of a file what is left of it, and what became of the rest of its labels."""
    places = [file.names.index(name) for name in chosen]
    others = tuple(name for name in file.names if name not in chosen) + file.not_chosen
    found, images = [], ImageFiles()
    for number, name, points, visibility in zip(
        file.numbers, file.images, file.points[:, places], file.visibility[:, places], strict=True
    ):
        row = Row(file.path, number, file.unit)
        label, entries = _read_image(row, name, points, visibility, chosen, finder, images)
        if others:
            entries.append(Entry(NOT_CHOSEN, row, others))
        found.append((label, entries))
    return found


def _read_image(
    row: Row,
    name: str,
    points: np.ndarray,
    visibility: np.ndarray,
    chosen: Sequence[str],
    finder: ImageFinder,
    images: ImageFiles,
) -> tuple[_Label | None, list[Entry]]:
    labelled = visibility != NOT_LABELLED
    present, absent = _names_where(labelled, chosen), _names_where(~labelled, chosen)
    entries = [Entry(UNLABELLED, row, absent, name)] if absent else []
    try:
        path = finder.find(name)
    except UserError as error:
        column = ", column 1" if row.unit == "row" else ""
        raise UserError(f"{row}{column}: {error}") from error
    if path is None:
        return None, [*entries, Entry(MISSING, row, present, name)]
    try:
        size = images.size(path)
    except ValueError as error:
        return None, [*entries, Entry(UNREADABLE, row, present, f"{path}: {error}")]
    outside = labelled & ((points < 0) | (points > size)).any(-1)
    for k in np.flatnonzero(outside):
        x, y = points[k] - 0.5
        where = f"x {x:g}, y {y:g}; the image is {size[0]} x {size[1]}"
        entries.append(Entry(OUTSIDE, row, (chosen[int(k)],), where))
    kept = labelled & ~outside
    if not kept.any():
        return None, entries
    points = np.where(kept[:, None], points, np.nan)
    visibility = np.where(kept, visibility, NOT_LABELLED).astype(np.uint8)
    return _Label(row, path, _group(name, path), size, points, visibility), entries


def _names_where(chosen: np.ndarray, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen)


def _group(name: str, path: Path) -> str:
    """The folder of an image as the label file names it, below `labeled-data` if it says so."""
    folders = [part for part in PurePosixPath(name).parts[:-1] if part not in ("/", "..")]
    if _DATA in folders[:-1]:
        folders = folders[folders.index(_DATA) + 1 :]
    return "/".join(folders) or path.parent.name


def _distinguish_groups(labels: Sequence[_Label]) -> list[_Label]:
    """The labels, with longer groups where two folders share their name and the name of an image.

    Such a group starts at the lowest folder that contains all of them: `monday/images`.
    """
    places = [os.path.split(os.path.realpath(label.path)) for label in labels]
    names: dict[str, dict[str, set[str]]] = {}  # of images, by group and by folder
    for label, (folder, name) in zip(labels, places, strict=True):
        names.setdefault(label.group, {}).setdefault(folder, set()).add(name)
    groups = {}
    for group, folders in names.items():
        if len(set().union(*folders.values())) == sum(map(len, folders.values())):
            continue
        common = os.path.commonpath(folders)
        top = os.path.dirname(common) if common in folders else common
        for folder in folders:
            groups[group, folder] = Path(os.path.relpath(folder, top)).as_posix()
    return [
        replace(label, group=groups.get((label.group, folder), label.group))
        for label, (folder, _) in zip(labels, places, strict=True)
    ]


def _without_duplicates(
    labels: Sequence[_Label], chosen: Sequence[str]
) -> tuple[list[_Label], list[Entry]]:
    """One label for each image; none for those that are labelled in different ways."""
    by_image: dict[str, list[_Label]] = {}
    for label in labels:
        by_image.setdefault(os.path.realpath(label.path), []).append(label)
    kept, entries = [], []
    for first, *others in by_image.values():
        differ = [other for other in others if not _same(first, other)]
        if not differ:
            kept.append(first)
        for label in (first, *others):
            names = _names_where(label.visibility != NOT_LABELLED, chosen)
            if differ:
                other = differ[0].row if label is first else first.row
                entries.append(Entry(CONFLICT, label.row, names, f"{label.path.name}; {other}"))
            elif label is first:
                entries.append(Entry(READ, label.row, names))
            else:
                entries.append(Entry(DUPLICATE, label.row, names, f"{first.row}"))
    return kept, entries


def _same(label: _Label, other: _Label) -> bool:
    return np.array_equal(label.points, other.points, equal_nan=True) and np.array_equal(
        label.visibility, other.visibility
    )


def _place(files: Sequence[LabelFile]) -> Callable[[Entry], tuple[int, int]]:
    order = {file.path: number for number, file in enumerate(files)}
    return lambda entry: (order[entry.row.file], entry.row.number)


def _join(labels: Sequence[_Label], names: Sequence[str]) -> LabelledImages:
    count = len(names)
    return LabelledImages(
        tuple(label.path for label in labels),
        np.array([label.size for label in labels], np.int64).reshape(-1, 2),
        np.array([label.points for label in labels], np.float64).reshape(-1, count, 2),
        np.array([label.visibility for label in labels], np.uint8).reshape(-1, count),
        tuple(names),
        tuple(label.group for label in labels),
        tuple(label.row for label in labels),
    )
