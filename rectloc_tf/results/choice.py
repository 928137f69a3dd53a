"""Which rectangle an answer chose, and how finely a head must compare areas to choose so.

The model: a head judges the logarithm of each rectangle's area with independent Gaussian noise of
standard deviation sigma, and answers the rectangle it judges largest.
"""

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from numpy.typing import ArrayLike
from scipy.special import log_ndtr

from rectloc_tf.geometry import areas, centers
from rectloc_tf.results.metrics import PICK_RADIUS

NOWHERE = -1
SIGMAS = np.geomspace(0.005, 2, 200)  # among which sigma is looked for
NODES, WEIGHTS = hermegauss(64)  # of the quadrature, exact to rounding


def chosen(points: np.ndarray, rectangles: np.ndarray, radius: float = PICK_RADIUS) -> np.ndarray:
    """The rank of the rectangle that each answer chose: int64 [N], 0 the largest.

    As in `metrics.center_metrics` an answer is right within the radius of the largest's centre,
    even where another's is nearer. Otherwise it chose the nearest within the radius, and NOWHERE
    if there is none.

    Args:
        points: answers (x, y), float [N, 2].
        rectangles: [N, n, 4], largest first, in the same frame as points and radius.
    """
    places = centers(np.asarray(rectangles, np.float64))
    distances = np.linalg.norm(places - points[:, None], axis=-1)
    near = distances <= radius
    nearest = np.where(near, distances, np.inf).argmin(axis=1)
    return np.where(near[:, 0], 0, np.where(near.any(axis=1), nearest, NOWHERE))


def area_ratios(rectangles: np.ndarray) -> np.ndarray:
    """Area of the runner-up over that of the largest, float64 [N] in (0, 1]; 0 if there is none.

    Args:
        rectangles: [N, n, 4], largest first.
    """
    sizes = areas(np.asarray(rectangles, np.float64))
    return sizes[:, 1] / sizes[:, 0] if sizes.shape[1] > 1 else np.zeros(len(sizes))


def right_probability(log_areas: np.ndarray, sigma: float) -> np.ndarray:
    """How probably the model answers the first rectangle: float64 [N].

    Args:
        log_areas: natural logarithms of the areas, float [N, n]; the largest is the first.
        sigma: positive.
    """
    return 1 - _wrong_probability(log_areas, sigma)


def expected_right(log_areas: np.ndarray, sigma: float) -> float:
    """The share of pictures that the model answers right; arguments as `right_probability`.

    NaN for no pictures.
    """
    return float(right_probability(log_areas, sigma).mean()) if len(log_areas) else np.nan


def fit_sigma(log_areas: np.ndarray, right: ArrayLike) -> float:
    """The sigma that makes the answers most probable.

    Where they are the more probable the smaller sigma is (all of them right, say), or the larger
    (fewer right than at random), the first or the last of SIGMAS stands for "at most" and "at
    least". NaN without an answer.

    Args:
        log_areas: as `right_probability`.
        right: whether run s chose the largest in picture i, [S, N], or [N] of one run; NaN, for
            an answer nowhere, does not count.
    """
    right = np.atleast_2d(np.asarray(right, np.float64))
    times_right, times_wrong = ((right == answer).sum(axis=0) for answer in (1, 0))
    if not (times_right.any() or times_wrong.any()):
        return np.nan
    log_right, log_wrong = _log_likelihoods(log_areas)
    totals = log_right @ times_right + log_wrong @ times_wrong  # [G]
    best = int(totals.argmax())
    if best in (0, len(SIGMAS) - 1):
        return float(SIGMAS[best])
    # The top of the parabola through the best and its neighbours.
    before, top, after = totals[best - 1 : best + 2]
    bend = before - 2 * top + after
    shift = (before - after) / (2 * bend) if bend < 0 else 0.0
    return float(SIGMAS[best] * (SIGMAS[1] / SIGMAS[0]) ** shift)


def _wrong_probability(log_areas: np.ndarray, sigma: float) -> np.ndarray:
    """1 - `right_probability`, precise also where it is next to 0.

    Where the first is judged z standard deviations too large, each other is judged smaller with
    probability Phi(lead / sigma + z), independently; z is integrated out (Gauss-Hermite).
    """
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, not {sigma}")
    leads = (log_areas[:, :1] - log_areas[:, 1:]) / sigma
    all_smaller = log_ndtr(leads[..., None] + NODES).sum(axis=1)  # [N, nodes]
    return -np.expm1(all_smaller) @ WEIGHTS / WEIGHTS.sum()


def _log_likelihoods(log_areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log probabilities of right and of wrong for each of SIGMAS, float64 [G, N] each."""
    wrong = np.stack([_wrong_probability(log_areas, sigma) for sigma in SIGMAS])
    return np.log1p(-wrong), np.log(np.maximum(wrong, np.finfo(float).tiny))
