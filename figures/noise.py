"""The noise model of `rectloc_tf.results.choice`, matched to how often an answer is wrong.

`choice.fit_sigma` asks which sigma makes the answers most probable, and so leans on the few wrong
ones that are the least expected. Here sigma is the one at which the model is wrong as often as
the answers are, among those that chose a rectangle at all.
"""

import functools
from typing import NamedTuple

import numpy as np

from rectloc_tf.geometry import areas
from rectloc_tf.results.choice import right_probability
from rectloc_tf.results.intervals import RESAMPLES, Interval, bootstrap, percentiles, resample

GRID = np.geomspace(0.01, 1, 32)  # of sigma; between them the logarithm is interpolated


class Chosen(NamedTuple):
    """Answers to the same scenes, and how often the model would be wrong on each.

    Attributes:
        right: float [S, N], 1 for the largest, 0 for another, NaN for an answer nowhere.
        wrong: float [N, G], the model's probability of a wrong choice at each sigma of GRID.
    """

    right: np.ndarray
    wrong: np.ndarray


def wrong_curves(rectangles: np.ndarray) -> np.ndarray:
    """The model's probability of a wrong choice [N, G], at each of GRID.

    Args:
        rectangles: [N, n, 4], largest first.
    """
    log_areas = np.log(areas(np.asarray(rectangles, np.float64)))
    return _curves(log_areas.tobytes(), log_areas.shape[1])


@functools.lru_cache(maxsize=8)  # many runs answered the same scenes
def _curves(log_areas: bytes, num: int) -> np.ndarray:
    known = np.frombuffer(log_areas).reshape(-1, num)
    return 1 - np.stack([right_probability(known, sigma) for sigma in GRID], axis=1)


def right_where_chosen(chosen: np.ndarray) -> np.ndarray:
    """1 for rank 0, 0 for another, NaN for nowhere (-1)."""
    return np.where(chosen < 0, np.nan, chosen == 0)


def _counts(answers: Chosen, pictures: np.ndarray, runs: np.ndarray) -> tuple:
    """Of the answers that chose: how many [R], how many wrong [R], and expected so [R, G].

    Pictures count as [R, N] says and runs as [R, S].
    """
    counted = pictures * np.einsum("rs,sn->rn", runs, (~np.isnan(answers.right)).astype(float))
    wrong = np.einsum("rn,sn->rs", pictures, (answers.right == 0).astype(float))
    # Row by row, since the threads of BLAS would only wait for each other.
    expected = (counted[:, None] @ answers.wrong)[:, 0]
    return counted.sum(axis=1), (wrong * runs).sum(axis=1), expected


def _matched(answers: Chosen, pictures: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """The sigmas [R] that expect as many wrong as observed, within the ends of GRID."""
    _, observed, expected = _counts(answers, pictures, runs)
    pairs = zip(observed, expected, strict=True)
    return np.exp([np.interp(wrong, curve, np.log(GRID)) for wrong, curve in pairs])


class Fit(NamedTuple):
    """A matched sigma, and float [R] of resamples."""

    sigma: float
    samples: np.ndarray

    @property
    def interval(self) -> Interval:
        """The sigma and its 95 % interval."""
        return percentiles(self.sigma, self.samples)


def match_sigma(answers: Chosen, resamples: int = RESAMPLES) -> Fit:
    """The sigma at which the model is wrong as often as the answers."""

    def measure(pictures, runs):
        return _matched(answers, pictures, runs[0])

    size = answers.right.shape[1], [len(answers.right)]
    return Fit(*resample(measure, *size, resamples, 0))


class Prediction(NamedTuple):
    """Wrong shares of those answers that chose a rectangle; `gap` is predicted - observed."""

    predicted: Interval
    observed: Interval
    gap: Interval


def wrong_at(wrong: np.ndarray, sigma: float) -> np.ndarray:
    """The probability of a wrong choice [N] at a sigma, from that at each of GRID [N, G]."""
    return np.array([np.interp(np.log(sigma), np.log(GRID), row) for row in wrong])


def predict_wrong(fit: Fit, tested: Chosen, resamples: int = RESAMPLES) -> Prediction:
    """The wrong share of answers to some scenes, from a sigma matched on others.

    The scenes and runs of both are drawn independently. What the tested scenes add to the gap is
    measured at the sigma that was matched.
    """
    once = np.ones((1, tested.right.shape[1])), np.ones((1, len(tested.right)))
    (count,), _, (curve,) = _counts(tested, *once)
    log_sigmas = np.log([fit.sigma, *fit.samples])
    predicted, *samples = np.interp(log_sigmas, np.log(GRID), curve / count).tolist()
    matched = tested._replace(wrong=wrong_at(tested.wrong, fit.sigma)[:, None])

    def differ(pictures, runs):
        count, observed, expected = _counts(matched, pictures, runs[0])
        return (expected[:, 0] - observed) / count

    sizes = tested.right.shape[1], [len(tested.right)]
    gap, gaps = resample(differ, *sizes, resamples, 1)  # other pictures than `fit` drew
    return Prediction(
        percentiles(predicted, np.array(samples)),
        bootstrap(1 - tested.right, "nanmean", resamples=resamples),
        percentiles(gap, gaps + samples - predicted),
    )
