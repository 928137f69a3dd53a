"""Whether runs agree on the same pictures more than chance would have it."""

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from rectloc_tf.results.intervals import RESAMPLES, Interval, percentiles, resample


def cohens_kappa(a: ArrayLike, b: ArrayLike) -> float:
    """Cohen's kappa of two raters: (p - e) / (1 - e), of the share p on which they agree.

    e is the share on which they would agree by chance, the sum over categories of the products of
    both raters' shares (Cohen 1960, "A coefficient of agreement for nominal scales"). NaN if it
    is 1, where both give one and the same answer to everything, and for no items.

    Args:
        a, b: categories of N items, [N] of bool, int or str.
    """
    return mean_kappa(np.stack([np.asarray(a), np.asarray(b)]))


def mean_kappa(ratings: ArrayLike) -> float:
    """The mean of Cohen's kappa over all pairs of raters.

    That is Light's (1971, "Measures of response agreement for qualitative data"). Pairs of
    which it is NaN do not count; NaN if no other is left.

    Args:
        ratings: categories that R >= 2 raters gave N items, [R, N] of bool, int or str.
    """
    ratings = _checked(ratings)
    return float(_mean_kappas(ratings[..., None], np.ones((1, ratings.shape[1])))[0])


def mean_kappa_interval(
    ratings: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The interval of `mean_kappa` over items, for these raters.

    Args:
        ratings: as `mean_kappa`, of at least one item; or [R, N, n], of n items in each of N
            pictures, whose items are not independent and are drawn together.
        resamples, seed: as `intervals.resample`.
    """
    ratings = np.asarray(ratings)
    if ratings.ndim != 3:
        ratings = _checked(ratings)[..., None]

    def measure(items, _):
        return _mean_kappas(ratings, items)

    return percentiles(*resample(measure, ratings.shape[1], [], resamples, seed))


def _checked(ratings: ArrayLike) -> np.ndarray:
    array = np.asarray(ratings)
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(f"ratings of two or more raters, [R, N]: not of shape {array.shape}")
    return array


def _mean_kappas(ratings: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Mean pairwise kappas [B] of ratings [R, N, n], pictures as often as float [B, N] says."""
    given = (ratings[..., None] == np.unique(ratings)).sum(axis=2)  # [R, N, C]
    shares = np.einsum("bn,rnc->rbc", pictures, given, optimize=True)
    total = pictures.sum(axis=1) * ratings.shape[2]
    kappas = []
    for a, b in combinations(range(len(ratings)), 2):
        agreed = pictures @ (ratings[a] == ratings[b]).sum(axis=1)
        chance = (shares[a] * shares[b]).sum(axis=1)
        # Of whole numbers, so that what is 0 is exactly 0.
        kappas.append(_divided(agreed * total - chance, total**2 - chance))
    defined = ~np.isnan(kappas)
    return _divided(np.where(defined, kappas, 0).sum(axis=0), defined.sum(axis=0))


def _divided(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their quotient, NaN where the denominator is 0."""
    nan = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=nan, where=denominator != 0)
