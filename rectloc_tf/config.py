"""What a run is (`RunConfig`) and how it is carried out (`ExecutionConfig`).

Field names are flag names. A `RunConfig` holds everything that changes the result and
nothing else: it is compared on resume and hashed into the name of the run folder. The
small configs derived from it (`SceneConfig`, `TargetConfig`, `ModelConfig`) are what
library functions take. All are validated when they are made and raise `ConfigError`.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, cast

from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import frame_to_working

ARCHS = ("xy", "deconv")
DEPTHS = (18, 34, 50)
LABELS = ("largest", "largest_and_smallest", "all")
TARGETS = ("disc", "gaussian")
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
DEFAULT_EPOCHS = {"xy": 40, "deconv": 100}
# Fields that came after the first runs: part of a run only where they are not at their default,
# so that older runs keep their names.
ADDED_LATER = ("augment", "init_from")


def _require(condition: bool, name: str, value: Any, rule: str) -> None:
    if not condition:
        raise ConfigError(f"--{name}={value}: must be {rule}")


def _require_one_of(name: str, value: Any, allowed: tuple) -> None:
    _require(value in allowed, name, value, "one of " + ", ".join(str(v) for v in allowed))


def _require_int(name: str, value: Any, low: int, high: int) -> None:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    _require(is_int and low <= value <= high, name, value, f"a whole number from {low} to {high}")


def _require_image_size(size: Any) -> None:
    ok = isinstance(size, int) and 64 <= size <= 1024 and size % 16 == 0
    _require(ok, "image_size", size, "a multiple of 16 from 64 to 1024")


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Which scenes: with an index, these fields determine a picture completely.

    Attributes:
        data_seed: seed of the scenes (not of the training).
        domain: number of rectangles in each picture.
        image_size: height and width at which the picture is drawn, in pixels.
        min_side, max_side: range of the rectangles' sides, in pixels of the 224 frame.
        solid: fill the rectangles instead of drawing one-pixel outlines.
    """

    data_seed: int = 0
    domain: int = 1
    image_size: int = 224
    min_side: int = 10
    max_side: int = 112
    solid: bool = False

    def __post_init__(self):
        _require_int("data_seed", self.data_seed, 0, 2**31 - 1)
        _require_int("domain", self.domain, 1, MAX_DOMAIN)
        _require_image_size(self.image_size)
        _require_int("max_side", self.max_side, 1, 224)
        _require_int("min_side", self.min_side, 1, self.max_side)
        low, high = self.side_range
        _require(low >= 2, "min_side", self.min_side, f"2 pixels or more at {self.image_size} px")
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


@dataclass(frozen=True, kw_only=True)
class TargetConfig:
    """What a network is asked to answer.

    Attributes:
        kind: "xy" (coordinates), "disc" or "gaussian" (heatmaps).
        labels: which rectangles: "largest", "largest_and_smallest" or "all".
        radius: of the disc, in pixels of the 224 frame.
        sigma: of the Gaussian, in pixels of the 224 frame.
    """

    kind: str = "disc"
    labels: str = "largest"
    radius: float = 7.0
    sigma: float = 5.0

    def __post_init__(self):
        _require_one_of("target", self.kind, ("xy", *TARGETS))
        _require_one_of("labels", self.labels, LABELS)
        for name in ("radius", "sigma"):
            value = getattr(self, name)
            ok = isinstance(value, (int, float)) and 0.5 <= value <= 112
            _require(ok, name, value, "a number from 0.5 to 112 (px of 224)")

    def ranks(self, num_rectangles: int) -> tuple[int, ...]:
        """Ranks by area (0 = largest) of the labelled rectangles, largest first."""
        if self.labels == "largest":
            return (0,)
        if self.labels == "largest_and_smallest":
            return (0, num_rectangles - 1)
        return tuple(range(num_rectangles))

    @property
    def is_heatmap(self) -> bool:
        """Whether the answer is a map rather than coordinates."""
        return self.kind != "xy"


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A network: backbone depth, head and precision.

    Attributes:
        arch: head: "xy" (global average pooling, Dense) or "deconv" (heatmap).
        depth: ResNet depth, 18, 34 or 50.
        image_size: height and width of the input in pixels, a multiple of 16, from 64 to 1024.
        channels: 1 (synthetic pictures) or 3 (photographs).
        num_labels: keypoints that an xy head answers (a heatmap is one map whatever k).
        precision: Keras dtype policy: float32, mixed_float16 or mixed_bfloat16.
    """

    arch: str = "xy"
    depth: int = 18
    image_size: int = 224
    channels: int = 1
    num_labels: int = 1
    precision: str = "float32"

    def __post_init__(self):
        _require_one_of("arch", self.arch, ARCHS)
        _require_one_of("depth", self.depth, DEPTHS)
        _require_image_size(self.image_size)
        _require_one_of("channels", self.channels, (1, 3))
        _require_int("num_labels", self.num_labels, 1, MAX_DOMAIN)
        _require_one_of("precision", self.precision, PRECISIONS[1:])


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything that changes the result of a training run.

    Attributes (those of `SceneConfig`, `TargetConfig` and `ModelConfig` are described there):
        target: heatmap shape, "disc" or "gaussian"; xy ignores it.
        num_images: size of the pool in images; 80 % of it is trained on.
        augment: mirror and transpose the training scenes at random.
        batch_size: global batch size, whatever the number of devices.
        learning_rate: Adam's, at its peak.
        schedule: "constant" or "cosine" (to zero at the last step).
        epochs: passes over the training images; None means 40 for xy and 100 for deconv.
        validate_every: epochs between two rows of the history.
        seed: of the initial weights and of the order of the training images.
        precision: as in `ModelConfig`, or "auto" until `runtime` has resolved it.
        init_from: the digest of the weights that training starts from (see `initial_weights`),
            or the folder of their run until that has been read; empty: new random weights.
    """

    arch: str = "xy"
    depth: int = 18
    domain: int = 1
    image_size: int = 224
    min_side: int = 10
    max_side: int = 112
    solid: bool = False
    labels: str = "largest"
    target: str = "disc"
    radius: float = 7.0
    sigma: float = 5.0
    data_seed: int = 0
    num_images: int = IMAGES_PER_DOMAIN
    augment: bool = False
    batch_size: int = 64
    learning_rate: float = 1e-3
    schedule: str = "constant"
    epochs: int = cast(int, None)  # filled in below
    validate_every: int = 1
    seed: int = 0
    precision: str = "auto"
    init_from: str = ""

    def __post_init__(self):
        _require_one_of("arch", self.arch, ARCHS)
        _require(isinstance(self.init_from, str), "init_from", self.init_from, "a run folder")
        if self.epochs is None:
            object.__setattr__(self, "epochs", DEFAULT_EPOCHS[self.arch])
        _require_one_of("depth", self.depth, DEPTHS)
        _require_one_of("target", self.target, TARGETS)
        _require_int("num_images", self.num_images, 1, IMAGES_PER_DOMAIN)
        _require_int("batch_size", self.batch_size, 1, 65_536)
        ok = isinstance(self.learning_rate, (int, float)) and 0 < self.learning_rate < math.inf
        _require(ok, "learning_rate", self.learning_rate, "a number above 0")
        _require_one_of("schedule", self.schedule, SCHEDULES)
        _require_int("epochs", self.epochs, 1, 10_000_000)
        _require_int("validate_every", self.validate_every, 1, 10_000_000)
        _require_int("seed", self.seed, 0, 2**31 - 1)
        _require_one_of("precision", self.precision, PRECISIONS)
        _ = self.scene, self.targets  # they check the rest
        for name in ("radius", "sigma", "learning_rate"):  # 7 and 7.0 are the same run
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def scene(self) -> SceneConfig:
        """The scenes this run trains on."""
        return SceneConfig(
            data_seed=self.data_seed,
            domain=self.domain,
            image_size=self.image_size,
            min_side=self.min_side,
            max_side=self.max_side,
            solid=self.solid,
        )

    @property
    def targets(self) -> TargetConfig:
        """What the network is trained to answer."""
        kind = "xy" if self.arch == "xy" else self.target
        return TargetConfig(kind=kind, labels=self.labels, radius=self.radius, sigma=self.sigma)

    @property
    def model(self) -> ModelConfig:
        """The network; `precision` must have been resolved."""
        return ModelConfig(
            arch=self.arch,
            depth=self.depth,
            image_size=self.image_size,
            num_labels=len(self.targets.ranks(self.domain)),
            precision=self.precision,
        )

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

    def identity(self) -> dict[str, Any]:
        """The fields that matter to this run, by flag name: what resume compares and the hash sees.

        Fields that this run does not use are left out (an xy run has no radius), and so are
        those of ADDED_LATER that are at their default.
        """
        unused = {"xy": {"target", "radius", "sigma"}, "disc": {"sigma"}, "gaussian": {"radius"}}
        defaults = {f.name: f.default for f in dataclasses.fields(self) if f.name in ADDED_LATER}
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name not in unused[self.targets.kind]
            and not (name in defaults and value == defaults[name])
        }

    @property
    def default_folder(self) -> str:
        """Default run folder: `runs/<arch>-d<domain>-<hash of the identity>`."""
        text = json.dumps(self.identity(), sort_keys=True)
        return f"runs/{self.arch}-d{self.domain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "RunConfig":
        """The inverse of `to_json`; fields that do not exist raise `ConfigError`."""
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"unknown config field {unknown[0]!r}: made by another version?")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig:
    """How a run is carried out: nothing here changes what the run is.

    Attributes:
        strategy: "auto", "single", "mirrored" or "tpu".
        jit: XLA: "auto", "on" or "off".
        renderer: "graph" (TensorFlow ops) or "opencv" (the same pictures, slower).
        render_on: where training pictures are drawn: on the "host", beside the step, or on the
            "device", inside it; "auto" measures both and takes the faster.
        deterministic: bitwise repeatable ops (TensorFlow's op determinism).
        checkpoint_minutes: time between two checkpoints inside an epoch, in minutes.
    """

    strategy: str = "auto"
    jit: str = "auto"
    renderer: str = "graph"
    render_on: str = "auto"
    deterministic: bool = False
    checkpoint_minutes: float = 5.0

    def __post_init__(self):
        _require_one_of("strategy", self.strategy, STRATEGIES)
        _require_one_of("jit", self.jit, JITS)
        _require_one_of("renderer", self.renderer, RENDERERS)
        _require_one_of("render_on", self.render_on, PLACES)
        if self.renderer == "opencv" and self.render_on == "device":
            raise ConfigError("--render_on=device: OpenCV draws on the host; use --renderer=graph")
        ok = isinstance(self.checkpoint_minutes, (int, float)) and self.checkpoint_minutes > 0
        _require(ok, "checkpoint_minutes", self.checkpoint_minutes, "a number above 0")
