"""From which size of the training set on one head is better than another."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rectloc_tf.results.intervals import (
    RESAMPLES,
    STATISTICS,
    Interval,
    check_same,
    checked,
    percentiles,
    resample,
)


@dataclass(frozen=True)
class Crossing:
    """From which size on one curve is better than another, see `crossing`.

    `always` and `never` are the shares of resamples without a crossing among the sizes: better
    at every size (its crossing counts as 0), and not better at the largest (as infinity).
    """

    size: Interval
    always: float
    never: float


def crossing(
    a: Mapping[int, ArrayLike],
    b: Mapping[int, ArrayLike],
    statistic: str = "mean",
    *,
    larger_is_better: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Crossing:
    """From which size of the training set on b is better than a for good.

    It is where the difference of the two statistics, linear in log size between neighbours, is 0
    between the last size at which b is not better and the next. Equal is not better: where both
    are equal at that size, it is the crossing. A crossing after which a is ahead again is none.

    Without a crossing among the sizes it is 0 where b is better at every size, which stands for
    "at most the smallest", and infinity where b is not better at the largest one, for "beyond the
    largest, or never". The interval's ends may be these (infinity is not JSON).

    Args:
        a, b: by size, at least two of them, values as in `bootstrap`, all of the same pictures.
            The runs of each size and curve are drawn independently.
        statistic, resamples, seed: as `bootstrap`.
        larger_is_better: rates instead of errors.

    Raises:
        ValueError: as `bootstrap`, or if the sizes or pictures differ.
    """
    sizes = sorted(a)
    if sizes != sorted(b) or len(sizes) < 2 or sizes[0] <= 0:
        raise ValueError(
            f"both curves must have the same two or more sizes, not {sizes} and {sorted(b)}"
        )
    values = [checked(curve[size], statistic) for curve in (a, b) for size in sizes]
    check_same([each.shape[1] for each in values], "pictures")
    evaluate = STATISTICS[statistic]
    better = -1 if larger_is_better else 1

    def measure(pictures, runs):
        pairs = zip(values, runs, strict=True)
        points = np.stack([evaluate(each, pictures, drawn) for each, drawn in pairs], axis=1)
        lead = better * (points[:, : len(sizes)] - points[:, len(sizes) :])
        return _last_crossings(lead, np.log(sizes))

    num_runs = [len(each) for each in values]
    value, samples = resample(measure, values[0].shape[1], num_runs, resamples, seed)
    found = samples[~np.isnan(samples)]
    always, never = (np.mean(found == end) if len(found) else np.nan for end in (0, np.inf))
    return Crossing(percentiles(value, samples), float(always), float(never))


def _last_crossings(lead: np.ndarray, log_sizes: np.ndarray) -> np.ndarray:
    """From which size on a lead [R, K] of b is positive for good: [R], see `crossing`."""
    count = lead.shape[1]
    ahead = lead > 0
    last = count - 1 - np.argmax(~ahead[:, ::-1], axis=1)  # size at which b is not better
    crossings = np.where(ahead.all(axis=1), 0.0, np.inf)
    crosses = np.flatnonzero(~ahead.all(axis=1) & ahead[:, -1])
    left = last[crosses]
    before, after = lead[crosses, left], lead[crosses, left + 1]
    step = (log_sizes[left + 1] - log_sizes[left]) * before / (before - after)
    crossings[crosses] = np.exp(log_sizes[left] + step)
    return np.where(np.isnan(lead).any(axis=1), np.nan, crossings)
