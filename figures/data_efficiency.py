"""The error against the number of labelled images."""

import itertools
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import least_squares, nnls

from figures import style
from rectloc_tf.results.drawing import log_pixels, new_figure

TARGETS_PX = (20, 10, 5)
# ln MSE by number of images, of which 80 % are trained on, read off the original's plots. Its
# test figures look like sums over 500 batches (an inference): ln 500 is to be taken off them.
ORIGINAL_IMAGES = 0.8 * np.array([75, 250, 700, 2000, 5000, 10_000])
ORIGINAL = {
    "xy": {
        "test": np.array([15.75, 13.65, 12.75, 12.9, 11.82, 11.58]) - np.log(500),
        "train": np.array([9.3, 7.0, 4.72, 3.92, 2.42, 1.93]),
    },
    "deconv": {
        "test": np.array([11.5225, 11.523, 11.521, 11.5095, 11.498, 11.494]) - np.log(500),
        "train": np.array([5.296, 5.288, 5.280, 5.275, 5.268, 5.268]),
    },
}


class Curve(NamedTuple):
    """error = floor + scale * (n + offset)^-power: a power law that may begin with a plateau."""

    floor: float
    scale: float
    offset: float
    power: float

    def error(self, n):
        """The error in px after training on n images."""
        return self.floor + self.scale * (n + self.offset) ** -self.power

    def images_needed(self, error: float) -> float:
        """The training-set size at which the error is reached; infinity if it never is."""
        if error <= self.floor or self.scale <= 0:
            return math.inf
        return max(0.0, (self.scale / (error - self.floor)) ** (1 / self.power) - self.offset)

    def __str__(self) -> str:
        scale, of = self.scale, "n"
        if self.offset >= 1:  # less than a picture is none
            scale, of = scale * self.offset**-self.power, f"(1 + n / {self.offset:.0f})"
        return f"{self.floor:.1f} + {scale:.0f} {of}$^{{-{self.power:.2f}}}$"


def fit_curve(sizes, errors) -> Curve:
    """Fits a Curve by least squares of the relative error.

    Args:
        sizes: training-set sizes, at least four different ones.
        errors: the errors there, in px, above 0.

    Returns:
        The best Curve that falls, with a floor not below 0, an offset up to the largest size and
        a power from 0.05 to 2: the best of a coarse grid, and from there downhill.
    """
    x, y = np.asarray(sizes, float), np.asarray(errors, float)
    smallest = x.min()

    def fall(offset, power):  # 1 at the smallest size, so that no parameter is huge
        return ((x + offset) / (smallest + offset)) ** -power

    def linear(shape):  # the best floor and height for a shape, and what they weigh
        columns = np.stack([1 / y, fall(*shape) / y], axis=1)
        return nnls(columns, np.ones_like(y))[0], columns

    def residuals(shape):
        best, columns = linear(shape)
        return columns @ best - 1

    shapes = itertools.product((0.0, *np.geomspace(1, x.max(), 20)), np.linspace(0.05, 2, 20))
    start = min(shapes, key=lambda shape: np.square(residuals(shape)).sum())
    bounds = [0, 0.05], [x.max(), 2]
    offset, power = least_squares(residuals, start, bounds=bounds, x_scale=[smallest, 1]).x
    floor, height = linear((offset, power))[0]
    return Curve(*map(float, (floor, height * (smallest + offset) ** power, offset, power)))


def _series(summary: dict, fixed: str, arch: str, split: str, value) -> dict[int, list[float]]:
    """Values of every seed by number of training images; without those that are None."""
    found: dict[int, list[float]] = {}
    for row in summary["rows"]:
        if (row["fixed"], row["arch"]) == (fixed, arch) and value(row[split]) is not None:
            found.setdefault(row["num_train"], []).append(value(row[split]))
    return dict(sorted(found.items()))


def _mean_px(metrics: dict) -> float:
    return metrics["center_error_px"]["mean"]


def _median_px(metrics: dict) -> float:
    return metrics["center_error_px"]["median"]


def _curve(summary: dict, arch: str) -> Curve | None:
    series = _series(summary, "updates", arch, "test", _mean_px)
    points = [(n, error) for n, errors in series.items() for error in errors]
    return fit_curve(*zip(*points, strict=True)) if len(series) > 4 else None


def _about(count: float) -> str:
    """A count to two digits: a fitted curve tells no more."""
    return f"{float(f'{count:.2g}'):,.0f}"


def _plot(axis, series: dict[int, list[float]], **look) -> None:
    sizes, means = list(series), [np.mean(values) for values in series.values()]
    low, high = ([f(values) for values in series.values()] for f in (min, max))
    axis.plot(sizes, means, **look)
    axis.fill_between(sizes, low, high, color=look["color"], alpha=0.15, linewidth=0)


def _decorate(axis, title: str, ylabel: str) -> None:
    axis.set(title=title, xlabel="training images", ylabel=ylabel, xscale="log")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _draw_errors(summary: dict) -> Figure:
    figure = new_figure(style.WIDTH, 3.8)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (arch, (name, color, marker)) in zip(axes, style.COMPARED.items(), strict=True):
        for split, line in (("test", "-"), ("train", ":")):
            series = _series(summary, "updates", arch, split, _mean_px)
            _plot(axis, series, color=color, linestyle=line, marker=marker, ms=4, label=split)
        epochs = _series(summary, "epochs", arch, "test", _mean_px)
        if epochs:
            _plot(axis, epochs, color=style.GREY, linestyle="--", marker=".",
                  label="test, epochs fixed")  # fmt: skip
        curve = _curve(summary, arch)
        if curve:
            sizes = np.geomspace(min(series), max(series), 100)
            axis.plot(sizes, curve.error(sizes), color="black", lw=0.8, label=f"fit: {curve}")
        log_pixels(axis)
        _decorate(axis, name, "mean centre error, px of 224")
    return figure


def _draw_losses(summary: dict) -> Figure:
    figure = new_figure(style.WIDTH, 3.4)
    axes = figure.subplots(1, 2)
    for axis, (arch, (name, color, marker)) in zip(axes, style.COMPARED.items(), strict=True):
        for split, line in (("test", "-"), ("train", ":")):
            series = _series(summary, "updates", arch, split, lambda m: np.log(m["mse"]))
            _plot(axis, series, color=color, linestyle=line, marker=marker, ms=4, label=split)
            axis.plot(ORIGINAL_IMAGES, ORIGINAL[arch][split], "d", ls=line, color=style.GREY, ms=4,
                      lw=0.8, label=f"original, {split}")  # fmt: skip
        black = _series(summary, "updates", arch, "test", lambda m: m.get("zero_map_mse"))
        if black:
            axis.plot(list(black), [np.log(v[0]) for v in black.values()], color="black", ls="--",
                      lw=0.8, label="all-black map")  # fmt: skip
        _decorate(axis, name, "ln MSE")
    return figure


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """Centre errors with fitted curves, and ln MSE as the original drew it."""
    if not summary["rows"]:
        return {}
    return {"": _draw_errors(summary), "_loss": _draw_losses(summary)}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line a size; and how many images each head needs for some errors."""
    lines = []
    for fixed in ("updates", "epochs"):
        for arch, (name, *_) in style.COMPARED.items():
            series = {
                (split, f): _series(summary, fixed, arch, split, f)
                for split in ("train", "test")
                for f in (_mean_px, _median_px)
            }
            right = _series(summary, fixed, arch, "test", lambda m: m["right_rate"])
            r2 = _series(summary, fixed, arch, "test", lambda m: m["r2"])
            for n in right:
                lines.append(
                    [name, fixed, n, len(right[n]), style.spread(series["train", _mean_px][n], 1),
                     style.spread(series["test", _mean_px][n], 1),
                     style.spread(series["test", _median_px][n], 1), style.percent(right[n]),
                     style.spread(r2[n], 2)]
                )  # fmt: skip
    head = ["head", "held fixed", "training images", "seeds", "train mean px", "test mean px"]
    tables = [style.markdown([*head, "test median px", "right", "test R²"], lines)]
    needed = []
    for arch, (name, *_) in style.COMPARED.items():
        curve = _curve(summary, arch)
        if curve:
            most = max(row["num_train"] for row in summary["rows"])
            counts = [curve.images_needed(error) for error in TARGETS_PX]
            needed.append([name, *(_about(n) if n <= most else f"> {most:,}" for n in counts)])
    if needed:
        columns = [f"images for a mean error of {error} px" for error in TARGETS_PX]
        tables.append(style.markdown(["head", *columns], needed))
    return "\n\n".join(tables)
