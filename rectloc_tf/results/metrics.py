"""What is reported, from per-example statistics, in NumPy and float64.

The dictionaries made here are the `splits` entries of `result.json`; numbers that do not
exist (an error on no image) are None.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from rectloc_tf.geometry import centers

# A prediction within this many pixels of the 224 frame of a centre picked that rectangle.
PICK_RADIUS = 16.0


def finite_or_none(value: float) -> float | None:
    """The number as JSON can hold it: None for NaN and infinities."""
    value = float(value)
    return value if math.isfinite(value) else None


def r2_scores(errors: np.ndarray, sums: np.ndarray, squares: np.ndarray, count: int) -> np.ndarray:
    """Coefficients of determination, one a column: 1 - SSE / SST.

    Args:
        errors, sums, squares: float64 [N, C]; sums over the `count` elements of an example and
            column of (output - target)^2, target and target^2.
        count: elements of an example in a column.

    Returns:
        float64 [C]. Where the target is constant (SST = 0) R^2 is 1 if it was met exactly and 0
        otherwise, as in scikit-learn's `r2_score`.
    """
    residual, total = errors.sum(0), squares.sum(0) - sums.sum(0) ** 2 / (len(sums) * count)
    # Rounding leaves a constant target with a total of about eps times its square sum.
    constant = total <= 1e-12 * squares.sum(0)
    scores = 1 - residual / np.where(constant, 1.0, total)
    return np.where(constant, np.where(residual == 0, 1.0, 0.0), scores)


def value_metrics(
    errors: np.ndarray, sums: np.ndarray, squares: np.ndarray, count: int, is_heatmap: bool
) -> dict[str, Any]:
    """MSE, ln MSE and R^2 (arguments as `r2_scores`); for heatmaps also the zero map's MSE.

    A heatmap has one column, so its R^2 is over all pixels with one global mean; the R^2 of
    coordinates is the mean over them. Units: brightness^2 (0-255), or px^2 of the 224 frame.
    """
    mse = errors.mean() / count
    scores = r2_scores(errors, sums, squares, count)
    metrics: dict[str, Any] = {
        "mse": finite_or_none(mse),
        "ln_mse": finite_or_none(math.log(mse)) if mse > 0 else None,
        "r2": finite_or_none(scores.mean()),
    }
    if is_heatmap:
        metrics["zero_map_mse"] = finite_or_none(squares.mean() / count)
    else:
        metrics["r2_per_coordinate"] = [finite_or_none(score) for score in scores]
    return metrics


def error_summary(errors: np.ndarray) -> dict[str, float | None]:
    """median, mean, p95 and rmse of errors [N] in px; None each where there are none."""
    if errors.size == 0:
        return dict.fromkeys(("median", "mean", "p95", "rmse"))
    with np.errstate(invalid="ignore"):  # of errors that are not finite
        summary = {
            "median": np.median(errors),
            "mean": errors.mean(),
            "p95": np.percentile(errors, 95),
            "rmse": np.sqrt(np.square(errors).mean()),
        }
    return {name: finite_or_none(value) for name, value in summary.items()}


def center_metrics(points: np.ndarray, rectangles: np.ndarray) -> dict[str, Any]:
    """How well the largest rectangle's centre was found, all in pixels of the 224 frame.

    Args:
        points: predicted (x, y), [N, 2].
        rectangles: [N, n, 4], largest first.

    Returns:
        center_error_px over all images; right_rate (within 16 px of the largest's centre),
        wrong_rate (otherwise within 16 px of another's) and nowhere_rate, which add up to 1;
        center_error_px_right over the right ones alone.
    """
    distances = np.linalg.norm(centers(rectangles) - points[:, None, :], axis=-1)
    errors = distances[:, 0]
    right = errors <= PICK_RADIUS
    wrong = ~right & (distances[:, 1:] <= PICK_RADIUS).any(axis=1)
    return {
        "center_error_px": error_summary(errors),
        "right_rate": float(right.mean()),
        "wrong_rate": float(wrong.mean()),
        "nowhere_rate": float((~right & ~wrong).mean()),
        "center_error_px_right": error_summary(errors[right]),
    }


def match_points(points: np.ndarray, truths: np.ndarray, radius: float) -> list[tuple[int, int]]:
    """Pairs points with truths no farther than a radius, each at most once.

    As many pairs as there can be and, among such pairings, the least sum of distances
    (Hungarian method).

    Args:
        points: [P, 2]; truths: [T, 2], in the same frame as `radius`.

    Returns:
        (point, truth) index pairs.
    """
    distances = np.linalg.norm(points[:, None] - truths[None], axis=-1)  # [P, T]
    # A pair out of reach costs more than any pairing within it.
    costs = np.where(distances <= radius, distances, 1 + radius * (1 + min(distances.shape)))
    pairs = zip(*linear_sum_assignment(costs), strict=True)
    return [(int(i), int(j)) for i, j in pairs if distances[i, j] <= radius]


def location_metrics(points: Sequence[np.ndarray], rectangles: np.ndarray) -> dict[str, Any]:
    """How well all the rectangles' centres were found, in pixels of the 224 frame.

    Args:
        points: for each image its predicted (x, y), [P_i, 2]; P_i may differ, and be 0.
        rectangles: [N, n, 4], largest first.

    Returns:
        precision (share of points matched within 16 px; None without points), recall (share of
        centres matched), recall_by_rank (the same for the largest, the second, ...),
        count_error (mean of P_i - n), count_abs_error (mean of its absolute value),
        points_per_image, outside_rate (share of points outside every rectangle of their image;
        None without points), and found (which centres were matched: for each image a
        hexadecimal number, whose bit r stands for rank r, with spaces between).
    """
    truths = centers(rectangles)
    found = np.zeros(truths.shape[:2], bool)
    outside = 0
    for i, (image_points, boxes) in enumerate(zip(points, rectangles, strict=True)):
        for _, truth in match_points(image_points, truths[i], PICK_RADIUS):
            found[i, truth] = True
        x, y = image_points[:, :1], image_points[:, 1:]
        inside = (boxes[:, 0] <= x) & (x <= boxes[:, 2]) & (boxes[:, 1] <= y) & (y <= boxes[:, 3])
        outside += int((~inside.any(axis=1)).sum())
    counts = np.array([len(image_points) for image_points in points])
    total, errors = int(counts.sum()), counts - truths.shape[1]
    return {
        "num_images": len(rectangles),
        "precision": float(found.sum() / total) if total else None,
        "recall": float(found.mean()),
        "recall_by_rank": found.mean(axis=0).tolist(),
        "count_error": float(errors.mean()),
        "count_abs_error": float(np.abs(errors).mean()),
        "points_per_image": float(counts.mean()),
        "outside_rate": outside / total if total else None,
        "found": " ".join(f"{bits:x}" for bits in found @ (1 << np.arange(truths.shape[1]))),
    }
