"""All the rectangles, from heatmaps that were trained on some."""

import itertools
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from figures import style
from rectloc_tf.results.drawing import new_figure

COLORS = {"3, largest": style.BLUE, "1": style.ORANGE, "2, both": style.GREEN}
THRESHOLD = 16  # of brightness: three times that of the ripples around a blob
MARKERS = "vosD^"  # of the thresholds
BRIEFLY = {
    "recall": "found",
    "agreement": "by every seed, of those by any",
    "outside_rate": "points outside",
}
PANELS = {
    "recall": "rectangles found, %",
    "precision": "points on a centre, %",
    "outside_rate": "points outside every rectangle, %",
    "count_error": "points too many (+) or too few (−)",
}


def _values(
    summary: dict, training: str, key: str, threshold: int = THRESHOLD
) -> dict[int, list[float]]:
    """Values of every seed, or the one of all seeds, by test domain."""
    found: dict[int, list[float]] = {}
    for row in (*summary["rows"], *summary["agreements"]):
        of_these = (row["training"], row["threshold"]) == (training, threshold)
        if of_these and row.get(key) is not None:
            found.setdefault(row["tested"], []).append(row[key])
    return dict(sorted(found.items()))


def _draw_numbers(summary: dict) -> Figure:
    figure = new_figure(style.WIDTH, 5.6)
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


def _thresholds(summary: dict) -> list[int]:
    return sorted({row["threshold"] for row in summary["rows"]})


def _draw_thresholds(summary: dict) -> Figure:
    """Recall against precision, a line a training: what another threshold would change."""
    domains = summary["domains"]
    markers = dict(zip(_thresholds(summary), MARKERS, strict=False))
    figure = new_figure(style.WIDTH, 2.9)
    axes = figure.subplots(1, len(domains), sharey=True, squeeze=False)[0]
    for axis, domain in zip(axes, domains, strict=True):
        for training, color in COLORS.items():
            points = []
            for threshold, marker in markers.items():
                recalls = _values(summary, training, "recall", threshold).get(domain)
                precisions = _values(summary, training, "precision", threshold).get(domain)
                if recalls and precisions:
                    points.append((100 * np.mean(recalls), 100 * np.mean(precisions)))
                    axis.plot(*points[-1], marker, color=color, ms=4)
            if points:
                axis.plot(*zip(*points, strict=True), "-", color=color, lw=0.8)
        axis.set(
            title=style.count(domain, "rectangle"),
            xlabel="found, %",
            xlim=(-5, 105),
            ylim=(-5, 105),
        )
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("points on a centre, %")
    handles = [
        axes[0].plot([], [], "-", color=color, label=f"trained on {training}")[0]
        for training, color in COLORS.items()
    ] + [
        axes[0].plot([], [], marker, color=style.GREY, ms=4, label=f"brightness ≥ {threshold}")[0]
        for threshold, marker in markers.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
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
    figure = new_figure(style.WIDTH, 2 * style.WIDTH / columns + 0.3)
    axes = figure.subplots(2, columns, squeeze=False)
    sheets = [
        style.read_sheet(results_dir / "runs" / pictures["sheet"], len(pictures["points"]))
        for pictures in (run["pictures"][str(d)] for d in domains)
    ]
    brightest = max(int(tiles[1, :2].max()) for tiles in sheets)  # one scale for all
    for i, (domain, tiles) in enumerate(zip(domains, sheets, strict=True)):
        for j in (0, 1):
            style.show(axes[0, 2 * i + j], tiles[0, j])
            style.show(axes[1, 2 * i + j], tiles[1, j], vmax=brightest)
        axes[0, 2 * i].set_title(style.count(domain, "rectangle"), fontsize=9, loc="left")
    return figure


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """The counts against the domain, and for each training what its heatmaps look like."""
    if not summary["rows"]:
        return {}
    figures = {"": _draw_numbers(summary), "_thresholds": _draw_thresholds(summary)}
    for training in COLORS:
        figure = _draw_pictures(summary, runs, results_dir, training)
        if figure is not None:
            figures[f"_trained_on_{training.replace(', ', '_')}"] = figure
    return figures


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """At THRESHOLD, what each training finds on each domain; and all there is, at any."""
    domains = summary["domains"]
    brief = []
    for training, (key, name) in itertools.product(COLORS, BRIEFLY.items()):
        values = _values(summary, training, key)
        if values:
            cells = [style.percent(values.get(d, []), 0) for d in domains]
            brief.append([training, name, *cells])
    head = [
        "trained on",
        f"at brightness ≥ {THRESHOLD}",
        *(style.count(d, "rectangle") for d in domains),
    ]
    return "\n\n".join([style.markdown(head, brief), _long_table(summary)])


def _long_table(summary: dict) -> str:
    """A line for each training, threshold and domain, the spread over seeds."""
    lines = []
    keys = ("recall", "precision", "count_error", "count_abs_error", "outside_rate")
    for training, threshold in itertools.product(COLORS, _thresholds(summary)):
        values = {key: _values(summary, training, key, threshold) for key in keys}
        for domain, recalls in values["recall"].items():
            rest = {key: values[key].get(domain, []) for key in keys}
            lines.append(
                [training, threshold, domain, len(recalls), style.percent(recalls),
                 style.percent(rest["precision"]), style.spread(rest["count_error"], 2),
                 style.spread(rest["count_abs_error"], 2), style.percent(rest["outside_rate"])]
            )  # fmt: skip
    head = ["trained on", "brightness ≥", "tested on", "seeds", "found", "points on a centre"]
    more = ["count error", "its absolute value", "points outside"]
    return style.markdown([*head, *more], lines)
