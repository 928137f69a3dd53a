"""Error against the number of labelled images: a curve, how sure it is, and what it predicts.

The curve is the power law with a floor that learning curves are usually described by (Hestness et
al. 2017, "Deep Learning Scaling is Predictable, Empirically"; Viering and Loog 2022, "The Shape of
Learning Curves: a Review"), written so that each number means something at the largest set that
was measured, of n0 images:

    error(n) = v * (f + (1 - f) * (n / n0) ** -b)

v is the error there, f the share of it that no more labels would remove, and b how fast the rest
falls. Three or four sizes do not determine three numbers, so none is picked: every (v, f, b) of a
grid counts as much as it agrees with what was measured, and an interval covers 95 % of them. A
quarter of the weight before the measurement is on curves without a floor.
Logarithms of errors are compared, as errors fall by factors. NumPy only.
"""

from dataclasses import dataclass

import numpy as np

from rectloc_tf.results.intervals import LEVEL, Interval

FEWEST_SIZES = 3
FARTHEST = 4  # times the largest size that was measured, beyond which nothing is predicted
RESAMPLES = 2000
_FLOORS = np.linspace(0, 0.98, 50)
_NO_FLOOR = 0.25  # prior weight of the first of them
_POWERS = np.geomspace(0.1, 2, 50)
_FINEST = 0.02  # least relative uncertainty of a mean: the grid is no finer
_REACH, _VALUES = 4.0, 41  # v: this many standard deviations either way, in so many steps


@dataclass(frozen=True, eq=False)
class MeasuredErrors:
    """Errors of R trainings for each of M sizes on the same I images.

    Attributes:
        sizes: int [M], labelled images, ascending.
        values: float64 [R, M, I, K], px; NaN where there is no label, or the image was not one
            that this training is tested on.
    """

    sizes: np.ndarray
    values: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """The mean over all labels of all trainings, [M]."""
        return np.nanmean(self.values, axis=(0, 2, 3))

    @property
    def medians(self) -> np.ndarray:
        """The median over all labels of all trainings, [M]."""
        return np.nanmedian(self.values, axis=(0, 2, 3))

    @property
    def keypoint_means(self) -> np.ndarray:
        """The mean of each keypoint, [M, K]; NaN of keypoints that no tested image has."""
        return self.mean_over(0, 2)

    def mean_over(self, *axes: int) -> np.ndarray:
        """The mean over some of the axes of `values`; NaN where there is no label."""
        known = ~np.isnan(self.values)
        total, count = np.where(known, self.values, 0).sum(axis=axes), known.sum(axis=axes)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    def up_to(self, size: int) -> "MeasuredErrors":
        """Those of the sizes that are not larger."""
        kept = self.sizes <= size
        return MeasuredErrors(self.sizes[kept], self.values[:, kept])

    def resampled_means(self, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
        """`means` of resamples of the images, the same ones for all sizes, [resamples, M]."""
        known = ~np.isnan(self.values)
        totals = np.where(known, self.values, 0).sum(axis=(0, 3))  # [M, I]
        counts = known.sum(axis=(0, 3)).astype(float)
        images = totals.shape[1]
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(images, np.full(images, 1 / images), resamples).astype(float)
        below = drawn @ counts.T
        return np.divide(drawn @ totals.T, below, out=np.full(below.shape, np.nan), where=below > 0)

    def log_covariance(self) -> np.ndarray:
        """Of the logarithm of `means`, [M, M].

        Three parts: which images are tested; the level of a training, which is alike at all its
        sizes because they share a fold and a seed; and the rest, see `run_variance`. The first two
        may count the same luck, so that the sum is rather too large. But levels of three trainings
        are few: where they differed by a quarter, intervals held the truth in 75 to 80 % of
        simulations instead of 95 %.
        """
        logs = np.log(self.resampled_means())
        images = np.atleast_2d(np.cov(logs[np.isfinite(logs).all(axis=1)].T))
        levels = np.log(self.mean_over(2, 3)).mean(axis=1)
        level = levels.var(ddof=1) / len(levels) if len(levels) > 1 else 0.0
        return images + level + np.eye(len(self.sizes)) * self.run_variance()

    def run_variance(self) -> float:
        """Of the logarithm of one of `means`, from run to run.

        It is estimated from what remains of the logarithm of each training's mean error once the
        training's own level and that of the size are taken off, and includes which images the
        training had. 0 if there is a single size or training.
        """
        each = np.log(self.mean_over(2, 3))  # [R, M]
        runs, sizes = each.shape
        rest = each - each.mean(1, keepdims=True) - each.mean(0, keepdims=True) + each.mean()
        degrees = max((runs - 1) * (sizes - 1), 1)  # nothing is left of a single one
        return float((rest**2).sum() / degrees / runs)

    def interval(self, number: int) -> Interval:
        """Of the mean at the size `number`, from the images and from run to run."""
        value = float(self.means[number])
        spread = 1.96 * float(np.sqrt(self.log_covariance()[number, number]))
        return Interval(value, value * np.exp(-spread), value * np.exp(spread))


@dataclass(frozen=True, eq=False)
class Curve:
    """Curves that agree with what was measured, each as much as its weight; P of them.

    Attributes:
        largest: n0, the largest size that was measured.
        errors, floors, powers: v, f and b, float64 [P].
        weights: float64 [P], their sum 1.
    """

    largest: int
    errors: np.ndarray
    floors: np.ndarray
    powers: np.ndarray
    weights: np.ndarray

    def at(self, size: float) -> Interval:
        """The error that is predicted for `size` labelled images: median and 95 % interval."""
        found = _curve(size / self.largest, self.errors, self.floors, self.powers)
        order = np.argsort(found)
        share = np.cumsum(self.weights[order])
        low, middle, high = (
            float(found[order][min(int(np.searchsorted(share, level)), len(share) - 1)])
            for level in ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)
        )
        return Interval(middle, low, high)


def fit_curve(measured: MeasuredErrors) -> Curve:
    """The curves that agree with what was measured.

    Args:
        measured: of FEWEST_SIZES sizes and two trainings at least.

    Raises:
        ValueError: of fewer.
    """
    sizes, (runs, *_) = measured.sizes, measured.values.shape
    if len(sizes) < FEWEST_SIZES or runs < 2:
        raise ValueError(f"{len(sizes)} sizes, {runs} trainings: a curve needs at least 3 and 2")
    logs = np.log(measured.means)
    covariance = measured.log_covariance() + _FINEST**2 * np.eye(len(sizes))
    deviation = float(np.sqrt(covariance[-1, -1]))
    values = np.exp(logs[-1] + deviation * np.linspace(-_REACH, _REACH, _VALUES))
    grid = np.meshgrid(values, _FLOORS, _POWERS, indexing="ij")
    errors, floors, powers = (axis.ravel() for axis in grid)
    ratios = (sizes / sizes[-1])[:, None]
    apart = np.log(_curve(ratios, errors, floors, powers)) - logs[:, None]  # [M, P]
    squares = (apart * np.linalg.solve(covariance, apart)).sum(axis=0)
    before = np.where(floors == 0, _NO_FLOOR, (1 - _NO_FLOOR) / (len(_FLOORS) - 1))
    weights = before * np.exp(-(squares - squares.min()) / 2)
    kept = weights > 1e-6 * weights.max()
    weights = weights[kept] / weights[kept].sum()
    return Curve(int(sizes[-1]), errors[kept], floors[kept], powers[kept], weights)


def _curve(ratio, error, floor, power):
    return error * (floor + (1 - floor) * ratio**-power)
