"""How well points were found: errors in pixels, right or wrong, PCK, OKS, intervals. NumPy."""

import warnings
from typing import Any

import numpy as np

from rectloc_tf.config import Keypoints
from rectloc_tf.registry import NAMED, UNORDERED
from rectloc_tf.results.intervals import bootstrap_groups
from rectloc_tf.results.metrics import PICK_RADIUS, error_summary

# An answer within this share of the box around an image's points, or of the image, is correct.
PCK_OF_BOX, PCK_OF_IMAGE = 0.1, 0.05
OKS_SIGMA = 0.05  # of every keypoint; COCO's lie between 0.025 (eyes) and 0.107 (hips)
RESAMPLES = 2000  # of the intervals


def point_metrics(
    keypoints: Keypoints,
    answers: np.ndarray,
    points: np.ndarray,
    present: np.ndarray,
    others: np.ndarray,
    extents: np.ndarray | None = None,
    intervals: bool = False,
) -> dict[str, Any]:
    """How well keypoints were found, in the pixels that the arguments are in.

    Of ranked points the first counts, of points of one class the nearest, of named keypoints all.

    Args:
        keypoints: what they are.
        answers: [N, K, 2]; points: [N, N', 2]; present: bool [N, N'].
        others: [N, M, 2], places that the answer may be mistaken for.
        extents: [N], the longer side of each image; needed for `pck`.
        intervals: whether named keypoints also have error_interval_px, see `error_intervals`.

    Returns:
        What `center_metrics` does; for several or named keypoints keypoint_error_px: by name, what
        `error_summary` says, and keypoint_labels: by name, how many there are. Of named
        keypoints also pck, see `correct_keypoints`, if the extents are given, and oks, see
        `similarity`; where they cannot be mistaken for anything, the rates are None.
    """
    if keypoints.kind == UNORDERED:
        return center_metrics(answers[:, 0], points, present, others)
    errors = np.linalg.norm(answers - points, axis=-1)
    each = {name: error_summary(errors[present[:, k], k]) for k, name in enumerate(keypoints.names)}
    more: dict[str, Any] = {"keypoint_error_px": each} if len(each) > 1 else {}
    if keypoints.kind == NAMED:  # each keypoint of each image is one to find
        counts = zip(keypoints.names, present.sum(axis=0).tolist(), strict=True)
        more = {"keypoint_error_px": each, "keypoint_labels": dict(counts)}
        if extents is not None:
            more["pck"] = correct_keypoints(errors, points, present, extents)
        more["oks"] = similarity(errors, points, present)
        if intervals:
            more["error_interval_px"] = error_intervals(errors, present)
        if not others.shape[1]:
            more |= dict.fromkeys(("right_rate", "wrong_rate", "nowhere_rate"))
        places = np.broadcast_to(others[:, None], (*present.shape, *others.shape[1:]))
        arrays = answers, points, present, places
        flat = (array.reshape(present.size, *array.shape[2:]) for array in arrays)
        answers, points, present, others = flat
        return center_metrics(answers, points[:, None], present[:, None], others) | more
    return center_metrics(answers[:, 0], points[:, :1], present[:, :1], others) | more


def correct_keypoints(
    errors: np.ndarray, points: np.ndarray, present: np.ndarray, extents: np.ndarray
) -> dict[str, Any]:
    """PCK: the share of keypoints predicted within a distance of the truth.

    Near enough is a share of the animal's size: of the longer side of the box around an image's
    points, if there are several keypoints, or of the image's longer side, if there is one.

    Args:
        errors: [N, K]; present: bool [N, K]; points: [N, K, 2]; extents: [N]; all in px.

    Returns:
        share, None if nothing counts; within, the share of the size; of, what the size is; and n,
        how many keypoints count: those of images whose size is not 0.
    """
    if points.shape[1] == 1:
        within, of, sizes = PCK_OF_IMAGE, "the longer side of the image", extents
    else:
        within, of = PCK_OF_BOX, "the longer side of the box around the image's labelled points"
        sizes = _boxes(points, present).max(axis=-1)
    counted = present & (sizes > 0)[:, None]
    correct = (errors <= within * sizes[:, None])[counted]
    share = float(correct.mean()) if correct.size else None
    return {"share": share, "within": within, "of": of, "n": int(correct.size)}


def _boxes(points: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Width and height [N, 2] of the box around an image's points; NaN where it has none."""
    places = np.where(present[..., None], points, np.nan)
    with warnings.catch_warnings():  # of images without points
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmax(places, axis=1) - np.nanmin(places, axis=1)


def similarity(errors: np.ndarray, points: np.ndarray, present: np.ndarray) -> dict[str, Any]:
    """OKS, the object keypoint similarity of COCO (cocodataset.org, "Keypoint Evaluation").

    Of an image it is the mean over its labelled keypoints of exp(-d^2 / (2 s^2 k^2)), d the error,
    s^2 the animal's area and k = 2 sigma. Here the area is that of the box around the image's
    labelled points, and sigma is OKS_SIGMA for every keypoint.

    Args:
        errors: [N, K]; present: bool [N, K]; points: [N, K, 2]; all in px.

    Returns:
        mean over images, None if none counts; sigma; and n, how many images count: those whose
        box has an area, which takes two points.
    """
    area = np.nan_to_num(_boxes(points, present).prod(axis=-1))
    counted = area > 0
    scale = 2 * np.where(counted, area, 1.0)[:, None] * (2 * OKS_SIGMA) ** 2
    alike = np.where(present, np.exp(-np.square(errors) / scale), 0.0).sum(axis=1)
    each = (alike / np.maximum(present.sum(axis=1), 1))[counted]
    mean = float(each.mean()) if each.size else None
    return {"mean": mean, "sigma": OKS_SIGMA, "n": int(counted.sum())}


def error_intervals(errors: np.ndarray, present: np.ndarray) -> dict[str, list[float]]:
    """95 % intervals of the median and mean error, over other images of the same kind.

    Images are drawn anew with all their keypoints: those of an image are not independent. Frames
    of a video are not either, so for other videos the intervals are too narrow.

    Args:
        errors: [N, K]; present: bool [N, K].

    Returns:
        median and mean: [low, high] each; nothing if fewer than two images have labels, or if an
        error is not finite.
    """
    images = np.broadcast_to(np.arange(len(errors))[:, None], present.shape)[present]
    if len(set(images.tolist())) < 2 or not np.isfinite(errors[present]).all():
        return {}
    found = {
        statistic: bootstrap_groups(errors[present], images, statistic, resamples=RESAMPLES)
        for statistic in ("median", "mean")
    }
    return {name: [interval.low, interval.high] for name, interval in found.items()}


def center_metrics(
    answers: np.ndarray, truths: np.ndarray, present: np.ndarray, others: np.ndarray
) -> dict[str, Any]:
    """How well one point was found, all in px (of the 224 frame, for scenes).

    Args:
        answers: (x, y), [N, 2].
        truths: [N, T, 2], of which any is right; present: bool [N, T]. Images of which none is
            present do not count.
        others: [N, M, 2], places that are wrong.

    Returns:
        center_error_px over all images; right_rate (within 16 px of a truth), wrong_rate
        (otherwise within 16 px of another place) and nowhere_rate, which add up to 1, or are None
        where no image counts; center_error_px_right over the right ones alone.
    """

    def distances(places):
        return np.linalg.norm(places - answers[:, None, :], axis=-1)

    asked = present.any(axis=1)
    errors = np.where(present, distances(truths), np.inf).min(axis=1)[asked]
    right = errors <= PICK_RADIUS
    wrong = ~right & (distances(others) <= PICK_RADIUS).any(axis=1)[asked]
    rates = {"right": right, "wrong": wrong, "nowhere": ~right & ~wrong}
    return {
        "center_error_px": error_summary(errors),
        **{f"{n}_rate": float(which.mean()) if asked.any() else None for n, which in rates.items()},
        "center_error_px_right": error_summary(errors[right]),
    }
