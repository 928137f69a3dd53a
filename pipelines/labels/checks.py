"""Likely mistakes in labels: each is a guess, to be checked by eye."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.labels.labelled import LabelledImages
from rectloc_tf.errors import ConfigError

FAR = 7.0  # robust standard deviations, which normal points never reach
_TO_SIGMA = 1.4826  # from the median absolute deviation of a normal distribution
_FEWEST = 8  # images in which a keypoint must be labelled for "usual" to mean something
_SIDE = 0.3  # sine of the angle from which a point is clearly on one side of a line
_SIDES = re.compile(r"left|right", re.IGNORECASE)


@dataclass(frozen=True)
class Mistake:
    """A guess at what is wrong.

    Attributes:
        image: its index.
        keypoints: which of its labels may be wrong.
        text: why.
        score: how suspicious, to be compared with those of the same check.
    """

    image: int
    keypoints: tuple[str, ...]
    text: str
    score: float


def find_mistakes(data: LabelledImages, pairs: Sequence[tuple[str, str]]) -> list[Mistake]:
    """What labels alone give away, the images with the most suspicious first.

    Args:
        data: the labels.
        pairs: keypoints that lie on both sides of a body, as `left_right_pairs`.
    """
    found = [*_far_from_usual(data), *_far_from_others(data), *_swapped(data, pairs)]
    return sorted(found, key=lambda mistake: (-mistake.score, mistake.image))


def left_right_pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """The keypoints whose names differ by left and right alone, left ones first."""
    other = {"left": "right", "Left": "Right", "LEFT": "RIGHT"}
    pairs = ((name, _SIDES.sub(lambda m: other.get(m[0], m[0]), name)) for name in names)
    return [(left, right) for left, right in pairs if left != right and right in names]


def parse_swap(swap: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
    """['leftear:rightear'] -> [('leftear', 'rightear')].

    Raises:
        ConfigError: if that are no two keypoints, or one of them is in two pairs.
    """
    flag = f"--swap={','.join(swap)}"
    pairs = [tuple(pair.split(":")) for pair in swap]
    for text, pair in zip(swap, pairs, strict=True):
        if len(pair) != 2 or pair[0] == pair[1]:
            raise ConfigError(f"{flag}: {text!r} must be two keypoints, as leftear:rightear")
        for name in pair:
            if name not in names:
                raise ConfigError(f"{flag}: no keypoint {name!r}; there are {', '.join(names)}")
    every = [name for pair in pairs for name in pair]
    for name in every:
        if every.count(name) > 1:
            raise ConfigError(f"{flag}: {name} is in two pairs")
    return [(pair[0], pair[1]) for pair in pairs]


def robust_z(values: np.ndarray, floor: float = 1.0) -> np.ndarray:
    """How many robust standard deviations each value is from the median; NaN stays NaN.

    Args:
        values: float [N], at least one of them not NaN.
        floor: the least standard deviation that is assumed.
    """
    off = np.abs(values - np.nanmedian(values))
    return off / max(_TO_SIGMA * float(np.nanmedian(off)), floor)


def _far_from_usual(data: LabelledImages):
    """Points far from where this keypoint is in the other images."""
    for k, name in enumerate(data.names):
        points = data.points[:, k]
        if _labelled(points).sum() < _FEWEST:
            continue
        scores = np.max([robust_z(points[:, axis]) for axis in (0, 1)], axis=0)
        usual = np.nanmedian(points, axis=0) - 0.5
        for i in np.flatnonzero(scores > FAR):
            x, y = points[i] - 0.5
            text = f"x {x:g}, y {y:g} is far from where it usually is (x {usual[0]:g}, "
            yield Mistake(int(i), (name,), f"{text}y {usual[1]:g})", float(scores[i]))


def _far_from_others(data: LabelledImages):
    """Points at an unusual distance from the middle of the image's other points."""
    if len(data.names) < 3:
        return
    for k, name in enumerate(data.names):
        others = np.delete(data.points, k, axis=1)
        enough = (_labelled(others).sum(1) >= 2) & _labelled(data.points[:, k])
        if enough.sum() < _FEWEST:
            continue
        distances = np.full(len(data), np.nan)
        middles = np.nanmedian(others[enough], axis=1)
        distances[enough] = np.linalg.norm(data.points[enough, k] - middles, axis=-1)
        scores, usual = robust_z(distances), np.nanmedian(distances)
        for i in np.flatnonzero(scores > FAR):
            text = f"{distances[i]:.0f} px from the middle of the other points, usually {usual:.0f}"
            yield Mistake(int(i), (name,), text, float(scores[i]))


def _swapped(data: LabelledImages, pairs: Sequence[tuple[str, str]]):
    """Images where the other points see left and right the wrong way round.

    Seen along the line from the left point to the right one, each other point usually lies on one
    side of it, however the body is turned. If the two are swapped, all lie on the other side.
    """
    for pair in pairs:
        left, right = (data.points[:, data.names.index(name)] for name in pair)
        along, middle = right - left, (left + right) / 2
        rest = [k for k, name in enumerate(data.names) if name not in pair]
        sines = np.empty((len(data), len(rest)))
        for column, k in enumerate(rest):
            sines[:, column] = _sine(along, data.points[:, k] - middle)
        reliable = [_usual_side(column) for column in sines.T]
        votes = np.nansum(np.sign(sines) * (np.abs(sines) > _SIDE) * reliable, axis=1)
        for i in np.flatnonzero(votes < 0):
            text = "left and right look swapped, judged by the other points"
            yield Mistake(int(i), pair, text, FAR + float(-votes[i]))


def _usual_side(sines: np.ndarray) -> float:
    """1 or -1 if a point is clearly and nearly always on that side of a line, else 0."""
    seen = sines[~np.isnan(sines)]
    if len(seen) < _FEWEST or abs(np.median(seen)) < _SIDE:
        return 0.0
    side = float(np.sign(np.median(seen)))
    return side if np.mean(seen * side > 0) >= 0.9 else 0.0


def _sine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the angles from vectors a to b, both [N, 2]; NaN where one has no length."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return np.divide(cross, lengths, out=np.full(len(a), np.nan), where=lengths > 0)


def _labelled(points: np.ndarray) -> np.ndarray:
    return ~np.isnan(points[..., 0])
