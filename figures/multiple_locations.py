"""All the rectangles, from heatmaps that were trained on some."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from figures import style

COLORS = {"3, largest": style.BLUE, "1": style.ORANGE, "2, both": style.GREEN}
PANELS = {
    "recall": "rectangles found, %",
    "precision": "points on a centre, %",
    "outside_rate": "points outside every rectangle, %",
    "count_error": "points too many (+) or too few (−)",
}


def _values(summary: dict, training: str, key: str) -> dict[int, list[float]]:
    found: dict[int, list[float]] = {}
    for row in summary["rows"]:
        if row["training"] == training and row[key] is not None:
            found.setdefault(row["tested"], []).append(row[key])
    return dict(sorted(found.items()))


def _draw_numbers(summary: dict) -> Figure:
    figure = style.new_figure(5.6)
    for axis, (key, label) in zip(figure.subplots(2, 2).flat, PANELS.items(), strict=True):
        scale = 1 if key == "count_error" else 100
        for training, color in COLORS.items():
            values = _values(summary, training, key)
            if values:
                means = [scale * np.mean(v) for v in values.values()]
                low, high = ([scale * f(v) for v in values.values()] for f in (min, max))
                name = f"trained on {training}"
                axis.plot(list(values), means, marker="o", color=color, label=name)
                axis.fill_between(list(values), low, high, color=color, alpha=0.15, linewidth=0)
        axis.set(xlabel="rectangles in the test pictures", ylabel=label)
        axis.set_xticks(summary["domains"])
        axis.set_xlim(min(summary["domains"]) - 0.2, max(summary["domains"]) + 0.2)
        if key != "count_error":
            axis.set_ylim(-2, 102)
        axis.grid(alpha=0.3)
        if key == "recall":
            axis.legend(fontsize=8)
    return figure


def _draw_pictures(summary: dict, runs: dict, results_dir: Path, training: str) -> Figure | None:
    """For one training, two scenes of each domain with the heatmap under each."""
    run = next(
        (runs[r["run"]] for r in summary["rows"]
         if r["training"] == training and runs[r["run"]]["pictures"]), None,
    )  # fmt: skip
    if run is None:
        return None
    domains = [d for d in summary["domains"] if str(d) in run["pictures"]]
    columns = 2 * len(domains)
    figure = style.new_figure(2 * style.WIDTH / columns + 0.5)
    axes = figure.subplots(2, columns, squeeze=False)
    for i, domain in enumerate(domains):
        pictures = run["pictures"][str(domain)]
        tiles = style.read_sheet(results_dir / "runs" / pictures["sheet"], len(pictures["points"]))
        for j in (0, 1):
            style.show(axes[0, 2 * i + j], tiles[0, j])
            style.show(axes[1, 2 * i + j], tiles[1, j])
        axes[0, 2 * i].set_title(f"{domain} rectangles", fontsize=9, loc="left")
    return figure


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """The counts against the domain, and for each training what its heatmaps look like."""
    if not summary["rows"]:
        return {}
    figures = {"": _draw_numbers(summary)}
    for training in COLORS:
        name = training.replace(", ", "_")
        figures[f"_trained_on_{name}"] = _draw_pictures(summary, runs, results_dir, training)
    return {suffix: figure for suffix, figure in figures.items() if figure is not None}


def table(summary: dict, runs: dict) -> str:
    """A line for each training and domain, the spread over seeds."""
    lines = []
    for training in COLORS:
        keys = ("recall", "precision", "count_error", "count_abs_error", "outside_rate")
        values = {key: _values(summary, training, key) for key in keys}
        for domain, recalls in values["recall"].items():
            rest = {key: values[key].get(domain, []) for key in keys}
            lines.append(
                [training, domain, len(recalls), style.percent(recalls),
                 style.percent(rest["precision"]), style.spread(rest["count_error"], 2),
                 style.spread(rest["count_abs_error"], 2), style.percent(rest["outside_rate"])]
            )  # fmt: skip
    head = ["trained on", "tested on", "seeds", "recall", "precision", "count error"]
    return style.markdown([*head, "its absolute value", "points outside"], lines)
