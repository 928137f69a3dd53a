"""Every rectangle, found by heads that are trained on points of one class."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from figures import style
from figures.maps import Peak, add_places_legend, find_peaks, show_places
from rectloc_tf.experiments.find_all import HEADS, MOST
from rectloc_tf.results.data_files import read_json
from rectloc_tf.results.drawing import new_figure
from rectloc_tf.results.markdown import markdown

RADII = {"f1": "F1 within 16 px", "f1_5px": "F1 within 5 px"}
# What score_map was to reach, set before the runs were made: by metric and rectangles tested on.
TARGETS = {"f1": {3: 0.98, 5: 0.96}, "f1_5px": {3: 0.95, 5: 0.90}}
TARGETED = "score_map, sharper"
NEIGHBOURS = style.BENCHMARK.with_name("neighbours.json")  # by benchmarks/neighbours.py
OFFSETS = ("score_map",)  # heads whose offsets move detections off the cells' centres
MIN_DISTANCE = 10.0  # px of 224 between two detections of one class
NEAR = 4  # working px around a detection in which its score is read off
WHITE = {"deconv": 64.0, "score_map": 255.0}  # brightness that is shown white


def _values(summary: dict, who: str, key: str, trained: int = MOST) -> dict[int, list[float]]:
    """Values of every seed by test domain, of networks trained on a number of rectangles."""
    found: dict[int, list[float]] = {}
    for row in summary["rows"]:
        if (row["who"], row["trained"]) == (who, trained):
            found.setdefault(row["tested"], []).append(row[key])
    return dict(sorted(found.items()))


def _kinds(summary: dict) -> dict[str, tuple[style.Head, str]]:
    """How each kind of run is shown, its name in the title: by name, and its line."""
    kinds = {}
    for row in summary["rows"]:
        who, head = row["who"], style.HEADS[row["arch"]]
        kinds[who] = head._replace(title=style.title_of(who)), "--" if ", " in who else "-"
    return kinds


def reached(summary: dict) -> dict[tuple[str, int], bool]:
    """For each of the TARGETS that was measured, whether every seed reaches it."""
    return {
        (key, tested): min(values) >= of_metric[tested]
        for key, of_metric in TARGETS.items()
        for tested, values in _values(summary, TARGETED, key).items()
        if tested in of_metric
    }


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """F1 against the number of rectangles, and what is detected in some scenes."""
    if not summary["rows"]:
        return {}
    figures = {"": _draw_scores(summary), "_scenes": _draw_scenes(summary, runs, results_dir)}
    figures["_trained"] = _draw_trained(summary)
    return {suffix: figure for suffix, figure in figures.items() if figure is not None}


def _draw_scores(summary: dict) -> Figure:
    panels = RADII | {"count_error": "Count error: mean |found − true|"}
    figure = new_figure(style.WIDTH, 3.5)
    axes = figure.subplots(1, len(panels))
    for axis, (key, title) in zip(axes, panels.items(), strict=True):
        for who, ((name, color, marker), line) in _kinds(summary).items():
            values = _values(summary, who, key)
            low, high = ([f(v) for v in values.values()] for f in (min, max))
            means = [np.mean(v) for v in values.values()]
            axis.plot(list(values), means, line, marker=marker, color=color, label=name)
            axis.fill_between(list(values), low, high, color=color, alpha=0.2, linewidth=0)
        targets = TARGETS.get(key, {})
        if targets:
            axis.plot(
                list(targets), list(targets.values()), "_", color=style.BLACK, ms=18, mew=2,
                label="target for score_map",
            )  # fmt: skip
            axis.set_ylim(0, 1.02)
        else:
            axis.set_ylim(bottom=0)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("rectangles in the test images", fontsize=9)
        axis.set_xticks(summary["domains"])
        axis.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _trained(summary: dict) -> list[int]:
    """The numbers of rectangles that networks were trained on."""
    return sorted({row["trained"] for row in summary["rows"]})


def _draw_trained(summary: dict) -> Figure | None:
    """F1 by the number of rectangles trained on; None if it is one number only."""
    numbers = _trained(summary)
    if len(numbers) < 2:
        return None
    figure = new_figure(style.WIDTH, 3.2)
    axes = figure.subplots(1, len(HEADS), sharey=True)
    for axis, who in zip(axes, HEADS, strict=True):
        for number in numbers:
            values = _values(summary, who, "f1", number)
            low, high = ([f(v) for v in values.values()] for f in (min, max))
            means = [np.mean(v) for v in values.values()]
            color = style.shade((number - 1) / len(numbers))
            axis.plot(list(values), means, "-o", color=color, label=f"trained on {number}")
            axis.fill_between(list(values), low, high, color=color, alpha=0.2, linewidth=0)
        axis.set_title(style.HEADS[who].title, fontsize=10)
        axis.set_xlabel("rectangles in the test images", fontsize=9)
        axis.set_xticks(summary["domains"])
        axis.set_ylim(0, 1.02)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("F1 within 16 px")
    axes[0].legend(loc="lower left", frameon=False, fontsize=9)
    return figure


def _draw_scenes(summary: dict, runs: dict, results_dir: Path) -> Figure | None:
    """The first test scene of each domain, a row for each head."""
    pictured = {}
    for row in summary["rows"]:
        pictures = runs[row["run"]]["pictures"]
        if row["trained"] == MOST and all(str(domain) in pictures for domain in summary["domains"]):
            pictured.setdefault(row["who"], (pictures, row["threshold"], row["arch"]))
    if not pictured:
        return None
    columns, rows = len(summary["domains"]), len(pictured)
    figure = new_figure(style.WIDTH, rows * style.WIDTH / columns + 0.5)
    axes = figure.subplots(rows, columns, squeeze=False)
    kinds = _kinds(summary)
    for i, (who, (pictures, threshold, arch)) in enumerate(pictured.items()):
        style.label_row(axes[i, 0], kinds[who][0].title.replace(", ", ",\n"))
        for axis, domain in zip(axes[i], summary["domains"], strict=True):
            kept = pictures[str(domain)]
            tiles = style.read_sheet(results_dir / "runs" / kept["sheet"], len(kept["points"]))
            peaks = find_peaks(tiles[1, 0], threshold, MIN_DISTANCE)
            if arch in OFFSETS:
                peaks = scored(tiles[1, 0], kept["detections"][0], threshold)
            show_places(axis, tiles[1, 0], kept["rectangles"][0], peaks, WHITE.get(arch, 255.0))
            if not i:
                axis.set_title(style.count(domain, "rectangle"), fontsize=9)
    add_places_legend(figure)
    return figure


def scored(tile: np.ndarray, points: list, threshold: float) -> list[Peak]:
    """Detected points with the greatest score near them, those from a threshold on."""
    peaks = []
    for x, y in points:
        row, column = (max(int(v), 0) for v in (y, x))
        near = tile[max(row - NEAR, 0) : row + NEAR + 1, max(column - NEAR, 0) : column + NEAR + 1]
        if near.size:
            peaks.append(Peak(x, y, float(near.max())))
    return [peak for peak in peaks if peak.value >= threshold]


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line for each head and metric, and what was to be reached; the range over seeds."""
    metrics = RADII
    domains, lines = summary["domains"], []
    for who, (kind, _) in _kinds(summary).items():
        for key, name in metrics.items():
            values = _values(summary, who, key)
            cells = [style.spread(values.get(d, []), 3) for d in domains]
            lines.append([kind.title, name, *cells])
    for key, of_metric in TARGETS.items():
        targets = [f"≥ {of_metric[d]:.2f}" if d in of_metric else "" for d in domains]
        lines.append(["set before, for score_map", metrics[key], *targets])
    head = ["head", "metric", *(style.count(d, "rectangle") for d in domains)]
    tables = markdown(head, lines), _trained_table(summary), _neighbour_table(summary)
    return "\n\n".join(filter(None, tables))


def _trained_table(summary: dict) -> str:
    """A line for each head and number of rectangles below MOST that it was trained on."""
    lines = []
    for number in _trained(summary):
        for who in HEADS if number < MOST else ():
            values = _values(summary, who, "f1", number)
            cells = [style.spread(values.get(d, []), 3) for d in summary["domains"]]
            lines.append([f"{style.HEADS[who].title}, trained on {number}", *cells])
    head = ["F1 within 16 px", *(style.count(d, "rectangle") for d in summary["domains"])]
    return markdown(head, lines) if lines else ""


def _neighbours(summary: dict) -> dict[str, dict]:
    """What benchmarks/neighbours.py measured of runs in this summary, by run."""
    report = read_json(NEIGHBOURS) if NEIGHBOURS.exists() else {}
    return {name: report[name] for name in report if name in summary["runs"]}


def _neighbour_table(summary: dict) -> str:
    """A line for each network and what it finds of two rectangles, by their distance."""
    found = _neighbours(summary)
    if not found:
        return ""
    ranges = [(row["from_px"], row["to_px"]) for row in next(iter(found.values()))["rows"]]
    head = ["of two rectangles, both found (none found), %"]
    head += [f"{low}–{high} px apart" for low, high in ranges[:-1]]
    lines = []
    for each in found.values():
        cells = [f"{100 * row['both']:.0f} ({100 * row['none']:.0f})" for row in each["rows"]]
        lines.append([f"{style.title_of(each['who'])}, trained on {each['trained']}", *cells])
    return markdown([*head, f"over {ranges[-1][0]} px"], lines)


def long_table(summary: dict, runs: dict) -> list[list]:
    """A row for each run and test domain."""
    names = ["run", "who", "trained", "seed", "tested", "threshold", "precision", "recall"]
    names += [*RADII, "count_error"]
    return [names, *([row[name] for name in names] for row in summary["rows"])]


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """Every metric by head and domain: mean and range over seeds."""
    made = {}
    for who in _kinds(summary):
        arch = who.replace(", ", "_")
        for key in ("precision", "recall"):
            for tested, values in _values(summary, who, key).items():
                made[f"{arch}_{key}_{tested}"] = style.percent(values, 0)
        for key in (*RADII, "count_error"):
            for tested, values in _values(summary, who, key).items():
                made[f"{arch}_{key}_{tested}"] = style.spread(values, 3)
        thresholds = [v for values in _values(summary, who, "threshold").values() for v in values]
        made[f"{arch}_threshold"] = style.spread(sorted(set(thresholds)), 0)
    for number in _trained(summary):
        for who in HEADS if number < MOST else ():
            for key in ("precision", "recall"):
                for tested, values in _values(summary, who, key, number).items():
                    made[f"{who}_from_{number}_{key}_{tested}"] = style.percent(values, 0)
            for tested, values in _values(summary, who, "f1", number).items():
                made[f"{who}_from_{number}_f1_{tested}"] = style.spread(values, 3)
    every = reached(summary)
    made["targets"], made["reached"] = str(len(every)), str(sum(every.values()))
    for each in _neighbours(summary).values():
        for row in each["rows"]:
            key = f"{each['who'].replace(', ', '_')}_from_{each['trained']}_at_{row['from_px']}"
            made |= {f"{key}_{word}": f"{100 * row[word]:.0f} %" for word in ("both", "none")}
    run = runs[summary["rows"][0]["run"]]
    made["epochs"] = str(run["epochs"])
    return made
