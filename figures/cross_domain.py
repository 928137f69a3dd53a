"""Trained on one number of rectangles, tested on others."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from figures import style
from figures.answered import Answered, stacked
from figures.long_tables import METRICS, metrics_columns
from rectloc_tf.results.choice import area_ratios
from rectloc_tf.results.drawing import new_figure
from rectloc_tf.results.intervals import Interval, paired_difference
from rectloc_tf.results.markdown import markdown

# ln MSE of networks trained on three rectangles and tested on 1 to 5, read off the original's
# plot, less ln 500: its figures look like a sum over 500 batches (an inference).
ORIGINAL = {
    "xy": [v - math.log(500) for v in (12.10, 11.60, 11.52, 11.94, 12.13)],
    "deconv": [v - math.log(500) for v in (11.4930, 11.4934, 11.4925, 11.4952, 11.4969)],
}
TRAINED, TESTED = 3, 4  # of the failures that are pictured
ALIKE = 0.9  # area of the runner-up over the largest's, from which on they count as about alike

Cell = tuple[str, int, int]  # head, rectangles trained on, rectangles tested on


class Answers:
    """Final weights' answers of the matrix' runs, or of the longer ones; units px and per cent."""

    def __init__(self, summary: dict, runs: dict, results_dir: Path, in_matrix: bool = True):
        self._found: dict[Cell, list[Answered]] = {}
        for row in summary["rows"]:
            if row["in_matrix"] == in_matrix:
                cell = row["arch"], row["trained"], row["tested"]
                answered = Answered(runs[row["run"]], row["run"], row["tested"], results_dir)
                self._found.setdefault(cell, []).append(answered)

    def __contains__(self, cell: Cell) -> bool:
        return cell in self._found

    def values(self, cell: Cell, name: str) -> np.ndarray:
        """Errors ("px") or right answers ("right", 0 or 100): [S, N]."""
        if name == "px":
            return stacked(self._found[cell], lambda answered: answered.errors)
        return stacked(self._found[cell], lambda answered: 100 * answered.right)

    def rectangles(self, cell: Cell) -> np.ndarray:
        """The scenes of a cell: [N, n, 4]."""
        return self._found[cell][0].rectangles

    def difference(self, a: Cell, b: Cell, name: str = "right") -> Interval:
        """Of a from b, on the scenes of the same index."""
        return paired_difference(self.values(a, name), self.values(b, name))

    def gap(self, trained: int, tested: int, name: str = "right") -> Interval:
        """Of the heatmap from coordinates."""
        return self.difference(("deconv", trained, tested), ("xy", trained, tested), name)


def alike(rectangles: np.ndarray) -> int:
    """In how many scenes the runner-up's area is at least `ALIKE` of the largest's.

    Args:
        rectangles: [N, n, 4], largest first.
    """
    return int(np.sum(area_ratios(np.asarray(rectangles)) >= ALIKE))


def _cells(summary: dict, arch: str, in_matrix: bool = True) -> dict[tuple[int, int], list[dict]]:
    """Metrics of final weights by (trained, tested), a seed each; of the matrix or not."""
    cells: dict[tuple[int, int], list[dict]] = {}
    for row in summary["rows"]:
        if (row["arch"], row["in_matrix"]) == (arch, in_matrix):
            cells.setdefault((row["trained"], row["tested"]), []).append(row["final"])
    return cells


def _matrix(summary: dict, arch: str, value) -> np.ndarray:
    domains, cells = summary["domains"], _cells(summary, arch)
    return np.array(
        [
            [np.mean([value(t) for t in cells[a, b]]) if (a, b) in cells else np.nan
             for b in domains]
            for a in domains
        ]
    )  # fmt: skip


def _draw_matrices(summary: dict, answers: Answers) -> Figure:
    domains = summary["domains"]
    figure = new_figure(style.WIDTH, 6.2)
    axes = figure.subplot_mosaic([["xy", "gap"], ["deconv", "gap"]], width_ratios=[1, 1.9])
    for arch in style.COMPARED:
        right = 100 * _matrix(summary, arch, lambda t: t["right_rate"])
        axes[arch].imshow(right, cmap="viridis", vmin=0, vmax=100, aspect="auto")
        for (i, j), share in np.ndenumerate(right):
            if np.isfinite(share):
                color = "black" if share > 60 else "white"
                look = {"ha": "center", "va": "center", "fontsize": 9, "color": color}
                axes[arch].text(j, i, f"{share:.1f}", **look)
        axes[arch].set_title(f"{style.HEADS[arch].title}: right, %", fontsize=11)
    gaps = {
        (i, j): answers.gap(a, b)
        for i, a in enumerate(domains)
        for j, b in enumerate(domains)
        if all((arch, a, b) in answers for arch in style.COMPARED)
    }
    values = np.full((len(domains), len(domains)), np.nan)
    for place, found in gaps.items():
        values[place] = found.value
    axes["gap"].imshow(values, cmap="PuOr", vmin=-60, vmax=60, aspect="auto")
    for (i, j), found in gaps.items():
        color = "white" if abs(found.value) > 30 else "black"
        value, low, high = (style.signed(v, 1) for v in (found.value, found.low, found.high))
        for text, y, va, size in (
            (value, i, "bottom", 12),
            (f"{low} to {high}", i + 0.05, "top", 8),
        ):
            axes["gap"].text(j, y, text, ha="center", va=va, fontsize=size, color=color)
    axes["gap"].set_title("heatmap minus coordinates, points of right answers", fontsize=11)
    for axis in axes.values():
        for i in range(len(domains)):
            frame = Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, ec="black", lw=2, zorder=3)
            axis.add_patch(frame)
        axis.set_xticks(range(len(domains)), domains)
        axis.set_yticks(range(len(domains)), domains)
        axis.set(xlabel="rectangles in the test images", ylabel="rectangles trained on")
    return figure


def _epochs(summary: dict, arch: str, in_matrix: bool) -> str:
    """Epochs of the matrix' runs or of the longer ones: a number, as they are all alike."""
    rows = (row for row in summary["rows"] if (row["arch"], row["in_matrix"]) == (arch, in_matrix))
    return ", ".join(map(str, sorted({row["epochs"] for row in rows})))


def _draw_ln_mse(summary: dict) -> Figure:
    figure = new_figure(style.WIDTH, 4.1)
    axes = figure.subplots(1, 2)
    for axis, (arch, (name, color, marker)) in zip(axes, style.COMPARED.items(), strict=True):
        for in_matrix, line in ((True, "-"), (False, ":")):
            cells = _cells(summary, arch, in_matrix)
            tested = [d for d in summary["domains"] if (TRAINED, d) in cells]
            if not tested:
                continue
            values = [[t["ln_mse"] for t in cells[TRAINED, d]] for d in tested]
            means = [np.mean(v) for v in values]
            errors = [[m - min(v) for m, v in zip(means, values, strict=True)],
                      [max(v) - m for m, v in zip(means, values, strict=True)]]  # fmt: skip
            label = f"ours, {_epochs(summary, arch, in_matrix)} epochs"
            axis.errorbar(tested, means, errors, ls=line, color=color, marker=marker, label=label,
                          capsize=3)  # fmt: skip
        axis.plot(range(1, 6), ORIGINAL[arch], "--", color=style.GREY, marker="d",
                  label="original, less ln 500")  # fmt: skip
        black = {
            tested: np.mean([math.log(test["zero_map_mse"]) for test in tests])
            for (_, tested), tests in sorted(_cells(summary, arch).items())
            if all("zero_map_mse" in test for test in tests)
        }
        if black:
            axis.plot(list(black), list(black.values()), "-.", color="black",
                      label="all-black map")  # fmt: skip
        axis.set(title=name, xlabel="rectangles in the test images", ylabel="ln MSE")
        axis.set_xticks(summary["domains"])
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8, frameon=False, ncols=2, loc="upper center",
                    bbox_to_anchor=(0.5, -0.17))  # fmt: skip
    return figure


def _failures(summary: dict, runs: dict) -> dict[str, dict]:
    """By head, the pictured failures of the first of its runs that has them: the matrix' own."""
    failures = {}
    for row in summary["rows"]:
        found = runs[row["run"]].get("failures", {}).get(str(TESTED))
        if row["trained"] == TRAINED and found:
            failures.setdefault(row["arch"], found)
    return failures


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """The matrices, ln MSE against the original's, and where networks of 3 fail on 4."""
    if not summary["rows"]:
        return {}
    answers = Answers(summary, runs, results_dir)
    figures = {"": _draw_matrices(summary, answers), "_ln_mse": _draw_ln_mse(summary)}
    failures = _failures(summary, runs)
    if len(failures) == len(style.COMPARED):
        figures["_3on4"] = style.side_by_side(failures, results_dir)
    return figures


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A row for each number tested on, of networks trained on three; final weights."""
    answers = Answers(summary, runs, results_dir)
    lines = []
    for tested in summary["domains"]:
        cells = {arch: (arch, TRAINED, tested) for arch in style.COMPARED}
        if not all(cell in answers for cell in cells.values()):
            continue
        line = [str(tested)]
        for arch in style.COMPARED:
            line.append(
                style.percent(t["right_rate"] for t in _cells(summary, arch)[cells[arch][1:]])
            )
        line.append(style.interval(answers.gap(TRAINED, tested), 1, signs=True))
        for arch, cell in cells.items():
            own = arch, tested, tested
            same = tested == TRAINED or own not in answers
            found = None if same else answers.difference(cell, own)
            line.append("–" if found is None else style.interval(found, 1, signs=True))
        lines.append(line)
    names = [head.title for head in style.COMPARED.values()]
    head = ["tested on", *(f"{name}, right" for name in names), "heatmap − coordinates, points"]
    head += [f"{name}, difference from training on that number, points" for name in names]
    return markdown(head, lines)


def long_table(summary: dict, runs: dict) -> list[list]:
    """A row for each run and number tested on: final weights, and best weights."""
    head = ["run", "head", "seed", "trained on", "tested on", "epochs"]
    head += [f"{name}, {metric}" for name in ("final", "best") for metric in METRICS]
    rows = [
        [*(row[name] for name in ("run", "arch", "seed", "trained", "tested", "epochs")),
         *metrics_columns(row["final"]), *metrics_columns(row["test"])]
        for row in summary["rows"]
    ]  # fmt: skip
    return [head, *rows]


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """Shares, differences with intervals, squared errors and counts of failures."""
    found = {}
    answers = Answers(summary, runs, results_dir)
    for arch in style.COMPARED:
        for (trained, tested), tests in _cells(summary, arch).items():
            for name in ("right", "wrong", "nowhere"):
                share = style.percent(test[f"{name}_rate"] for test in tests)
                found[f"{arch}_{trained}_{tested}_{name}"] = share
        for tested in (1, 3, 5):
            error = np.mean([test["mse"] for test in _cells(summary, arch)[TRAINED, tested]])
            found[f"{arch}_{tested}_mse"] = f"{error:.0f}"
            found[f"{arch}_{tested}_mse_original"] = f"{math.exp(ORIGINAL[arch][tested - 1]):.0f}"
        fewer = answers.difference((arch, TRAINED, TRAINED - 1), (arch, TRAINED, TRAINED))
        found[f"{arch}_fewer"] = style.interval(fewer, 1, " points", signs=True)
    found |= dict(_gaps(summary, answers))
    longer = Answers(summary, runs, results_dir, in_matrix=False)
    for tested in summary["domains"]:
        gap = style.interval(longer.gap(TRAINED, tested), 1, " points", signs=True)
        found[f"gap_{TRAINED}_{tested}_longer"] = gap
    scenes = answers.rectangles((next(iter(style.COMPARED)), TRAINED, TESTED))
    found["alike_share"] = f"{100 * alike(scenes) / len(scenes):.0f} %"
    for arch, failures in _failures(summary, runs).items():
        found[f"{arch}_alike"] = str(alike(failures["rectangles"]))
        found["failures"] = str(len(failures["rectangles"]))
        found["searched"] = str(failures["searched"])
    return found


def _gaps(summary: dict, answers: Answers) -> Iterator[tuple[str, str]]:
    """The matrix of heatmap minus coordinates, and how often each head is clearly ahead."""
    gaps = {(a, b): answers.gap(a, b) for a in summary["domains"] for b in summary["domains"]}
    for (trained, tested), gap in gaps.items():
        yield f"gap_{trained}_{tested}", style.interval(gap, 1, " points", signs=True)
    yield "cells", str(len(gaps))
    yield "deconv_ahead", str(sum(gap.low > 0 for gap in gaps.values()))
    yield "xy_ahead", str(sum(gap.high < 0 for gap in gaps.values()))
    # By the mean error, only where coordinates look better: few cells, each an interval.
    doubtful = [
        answers.gap(a, b, "px")
        for a, b in gaps
        if answers.values(("xy", a, b), "px").mean() < answers.values(("deconv", a, b), "px").mean()
    ]
    yield "xy_smaller_error", str(len(doubtful))
    yield "xy_ahead_by_error", str(sum(gap.low > 0 for gap in doubtful))
