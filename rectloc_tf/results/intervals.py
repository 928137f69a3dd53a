"""How sure a number is that was measured on test pictures: 95 % intervals, by resampling.

Answers are [S, N]: of S runs that differ in their seed alone, each on the same N pictures. A
resample draws N pictures with replacement, the same for all runs, and, where there are several,
S - 1 of the S runs. One draw fewer makes the variance between runs unbiased, which S draws of
S = 3 would understate by a third (Rao and Wu 1988, "Resampling inference with complex survey
data"). Drawing both is conservative: what is due neither to the picture nor to the run alone
counts up to three times in the variance (Owen 2007, "The pigeonhole bootstrap"). But where runs
differ far more than pictures do, the interval ends at the least and the greatest run, between
which the truth is with probability 1 - 2 / 2^S: 3/4 for three runs.

`scipy.stats.bootstrap` draws along one axis alone, and copies the data for each resample. Here a
resample is how often each picture and each run was drawn, and a mean of it a matrix product.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95
RESAMPLES = 10_000
CHUNK = 500  # resamples at a time: arrays of 12 MB, for 3 runs on 1,000 pictures

# From how often each picture, [R, N], and each run of each set of runs, [R, S] each, was drawn.
Measure = Callable[[np.ndarray, list[np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % interval. Percentile intervals need not hold the estimate."""

    value: float
    low: float
    high: float


def resample(
    measure: Measure, num_pictures: int, num_runs: Sequence[int], resamples: int, seed: int
) -> tuple[float, np.ndarray]:
    """A measure of the data as they are, and of resamples of them.

    Args:
        measure: float [R], of R resamples in which each picture counts as often as float64 [R, N]
            says and each run, of each set of runs, as often as float64 [R, S].
        num_pictures: N, at least 1.
        num_runs: S of each set of runs; sets are drawn independently, and a single run stays.
        resamples: how many, at least 1.
        seed: what is drawn depends on it; the same pictures whatever the runs.

    Returns:
        The measure of each picture and run once, and float64 [resamples].
    """
    sizes = [num_pictures, *num_runs]
    draws = [num_pictures, *(runs - 1 for runs in num_runs)]
    generators = np.random.default_rng(seed).spawn(len(sizes))
    (value,) = measure(np.ones((1, num_pictures)), [np.ones((1, runs)) for runs in num_runs])
    all_pictures = _drawn_pictures(num_pictures, resamples, seed)
    samples = []
    for start in range(0, resamples, CHUNK):
        pictures = all_pictures[start : start + CHUNK].astype(float)
        drawn = [*zip(generators, sizes, draws, strict=True)][1:]
        runs = [_counts(generator, len(pictures), *each) for generator, *each in drawn]
        samples.append(measure(pictures, runs))
    return float(value), np.concatenate(samples)


@functools.lru_cache(maxsize=4)  # 20 MB each; drawing them takes longer than most measures
def _drawn_pictures(num_pictures: int, resamples: int, seed: int) -> np.ndarray:
    """How often each picture was drawn, uint16 [resamples, N]."""
    (generator,) = np.random.default_rng(seed).spawn(1)
    drawn = np.empty((resamples, num_pictures), np.uint16)
    for start in range(0, resamples, CHUNK):
        rows = drawn[start : start + CHUNK]
        rows[:] = _counts(generator, len(rows), num_pictures, num_pictures)
    drawn.setflags(write=False)
    return drawn


def percentiles(value: float, samples: np.ndarray) -> Interval:
    """The interval from percentile 2.5 to 97.5 of samples [R], which may be infinite.

    Samples that are NaN, whose resample had nothing to measure, are left out; NaN if all are.
    """
    ordered = np.sort(samples[~np.isnan(samples)])
    if not len(ordered):
        return Interval(value, np.nan, np.nan)
    # Outwards to a sample and not between two, so that infinities do no harm.
    cut = int((1 - LEVEL) / 2 * (len(ordered) - 1))
    return Interval(value, float(ordered[cut]), float(ordered[-1 - cut]))


def bootstrap(
    values: ArrayLike, statistic: str = "mean", *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """The interval of a statistic over all runs and pictures; a rate is a mean of 0 and 1.

    Args:
        values: float [S, N], or [N] of one run.
        statistic: "mean" or "median", or "nanmean" or "nanmedian", for which NaN does not count.
        resamples, seed: as `resample`.

    Raises:
        ValueError: if values are infinite or missing, or NaN where that counts.
    """
    known = checked(values, statistic)
    evaluate = STATISTICS[statistic]

    def measure(pictures, runs):
        return evaluate(known, pictures, runs[0])

    return percentiles(*resample(measure, known.shape[1], [len(known)], resamples, seed))


def bootstrap_groups(
    values: ArrayLike,
    groups: ArrayLike,
    statistic: str = "mean",
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The interval of a statistic of values of which those of a group come together.

    Args:
        values: float [M].
        groups: [M], which group each belongs to; groups are what is drawn.
        statistic, resamples, seed: as `bootstrap`.

    Raises:
        ValueError: as `bootstrap`; if there is not one group for each value.
    """
    known = checked(values, statistic)
    check_same([known.size, np.size(groups)], "values and groups")
    names, places = np.unique(groups, return_inverse=True)
    evaluate = STATISTICS[statistic]

    def measure(drawn, runs):
        return evaluate(known, np.take(drawn, places, axis=1), runs[0])

    return percentiles(*resample(measure, len(names), [1], resamples, seed))


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    statistic: str = "mean",
    *,
    paired_seeds: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """The interval of statistic(a) - statistic(b), on the same pictures.

    Args:
        a: float [S, N]; b: float [T, N]; or [N] of one run.
        statistic, resamples, seed: as `bootstrap`.
        paired_seeds: run s of a belongs to run s of b, and they are drawn together.

    Raises:
        ValueError: as `bootstrap`; if the pictures differ in number, or the runs that are paired.
    """
    a, b = checked(a, statistic), checked(b, statistic)
    check_same([a.shape[1], b.shape[1]], "pictures")
    if paired_seeds:
        check_same([len(a), len(b)], "paired runs")
    evaluate = STATISTICS[statistic]

    def measure(pictures, runs):
        return evaluate(a, pictures, runs[0]) - evaluate(b, pictures, runs[-1])

    num_runs = [len(a)] if paired_seeds else [len(a), len(b)]
    return percentiles(*resample(measure, a.shape[1], num_runs, resamples, seed))


def _means(values: np.ndarray, pictures: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Means [R] of values [S, N], each as often as its run [R, S] times its picture [R, N]."""
    known = ~np.isnan(values)
    total = _total(np.where(known, values, 0), pictures, runs)
    count = _number(known, pictures, runs)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _total(values: np.ndarray, pictures: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Sums [R] of values [S, N], each as often as its run [R, S] times its picture [R, N]."""
    # So thin a product that the threads of BLAS would only wait for each other.
    sums = np.einsum("rn,sn->rs", pictures, values.astype(float))
    return (sums * runs).sum(axis=1)


def _number(known: np.ndarray, pictures: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """How many values are known, bool [S, N]: [R], each as often as `_total` has it."""
    if known.all():  # the same, much faster
        return pictures.sum(axis=1) * runs.sum(axis=1)
    return _total(known, pictures, runs)


def _medians(values: np.ndarray, pictures: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """The same of medians: the middle one of the values in order, or the mean of two."""
    order = np.argsort(values, axis=None)  # NaN are last, so that they are the middle of nothing
    middle, reach = (~np.isnan(values)).sum() // 2, 50 + values.size // 12
    # The median of almost every resample is near that of the data; the rest look at all values.
    near = slice(max(middle - reach, 0), middle + reach)
    found, sure = _medians_among(near, order, values, pictures, runs)
    if not sure.all():
        rest = pictures[~sure], runs[~sure]
        found[~sure], _ = _medians_among(slice(0, values.size), order, values, *rest)
    return found


def _medians_among(
    ranks: slice, order: np.ndarray, values: np.ndarray, pictures: np.ndarray, runs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Medians [R] if they are among these ranks of `order`, and whether they are: bool [R]."""
    run, picture = np.divmod(order[ranks], values.shape[1])
    ordered = np.append(values[run, picture], np.nan)
    is_before = np.zeros(values.size)
    is_before[order[: ranks.start]] = 1
    before = _total(is_before.reshape(values.shape), pictures, runs)[:, None]
    times = np.take(pictures, picture, axis=1)
    times *= np.take(runs, run, axis=1)
    ends = before + np.cumsum(times, axis=1, out=times)
    count = _number(~np.isnan(values), pictures, runs)[:, None]
    lower, upper = ((ends <= middle // 2).sum(axis=1) for middle in (count - 1, count))
    sure = (before <= (count - 1) // 2) & (ends[:, -1:] > count // 2)
    return (ordered[lower] + ordered[upper]) / 2, sure[:, 0]


STATISTICS = {"mean": _means, "median": _medians, "nanmean": _means, "nanmedian": _medians}


def _counts(generator: np.random.Generator, rows: int, size: int, draws: int) -> np.ndarray:
    """How often each of `size` was drawn, float64 [rows, size]; once each without draws."""
    if not draws:
        return np.ones((rows, size))
    drawn = generator.integers(size, size=(rows, draws)) + size * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size).astype(float)


def checked(values: ArrayLike, statistic: str) -> np.ndarray:
    """Values as float64 [S, N]; ValueError if they, or the name of the statistic, do not fit."""
    array = np.atleast_2d(np.asarray(values, np.float64))
    if array.ndim != 2 or not array.size:
        raise ValueError(
            f"values must be [S, N], runs and pictures, not of shape {np.shape(values)}"
        )
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be one of {', '.join(STATISTICS)}, not {statistic}")
    allowed = np.isnan(array) if statistic.startswith("nan") else False
    if not (np.isfinite(array) | allowed).all():
        raise ValueError(f"values must be finite for {statistic}")
    return array


def check_same(numbers: Sequence[int], what: str) -> None:
    """Raises ValueError if what should be equally many is not."""
    if len(set(numbers)) > 1:
        raise ValueError(f"the number of {what} differs: {', '.join(map(str, numbers))}")
