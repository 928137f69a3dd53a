"""Label files of any format, made ready to be written as another one, with their images."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.image_files import ImageFiles, each_image, is_inside, split_frame
from pipelines.labels.find_images import ImageFinder, Listings
from pipelines.labels.labelled import NOT_LABELLED, LabelFile
from pipelines.labels.ledger import Row
from pipelines.labels.read import make_finder
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.results.label_writers import LabelRows
from rectloc_tf.results.output_files import atomic_path, is_there


class _Image(NamedTuple):
    row: Row
    name: str  # as the label file has it
    path: Path | None  # None if it was not looked for


def join_rows(files: Sequence[LabelFile], names: Sequence[str], animal: str = "") -> LabelRows:
    """The rows of all files, with the keypoints `names`, which each of them has."""
    places = [[file.names.index(name) for name in names] for file in files]
    return LabelRows(
        tuple(names),
        tuple(image for file in files for image in file.images),
        np.concatenate([f.centred[:, at] for f, at in zip(files, places, strict=True)]),
        np.concatenate([f.visibility[:, at] for f, at in zip(files, places, strict=True)]),
        animal=animal or "animal",
    )


def each_image_once(labels: LabelRows, files: Sequence[LabelFile]) -> LabelRows:
    """The rows without those that repeat what a file before says of an image.

    Args:
        labels: the rows of all files, their images named alike where they are the same.
        files: that they come from.

    Raises:
        UserError: if two files label an image differently, naming them.
    """
    owners = [file.path for file in files for _ in file.images]
    rows: dict[str, dict[Path, list[int]]] = {}
    for row, (image, owner) in enumerate(zip(labels.images, owners, strict=True)):
        rows.setdefault(image, {}).setdefault(owner, []).append(row)

    def said(numbers: list[int]) -> list[bytes]:
        points = [(labels.centred[n], labels.visibility[n]) for n in numbers]
        return sorted(seen.tobytes() + xy[seen != NOT_LABELLED].tobytes() for xy, seen in points)

    kept = []
    for image, by_file in rows.items():
        first, *others = by_file
        kept += by_file[first]
        for other in others:
            if said(by_file[other]) != said(by_file[first]):
                raise UserError(
                    f"{image}: labelled differently in {first} and {other}; correct one of them, "
                    "or convert one file alone"
                )
    kept.sort()
    return dataclasses.replace(
        labels,
        images=tuple(labels.images[n] for n in kept),
        centred=labels.centred[kept],
        visibility=labels.visibility[kept],
        sizes=tuple(labels.sizes[n] for n in kept) if labels.sizes else (),
    )


def find_every_image(
    files: Sequence[LabelFile], images_root: str, everywhere: bool
) -> list[_Image]:
    """Looks for the images of all rows: all if `everywhere`, or those inside other files.

    Raises:
        UserError: if one is missing, or has the name of another file's image, naming the row.
    """
    found, listings = [], Listings()
    finders: dict[str, ImageFinder] = {}  # of the first file that has a name
    for file in files:
        finder = make_finder(file, images_root, listings)
        for number, name in zip(file.numbers, file.images, strict=True):
            row, path = Row(file.path, number, file.unit), None
            if everywhere or split_frame(name):
                path = finder.find(name)
                if path is None:
                    hint = "give the folder of images or videos with --images_root"
                    raise UserError(f"{row}: image missing ({name}); {hint}")
            # What is taken out of a video or a package gets a name of its own.
            is_named = path is None or not is_inside(path)
            first = finders.setdefault(name, finder) if is_named else finder
            if first is not finder and first.place(name) != finder.place(name):
                what = f"{name} is another image than in a file before"
                raise UserError(f"{row}: {what}; convert the files one by one")
            found.append(_Image(row, name, path))
    return found


def read_sizes(images: Sequence[_Image]) -> tuple[tuple[int, int], ...]:
    """Width and height of each image that was looked for.

    Raises:
        UserError: if one cannot be read, naming the row.
    """
    sizes, files = [], ImageFiles()
    for image in images:
        if image.path is None:
            continue
        try:
            sizes.append(files.size(image.path))
        except ValueError as error:
            raise UserError(f"{image.row}: image unreadable ({image.path}: {error})") from error
    return tuple(sizes)


def take_out(images: Sequence[_Image], folder: Path | None, output: Path) -> tuple[str, ...]:
    """Writes images that lie inside other files as PNG; what is there already stays.

    Args:
        images: of all rows.
        folder: where to; each package and video has a folder in it.
        output: the label file that will name them.

    Returns:
        The name of each row's image, as it is or, of what was written, from `output`.

    Raises:
        ConfigError: if `folder` is needed and None.
        UserError: if an image cannot be read or written, or another one is there.
    """
    inside = {image.path: image for image in images if image.path and is_inside(image.path)}
    if inside and folder is None:
        first = next(iter(inside))
        raise ConfigError(f"--images_dir: missing; give a folder for images such as {first}")
    targets = _targets([*inside], folder or Path())
    paths = [*inside]

    def write(index: int, files: ImageFiles) -> None:
        path = paths[index]
        try:
            data = files.read(path)
        except ValueError as error:
            raise UserError(f"{inside[path].row}: image unreadable ({path}: {error})") from error
        _write_once(targets[path], data)

    each_image(write, paths)
    start = os.path.realpath(output.parent)
    names: dict[Path | None, str] = {
        path: Path(os.path.relpath(os.path.realpath(target), start)).as_posix()
        for path, target in targets.items()
    }
    return tuple(names.get(i.path, i.name) for i in images)


def _targets(paths: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Where each image goes: `clip.mp4/frame000001.png` -> `clip/frame000001.png`."""
    folders: dict[Path, str] = {}
    targets = {}
    for path in paths:
        frame = split_frame(path.as_posix())
        assert frame
        if path.parent not in folders:
            stem = Path(frame.container).stem.removesuffix(".pkg")
            name = "-".join([stem, *frame.dataset.split("/")]).rstrip("-")
            taken = {*folders.values()}
            others = (f"{name}-{number}" for number in range(2, len(taken) + 3))
            folders[path.parent] = next(n for n in (name, *others) if n not in taken)
        targets[path] = folder / folders[path.parent] / path.name
    return targets


def _write_once(target: Path, data: bytes) -> None:
    if not is_there(target, data, str(target), "--images_dir"):
        with atomic_path(target) as temporary:
            temporary.write_bytes(data)
