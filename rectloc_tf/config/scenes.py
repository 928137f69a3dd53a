"""Which scenes of rectangles: with an index, a picture and its points."""

from dataclasses import dataclass

from rectloc_tf.config.keypoints import Keypoints
from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import frame_to_working
from rectloc_tf.registry import RANKED, UNORDERED
from rectloc_tf.settings import OneOf, Switch, Whole, require, setting, validate

LABELS = ("largest", "largest_and_smallest", "all", "unordered")
SPLITS = ("train", "validation", "test")
IMAGES_PER_DOMAIN = 10_000
MAX_DOMAIN = 20
VALIDATION_START, TEST_START = 8_000, 9_000

IMAGE_SIZE = Whole(64, 1024, step=16)
SEED = Whole(0, 2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Which scenes: with an index, these fields determine a picture and its points completely."""

    domain: int = setting(Whole(1, MAX_DOMAIN), 1, "Rectangles in each image, 1 to 20.")
    image_size: int = setting(
        IMAGE_SIZE, 224, "Working size in pixels, a multiple of 16, 64 to 1024."
    )
    min_side: int = setting(Whole(1, 224), 10, "Shortest side of a rectangle, px of 224.")
    max_side: int = setting(Whole(1, 224), 112, "Longest side of a rectangle, px of 224.")
    solid: bool = setting(Switch(), False, "Fill the rectangles.")
    labels: str = setting(
        OneOf(LABELS), "largest",
        "Which rectangles are labelled; unordered: all, as points of one class.",
    )  # fmt: skip
    data_seed: int = setting(SEED, 0, "Seed of the scenes (not of training).")
    withheld: bool = setting(
        Switch(), False,
        "Rotate training and validation images by 180 degrees if the largest rectangle's centre is "
        "in the lower right quarter, so that training has none there; test images do not change.",
        later=True,
    )  # fmt: skip

    def __post_init__(self):
        validate(self)
        self.check_sides()

    def check_sides(self) -> None:
        """Refuses ranges of sides that cannot be drawn."""
        low, high = self.side_range
        shortest = f"a whole number from 1 to {self.max_side}"
        require(self.min_side <= self.max_side, "min_side", self.min_side, shortest)
        require(low >= 2, "min_side", self.min_side, f"2 pixels or more at {self.image_size} px")
        if high - low + 1 >= self.domain:  # as many squares, each of another area
            return
        areas = len({w * h for w in range(low, high + 1) for h in range(low, high + 1)})
        if areas < self.domain:
            raise ConfigError(
                f"--min_side={self.min_side} --max_side={self.max_side}: only {areas} different "
                f"areas at {self.image_size} px, but --domain={self.domain} needs {self.domain}"
            )

    @property
    def side_range(self) -> tuple[int, int]:
        """Smallest and largest side in working pixels, both included."""
        low, high = (round(frame_to_working(s, self.image_size))
                     for s in (self.min_side, self.max_side))  # fmt: skip
        return low, high

    @property
    def ranks(self) -> tuple[int, ...]:
        """Ranks by area (0 = largest) of the labelled rectangles, largest first."""
        if self.labels == "largest":
            return (0,)
        if self.labels == "largest_and_smallest":
            return (0, self.domain - 1)
        return tuple(range(self.domain))

    @property
    def scene_keypoints(self) -> Keypoints:
        """What the points of these scenes are."""
        ranks = self.ranks
        if self.labels == "unordered":
            return Keypoints(("rectangle",), UNORDERED, len(ranks))
        names = {"largest": ("largest",), "largest_and_smallest": ("largest", "smallest")}
        every = tuple(f"rank_{rank + 1}" for rank in ranks)
        return Keypoints(names.get(self.labels, every), RANKED, len(ranks))
