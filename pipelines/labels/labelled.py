"""What label files of every format become."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipelines.labels.ledger import Row
from rectloc_tf.errors import ConfigError

NOT_LABELLED, OCCLUDED, VISIBLE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class LabelFile:
    """A label file's contents, R images and K keypoints; image files not looked up yet.

    Attributes:
        path: the file.
        numbers: of its R rows, or annotations.
        images: R paths as written, but with slashes.
        names: of the K keypoints, in the order of their columns.
        written: float64 [R, K, 2], (x, y) exactly as in the file; NaN where not labelled.
        visibility: uint8 [R, K], as in `LabelledImages`.
        not_chosen: keypoints of other individuals, as 'individual/keypoint'.
        has_likelihood: whether there are columns of likelihoods, which labels do not have.
        notes: what was left out as a whole, a line each.
        unit: what a label file of this format numbers: "row", "annotation" or "instance".
        shift: what makes `written` into `points`: 0.5 where it counts from the first pixel's
            centre, 0 from its corner.
    """

    path: Path
    numbers: tuple[int, ...]
    images: tuple[str, ...]
    names: tuple[str, ...]
    written: np.ndarray
    visibility: np.ndarray
    not_chosen: tuple[str, ...] = ()
    has_likelihood: bool = False
    notes: tuple[str, ...] = ()
    unit: str = "row"
    shift: float = 0.5

    @property
    def points(self) -> np.ndarray:
        """float64 [R, K, 2], (x, y), origin at the top-left corner; NaN where not labelled."""
        return self.written + self.shift

    @property
    def centred(self) -> np.ndarray:
        """As `points`, counted from the first pixel's centre, as DeepLabCut and COCO do.

        Where the file does so these are its own numbers, to the last bit.
        """
        return self.written if self.shift == 0.5 else self.points - 0.5


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """N images with K keypoints each.

    Attributes:
        paths: N files, or images inside files (`pipelines.image_files`).
        sizes: int64 [N, 2], width and height as people see the image, after EXIF.
        points: float64 [N, K, 2], (x, y) in pixels of that, origin at the top-left corner: the
            first pixel's centre is (0.5, 0.5). NaN where there is no label.
        visibility: uint8 [N, K]; NOT_LABELLED, OCCLUDED or VISIBLE.
        names: of the K keypoints.
        groups: N, the folder or video that each image belongs to, as the label file names it.
        rows: N, where the labels stand.
    """

    paths: tuple[Path, ...]
    sizes: np.ndarray
    points: np.ndarray
    visibility: np.ndarray
    names: tuple[str, ...]
    groups: tuple[str, ...]
    rows: tuple[Row, ...]

    def __len__(self):
        return len(self.paths)

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """The name of each image independent of its folder's location, as 'video/img001.png'."""
        return tuple(f"{g}/{p.name}" for g, p in zip(self.groups, self.paths, strict=True))

    def select(self, indices: Sequence[int] | np.ndarray) -> "LabelledImages":
        """Some of the images, in the order of `indices`."""
        chosen = [int(index) for index in indices]

        def of(values: tuple) -> tuple:
            return tuple(values[index] for index in chosen)

        return replace(
            self,
            paths=of(self.paths),
            sizes=self.sizes[chosen],
            points=self.points[chosen],
            visibility=self.visibility[chosen],
            groups=of(self.groups),
            rows=of(self.rows),
        )


def keypoint_places(chosen: Sequence[str], names: Sequence[str]) -> list[int]:
    """The index in `names` of each of the `chosen` keypoints.

    Raises:
        ConfigError: if it does not, or is chosen twice.
    """
    flag = f"--keypoints={','.join(chosen)}"
    for number, name in enumerate(chosen):
        if name not in names:
            raise ConfigError(f"{flag}: no keypoint {name!r}; there are {', '.join(names)}")
        if name in chosen[:number]:
            raise ConfigError(f"{flag}: {name} is listed twice")
    if not chosen:
        raise ConfigError(f"{flag}: empty; there are {', '.join(names)}")
    return [names.index(name) for name in chosen]
