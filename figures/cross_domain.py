"""Trained on one number of rectangles, tested on others."""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from figures import style
from rectloc_tf.results.drawing import new_figure

# ln MSE of networks trained on three rectangles and tested on 1 to 5, read off the original's
# plot, less ln 500: its figures look like a sum over 500 batches (an inference).
ORIGINAL = {
    "xy": [v - math.log(500) for v in (12.10, 11.60, 11.52, 11.94, 12.13)],
    "deconv": [v - math.log(500) for v in (11.4930, 11.4934, 11.4925, 11.4952, 11.4969)],
}
TRAINED, TESTED = 3, "4"


def _cells(summary: dict, arch: str, in_matrix: bool = True) -> dict[tuple[int, int], list[dict]]:
    """Test metrics of every seed by (trained, tested); of the matrix, or of the longer runs."""
    cells: dict[tuple[int, int], list[dict]] = {}
    for row in summary["rows"]:
        if (row["arch"], row["in_matrix"]) == (arch, in_matrix):
            cells.setdefault((row["trained"], row["tested"]), []).append(row["test"])
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


def _draw_matrices(summary: dict) -> Figure:
    domains = summary["domains"]
    figure = new_figure(style.WIDTH, 4.3)
    axes = figure.subplots(1, 2)
    for axis, arch in zip(axes, style.COMPARED, strict=True):
        right = 100 * _matrix(summary, arch, lambda t: t["right_rate"])
        error = _matrix(summary, arch, lambda t: t["center_error_px"]["median"])
        image = axis.imshow(right, cmap="viridis", vmin=0, vmax=100)
        for (i, j), share in np.ndenumerate(right):
            if np.isfinite(share):
                color = "black" if share > 60 else "white"
                axis.text(j, i, f"{share:.0f} %\n{error[i, j]:.1f} px", ha="center",
                          va="center", fontsize=8, color=color)  # fmt: skip
        axis.set_title(style.HEADS[arch].title)
        axis.set_xticks(range(len(domains)), domains)
        axis.set_yticks(range(len(domains)), domains)
        axis.set(xlabel="rectangles in the test pictures", ylabel="rectangles trained on")
    figure.colorbar(image, ax=axes, label="right, % of 1,000 test pictures", shrink=0.85)
    return figure


def _epochs(summary: dict, arch: str, in_matrix: bool) -> str:
    """Epochs of the matrix' runs or of the longer ones: a number, as they are all alike."""
    rows = (row for row in summary["rows"] if (row["arch"], row["in_matrix"]) == (arch, in_matrix))
    return ", ".join(map(str, sorted({row["epochs"] for row in rows})))


def _draw_ln_mse(summary: dict) -> Figure:
    figure = new_figure(style.WIDTH, 3.4)
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
        axis.set(title=name, xlabel="rectangles in the test pictures", ylabel="ln MSE")
        axis.set_xticks(summary["domains"])
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return figure


def _draw_failures(summary: dict, runs: dict, results_dir: Path) -> Figure | None:
    failures = {}
    for row in summary["rows"]:  # the matrix' own come first
        found = runs[row["run"]].get("failures", {}).get(TESTED)
        if row["trained"] == TRAINED and found:
            failures.setdefault(row["arch"], found)
    if len(failures) < len(style.COMPARED):
        return None
    return style.side_by_side(failures, results_dir)


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """The matrices, ln MSE against the original's, and where networks of 3 fail on 4."""
    figures = {
        "": _draw_matrices(summary),
        "_ln_mse": _draw_ln_mse(summary),
        "_3on4": _draw_failures(summary, runs, results_dir),
    }
    return {suffix: figure for suffix, figure in figures.items() if figure is not None}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line for each head and pair of domains."""
    lines = []
    for arch, (name, *_) in style.COMPARED.items():
        for in_matrix in (True, False):
            for (trained, tested), tests in sorted(_cells(summary, arch, in_matrix).items()):
                errors = [test["center_error_px"] for test in tests]
                epochs = _epochs(summary, arch, in_matrix)
                lines.append(
                    [name, trained, tested, epochs, len(tests),
                     style.spread((e["median"] for e in errors), 1),
                     style.spread((e["mean"] for e in errors), 1), *style.rates(tests),
                     style.spread((t["ln_mse"] for t in tests), 2),
                     style.spread((t["r2"] for t in tests), 2)]
                )  # fmt: skip
    head = ["head", "trained on", "tested on", "epochs", "seeds", "median px", "mean px", "right"]
    return style.markdown([*head, "wrong", "nowhere", "ln MSE", "R²"], lines)
