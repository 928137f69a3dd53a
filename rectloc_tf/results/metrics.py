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
NEAR_RADIUS = 5.0  # and within this many it is exact
NUM_THRESHOLDS = 60  # among which the best is looked for


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
    errors: np.ndarray, sums: np.ndarray, squares: np.ndarray, count: int, can_be_empty: bool
) -> dict[str, Any]:
    """MSE, ln MSE and R^2 (arguments as `r2_scores`); for maps also the zero map's MSE.

    A map has one column, so its R^2 is over all cells with one global mean; the R^2 of
    coordinates is the mean over them. Units: brightness^2 (0-255), or px^2 of the 224 frame.
    """
    mse = errors.mean() / count
    scores = r2_scores(errors, sums, squares, count)
    metrics: dict[str, Any] = {
        "mse": finite_or_none(mse),
        "ln_mse": finite_or_none(math.log(mse)) if mse > 0 else None,
        "r2": finite_or_none(scores.mean()),
    }
    if can_be_empty:
        metrics["zero_map_mse"] = finite_or_none(squares.mean() / count)
    else:
        metrics["r2_per_coordinate"] = [finite_or_none(score) for score in scores]
    return metrics


def loss_metrics(
    losses: np.ndarray, mask: np.ndarray, empty_losses: np.ndarray | None
) -> dict[str, Any]:
    """What training minimises, on these images; a head's own unit.

    Args:
        losses, mask: float64 [N, C], see `heads.head.Head`.
        empty_losses: the same of answering nothing, or None.

    Returns:
        loss: the mean over images of the mean over what is present; empty_loss: that of answering
        nothing; empty_answers: for each of the C answers its loss over that of answering nothing
        (1 of a keypoint whose map stays empty). The last two are None where nothing cannot be
        answered.
    """

    def mean(values):
        counts = np.maximum(mask.sum(axis=1), 1)
        return finite_or_none(((values * mask).sum(axis=1) / counts).mean())

    if empty_losses is None:
        return {"loss": mean(losses), "empty_loss": None, "empty_answers": None}
    with np.errstate(invalid="ignore", divide="ignore"):  # an answer that no image asks for
        shares = (losses * mask).sum(axis=0) / (empty_losses * mask).sum(axis=0)
    shares = [finite_or_none(share) for share in shares]
    return {"loss": mean(losses), "empty_loss": mean(empty_losses), "empty_answers": shares}


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


def detection_counts(points: Sequence[np.ndarray], truths: np.ndarray, radius: float) -> np.ndarray:
    """How many points each image has, should have, and has in the right place: int64 [N, 3].

    Args:
        points: for each image its detected (x, y), [P_i, 2].
        truths: [N, T, 2].
        radius: farthest that a point may be from the truth that it is matched with.
    """
    rows = zip(points, truths, strict=True)
    return np.array([[len(p), len(t), len(match_points(p, t, radius))] for p, t in rows])


def detection_metrics(points: Sequence[np.ndarray], truths: np.ndarray) -> dict[str, float]:
    """Precision, recall and F1 of detections, counts summed over images; px of the 224 frame.

    Args:
        points, truths: as `detection_counts`.

    Returns:
        precision, recall and f1 within 16 px, f1_5px within 5 px, and count_error, the mean of
        |detected - true| over images. Shares of nothing are 0.
    """
    found, true, right = (counts := detection_counts(points, truths, PICK_RADIUS)).sum(axis=0)
    near = detection_counts(points, truths, NEAR_RADIUS)[:, 2].sum()
    return {
        "precision": float(right / max(found, 1)),
        "recall": float(right / max(true, 1)),
        "f1": float(2 * right / max(found + true, 1)),
        "f1_5px": float(2 * near / max(found + true, 1)),
        "count_error": float(np.abs(counts[:, 0] - counts[:, 1]).mean()),
    }


def best_threshold(points: np.ndarray, values: np.ndarray, truths: np.ndarray) -> float:
    """The least value of a detection to count that gives the greatest F1 within 16 px.

    Args:
        points: [N, P, 2], the most that is detected in each image.
        values: [N, P].
        truths: [N, T, 2].
    """
    candidates = np.unique(np.quantile(values, np.linspace(0, 1, NUM_THRESHOLDS)))

    def f1(threshold):
        kept = [p[v >= threshold] for p, v in zip(points, values, strict=True)]
        found, true, right = detection_counts(kept, truths, PICK_RADIUS).sum(axis=0)
        return right / max(found + true, 1)

    return float(max(candidates, key=f1))
