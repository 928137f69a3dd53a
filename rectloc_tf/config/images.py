"""Which labelled images, how they are split, and how training ones are distorted."""

import re
from dataclasses import dataclass

from rectloc_tf.config.keypoints import Keypoints
from rectloc_tf.errors import ConfigError
from rectloc_tf.registry import NAMED
from rectloc_tf.settings import Number, OneOf, Text, Whole, require, setting, validate


def parse_fold(fold: str) -> tuple[int, int]:
    """'2/5' -> (2, 5).

    Raises:
        ConfigError: if it is not such a fraction.
    """
    found = re.fullmatch(r"([1-9]\d{0,2})/([1-9]\d{0,2})", fold, re.ASCII)
    part, count = (int(number) for number in found.groups()) if found else (0, 0)
    if not 1 <= part <= count or count < 2:
        raise ConfigError(f"--fold={fold}: must be i/k with i from 1 to k, as 2/5")
    return part, count


@dataclass(frozen=True, kw_only=True)
class ImagesConfig:
    """Labelled images.

    `data` is the digest of the labels, the images and their split, or a path until those have
    been read; `split_by` may be the path of a split file until then, and `keypoints`, `channels`
    and `split_sizes` may be left out.
    """

    data: str = setting(
        Text("a label file, or a folder with label files"), "",
        "Label file of DeepLabCut or Lightning Pose (CSV), COCO (JSON) or SLEAP (.slp), a folder "
        "with several CollectedData*.csv, or a comma-separated list.", later=True,
    )  # fmt: skip
    keypoints: str = setting(
        Text("names with commas"), "", "Keypoints to use, comma-separated; default: all. "
        "suggest_frames: those to be labelled.", later=True,
    )  # fmt: skip
    individual: str = setting(
        Text("a name"), "", "Animal to use, if label files have several.", later=True
    )
    split_by: str = setting(
        Text("group, random or the path of a split file"), "group",
        "Split by group (folder or video), at random (as DeepLabCut does), or as in a CSV file "
        "with the columns image,split.",
        later=True,
    )  # fmt: skip
    fold: str = setting(
        Text("as 1/5: the first of five"), "",
        "i/k: test on the i-th of k parts (groups, or blocks of images).", later=True,
    )  # fmt: skip
    split_sizes: str = setting(
        Text("three whole numbers with commas"), "",
        "Number of training, validation and test images; set when the labels are read.", later=True,
    )  # fmt: skip
    num_labelled: int = setting(
        Whole(0, 10_000_000), 0,
        "Use only this many images outside the test split, chosen at random by --seed; smaller "
        "choices are subsets of larger ones. Every tenth is for validation. 0: all.", later=True,
    )  # fmt: skip
    channels: int = setting(
        OneOf((0, 1, 3)), 0, "1 (grey) or 3 (colour); 0: grey if all files are.", later=True
    )
    swap: str = setting(
        Text("pairs with commas, as leftear:rightear"), "",
        "Left and right keypoints, as in leftear:rightear,lefteye:righteye. Training images are "
        "mirrored at random only if given; check_labels also recognises pairs by their names.",
        later=True,
    )  # fmt: skip
    rotate: float = setting(
        Number(0, 180, "degrees"), 25.0, "Rotate by up to this many degrees either way.", later=True
    )
    zoom: float = setting(
        Number(0, 4), 0.25, "Enlarge by a factor of up to 1 + this, or shrink as much.", later=True
    )
    shift: float = setting(
        Number(0, 0.5, "of the side"), 0.1, "Shift by up to this share of the side.", later=True
    )
    brightness: float = setting(
        Number(0, 1), 0.2, "Change brightness by up to this share of white.", later=True
    )
    contrast: float = setting(
        Number(0, 4),
        0.25,
        "Raise contrast by a factor of up to 1 + this, or lower it as much.",
        later=True,
    )

    def __post_init__(self):
        validate(self)
        self._check_images()

    def _check_images(self) -> None:
        """Refuses texts that are not of the form that they should have."""
        if self.fold:
            parse_fold(self.fold)
        sizes = re.fullmatch(r"\d+,\d+,\d+", self.split_sizes)
        rule = "three whole numbers with commas, as 80,20,16"
        require(not self.split_sizes or bool(sizes), "split_sizes", self.split_sizes, rule)
        rule = "pairs of different keypoints with commas, as leftear:rightear"
        pairs = [pair.split(":") for pair in self.swap.split(",")] if self.swap else []
        names = [name for pair in pairs for name in pair]
        well_formed = all(len(pair) == 2 for pair in pairs) and len({*names}) == len(names)
        require(well_formed and all(names), "swap", self.swap, rule)
        names = self.keypoint_names
        rule = "different names with commas"
        require(all(names) and len({*names}) == len(names), "keypoints", self.keypoints, rule)

    @property
    def keypoint_names(self) -> tuple[str, ...]:
        """The names in `keypoints`; none if it is left out."""
        return tuple(self.keypoints.split(",")) if self.keypoints else ()

    @property
    def image_keypoints(self) -> Keypoints:
        """What the points of these images are, once the labels have been read."""
        names = self.keypoint_names
        return Keypoints(names, NAMED, len(names))

    @property
    def swapped_pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs of keypoints that a mirror exchanges."""
        pairs = (pair.split(":") for pair in self.swap.split(",") if pair)
        return tuple((left, right) for left, right in pairs)

    @property
    def num_of_splits(self) -> tuple[int, ...]:
        """Images of training, validation and test; none before the labels have been read."""
        return tuple(int(size) for size in self.split_sizes.split(",") if size)
