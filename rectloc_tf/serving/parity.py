"""Whether an export answers as the network it was made from. Imports no TensorFlow.

Two answers to a picture are of the same peak unless they are further apart than the bound *and*
by more than half of the head's `answer_step`: the head chose another of several nearly equal
places, which rounding can bring about. Such pictures are flips. Heads that choose no place, as
coordinates, have none: whatever exceeds the bound is a mistake.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BOUNDS = {"none": 0.05, "float16": 0.1, "int8": 0.5}  # px of the input
FLIPS = {"none": 0.01, "float16": 0.01, "int8": 0.05}  # shares of the pictures
Answers = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Parity:
    """How far apart the answers to some pictures are.

    Attributes:
        pictures: how many.
        mean, p99, max: of the largest difference of a picture, px of the input, without flips.
        flips: pictures that answer another peak.
        quantize: which bounds hold, a key of BOUNDS.
    """

    pictures: int
    mean: float
    p99: float
    max: float
    flips: int
    quantize: str = "none"

    @property
    def bound(self) -> float:
        """The greatest difference that is allowed, px of the input."""
        return BOUNDS[self.quantize]

    @property
    def problem(self) -> str:
        """Why the export cannot be used; empty if it can."""
        if math.isnan(self.max):
            return "its predictions are not numbers, or for other points"
        if self.max > self.bound:
            return f"it differs from the network by up to {self.max:.2g} px, {self.bound} allowed"
        if self.flips > FLIPS[self.quantize] * self.pictures:
            share = f"{FLIPS[self.quantize]:.0%} allowed"
            return f"it picks another peak in {self.flips} of {self.pictures} pictures, {share}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """As in `parity.json`."""
        return {
            "pictures": self.pictures,
            "difference_px": {"mean": self.mean, "p99": self.p99, "max": self.max},
            "flips": self.flips,
            "bound_px": self.bound,
        }


def differences(ours: Answers, theirs: Answers) -> np.ndarray:
    """The largest distance of two answers to a picture over its points, float [N], input px.

    NaN where either is not a number, or where theirs has other points.
    """
    expected, found = ours["points_xy"], theirs.get("points_xy", np.zeros(0))
    if expected.shape != found.shape:
        return np.full(len(expected), math.nan)
    return np.linalg.norm(expected - found, axis=-1).max(axis=-1)


def measure(
    groups: Sequence[tuple[Answers, Answers, float]], step: float | None, quantize: str = "none"
) -> Parity:
    """Compares answers.

    Args:
        groups: for pictures of a size the network's answers, the export's, and the pixels of these
            pictures that a working pixel is.
        step: the head's `answer_step`.
        quantize: a key of BOUNDS.
    """
    values, flips = [], []
    for ours, theirs, scale in groups:
        found = differences(ours, theirs)
        away = max(BOUNDS[quantize], math.inf if step is None else step * scale / 2)
        values.append(found)
        flips.append((found > away) & np.isfinite(found))
    every, flipped = np.concatenate(values), np.concatenate(flips)
    kept = every[~flipped] if not flipped.all() else np.zeros(1)
    numbers = (float(kept.mean()), float(np.quantile(kept, 0.99)), float(kept.max()))
    return Parity(len(every), *numbers, int(flipped.sum()), quantize)
