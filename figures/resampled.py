"""Intervals of many means at once: each resample is drawn once, for all of them."""

import functools
from collections.abc import Sequence

import numpy as np

from rectloc_tf.results.intervals import RESAMPLES, Interval, percentiles, resample


def mean_intervals(values: Sequence[np.ndarray], resamples: int = RESAMPLES) -> list[Interval]:
    """What `intervals.bootstrap` gives of each of some values, on the same images.

    Of differences of runs that are paired by their seed it is what `paired_difference` gives.

    Args:
        values: float [S, N] each, of S runs on N images.
        resamples: how many.
    """
    stacked = np.stack(values).astype(np.float64)
    return _mean_intervals(stacked.tobytes(), stacked.shape, resamples)


# Figures, tables and texts ask for the same.
@functools.lru_cache(maxsize=32)
def _mean_intervals(values: bytes, shape: tuple[int, int, int], resamples: int) -> list[Interval]:
    stacked = np.frombuffer(values).reshape(shape)
    num_values, num_runs, num_images = shape
    means = []

    def measure(images, runs):
        by_run = (images @ stacked.reshape(-1, num_images).T).reshape(-1, num_values, num_runs)
        each = np.einsum("bms,bs->mb", by_run, runs[0])
        means.append(each / (images.sum(axis=1) * runs[0].sum(axis=1)))
        return means[-1][0]

    resample(measure, num_images, [num_runs], resamples, seed=0)
    (estimates, *samples) = means
    pairs = zip(estimates[:, 0], np.concatenate(samples, axis=1), strict=True)
    return [percentiles(float(value), each) for value, each in pairs]
