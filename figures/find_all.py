"""Every rectangle, found by heads that are trained on points of one class."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from figures import style
from rectloc_tf.results.drawing import new_figure, show_scene

RADII = {"f1": "within 16 px", "f1_5px": "within 5 px"}


def _values(summary: dict, arch: str, key: str) -> dict[int, list[float]]:
    """Values of every seed by test domain."""
    found: dict[int, list[float]] = {}
    for row in summary["rows"]:
        if row["arch"] == arch:
            found.setdefault(row["tested"], []).append(row[key])
    return dict(sorted(found.items()))


def _heads(summary: dict) -> list[str]:
    return list(dict.fromkeys(row["arch"] for row in summary["rows"]))


def _draw_scores(summary: dict) -> Figure:
    figure = new_figure(style.WIDTH, 3.4)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (key, words) in zip(axes, RADII.items(), strict=True):
        for arch in _heads(summary):
            name, color, marker = style.HEADS[arch]
            values = _values(summary, arch, key)
            low, high = ([f(v) for v in values.values()] for f in (min, max))
            means = [np.mean(v) for v in values.values()]
            axis.plot(list(values), means, marker=marker, color=color, label=name)
            axis.fill_between(list(values), low, high, color=color, alpha=0.15, linewidth=0)
        axis.set(title=words, xlabel="rectangles in the test pictures", ylim=(0, 1.02))
        axis.set_xticks(summary["domains"])
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("F1")
    axes[0].legend(fontsize=8, loc="lower left")
    return figure


def _draw_pictures(summary: dict, runs: dict, results_dir: Path) -> Figure | None:
    """For each head, two scenes of some domains with all that is detected, and the maps."""
    chosen = {}
    for row in summary["rows"]:
        if runs[row["run"]]["pictures"]:
            chosen.setdefault(row["arch"], runs[row["run"]]["pictures"])
    if not chosen:
        return None
    domains = [d for d in summary["domains"] if all(str(d) in p for p in chosen.values())]
    figure = new_figure(style.WIDTH, 2 * len(chosen) * style.WIDTH / (2 * len(domains)) + 0.3)
    axes = figure.subplots(2 * len(chosen), 2 * len(domains), squeeze=False)
    for i, (arch, pictures) in enumerate(chosen.items()):
        for j, domain in enumerate(domains):
            kept = pictures[str(domain)]
            tiles = style.read_sheet(results_dir / "runs" / kept["sheet"], len(kept["points"]))
            for k in (0, 1):
                above, below = axes[2 * i : 2 * i + 2, 2 * j + k]
                show_scene(above, tiles[0, k], kept["detections"][k])
                show_scene(below, tiles[1, k])
            if not i:
                axes[0, 2 * j].set_title(style.count(domain, "rectangle"), fontsize=9, loc="left")
        style.label_row(axes[2 * i, 0], style.HEADS[arch][0])
    return figure


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """F1 against the number of rectangles, and what is detected in some scenes."""
    if not summary["rows"]:
        return {}
    figures = {"": _draw_scores(summary), "_scenes": _draw_pictures(summary, runs, results_dir)}
    return {suffix: figure for suffix, figure in figures.items() if figure is not None}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line for each head and domain, the spread over seeds."""
    lines = []
    for arch in _heads(summary):
        of_head = {key: _values(summary, arch, key) for key in ("precision", "recall", *RADII)}
        errors, thresholds = (_values(summary, arch, k) for k in ("count_error", "threshold"))
        for tested, shares in of_head["f1"].items():
            cells = [style.spread(of_head[key][tested], 3) for key in of_head]
            more = style.spread(errors[tested], 2), style.spread(thresholds[tested], 0)
            lines.append([style.HEADS[arch][0], 3, tested, len(shares), *cells, *more])
    head = ["head", "trained on", "tested on", "seeds", "precision", "recall", "F1 at 16 px"]
    return style.markdown([*head, "F1 at 5 px", "count error", "threshold, of 255"], lines)
