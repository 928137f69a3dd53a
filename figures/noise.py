"""The noise model of `rectloc_tf.results.choice`, matched to how often an answer is wrong.

`choice.fit_sigma` asks which sigma makes the answers most probable, and so leans on the few wrong
ones that are the least expected. Here sigma is the one at which the model is wrong as often as
the answers are, among those that chose a rectangle at all.
"""

from typing import NamedTuple

import numpy as np

from rectloc_tf.geometry import areas
from rectloc_tf.results.choice import right_probability
from rectloc_tf.results.intervals import RESAMPLES, Interval, percentiles, resample

GRID = np.geomspace(0.01, 1, 48)  # of sigma; between them the logarithm is interpolated


class Chosen(NamedTuple):
    """Answers to the same scenes, and how often the model would be wrong on each.

    Attributes:
        right: float [S, N], 1 for the largest, 0 for another, NaN for an answer nowhere.
        wrong: float [N, G], the model's probability of a wrong choice at each sigma of GRID.
    """

    right: np.ndarray
    wrong: np.ndarray


def wrong_curves(rectangles: np.ndarray) -> np.ndarray:
    """The model's probability of a wrong choice at each of GRID, [N, G], of rectangles [N, n, 4]."""
    log_areas = np.log(areas(np.asarray(rectangles, np.float64)))
    return 1 - np.stack([right_probability(log_areas, sigma) for sigma in GRID], axis=1)


def right_where_chosen(chosen: np.ndarray) -> np.ndarray:
    """1 for rank 0, 0 for another, NaN for nowhere (-1)."""
    return np.where(chosen < 0, np.nan, chosen == 0)


def _counts(answers: Chosen, pictures: np.ndarray, runs: np.ndarray) -> tuple:
    """Of the answers that chose: how many [R], how many wrong [R], and expected so [R, G].

    Pictures count as [R, N] says and runs as [R, S].
    """
    known, wrong = ~np.isnan(answers.right), answers.right == 0
    count, observed = (
        ((pictures @ which.T.astype(float)) * runs).sum(axis=1) for which in (known, wrong)
    )
    expected = sum(
        runs[:, [s]] * (pictures @ (known[s][:, None] * answers.wrong)) for s in range(len(known))
    )
    return count, observed, expected


def _matched(answers: Chosen, pictures: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """The sigmas [R] that expect as many wrong as observed, within the ends of GRID."""
    _, observed, expected = _counts(answers, pictures, runs)
    pairs = zip(observed, expected, strict=True)
    return np.exp([np.interp(wrong, curve, np.log(GRID)) for wrong, curve in pairs])


def match_sigma(answers: Chosen, resamples: int = RESAMPLES) -> Interval:
    """The sigma at which the model is wrong as often as the answers, and its interval."""
    return percentiles(*_sigma_samples(answers, resamples))


def _sigma_samples(answers: Chosen, resamples: int) -> tuple[float, np.ndarray]:
    def measure(pictures, runs):
        return _matched(answers, pictures, runs[0])

    return resample(measure, answers.right.shape[1], [len(answers.right)], resamples, 0)


class Prediction(NamedTuple):
    """Wrong shares of those answers that chose a rectangle; `gap` is predicted - observed."""

    predicted: Interval
    observed: Interval
    gap: Interval


def predict_wrong(fitted: Chosen, tested: Chosen, resamples: int = RESAMPLES) -> Prediction:
    """The wrong share of answers to other scenes that a sigma matched to some predicts.

    The scenes and runs of both are drawn independently. What the tested scenes add to the gap is
    measured at the sigma that was matched.
    """
    sigma, sigmas = _sigma_samples(fitted, resamples)
    once = np.ones((1, tested.right.shape[1])), np.ones((1, len(tested.right)))
    (count,), _, (curve,) = _counts(tested, *once)
    log_sigmas = np.log([sigma, *sigmas])
    predicted, *samples = np.interp(log_sigmas, np.log(GRID), curve / count).tolist()
    at_sigma = [np.interp(np.log(sigma), np.log(GRID), row) for row in tested.wrong]
    matched = tested._replace(wrong=np.array(at_sigma)[:, None])

    def observe(pictures, runs):
        count, observed, _ = _counts(tested, pictures, runs[0])
        return observed / count

    def differ(pictures, runs):
        count, observed, expected = _counts(matched, pictures, runs[0])
        return (expected[:, 0] - observed) / count

    sizes = tested.right.shape[1], [len(tested.right)], resamples
    gap, gaps = resample(differ, *sizes, 1)
    return Prediction(
        percentiles(predicted, np.array(samples)),
        percentiles(*resample(observe, *sizes, 1)),
        percentiles(gap, gaps + samples - predicted),
    )
