"""One label or two: paired by seed and by test image."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from figures import style
from figures.answered import Answered, stacked
from figures.maps import discs, find_peaks, show_places
from figures.resampled import mean_intervals
from rectloc_tf.config import RunConfig
from rectloc_tf.experiments.more_labels import LABELS, TESTED, TRAINED
from rectloc_tf.geometry import centers
from rectloc_tf.results.drawing import new_figure
from rectloc_tf.results.intervals import Interval
from rectloc_tf.results.markdown import markdown

TESTS = {TESTED: "one rectangle", TRAINED: "two"}
FINAL = {TESTED: "final", TRAINED: "own_final"}  # metrics in rows
BRIGHTEST = 255.0
FAINT, MIN_DISTANCE = 64, 21.0  # of the answer that is shown
APART = 28  # working px between the centres of what is shown
# FinalExp3 of the original, tested on one rectangle, as it stands on an axis that says "ln MSE";
# and its number of test batches, by which such sums are divided (an inference).
HEATMAPS = ("deconv",)
ORIGINAL, BATCHES = {"one": 98_000, "both": 35_000}, 500
# An all-black map's MSE there: against a disc of brightness 255, read off, and of 150.
BLACK = {"one": 202.0, "both": 202.0 * (150 / 255) ** 2}
METRICS: dict[str, tuple[float, Callable[[Answered], np.ndarray]]] = {
    "px": (1, lambda answers: answers.errors),
    "points": (100, lambda answers: answers.right),
}


class Pairs(NamedTuple):
    """Runs of one head and length, with one label and with both, seed by seed.

    Attributes:
        arch, epochs: what they have in common.
        one, both: rows in the order of seeds, which are the same.
    """

    arch: str
    epochs: int
    one: list[dict]
    both: list[dict]

    @property
    def key(self) -> str:
        """In names of numbers."""
        return f"{self.arch}_{self.epochs}"


def pairs(summary: dict) -> list[Pairs]:
    """Heads in order, shorter runs first; only seeds that have both."""
    found: dict[tuple[str, int], dict[int, dict[str, dict]]] = {}
    for row in summary["rows"]:
        by_seed = found.setdefault((row["arch"], row["epochs"]), {})
        by_seed.setdefault(row["seed"], {})[row["labelled"]] = row
    made = []
    order = list(style.COMPARED)
    for (arch, epochs), by_seed in sorted(
        found.items(), key=lambda item: (order.index(item[0][0]), item[0][1])
    ):
        whole = [rows for _, rows in sorted(by_seed.items()) if rows.keys() == LABELS.keys()]
        if whole:
            made.append(Pairs(arch, epochs, *([rows[k] for rows in whole] for k in LABELS)))
    return made


class Difference(NamedTuple):
    """Both labels less one, of a metric: of each seed, and of all with its interval."""

    seeds: list[float]
    interval: Interval


def differences(
    summary: dict, runs: dict, results_dir: Path
) -> dict[tuple[str, int, str], Difference]:
    """By pair, test domain and metric; final weights."""
    values = {}
    for pair in pairs(summary):
        for domain in TESTS:
            one, both = (
                [Answered(runs[row["run"]], row["run"], domain, results_dir) for row in rows]
                for rows in (pair.one, pair.both)
            )
            for name, (scale, value) in METRICS.items():
                each = scale * (stacked(both, value) - stacked(one, value))
                values[pair.key, domain, name] = each
    found = {}
    # Those of as many seeds are drawn together.
    for shape in dict.fromkeys(each.shape for each in values.values()):
        alike = {key: each for key, each in values.items() if each.shape == shape}
        for (key, each), interval in zip(
            alike.items(), mean_intervals(list(alike.values())), strict=True
        ):
            found[key] = Difference(each.mean(axis=1).tolist(), interval)
    return {key: found[key] for key in values}


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """The differences, the original's beside ours in ln MSE, and the targets."""
    found = pairs(summary)
    if not found:
        return {}
    figures = {"": _draw_differences(found, differences(summary, runs, results_dir))}
    figures["_ln_mse"] = _draw_ln_mse(found)
    targets = _draw_targets(summary, runs, results_dir)
    return figures | ({"_targets": targets} if targets else {})


def _draw_differences(found: list[Pairs], differing: dict) -> Figure:
    figure = new_figure(style.WIDTH, 0.42 * len(found) * len(TESTS) + 1.1)
    axes = figure.subplots(1, 2, sharey=True)
    lines = [(pair, domain) for domain in TESTS for pair in found]
    titles = {"px": "Mean error, px of 224", "points": "Right answers, percentage points"}
    for axis, (metric, title) in zip(axes, titles.items(), strict=True):
        for place, (pair, domain) in enumerate(lines):
            _, color, marker = style.HEADS[pair.arch]
            seeds, interval = differing[pair.key, domain, metric]
            ends = [[interval.value - interval.low], [interval.high - interval.value]]
            axis.errorbar(
                [interval.value], [place], xerr=np.maximum(ends, 0), color=color, marker=marker,
                ms=7, capsize=4, lw=1.6,
            )  # fmt: skip
            axis.plot(seeds, [place + 0.25] * len(seeds), "|", color=color, ms=7, alpha=0.8)
        axis.axvline(0, color=style.GREY, lw=0.8)
        axis.axhline(len(found) - 0.5, color=style.GREY, lw=0.5)
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3, axis="x")
        better = "better" if metric == "points" else "worse"
        axis.set_xlabel(f"both − one label; right of 0 both is {better}", fontsize=9)
    names = [
        f"tested on {TESTS[domain]}: {pair.arch}, {pair.epochs} epochs" for pair, domain in lines
    ]
    axes[0].set_yticks(range(len(lines)), names, fontsize=9)
    axes[0].set_ylim(len(lines) - 0.4, -0.6)
    return figure


def _draw_ln_mse(found: list[Pairs]) -> Figure:
    """The original's values and ours, each with what an all-black map scores."""
    heatmaps = [pair for pair in found if pair.arch in HEATMAPS]
    figure = new_figure(style.WIDTH, 3.6)
    axes = figure.subplots(1, 1 + len(heatmaps), sharey=True, squeeze=False)[0]
    places = dict(zip(LABELS, (0, 1), strict=True))
    for labels, place in places.items():
        value = math.log(ORIGINAL[labels] / BATCHES)
        axes[0].plot(place, value, "D", color=style.ORANGE, ms=7)
        axes[0].annotate(
            f"{ORIGINAL[labels]:,}\non its axis", (place, value), xytext=(0, -12),
            textcoords="offset points", ha="center", va="top", fontsize=9,
        )  # fmt: skip
        _black_line(axes[0], place, math.log(BLACK[labels]))
    axes[0].set_title(f"The original, less ln {BATCHES}", fontsize=10)
    for axis, pair in zip(axes[1:], heatmaps, strict=True):
        for labels, place in places.items():
            tests = [row["final"] for row in getattr(pair, labels)]
            axis.plot(
                place + np.linspace(-0.06, 0.06, len(tests)), [test["ln_mse"] for test in tests],
                "o", color=style.BLUE, ms=6, mfc="none",
            )  # fmt: skip
            _black_line(axis, place, math.log(np.mean([test["zero_map_mse"] for test in tests])))
        axis.set_title(f"Ours, {pair.epochs} epochs", fontsize=10)
    for axis in axes:
        axis.set_xticks(list(places.values()), ["the larger labelled", "both labelled"])
        axis.set(xlim=(-0.5, 1.5))
        axis.grid(alpha=0.3, axis="y")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low - 0.3, high + 0.15)
    axes[0].set_ylabel("ln MSE, tested on one rectangle")
    axes[0].annotate(
        "all-black map", (places["both"] - 0.28, math.log(BLACK["both"])), xytext=(-4, 0),
        textcoords="offset points", ha="right", va="center", fontsize=9, color=style.GREY,
    )  # fmt: skip
    return figure


def _black_line(axis, place: float, value: float) -> None:
    axis.plot([place - 0.28, place + 0.28], [value, value], "--", color=style.GREY, lw=1.6)


def _draw_targets(summary: dict, runs: dict, results_dir: Path) -> Figure | None:
    """Two scenes of two, both targets, and what a heatmap with both labels answers."""
    run = next(
        (
            runs[row["run"]]
            for row in summary["rows"]
            if (row["arch"], row["labelled"]) == ("deconv", "both")
            and str(TRAINED) in runs[row["run"]]["pictures"]
        ),
        None,
    )
    if run is None:
        return None
    config, kept = RunConfig.from_json(run["config"]), run["pictures"][str(TRAINED)]
    tiles = style.read_sheet(results_dir / "runs" / kept["sheet"], len(kept["points"]))
    figure = new_figure(style.WIDTH, 2 * style.WIDTH / 4 + 0.3)
    axes = figure.subplots(2, 4)
    for row, scene in enumerate(_apart(np.array(kept["rectangles"], np.float64))[:2]):
        boxes = np.array(kept["rectangles"][scene], np.float64)
        places = centers(boxes)
        style.show(axes[row, 0], tiles[0, scene])
        for column, number in ((1, 1), (2, 2)):
            values = target_values(number)
            target = discs(places[:number], config.image_size, config.radius, values)
            style.show(axes[row, column], target)
            for place, value in zip(places, values, strict=False):
                axes[row, column].annotate(
                    f"{value:g}", place, xytext=(0, 10), textcoords="offset points",
                    color="white", fontsize=9, ha="center" if place[0] > 20 else "left",
                )  # fmt: skip
        peaks = find_peaks(tiles[1, scene], 16, MIN_DISTANCE)
        show_places(axes[row, 3], tiles[1, scene], boxes, peaks, FAINT)
    titles = ["scene", "target, the larger labelled", "target, both labelled"]
    titles.append(f"answer after {run['epochs']} epochs")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    return figure


def _apart(rectangles: np.ndarray) -> list[int]:
    """Scenes whose two centres are a quarter of the image apart at least, in order; or all."""
    places = centers(rectangles)
    distances = np.linalg.norm(places[:, 0] - places[:, 1], axis=-1)
    return sorted(range(len(places)), key=lambda i: (distances[i] < APART, i))


def target_values(number: int) -> list[float]:
    """Brightness of `number` ranked discs, first to last, by the rule of `heads.deconv`."""
    return [BRIGHTEST * (number - rank) / number for rank in range(number)]


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line a head, length and test: mean errors over seeds, and the paired differences."""
    differing, lines = differences(summary, runs, results_dir), []
    for domain, words in TESTS.items():
        for pair in pairs(summary):
            cells = [
                style.spread([row[FINAL[domain]]["center_error_px"]["mean"] for row in rows], 1)
                for rows in (pair.one, pair.both)
            ]
            found = [differing[pair.key, domain, name].interval for name in METRICS]
            cells += [style.interval(each, 1, signs=True) for each in found]
            lines.append(
                [words, style.HEADS[pair.arch].title, pair.epochs, len(pair.one), *cells]
            )  # fmt: skip
    head = ["tested on", "head", "epochs", "seeds", "mean px, the larger labelled"]
    head += ["both labelled", "difference, px", "difference in right answers, points"]
    return markdown(head, lines)


def long_table(summary: dict, runs: dict) -> list[list]:
    """A row for each run and test domain; final weights."""
    about = ["run", "arch", "labelled", "seed", "epochs"]
    rates = ["right_rate", "wrong_rate", "nowhere_rate"]
    scores = ["mse", "ln_mse", "zero_map_mse"]
    rows: list[list] = [[*about, "tested", "median_px", "mean_px", *rates, *scores]]
    for row in summary["rows"]:
        for domain, key in FINAL.items():
            test = row[key]
            errors = [test["center_error_px"][name] for name in ("median", "mean")]
            more = [test.get(name) for name in (*rates, *scores)]
            rows.append([*(row[name] for name in about), domain, *errors, *more])
    return rows


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """The differences, and what they are differences of."""
    made = {}
    for (key, domain, metric), (_, found) in differences(summary, runs, results_dir).items():
        unit = " px" if metric == "px" else " points"
        made[f"{key}_on_{domain}_{metric}"] = style.interval(found, 1, unit, signs=True)
    for pair in pairs(summary):
        for domain, key in FINAL.items():
            for labels in LABELS:
                tests = [row[key] for row in getattr(pair, labels)]
                name = f"{pair.key}_{labels}_on_{domain}"
                made[f"{name}_right"] = f"{100 * np.mean([t['right_rate'] for t in tests]):.1f} %"
                mean, median = (
                    np.mean([t["center_error_px"][k] for t in tests]) for k in ("mean", "median")
                )
                made[f"{name}_mean"], made[f"{name}_median"] = f"{mean:.1f} px", f"{median:.1f} px"
                made[f"{name}_mse"] = style.spread([t["mse"] for t in tests], 0)
    return made
