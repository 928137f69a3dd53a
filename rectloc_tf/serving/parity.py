"""Whether an export answers as the network it was made from. Imports no TensorFlow.

Two answers to a picture are of the same peak unless they are further apart than the bound *and*
by more than half of the head's `answer_step`: the head chose another of several nearly equal
places, which rounding can bring about. Such pictures are flips. Heads that choose no place, as
coordinates, have none: whatever exceeds the bound is a mistake.

Detections may change their order where they are nearly as certain, so each is compared with the
nearest of the other answer. Those of a confidence below its bound count as nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BOUNDS = {"none": 0.05, "float16": 0.1, "int8": 0.5}  # px of the input
CONFIDENCES = {"none": 1e-3, "float16": 1e-2, "int8": 0.1}
FLIPS = {"none": 0.01, "float16": 0.01, "int8": 0.05}  # shares of the pictures
Answers = Mapping[str, np.ndarray]
COMPARED = {"points_xy", "point_confidence", "detections_xy", "detection_confidence"}
_NOWHERE = 1e9  # px: how far a detection is that is not there


@dataclass(frozen=True)
class Parity:
    """How far apart the answers to some pictures are.

    Attributes:
        pictures: how many.
        mean, p99, max: of the largest difference of a picture, px of the input, without flips.
        flips: pictures that answer another peak.
        quantize: which bounds hold, a key of BOUNDS.
        confidence: the largest difference of confidences, without flips; 0 of heads without them.
    """

    pictures: int
    mean: float
    p99: float
    max: float
    flips: int
    quantize: str = "none"
    confidence: float = 0.0

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
        if self.confidence > CONFIDENCES[self.quantize]:
            share = f"{self.confidence:.2g}, {CONFIDENCES[self.quantize]} allowed"
            return f"its confidences differ from the network's by up to {share}"
        if self.flips > FLIPS[self.quantize] * self.pictures:
            share = f"{FLIPS[self.quantize]:.0%} allowed"
            return f"it picks another peak in {self.flips} of {self.pictures} images, {share}"
        return ""

    def to_json(self) -> dict[str, Any]:
        """As in `parity.json`."""
        return {
            "pictures": self.pictures,
            "difference_px": {"mean": self.mean, "p99": self.p99, "max": self.max},
            "flips": self.flips,
            "bound_px": self.bound,
            "difference_confidence": self.confidence,
            "bound_confidence": CONFIDENCES[self.quantize],
        }


def differences(ours: Answers, theirs: Answers, least: float) -> tuple[np.ndarray, np.ndarray]:
    """The largest distance of two answers to a picture over its points and detections.

    Args:
        ours, theirs: the network's answers, and the export's.
        least: confidence below which a detection counts as nothing.

    Returns:
        float [N] in input px, and the largest difference of confidences, float [N]. NaN where
        either is not a number, or where theirs has other points.
    """
    expected = COMPARED & ours.keys()
    if any(name not in theirs or theirs[name].shape != ours[name].shape for name in expected):
        nothing = np.full(len(ours["points_xy"]), math.nan)
        return nothing, nothing
    px = np.linalg.norm(ours["points_xy"] - theirs["points_xy"], axis=-1).max(axis=-1)
    confidences = np.zeros(len(px))
    if "point_confidence" in ours:
        apart = np.abs(ours["point_confidence"] - theirs["point_confidence"])
        confidences = apart.max(axis=-1)
    if "detections_xy" in ours:
        for one, other in ((ours, theirs), (theirs, ours)):
            found = _from_nearest(one, other, least)
            px, confidences = np.maximum(px, found[0]), np.maximum(confidences, found[1])
    numbers = [a[name].reshape(len(px), -1) for a in (ours, theirs) for name in expected]
    fault = np.where(np.isfinite(np.concatenate(numbers, axis=1)).all(axis=1), 0, math.nan)
    return px + fault, confidences + fault


def _from_nearest(one: Answers, other: Answers, least: float) -> tuple[np.ndarray, np.ndarray]:
    """How far detections are at most from the nearest of the other answer, and confidences."""
    confidence, others = one["detection_confidence"], other["detection_confidence"]
    px = np.linalg.norm(one["detections_xy"][:, :, None] - other["detections_xy"][:, None], axis=-1)
    px = np.where(others[:, None] == 0, _NOWHERE, px)
    nearest = px.argmin(axis=-1)
    apart = np.abs(confidence - np.take_along_axis(others, nearest, axis=1))
    counts = confidence >= least
    px, apart = (np.where(counts, value, 0).max(axis=-1) for value in (px.min(axis=-1), apart))
    return px, apart


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
    values, confidences, flips = [], [], []
    for ours, theirs, scale in groups:
        px, confidence = differences(ours, theirs, CONFIDENCES[quantize])
        away = max(BOUNDS[quantize], math.inf if step is None else step * scale / 2)
        values.append(px)
        confidences.append(confidence)
        flips.append((px > away) & np.isfinite(px))
    every, flipped = np.concatenate(values), np.concatenate(flips)
    kept = every[~flipped] if not flipped.all() else np.zeros(1)
    numbers = (float(kept.mean()), float(np.quantile(kept, 0.99)), float(kept.max()))
    apart = float(np.concatenate(confidences)[~flipped].max(initial=0))
    return Parity(len(every), *numbers, int(flipped.sum()), quantize, apart)
