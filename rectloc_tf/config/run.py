"""A run: everything that changes the result of a training."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from rectloc_tf.config.heads import FILLED_IN, HeadConfig
from rectloc_tf.config.images import ImagesConfig
from rectloc_tf.config.model import DEPTHS, PRECISIONS, ModelConfig
from rectloc_tf.config.scenes import (
    IMAGES_PER_DOMAIN,
    SEED,
    TEST_START,
    VALIDATION_START,
    SceneConfig,
)
from rectloc_tf.errors import ConfigError
from rectloc_tf.registry import HEADS, SOURCES
from rectloc_tf.settings import (
    Number,
    OneOf,
    Switch,
    Text,
    Whole,
    part_of,
    setting,
    settings_of,
    validate,
)

SCHEDULES = ("constant", "cosine")

_COUNT, _STEPS = Whole(1, 10_000_000), Whole(0, 100_000_000)
# What only some sources use.
SOURCE_SETTINGS = ({*settings_of(SceneConfig)} | {*settings_of(ImagesConfig)}) - {"image_size"}
# What has no effect without --augment.
DISTORTIONS = {"rotate", "zoom", "shift", "brightness", "contrast", "swap"}


def implied(values: dict[str, Any]) -> dict[str, Any]:
    """Values of a run's flags and what they imply: --data without --source is of images."""
    if values.get("data") and values.get("source", "scenes") == "scenes":
        return values | {"source": "images"}
    return values


@dataclass(frozen=True, kw_only=True)
class RunConfig(ImagesConfig, SceneConfig, HeadConfig):
    """Everything that changes the result of a training run.

    `precision` may be "auto" until `runtime` has resolved it; `init_from` is the digest of the
    weights that training starts from (see `initial_weights`), or the folder of their run until
    that has been read; `backbone_weights` is that of a pretrained backbone, or its file; so is
    `data` that of labelled images (see `ImagesConfig`).
    """

    source: str = setting(OneOf(SOURCES), "scenes", "Where the images come from.", later=True)
    depth: int = setting(OneOf(DEPTHS), 18, "ResNet depth: 18, 34 or 50.")
    num_images: int = setting(
        Whole(1, IMAGES_PER_DOMAIN), IMAGES_PER_DOMAIN, "Number of images; 80 % are for training."
    )
    augment: bool = setting(
        Switch(), FILLED_IN,
        "Distort training images at random: mirror and transpose scenes; rotate, shift and scale "
        "labelled images and change brightness and contrast.", by_head=False, later=True,
    )  # fmt: skip
    batch_size: int = setting(Whole(1, 65_536), FILLED_IN, "Global batch size.", by_head=64)
    learning_rate: float = setting(Number(), 1e-3, "Adam's peak learning rate.")
    schedule: str = setting(
        OneOf(SCHEDULES), FILLED_IN, "Learning-rate schedule.", by_head="constant"
    )
    epochs: int = setting(_COUNT, FILLED_IN, "Passes over the training images.", by_head=40)
    validate_every: int = setting(_COUNT, 1, "Epochs between validations.")
    steps: int = setting(
        _STEPS, FILLED_IN, "Number of optimiser steps; 0: length in epochs.", by_head=0, later=True
    )
    validate_steps: int = setting(
        _STEPS, FILLED_IN, "Steps between validations; 0: counted in epochs.", by_head=0,
        later=True,
    )  # fmt: skip
    seed: int = setting(SEED, 0, "Seed of the weights and of the order of images.")
    precision: str = setting(OneOf(PRECISIONS), "auto", "Keras dtype policy.")
    init_from: str = setting(
        Text("a run folder"), "", "Run folder to take the initial weights from (see --weights).",
        later=True,
    )  # fmt: skip
    backbone_weights: str = setting(
        Text("a weights file"), "",
        "Pretrained backbone: .weights.h5 from keras-hub, .safetensors from torchvision or timm.",
        later=True,
    )  # fmt: skip

    def __post_init__(self):
        self._fill_in_defaults()
        validate(self)
        self._check_head()
        self._check_images()
        HEADS[self.arch].check(self)
        SOURCES[self.source].check(self)

    def _fill_in_defaults(self) -> None:
        """A run whose epochs are given is as long as they say."""
        if self.epochs is not None and self.steps is None:
            object.__setattr__(self, "steps", 0)
        super()._fill_in_defaults()

    def _own_defaults(self) -> dict[str, Any]:
        """Defaults that are the source's or the head's own."""
        source = SOURCES.get(self.source)
        return {**(source.defaults if source else {}), **super()._own_defaults()}

    def changed(self, **changes: Any) -> "RunConfig":
        """The same run with some fields changed; None means a field's default.

        With another head, settings that are at the default of the old one take that of the new.
        """
        arch = changes.get("arch", self.arch)
        if arch != self.arch:
            own = self._own_defaults()
            by_head = {n: s.by_head for n, s in settings_of(self).items() if s.by_head is not None}
            usual = (n for n, v in by_head.items() if getattr(self, n) == own.get(n, v))
            changes = dict.fromkeys(usual) | changes
        return dataclasses.replace(self, **changes)

    @property
    def scene(self) -> SceneConfig:
        """The scenes this run trains on."""
        return part_of(self, SceneConfig)

    @property
    def images(self) -> ImagesConfig:
        """The labelled images this run trains on."""
        return part_of(self, ImagesConfig)

    @property
    def model(self) -> ModelConfig:
        """The network; `precision` must have been resolved, `channels` are 1 if they are not."""
        return ModelConfig(
            depth=self.depth,
            image_size=self.image_size,
            channels=self.channels or 1,
            precision=self.precision,
            pretrained=bool(self.backbone_weights),
        )

    @property
    def num_keypoints(self) -> int:
        """K, the number of keypoints that a head answers, where the source's settings say it."""
        keypoints = SOURCES[self.source].keypoints
        return len(keypoints(self).names) if keypoints else 0

    @property
    def num_train(self) -> int:
        """Number of training images: of scenes the first round(0.8 num_images) indices."""
        given = () if "split_sizes" in self.unused else self.num_of_splits
        return next(iter(given), max(1, round(0.8 * self.num_images)))

    @property
    def total_steps(self) -> int:
        """Number of optimiser steps: enough fixed batches to see every epoch's images."""
        return self.steps or -(-self.epochs * self.num_train // self.batch_size)

    def epochs_done(self, step: int) -> int:
        """Number of whole epochs that `step` steps have seen."""
        seen = step * self.batch_size // self.num_train
        return seen if self.steps else min(self.epochs, seen)

    def validations_due(self, step: int) -> int:
        """How many validations belong to the first `step` steps, the one at the end left out."""
        if self.validate_steps:
            return step // self.validate_steps
        return self.epochs_done(step) // self.validate_every

    @property
    def unit(self) -> str:
        """What the run's length is counted in: "epoch" or "step"."""
        return "step" if self.steps else "epoch"

    @property
    def length(self) -> int:
        """Its length in that unit."""
        return self.steps or self.epochs

    def done(self, step: int) -> int:
        """How many of that unit `step` steps are, whole ones."""
        return step if self.steps else self.epochs_done(step)

    def split_indices(self, split: str) -> range:
        """The scene indices of a split: they do not depend on anything but num_images."""
        return {
            "train": range(self.num_train),
            "validation": range(VALIDATION_START, TEST_START),
            "test": range(TEST_START, IMAGES_PER_DOMAIN),
        }[split]

    @property
    def unused(self) -> set[str]:
        """The settings that have no effect with this head and this source, as they are set."""
        spec = SOURCES[self.source]
        unused = super().unused | (SOURCE_SETTINGS - {*spec.uses}) | {*spec.ignores}
        if self.steps:
            unused.add("epochs")
        if self.validate_steps:
            unused.add("validate_every")
        return unused if self.augment else unused | DISTORTIONS

    def identity(self) -> dict[str, Any]:
        """The fields that matter to this run, by flag name: what resume compares and the hash sees.

        Settings of heads and of sources count where this run's head or source uses them (an xy
        run has no radius), and those that came later only where they are not at their default.
        """
        unused, own, values = self.unused, self._own_defaults(), {}
        for field in dataclasses.fields(self):
            name, found = field.name, field.metadata["setting"]
            usual = own.get(name, field.default if found.by_head is None else found.by_head)
            value = getattr(self, name)
            if name not in unused and not (found.later and value == usual):
                values[name] = value
        return values

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
        """The inverse of `to_json`.

        Raises:
            ConfigError: at fields that do not exist, and values that cannot work.
        """
        unknown = sorted(set(values) - {*settings_of(cls)})
        if unknown:
            raise ConfigError(f"unknown config field {unknown[0]!r}: made by another version?")
        for name, value in values.items():
            if isinstance(value, list | dict):
                raise ConfigError(f"--{name}={value!s:.40}: must be a single value")
        return cls(**values)
