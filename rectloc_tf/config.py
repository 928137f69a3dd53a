"""What a run is (`RunConfig`) and how it is carried out (`ExecutionConfig`).

Field names are flag names, and each field is declared once: the flags, their help and the
validation come from its `setting`. A `RunConfig` holds everything that changes the result and
nothing else: it is compared on resume and hashed into the name of the run folder. The small
configs that it consists of (`SceneConfig`, `HeadConfig`, `ModelConfig`) are what library
functions take. All are validated when they are made and raise `ConfigError`.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any, cast

from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import frame_to_working
from rectloc_tf.registry import HEADS, LOSSES, RANKED, SOURCES, UNORDERED
from rectloc_tf.settings import (
    Number,
    OneOf,
    Switch,
    Text,
    Whole,
    part_of,
    require,
    setting,
    settings_of,
    validate,
)

DEPTHS = (18, 34, 50)
LABELS = ("largest", "largest_and_smallest", "all", "unordered")
TARGETS = ("disc", "gaussian")
STRIDES = (4, 8, 16, 32)
UNITS = ("pixels", "centred")
SCHEDULES = ("constant", "cosine")
PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")
STRATEGIES = ("auto", "single", "mirrored", "tpu")
JITS = ("auto", "on", "off")
RENDERERS = ("graph", "opencv")
PLACES = ("auto", "host", "device")

SPLITS = ("train", "validation", "test")
IMAGES_PER_DOMAIN = 10_000
MAX_DOMAIN = 20
VALIDATION_START, TEST_START = 8_000, 9_000

_IMAGE_SIZE = Whole(64, 1024, step=16)
_SEED, _COUNT = Whole(0, 2**31 - 1), Whole(1, 10_000_000)
_LENGTH = Number(0.5, 112, "px of 224")
_WEIGHT = Number(0, 1e6)
_BY_HEAD = cast(Any, None)  # a default that __post_init__ fills in


@dataclass(frozen=True)
class Keypoints:
    """What a source's points are, and so what a head answers.

    Attributes:
        names: of the K keypoints that are answered.
        kind: "ranked": N = K points in an order that is theirs, the first the one that counts most;
            "named": N = K points of which each is something else; "unordered": N points of one
            class, K = 1, and an answer is any of them.
        num_points: N, the points of an image.
    """

    names: tuple[str, ...]
    kind: str
    num_points: int


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Which scenes: with an index, these fields determine a picture and its points completely."""

    domain: int = setting(Whole(1, MAX_DOMAIN), 1, "Rectangles in each picture, 1 to 20.")
    image_size: int = setting(_IMAGE_SIZE, 224, "Working size, a multiple of 16, 64 to 1024.")
    min_side: int = setting(Whole(1, 224), 10, "Shortest side of a rectangle, px of 224.")
    max_side: int = setting(Whole(1, 224), 112, "Longest side of a rectangle, px of 224.")
    solid: bool = setting(Switch(), False, "Fill the rectangles.")
    labels: str = setting(
        OneOf(LABELS), "largest",
        "Which rectangles are labelled; unordered: all, as points of one class.",
    )  # fmt: skip
    data_seed: int = setting(_SEED, 0, "Seed of the scenes (not of the training).")

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
    def keypoints(self) -> Keypoints:
        """What the points of these scenes are."""
        ranks = self.ranks
        if self.labels == "unordered":
            return Keypoints(("rectangle",), UNORDERED, len(ranks))
        names = {"largest": ("largest",), "largest_and_smallest": ("largest", "smallest")}
        every = tuple(f"rank_{rank + 1}" for rank in ranks)
        return Keypoints(names.get(self.labels, every), RANKED, len(ranks))

    @property
    def num_keypoints(self) -> int:
        """K, the number of keypoints that a head answers."""
        return len(self.keypoints.names)


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """A head and what it can be set to; a head ignores what it does not use (`HeadSpec.uses`)."""

    arch: str = setting(OneOf(HEADS), "xy", "Head: what the network answers with.")
    loss: str = setting(
        OneOf(LOSSES), _BY_HEAD, "What training minimises.", by_head="squared_error", later=True
    )
    units: str = setting(
        OneOf(UNITS), "pixels", "xy's outputs; centred: quarter sides from the middle.", later=True
    )
    target: str = setting(OneOf(TARGETS), "disc", "Shape of the heatmap's blobs.")
    radius: float = setting(_LENGTH, _BY_HEAD, "Radius of the disc, px of 224.", by_head=7.0)
    sigma: float = setting(_LENGTH, 5.0, "Sigma of the Gaussian, px of 224.")
    peak: float = setting(Number(), 255.0, "Value of the targets' brightest blob.", later=True)
    stride: int = setting(
        OneOf(STRIDES), 4, "Working pixels from cell to cell: 4, 8, 16 or 32.", later=True
    )
    positive_weight: float = setting(
        _WEIGHT, 20.0, "Weight of a cell inside the disc; others have 1.", later=True
    )
    offset_weight: float = setting(_WEIGHT, 0.3, "Weight of the offsets' loss.", later=True)

    def __post_init__(self):
        self._fill_in_defaults()
        validate(self)
        self._check_head()

    def _fill_in_defaults(self) -> None:
        """Gives the settings that were left out the default of the head."""
        spec = HEADS.get(self.arch)
        if spec is None:
            return  # validate says so
        own = {"loss": spec.losses[0], **spec.defaults}
        for name, found in settings_of(self).items():
            if getattr(self, name) is None and found.by_head is not None:
                object.__setattr__(self, name, own.get(name, found.by_head))

    def _check_head(self) -> None:
        spec = HEADS[self.arch]
        rule = f"one of {', '.join(spec.losses)} with --arch={self.arch}"
        require(self.loss in spec.losses, "loss", self.loss, rule)

    @property
    def head(self) -> "HeadConfig":
        """These settings alone, without others that a subclass adds."""
        return part_of(self, HeadConfig)

    @property
    def unused(self) -> set[str]:
        """The settings that have no effect with this head, as it is set."""
        return {*settings_of(HeadConfig)} - {"arch", "loss", *HEADS[self.arch].uses(self)}


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A network below its head: `precision` is a Keras dtype policy, `channels` the images'."""

    depth: int = setting(OneOf(DEPTHS), 18, "ResNet depth: 18, 34 or 50.")
    image_size: int = setting(_IMAGE_SIZE, 224, "Height and width of the input, in pixels.")
    channels: int = setting(OneOf((1, 3)), 1, "1 (grey) or 3 (colour).")
    precision: str = setting(OneOf(PRECISIONS[1:]), "float32", "Keras dtype policy.")

    def __post_init__(self):
        validate(self)


@dataclass(frozen=True, kw_only=True)
class RunConfig(SceneConfig, HeadConfig):
    """Everything that changes the result of a training run.

    `precision` may be "auto" until `runtime` has resolved it; `init_from` is the digest of the
    weights that training starts from (see `initial_weights`), or the folder of their run until
    that has been read.
    """

    source: str = setting(OneOf(SOURCES), "scenes", "Where the images come from.", later=True)
    depth: int = setting(OneOf(DEPTHS), 18, "ResNet depth: 18, 34 or 50.")
    num_images: int = setting(
        Whole(1, IMAGES_PER_DOMAIN), IMAGES_PER_DOMAIN, "Image pool; 80 % of it is trained on."
    )
    augment: bool = setting(
        Switch(), False, "Mirror and transpose training scenes at random.", later=True
    )
    batch_size: int = setting(Whole(1, 65_536), 64, "Global batch size.")
    learning_rate: float = setting(Number(), 1e-3, "Adam's learning rate, at its peak.")
    schedule: str = setting(OneOf(SCHEDULES), "constant", "Learning rate over the run.")
    epochs: int = setting(_COUNT, _BY_HEAD, "Passes over the training images.", by_head=40)
    validate_every: int = setting(_COUNT, 1, "Epochs between validations.")
    seed: int = setting(_SEED, 0, "Seed of the weights and of the order of images.")
    precision: str = setting(OneOf(PRECISIONS), "auto", "Keras dtype policy.")
    init_from: str = setting(
        Text("a run folder"), "", "Run folder whose weights (see --weights) training starts from.",
        later=True,
    )  # fmt: skip

    def __post_init__(self):
        self._fill_in_defaults()
        validate(self)
        self._check_head()
        HEADS[self.arch].check(self)
        SOURCES[self.source].check(self)

    def changed(self, **changes: Any) -> "RunConfig":
        """The same run with some fields changed; None means a field's default.

        With another head, settings that are at the default of the old one take that of the new.
        """
        arch = changes.get("arch", self.arch)
        if arch != self.arch:
            usual = RunConfig(arch=self.arch)
            by_head = (name for name, s in settings_of(self).items() if s.by_head is not None)
            same = (name for name in by_head if getattr(self, name) == getattr(usual, name))
            changes = dict.fromkeys(same) | changes
        return dataclasses.replace(self, **changes)

    @property
    def scene(self) -> SceneConfig:
        """The scenes this run trains on."""
        return part_of(self, SceneConfig)

    @property
    def model(self) -> ModelConfig:
        """The network for images of one channel; `precision` must have been resolved."""
        return ModelConfig(depth=self.depth, image_size=self.image_size, precision=self.precision)

    @property
    def num_train(self) -> int:
        """Number of training images: the first round(0.8 num_images) training indices."""
        return max(1, round(0.8 * self.num_images))

    @property
    def total_steps(self) -> int:
        """Number of optimiser steps: enough fixed batches to see every epoch's images."""
        return -(-self.epochs * self.num_train // self.batch_size)

    def epochs_done(self, step: int) -> int:
        """Number of whole epochs that `step` steps have seen."""
        return min(self.epochs, step * self.batch_size // self.num_train)

    def split_indices(self, split: str) -> range:
        """The scene indices of a split: they do not depend on anything but num_images."""
        return {
            "train": range(self.num_train),
            "validation": range(VALIDATION_START, TEST_START),
            "test": range(TEST_START, IMAGES_PER_DOMAIN),
        }[split]

    @property
    def unused(self) -> set[str]:
        """The settings that have no effect with this head and this source."""
        scenes = {*settings_of(SceneConfig)} - {"image_size", *SOURCES[self.source].uses}
        return super().unused | scenes

    def identity(self) -> dict[str, Any]:
        """The fields that matter to this run, by flag name: what resume compares and the hash sees.

        Settings of heads and of sources count where this run's head or source uses them (an xy
        run has no radius), and those that came later only where they are not at their default.
        """
        unused, usual = self.unused, RunConfig(arch=self.arch)
        return {
            name: getattr(self, name)
            for name, found in settings_of(self).items()
            if name not in unused
            and not (found.later and getattr(self, name) == getattr(usual, name))
        }

    @property
    def default_folder(self) -> str:
        """Default run folder: `runs/<arch>-<source>-<hash of the identity>`; d<domain> for scenes.

        What files contribute to the identity is a digest of their content, never their path.
        """
        text = json.dumps(self.identity(), sort_keys=True)
        label = SOURCES[self.source].label(self)
        return f"runs/{self.arch}-{label}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunConfig":
        """The inverse of `to_json`; fields that do not exist raise `ConfigError`."""
        unknown = sorted(set(values) - {*settings_of(cls)})
        if unknown:
            raise ConfigError(f"unknown config field {unknown[0]!r}: made by another version?")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig:
    """How a run is carried out: nothing here changes what the run is."""

    strategy: str = setting(OneOf(STRATEGIES), "auto", "tf.distribute strategy.")
    jit: str = setting(OneOf(JITS), "auto", "Compile with XLA; auto: on GPU and TPU.")
    renderer: str = setting(
        OneOf(RENDERERS), "graph", "What draws the pictures; opencv: the same pixels, slower."
    )
    render_on: str = setting(
        OneOf(PLACES), "auto",
        "Draw training pictures on the host, beside the step, or on the device, inside it; auto "
        "measures both.",
    )  # fmt: skip
    deterministic: bool = setting(Switch(), False, "Bitwise repeatable training.")
    checkpoint_minutes: float = setting(Number(), 5.0, "Minutes between checkpoints in an epoch.")

    def __post_init__(self):
        validate(self)
        if self.renderer == "opencv" and self.render_on == "device":
            raise ConfigError("--render_on=device: OpenCV draws on the host; use --renderer=graph")
