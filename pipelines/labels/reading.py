"""The labelled images of a run: read, split and known by their contents. No TensorFlow."""

import dataclasses
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.image_files import ImageFiles, each_image
from pipelines.image_headers import read_channels
from pipelines.labels.checks import parse_swap
from pipelines.labels.labelled import LabelledImages
from pipelines.labels.ledger import EXPECTED, UNLABELLED, Ledger, first_of
from pipelines.labels.read import read_labels
from pipelines.labels.splits import AT_RANDOM, BY_GROUP, choose_labelled, split_images
from rectloc_tf.config import SPLITS, RunConfig
from rectloc_tf.config.digests import PREFIX, as_digest, is_digest
from rectloc_tf.errors import ConfigError, UserError, reason

MOST_LINES = 5  # on labels that are not used


@dataclass(frozen=True, eq=False)
class RunImages:
    """What a run is trained, validated and tested on.

    Attributes:
        labels: the images of the three splits, one split after the other.
        sizes: how many images each of them has.
        pixels: of each image the SHA-256 of its file, in hex.
        how: how they were split, for people.
        ledger: what became of every label in the files.
    """

    labels: LabelledImages
    sizes: tuple[int, ...]
    pixels: tuple[str, ...]
    how: str
    ledger: Ledger

    def indices(self, split: str) -> range:
        """Where the images of a split stand."""
        number = SPLITS.index(split)
        start = sum(self.sizes[:number])
        return range(start, start + self.sizes[number])

    def contents(self) -> dict[str, Any]:
        """What the labels, the images and the split are, as JSON values.

        Returns:
            keypoints: their names; images: for each its name, split, SHA-256 and points,
            [x, y, visibility] by keypoint, in px of the file; nothing where not labelled.
        """
        labels, splits = self.labels, np.repeat(SPLITS, self.sizes)
        images = [
            {
                "name": labels.keys[i],
                "split": str(splits[i]),
                "sha256": self.pixels[i],
                "points": {
                    name: [*map(float, labels.points[i, k]), int(labels.visibility[i, k])]
                    for k, name in enumerate(labels.names)
                    if labels.visibility[i, k]
                },
            }
            for i in range(len(labels))
        ]
        return {"keypoints": [*labels.names], "images": images}

    def digest(self) -> str:
        """`sha256:` and 32 hexadecimal digits of `contents`; names of images do not count."""
        contents = self.contents()
        for image in contents["images"]:
            del image["name"]
        text = json.dumps(contents, sort_keys=True)
        return as_digest(hashlib.sha256(text.encode()))

    def difference(self, before: Mapping[str, Any]) -> str:
        """The first difference from an earlier `contents`, as text; '' if none."""
        return what_changed(before, self.contents())

    def about(self) -> list[str]:
        """Lines to print: the number of images, how they are split, and what was left out."""
        parts = ", ".join(f"{n} {s}" for n, s in zip(self.sizes, SPLITS, strict=True))
        lines = [f"{len(self.labels)} labelled images: {parts} ({self.how})"]
        lost = (e for e in self.ledger.entries if e.kind not in (*EXPECTED, UNLABELLED))
        return lines + [f"not used: {line}" for line in first_of(map(str, lost), MOST_LINES)]


def split_expected(data: str) -> tuple[str, str]:
    """'labels.csv@sha256:...' -> the path and the digest that its contents had, or ''."""
    path, mark, digest = data.rpartition(f"@{PREFIX}")
    return (path, PREFIX + digest) if mark else (data, "")


@dataclass(frozen=True, eq=False)
class AllImages:
    """What label files hold, before it is split.

    Attributes:
        path: as the flag names it.
        labels, ledger: as `read_labels` returns them; at least one image.
        pixels: of each image the SHA-256 of its file, in hex, and its channels.
    """

    path: str
    labels: LabelledImages
    ledger: Ledger
    pixels: tuple[tuple[str, int], ...]


def read_run(run: RunConfig, images_root: str = "") -> tuple[RunConfig, RunImages | None]:
    """Reads the labels and the images that a run names by paths.

    Args:
        run: with a path as its `data`, perhaps with the digest that it should have, as
            `split_expected`; a run that names a digest alone is returned as it is, with None.
        images_root: as in `read_labels`.

    Returns:
        The run with the digest in the path's place and all that follows from the labels filled
        in; and the images.

    Raises:
        UserError: if they cannot be used, naming the file, the row or the image.
        ConfigError: if a setting does not go with them, naming the flag.
    """
    if is_digest(run.data):
        return run, None
    return split_run(run, read_all(run, images_root))


def read_all(run: RunConfig, images_root: str = "") -> AllImages:
    """Reads the labels and the images that a run names by paths, for runs that split them.

    Raises:
        UserError, ConfigError: as `read_run`.
    """
    path, _ = split_expected(run.data)
    labels, ledger = read_labels(path, images_root, run.individual, run.keypoints)
    if not len(labels):
        raise UserError(f"--data={path}: no labelled image ({(ledger.lines() or ['empty'])[0]})")
    for name in labels.names:
        if "," in name or ":" in name:
            raise UserError(f"--data={path}: keypoint {name!r}: a name must not contain , or :")
    if run.swap:
        parse_swap(run.swap.split(","), labels.names)
    pixels = each_image(lambda index, files: _look_at(labels.paths[index], files), labels.paths)
    return AllImages(path, labels, ledger, tuple(pixels))


def split_run(run: RunConfig, found: AllImages) -> tuple[RunConfig, RunImages]:
    """The images of a run, of all that its label files hold; returns as `read_run`.

    Raises:
        UserError, ConfigError: as `read_run`.
    """
    labels = found.labels
    split = split_images(labels.groups, labels.keys, run.split_by, run.fold)
    if run.num_labelled:
        split = choose_labelled(split, labels.keys, run.num_labelled, run.seed)
    parts = (split.train, split.validation, split.test)
    chosen, sizes = np.concatenate(parts), tuple(len(part) for part in parts)
    known = [found.pixels[index] for index in chosen]
    digests = tuple(digest for digest, _ in known)
    images = RunImages(labels.select(chosen), sizes, digests, split.how, found.ledger)
    counts = ",".join(map(str, sizes))
    if run.split_sizes not in ("", counts) and found.path == run.data:
        raise ConfigError(
            f"--split_sizes={run.split_sizes}: the labels give {counts}; leave it out"
        )
    resolved = dataclasses.replace(
        run,
        data=images.digest(),
        keypoints=",".join(labels.names),
        split_by=run.split_by if run.split_by in (BY_GROUP, AT_RANDOM) else "file",
        split_sizes=counts,
        channels=run.channels or max(channels for _, channels in known),
    )
    return resolved, images


def _look_at(path: Path, files: ImageFiles) -> tuple[str, int]:
    """The SHA-256 of an image, and the channels of its pixels."""
    try:
        data = files.read(path)
        return hashlib.sha256(data).hexdigest(), read_channels(io.BytesIO(data))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def what_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first difference between two `RunImages.contents`, as text; '' if none."""
    if before["keypoints"] != now["keypoints"]:
        names = (", ".join(contents["keypoints"]) for contents in (before, now))
        return "keypoints {} there, {} here".format(*names)
    theirs, ours = (
        {image["name"]: image for image in contents["images"]} for contents in (before, now)
    )
    for name in [*theirs, *(name for name in ours if name not in theirs)]:
        if name not in ours:
            return f"{name} is no longer there"
        if name not in theirs:
            return f"{name} is new"
        if difference := _image_changed(theirs[name], ours[name]):
            return f"{name}{difference}"
    return "" if [*theirs] == [*ours] else "the images are in another order"


def _image_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    if before["sha256"] != now["sha256"]:
        return " is another image"
    for keypoint in {**before["points"], **now["points"]}:
        there, here = (image["points"].get(keypoint) for image in (before, now))
        if there != here:
            texts = (_as_labelled(point) for point in (there, here))
            return ", {}: {} there, {} here".format(keypoint, *texts)
    if before["split"] != now["split"]:
        return f" was for {before['split']} and is for {now['split']}"
    return ""


def _as_labelled(point: list[float] | None) -> str:
    """A point as DeepLabCut's files have it, whose pixels have whole numbers at their centres."""
    return "no label" if point is None else f"x {point[0] - 0.5:g}, y {point[1] - 0.5:g}"
