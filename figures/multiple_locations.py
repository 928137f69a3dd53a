"""All the rectangles, from heatmaps that were trained on some."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from figures import style
from figures.maps import add_places_legend, find_peaks, show_places
from figures.resampled import mean_intervals
from rectloc_tf.experiments.multiple_locations import TRAININGS, agreement
from rectloc_tf.results.agreement import mean_kappa, mean_kappa_interval
from rectloc_tf.results.drawing import new_figure
from rectloc_tf.results.intervals import Interval
from rectloc_tf.results.markdown import markdown

COLORS = dict(zip(TRAININGS, (style.BLUE, style.ORANGE, style.GREEN), strict=True))
KEYS = {"3, largest": "largest", "1": "one", "2, both": "both"}  # in names of numbers
MIN_DISTANCE = 21.0  # px of 224 between two peaks, as the runs were measured
FAINT = 64  # brightness that is shown white


class Kind(NamedTuple):
    """What runs have in common that differ in their seed."""

    training: str
    epochs: int


class Measured(NamedTuple):
    """What runs of a kind found in the test images of a domain, each from a threshold on.

    Attributes:
        rows: one a run.
        found: bool [S, N, n], of each run, image and rank.
    """

    rows: list[dict]
    found: np.ndarray

    @property
    def outside(self) -> list[float]:
        """Share of places outside every rectangle; nothing of runs without places."""
        return [row["outside_rate"] for row in self.rows if row["outside_rate"] is not None]

    def mean(self, key: str) -> float:
        """Over the runs."""
        return float(np.mean([row[key] for row in self.rows]))


def found_bits(text: str, number: int) -> np.ndarray:
    """Which of `number` ranks were found, bool [N, number]; see `metrics.location_metrics`."""
    bits = np.array([int(image, 16) for image in text.split()])
    return (bits[:, None] >> np.arange(number)) & 1 > 0


def measured(
    summary: dict, runs: dict, threshold: int | None = None
) -> dict[Kind, dict[int, Measured]]:
    """What was found, by kind and domain; from each run's own threshold on, or from one."""
    rows: dict[tuple[Kind, int], list[dict]] = {}
    for row in summary["rows"]:
        wanted = row["chosen"] if threshold is None else threshold
        if row["threshold"] == wanted:
            kind = Kind(row["training"], row["epochs"])
            rows.setdefault((kind, row["tested"]), []).append(row)
    made: dict[Kind, dict[int, Measured]] = {}
    for (kind, domain), alike in sorted(rows.items(), key=lambda item: item[0][1]):
        found = np.stack([found_bits(_entry(runs, row)["found"], domain) for row in alike])
        made.setdefault(kind, {})[domain] = Measured(alike, found)
    order = {training: place for place, training in enumerate(TRAININGS)}
    return dict(sorted(made.items(), key=lambda item: (item[0].epochs, order[item[0].training])))


def _entry(runs: dict, row: dict) -> dict:
    entries = runs[row["run"]]["locations"][str(row["tested"])]
    return next(entry for entry in entries if entry["threshold"] == row["threshold"])


def recalls(by_kind: dict[Kind, dict[int, Measured]]) -> dict[tuple[Kind, int], Interval]:
    """Share of rectangles that are found, with its interval over images and runs."""
    keys = [(kind, domain) for kind, of_kind in by_kind.items() for domain in of_kind]
    made: dict[tuple[Kind, int], Interval] = {}
    values = {key: by_kind[key[0]][key[1]].found.mean(axis=2) for key in keys}
    # Those of as many runs on as many images are drawn together.
    for shape in dict.fromkeys(value.shape for value in values.values()):
        alike = [key for key in keys if values[key].shape == shape]
        intervals = mean_intervals([values[key] for key in alike])
        made.update(zip(alike, intervals, strict=True))
    return made


@functools.lru_cache(maxsize=16)
def _kappa(found: bytes, shape: tuple[int, ...]) -> Interval:
    return mean_kappa_interval(np.frombuffer(found, bool).reshape(shape))


def kappa(found: np.ndarray) -> Interval | None:
    """Mean pairwise kappa of runs [S, N, n], its interval over images; None of a single run."""
    return _kappa(found.tobytes(), found.shape) if len(found) > 1 else None


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """What is found and what is not there, and some scenes."""
    by_kind = measured(summary, runs)
    if not by_kind:
        return {}
    figures = {"": _draw_numbers(summary, by_kind)}
    scenes = _draw_scenes(summary, runs, results_dir)
    return figures | ({"_scenes": scenes} if scenes else {})


def _draw_numbers(summary: dict, by_kind: dict[Kind, dict[int, Measured]]) -> Figure:
    figure = new_figure(style.WIDTH, 3.7)
    all_found, by_rank, outside = figure.subplots(1, 3)
    shares = recalls(by_kind)
    shortest = min(kind.epochs for kind in by_kind)
    last = max(summary["domains"])
    for kind, of_kind in by_kind.items():
        color, short = COLORS[kind.training], kind.epochs == shortest
        look = {"color": color, "ls": "-" if short else "--", "marker": "o" if short else "s"}
        look |= {"ms": 4, "mfc": color if short else "white", "lw": 1.2}
        domains = list(of_kind)
        values = 100 * np.array([
            (i.value, i.value - i.low, i.high - i.value)
            for i in (shares[kind, domain] for domain in domains)
        ]).T  # fmt: skip
        label = f"trained on {kind.training}, {kind.epochs} epochs"
        all_found.errorbar(domains, values[0], yerr=values[1:].clip(0), label=label, **look)
        if last in of_kind:
            ranks = 100 * of_kind[last].found.mean(axis=(0, 1))
            by_rank.plot(range(1, last + 1), ranks, **look)
        means = [np.mean(m.outside or [np.nan]) for m in of_kind.values()]
        low, high = (
            [f(m.outside, default=np.nan) for m in of_kind.values()] for f in (min, max)
        )  # fmt: skip
        outside.plot(domains, 100 * np.array(means), **look)
        outside.fill_between(
            domains, 100 * np.array(low), 100 * np.array(high), color=color, alpha=0.2, lw=0
        )
    all_found.set(title="Rectangles found", ylabel="%", ylim=(0, 102))
    by_rank.set(title=f"Found among {last}, by rank", xlabel="rank by area, 1 the largest")
    by_rank.set(ylim=(0, 102), ylabel="%")
    outside.set(title="Places outside every rectangle", ylabel="% of places")
    outside.set_ylim(bottom=0)
    for axis in (all_found, outside):
        axis.set_xlabel("rectangles in the test images")
        axis.set_xticks(summary["domains"])
    by_rank.set_xticks(range(1, last + 1))
    for axis in (all_found, by_rank, outside):
        axis.grid(alpha=0.3)
        axis.title.set_fontsize(10)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def _draw_scenes(summary: dict, runs: dict, results_dir: Path) -> Figure | None:
    """The first test scene of each domain, a row for each training that is pictured."""
    pictured = {}
    for row in summary["rows"]:
        pictures = runs[row["run"]]["pictures"]
        if all(str(domain) in pictures for domain in summary["domains"]):
            pictured.setdefault(row["training"], (pictures, row["chosen"]))
    if not pictured:
        return None
    columns, rows = len(summary["domains"]), len(pictured)
    figure = new_figure(style.WIDTH, rows * style.WIDTH / columns + 0.5)
    axes = figure.subplots(rows, columns, squeeze=False)
    for i, (training, (pictures, threshold)) in enumerate(pictured.items()):
        style.label_row(axes[i, 0], f"trained on {training}")
        for axis, domain in zip(axes[i], summary["domains"], strict=True):
            kept = pictures[str(domain)]
            tiles = style.read_sheet(results_dir / "runs" / kept["sheet"], len(kept["points"]))
            peaks = find_peaks(tiles[1, 0], threshold, MIN_DISTANCE)
            show_places(axis, tiles[1, 0], kept["rectangles"][0], peaks, FAINT)
            if not i:
                axis.set_title(style.count(domain, "rectangle"), fontsize=9)
    add_places_legend(figure)
    return figure


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line for each training and length, what it finds on some domains."""
    by_kind = measured(summary, runs)
    shares, last = recalls(by_kind), max(summary["domains"])
    domains = [domain for domain in summary["domains"] if domain in (1, 3, last)]
    lines = []
    for kind, of_kind in by_kind.items():
        cells = [_percent(shares[kind, d]) if d in of_kind else "–" for d in domains]
        outside = [style.percent(of_kind[d].outside, 0) if d in of_kind else "–" for d in domains]
        agreed = kappa(of_kind[last].found) if last in of_kind else None
        first = next(iter(of_kind.values())).rows
        chosen = ", ".join(map(str, dict.fromkeys(row["chosen"] for row in first)))
        lines.append(
            [kind.training, kind.epochs, len(first), chosen, *cells, *outside,
             style.interval(agreed, 2) if agreed else "–"]
        )  # fmt: skip
    head = ["trained on", "epochs", "seeds", "a place from brightness"]
    head += [f"found of {domain}" for domain in domains]
    head += [f"outside, on {domain}" for domain in domains]
    return markdown([*head, f"kappa on {last}"], lines)


def _percent(found: Interval) -> str:
    scaled = Interval(*(100 * value for value in (found.value, found.low, found.high)))
    return style.interval(scaled, 0, " %")


def long_table(summary: dict, runs: dict) -> list[list]:
    """A row for each run, domain and threshold."""
    ranks = range(1, max(summary["domains"]) + 1)
    keys = ["recall", "precision", "points_per_image", "count_error", "count_abs_error"]
    keys += ["outside_rate"]
    about = ["run", "training", "seed", "epochs", "tested", "threshold"]
    rows: list[list] = [[*about, "chosen_on_validation", *keys, *(f"recall_{r}" for r in ranks)]]
    for row in summary["rows"]:
        by_rank = row["recall_by_rank"]
        more = [by_rank[r - 1] if r <= len(by_rank) else None for r in ranks]
        chosen = int(row["threshold"] == row["chosen"])
        rows.append([*(row[k] for k in about), chosen, *(row[k] for k in keys), *more])
    return rows


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """For each training and length: found, outside, places; and how far seeds agree."""
    by_kind = measured(summary, runs)
    shares, last = recalls(by_kind), max(summary["domains"])
    shortest = min(kind.epochs for kind in by_kind)
    made = {}
    for kind, of_kind in by_kind.items():
        name = KEYS[kind.training] + ("" if kind.epochs == shortest else "_long")
        for domain, found in of_kind.items():
            made[f"{name}_found_{domain}"] = _percent(shares[kind, domain])
            made[f"{name}_outside_{domain}"] = style.percent(found.outside, 0)
            made[f"{name}_places_{domain}"] = f"{found.mean('points_per_image'):.1f}"
            ranks = 100 * found.found.mean(axis=(0, 1))
            made[f"{name}_first_{domain}"] = f"{ranks[0]:.0f} %"
            made[f"{name}_last_{domain}"] = f"{ranks[-1]:.0f} %"
        made[f"{name}_threshold"] = str(of_kind[last].rows[0]["chosen"])
        agreed = kappa(of_kind[last].found)
        if agreed:
            made[f"{name}_kappa"] = style.interval(agreed, 2)
            made[f"{name}_agreed"] = f"{100 * _agreed(of_kind[last].found):.0f} %"
            in_two = mean_kappa(of_kind[2].found.reshape(len(of_kind[2].found), -1))
            made[f"{name}_kappa_2"] = f"{in_two:.2f}"
    return made | _at_other_thresholds(summary, runs, shortest, last)


def _agreed(found: np.ndarray) -> float:
    """Of the rectangles that any run finds, the share that all find."""
    weights = 1 << np.arange(found.shape[2])
    return agreement((found @ weights).tolist()) or float("nan")


def _at_other_thresholds(summary: dict, runs: dict, shortest: int, last: int) -> dict[str, str]:
    """What a brightness changes, and what training longer does at the same brightness."""
    made = {}
    for threshold in (16, 32, 64):
        for kind, of_kind in measured(summary, runs, threshold).items():
            name = KEYS[kind.training] + ("" if kind.epochs == shortest else "_long")
            found = of_kind[last]
            made[f"{name}_found_{last}_from_{threshold}"] = f"{100 * found.mean('recall'):.0f} %"
            outside = f"{100 * np.mean(found.outside):.0f} %" if found.outside else "–"
            made[f"{name}_outside_{last}_from_{threshold}"] = outside
    return made
