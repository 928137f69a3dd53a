"""The error against the number of labelled images, after two lengths of training."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from figures import style
from figures.answered import Answered, stacked
from figures.long_tables import METRICS, metrics_columns
from rectloc_tf.experiments.plan import DOMAIN
from rectloc_tf.geometry import FRAME, centers
from rectloc_tf.results.crossing import crossing
from rectloc_tf.results.drawing import log_pixels, new_figure
from rectloc_tf.results.intervals import Interval, paired_difference
from rectloc_tf.results.markdown import markdown
from rectloc_tf.results.metrics import PICK_RADIUS

LENGTHS = {"short": "updates", "long": "long updates"}  # what a text calls a row's `fixed`
TABLE_SIZES = (16, 80, 200, 560, 1600, 4000, 8000)
TARGETS_PX = (20, 10)
UNITS = {"px": " px", "right": " points"}
OVERTAKING = (("xy", "deconv"), ("xy", "score_map"))  # the second becomes better than the first
# How the second differs from the first, in what, at which size.
DIFFERENCES = (
    ("xy", "score_map", "right", 560),
    ("deconv", "score_map", "right", 560),
    ("score_map", "deconv", "px", 8000),
)
LONGER = (560,)  # sizes at which the two lengths are compared
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

BySize = dict[int, np.ndarray]  # values by number of training images


def titles_of(summary: Mapping) -> dict[str, str]:
    """How long runs of each `fixed` are, as text."""
    long_updates = summary["long_updates"] or summary["updates"]
    return {
        "updates": f"{summary['updates']:,} updates",
        "long updates": f"{long_updates:,} updates",
        "epochs": f"{summary['short_epochs']} epochs",
    }


def errors(answered: Answered) -> np.ndarray:
    """Errors in px: float [N]."""
    return answered.errors


def right(answered: Answered) -> np.ndarray:
    """Right answers in per cent, 0 or 100: float [N]."""
    return 100 * answered.right


def middle_errors(rectangles: np.ndarray) -> np.ndarray:
    """How far the image's middle is from the largest rectangle's centre, in px: float [N].

    Args:
        rectangles: [N, n, 4] in px of 224, largest first.
    """
    return np.linalg.norm(centers(rectangles[:, 0]) - FRAME / 2, axis=1)


def answers(
    summary: dict, runs: dict, results_dir: Path, fixed: str, arch: str, value: Callable
) -> BySize:
    """A value of the final weights' answers on test images by training images: [S, N] each."""
    found: dict[int, list[Answered]] = {}
    for row in _rows(summary, fixed, arch):
        answered = Answered(runs[row["run"]], row["run"], DOMAIN, results_dir)
        found.setdefault(row["num_train"], []).append(answered)
    return {size: stacked(group, value) for size, group in sorted(found.items())}


def overtakes(a: BySize, b: BySize, larger_is_better: bool = False) -> Interval | None:
    """From how many training images on b is better than a; None without two common sizes."""
    if a.keys() != b.keys() or len(a) < 2:
        return None
    return crossing(a, b, larger_is_better=larger_is_better).size


def reaches(curve: BySize, target: float) -> Interval:
    """From how many training images on the mean error is below a target, in px."""
    # Before the last size at twice the target nothing matters: no resample is below it there.
    sizes = list(curve)
    far = [i for i, values in enumerate(curve.values()) if values.mean(axis=1).min() > 2 * target]
    start = min(max(far, default=0), len(sizes) - 2)
    curve = {size: curve[size] for size in sizes[start:]}
    goal = {size: np.full((1, values.shape[1]), float(target)) for size, values in curve.items()}
    return crossing(goal, curve).size


def images(found: Interval, sizes: Mapping[int, object]) -> str:
    """A number of images to two digits with its interval: `1,200 (1,100 to 1,300)`."""

    def text(size: float) -> str:
        if size == 0:  # see `crossing`
            return f"at most {min(sizes):,}"
        return f"{float(f'{size:.2g}'):,.0f}" if size < math.inf else f"more than {max(sizes):,}"

    value, low, high = map(text, (found.value, found.low, found.high))
    return value if low == high == value else f"{value} ({low} to {high})"


def not_below(summary: dict, fixed: str) -> list[str]:
    """Runs whose training error is not below their test error, both of the best weights."""
    found = (
        f"{style.HEADS[row['arch']].title}, {row['num_train']} images"
        for row in summary["rows"]
        if row["fixed"] == fixed and _mean_px(row["train"]) >= _mean_px(row["test"])
    )
    return list(dict.fromkeys(found))


def _rows(summary: dict, fixed: str, arch: str) -> list[dict]:
    return [row for row in summary["rows"] if (row["fixed"], row["arch"]) == (fixed, arch)]


def _series(summary: dict, fixed: str, arch: str, split: str, value) -> dict[int, list[float]]:
    """Values of every seed by number of training images."""
    found: dict[int, list[float]] = {}
    for row in _rows(summary, fixed, arch):
        found.setdefault(row["num_train"], []).append(value(row[split]))
    return dict(sorted(found.items()))


def _mean_px(metrics: dict) -> float:
    return metrics["center_error_px"]["mean"]


def _right(metrics: dict) -> float:
    return 100 * metrics["right_rate"]


def _ln_mse(metrics: dict) -> float:
    return math.log(metrics["mse"])


def _plot(axis, series: dict[int, list[float]], dots: bool = True, **look) -> None:
    """A line through the means of seeds, and a dot for each."""
    axis.plot(list(series), [np.mean(values) for values in series.values()], **look)
    if dots:
        points = [(size, value) for size, values in series.items() for value in values]
        marker = {"color": look["color"], "alpha": 0.55, "linewidths": 0}
        axis.scatter(*zip(*points, strict=True), s=14, **marker)


def _draw_errors(summary: dict, runs: dict, results_dir: Path) -> Figure:
    figure = new_figure(style.WIDTH, 7.2)
    names = [*LENGTHS.values(), "right", "train"]
    panels = figure.subplots(2, 2, width_ratios=[1.35, 1])
    axes = dict(zip(names, panels.flat, strict=True))
    first = summary["rows"][0]["run"]
    middle = middle_errors(Answered(runs[first], first, DOMAIN, results_dir).rectangles)
    for fixed in LENGTHS.values():
        xy, deconv = (
            answers(summary, runs, results_dir, fixed, arch, errors) for arch in style.COMPARED
        )
        ahead = overtakes(xy, deconv)
        if ahead and math.isfinite(ahead.high) and ahead.low:
            axes[fixed].axvspan(ahead.low, ahead.high, color=style.GREY, alpha=0.3, lw=0,
                                label="heatmap overtakes coordinates, 95 % interval")  # fmt: skip
    for arch, (title, color, _) in style.HEADS.items():
        look = {"color": color, "lw": 1.5, "label": title}
        for fixed in LENGTHS.values():
            if _rows(summary, fixed, arch):
                _plot(axes[fixed], _series(summary, fixed, arch, "final", _mean_px), **look)
                line = look | ({"ls": "--", "label": None} if fixed != "updates" else {})
                dots = fixed == "updates"
                _plot(axes["right"], _series(summary, fixed, arch, "final", _right), dots, **line)
        if _rows(summary, "updates", arch):
            _plot(axes["train"], _series(summary, "updates", arch, "train", _mean_px), **look)
    titles = titles_of(summary)
    for fixed in LENGTHS.values():
        axes[fixed].axhline(middle.mean(), color="black", ls=":", lw=1,
                            label=f"always the middle, {middle.mean():.0f} px")  # fmt: skip
        axes[fixed].set(title=f"test error after {titles[fixed]}", ylabel="mean error, px of 224")
        axes[fixed].set_ylim(0, 95)
    chance = 100 * np.mean(middle <= PICK_RADIUS)
    axes["right"].axhline(chance, color="black", ls=":", lw=1)
    title = f"right predictions (dashed: {titles['long updates']})"
    axes["right"].set(title=title, ylabel="right, % of test images", ylim=(0, 100))
    axes["train"].set(title=f"training error, {titles['updates']}", ylabel="mean error, px of 224")
    log_pixels(axes["train"])
    for axis in axes.values():
        _log_images(axis)
    sizes = list(_series(summary, "long updates", "xy", "final", _right))
    if sizes:
        axes["long updates"].set_xticks(sizes)
    handles, labels = axes["updates"].get_legend_handles_labels()
    look = {"ncols": 3, "frameon": False, "fontsize": 9}
    figure.legend(handles, labels, loc="outside lower center", **look)
    return figure


def _log_images(axis) -> None:
    """A logarithmic axis of training images, with plain numbers."""
    axis.set(xlabel="training images", xscale="log")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(alpha=0.3)


def _draw_losses(summary: dict) -> Figure:
    figure = new_figure(style.WIDTH, 4.6)
    axes = figure.subplots(1, 2)
    colors = {"updates": style.BLUE, "epochs": style.GREEN}
    for axis, (arch, (title, *_)) in zip(axes, style.COMPARED.items(), strict=True):
        for split, line in (("final", "-"), ("train", ":")):
            for fixed, color in colors.items():
                if _rows(summary, fixed, arch):
                    series = _series(summary, fixed, arch, split, _ln_mse)
                    _plot(axis, series, color=color, ls=line, lw=1.5)
            theirs = ORIGINAL[arch]["train" if split == "train" else "test"]
            axis.plot(ORIGINAL_IMAGES, theirs, "d", ls=line, color=style.PURPLE, ms=4, lw=1.5)
        black = [row["final"].get("zero_map_mse") for row in _rows(summary, "updates", arch)]
        if black and black[0]:
            axis.axhline(math.log(black[0]), color="black", ls="-.", lw=0.8)
        axis.set(title=title, ylabel="ln MSE")
        _log_images(axis)
    titles = titles_of(summary)
    keys = [Line2D([], [], color=color, label=titles[fixed]) for fixed, color in colors.items()]
    keys += [
        Line2D([], [], color=style.PURPLE, marker="d", label="original, epochs fixed"),
        Line2D([], [], color="black", label="test"),
        Line2D([], [], color="black", ls=":", label="training images"),
        Line2D([], [], color="black", ls="-.", lw=0.8, label="all-black map"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """Errors and right answers by size, and ln MSE as the original drew it."""
    if not summary["rows"]:
        return {}
    return {"": _draw_errors(summary, runs, results_dir), "_loss": _draw_losses(summary)}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A row for each of some sizes, after the shorter training: final weights."""
    heads = [arch for arch in style.HEADS if _rows(summary, "updates", arch)]
    values = {
        (arch, value): _series(summary, "updates", arch, "final", value)
        for arch in heads
        for value in (_mean_px, _right)
    }
    lines = [
        [f"{size:,}"]
        + [style.spread(values[arch, _mean_px].get(size, ()), 1) for arch in heads]
        + [style.spread(values[arch, _right].get(size, ()), 1) for arch in heads]
        for size in TABLE_SIZES
        if any(size in series for series in values.values())
    ]
    titles = [style.HEADS[arch].title for arch in heads]
    head = ["training images", *(f"{title}, mean px" for title in titles)]
    return markdown([*head, *(f"{title}, % right" for title in titles)], lines)


def long_table(summary: dict, runs: dict) -> list[list]:
    """A row for each run: final weights, best weights, and training images (best weights)."""
    head = ["run", "fixed", "head", "seed", "training images", "updates", "batch size"]
    splits = {"final": "final", "best": "test", "training images": "train"}
    head += [f"{name}, {metric}" for name in splits for metric in METRICS]
    rows, titles = [], titles_of(summary)
    for row in summary["rows"]:
        about = [row["run"], titles[row["fixed"]], row["arch"], row["seed"], row["num_train"]]
        about += [row["steps"], runs[row["run"]]["config"]["batch_size"]]
        rows.append(about + [v for s in splits.values() for v in metrics_columns(row[s])])
    return [head, *rows]


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """Crossings, sizes needed, differences between heads, and what the text says beside them.

    In keys, `px` is of the mean error and `right` of right answers; `short` and `long` are the
    two numbers of updates.
    """
    found, right_by_length = {}, {}
    for length, fixed in LENGTHS.items():
        heads = [arch for arch in style.HEADS if _rows(summary, fixed, arch)]
        curves = {
            (arch, name): answers(summary, runs, results_dir, fixed, arch, value)
            for arch in heads
            for name, value in (("px", errors), ("right", right))
        }
        for name in UNITS:
            for a, b in OVERTAKING:
                size = overtakes(curves[a, name], curves[b, name], name == "right")
                if size:
                    found[f"{a}_{b}_{name}_{length}"] = images(size, curves[a, name])
        for a, b, name, size in DIFFERENCES:
            if size not in curves[a, name]:
                continue
            difference = paired_difference(curves[b, name][size], curves[a, name][size])
            text = style.interval(difference, 1, UNITS[name], signs=True)
            found[f"{b}_minus_{a}_{size}_{name}_{length}"] = text
        for arch in heads:
            curve, right_by_length[arch, length] = curves[arch, "px"], curves[arch, "right"]
            for target in TARGETS_PX:
                found[f"{arch}_{target}px_{length}"] = images(reaches(curve, target), curve)
            for split, name in (("final", "final"), ("test", "best"), ("train", "train")):
                for size, values in _series(summary, fixed, arch, split, _mean_px).items():
                    found[f"{arch}_{size}_{name}_{length}"] = style.spread(values, 1, " px")
            for size, values in _series(summary, fixed, arch, "final", _right).items():
                found[f"{arch}_{size}_right_{length}"] = style.spread(values, 1, " %")
    for arch in style.COMPARED:
        for size, values in _series(summary, "epochs", arch, "final", _mean_px).items():
            found[f"{arch}_{size}_epochs"] = style.spread(values, 0, " px")
    first = summary["rows"][0]["run"]
    middle = middle_errors(Answered(runs[first], first, DOMAIN, results_dir).rectangles)
    of_middle = 100.0 * (middle <= PICK_RADIUS)
    for arch in style.HEADS:
        short, long = (right_by_length.get((arch, length), {}) for length in LENGTHS)
        if short:
            chance = paired_difference(short[min(short)], of_middle)
            found[f"{arch}_over_chance"] = style.interval(chance, 1, " points", signs=True)
        for size in {*LONGER} & short.keys() & long.keys():
            change = paired_difference(long[size], short[size])
            found[f"{arch}_{size}_longer"] = style.interval(change, 1, " points", signs=True)
    found["middle_px"] = f"{middle.mean():.1f} px"
    found["middle_right"] = f"{of_middle.mean():.1f} %"
    for fixed in ("updates", "epochs"):
        found[f"not_below_{fixed}"] = "; ".join(not_below(summary, fixed)) or "none"
    return found
