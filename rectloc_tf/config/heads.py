"""A head and its settings."""

from dataclasses import dataclass
from typing import Any, cast

from rectloc_tf.registry import HEADS, LOSSES
from rectloc_tf.settings import (
    Number,
    OneOf,
    Switch,
    Whole,
    part_of,
    require,
    setting,
    settings_of,
    validate,
)

TARGETS = ("disc", "gaussian")
STRIDES = (4, 8, 16, 32)
UNITS = ("pixels", "centred")
VOTES = (1, 5)

_LENGTH = Number(0.5, 112, "px of 224")
_WEIGHT = Number(0, 1e6)
FILLED_IN = cast(Any, None)  # a default that __post_init__ fills in


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """A head and what it can be set to; a head ignores what it does not use (`HeadSpec.uses`)."""

    arch: str = setting(OneOf(HEADS), "xy", "Head: what the network predicts.")
    loss: str = setting(
        OneOf(LOSSES), FILLED_IN, "Loss function.", by_head="squared_error", later=True
    )
    units: str = setting(
        OneOf(UNITS),
        "pixels",
        "Units of the outputs; centred: quarter sides from the image's centre.",
        later=True,
    )
    target: str = setting(OneOf(TARGETS), "disc", "Shape of the heatmap's blobs.")
    radius: float = setting(_LENGTH, FILLED_IN, "Radius of the disc, px of 224.", by_head=7.0)
    sigma: float = setting(_LENGTH, FILLED_IN, "Sigma of the Gaussian, px of 224.", by_head=5.0)
    peak: float = setting(Number(), 255.0, "Brightness of the brightest target blob.", later=True)
    stride: int = setting(OneOf(STRIDES), 4, "Working pixels per cell: 4, 8, 16 or 32.", later=True)
    positive_weight: float = setting(
        _WEIGHT, 20.0, "Weight of a cell inside a target disc; others have 1.", later=True
    )
    offset_weight: float = setting(
        _WEIGHT, FILLED_IN, "Weight of the offset loss.", by_head=0.3, later=True
    )
    votes: int = setting(
        OneOf(VOTES), FILLED_IN, "Cells whose predictions are averaged: 1 (the best) or 5 (with "
        "its four neighbours).", by_head=1, later=True,
    )  # fmt: skip
    regularizer_weight: float = setting(
        _WEIGHT, 1.0, "Weight of the map's divergence from a Gaussian.", later=True
    )
    splitting: int = setting(Whole(1, 8), 2, "Bins per working pixel.", later=True)
    batch_norm: bool = setting(
        Switch(), FILLED_IN, "Batch normalisation in the last hidden layer, whose units "
        "may die without it.", by_head=False, later=True,
    )  # fmt: skip

    def __post_init__(self):
        self._fill_in_defaults()
        validate(self)
        self._check_head()

    def _fill_in_defaults(self) -> None:
        """Gives the settings that were left out the default of the head, or of the source."""
        if self.arch not in HEADS:
            return  # validate says so
        own = self._own_defaults()
        for name, found in settings_of(self).items():
            if getattr(self, name) is None and found.by_head is not None:
                object.__setattr__(self, name, own.get(name, found.by_head))

    def _own_defaults(self) -> dict[str, Any]:
        """Defaults that are the head's own."""
        spec = HEADS[self.arch]
        return {"loss": spec.losses[0], **spec.defaults}

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
