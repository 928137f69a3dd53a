"""Batch size, learning rate and depth, one at a time."""

import math
import re
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from figures import style
from figures.answered import Answered
from figures.long_tables import METRICS, metrics_columns
from rectloc_tf.config import RunConfig
from rectloc_tf.experiments.plan import DOMAIN
from rectloc_tf.results.data_files import read_json
from rectloc_tf.results.drawing import log_pixels, new_figure
from rectloc_tf.results.intervals import paired_difference
from rectloc_tf.results.markdown import markdown

NAMES = {"batch_size": "batch size", "learning_rate": "learning rate", "depth": "ResNet depth"}
TABLE = {"batch_size": (8, 16, 512), "learning_rate": (1e-4, 1e-2), "depth": (34, 50)}
USUAL = (64, 18)  # batch size and depth in the benchmark, where the other one is changed

Rates = dict[tuple[str, int, int], float]


def training_rates(path: Path) -> Rates:
    """Images per second by head, batch size and depth; empty where they were not measured.

    They are rows of the benchmark's suite `sweep`, or `sweep` holds them by their fields.
    """
    report = read_json(path) if path.exists() else {}
    rates = {}
    for row in report.get("sweep", {}).get("rows", []):
        rates[row["arch"], row["batch_size"], row["depth"]] = _median(row["images_per_second"])
    for row in report.get("rows", []):
        head = re.search(r"\barch=(\w+)", row["work"])
        changed = re.fullmatch(r"batch (\d+)|(\d+) layers", row["who"])
        if row["suite"] == "sweep" and head and changed:
            batch_size, depth = (
                int(v) if v else usual for v, usual in zip(changed.groups(), USUAL, strict=True)
            )
            rates.setdefault((head[1], batch_size, depth), _median(row["images_per_second"]))
    return rates


def _median(rate: dict | float) -> float:
    return float(rate["median"] if isinstance(rate, dict) else rate)


def _rates() -> Rates:
    return training_rates(style.BENCHMARK)


def seconds(run: dict, rates: Rates) -> np.ndarray | None:
    """Seconds of training at the end of each validated epoch; None where no rate is known."""
    config = run["config"]
    rate = rates.get((config["arch"], config["batch_size"], config["depth"]))
    steps = np.array([entry["step"] for entry in run["history"]], float)
    return steps * config["batch_size"] / rate if rate else None


def reached(run: dict, rates: Rates, budget: float) -> float:
    """The mean validation error in px at the last epoch that ends within a time; NaN if none."""
    times, errors = seconds(run, rates), _history(run)
    # A thousandth more: the budget is itself the end of an epoch.
    done = [] if times is None else np.flatnonzero(times <= 1.001 * budget)
    return float(errors[done[-1]]) if len(done) else math.nan


def _history(run: dict) -> np.ndarray:
    values = (entry["val_mean_px"] for entry in run["history"])
    return np.array([np.nan if value is None else value for value in values], float)


def _rows(summary: dict, arch: str, axis: str) -> list[dict]:
    rows = [r for r in summary["rows"] if (r["arch"], r["axis"]) == (arch, axis)]
    return sorted(rows, key=lambda row: row["value"])


def final(run: dict) -> dict:
    """What the last weights reach on validation images; the sweep keeps no answers on test's."""
    return run["history"][-1]


def _label(value: float) -> str:
    return f"{value:g}".replace("e-0", "e-")


def centre_runs(summary: dict, results_dir: Path, arch: str) -> dict[str, dict]:
    """The sweep's centre with every seed, by name: cross_domain has its other seeds."""
    path = results_dir / "cross_domain.json"
    if not path.exists():
        return {}
    names = [
        row["run"]
        for row in read_json(path)["rows"]
        if row["in_matrix"] and (row["arch"], row["trained"]) == (arch, DOMAIN)
    ]
    found = {n: read_json(results_dir / "runs" / f"{n}.json") for n in dict.fromkeys(names)}
    return {
        name: run
        for name, run in found.items()
        if all(run["config"][axis] == value for axis, value in summary["centre"].items())
    }


def _draw(summary: dict, runs: dict, results_dir: Path, arch: str) -> Figure:
    figure = new_figure(style.WIDTH, 6.0)
    axes = figure.subplots(2, len(NAMES), sharey=True)
    rates, color = _rates(), style.HEADS[arch].color
    centre = centre_runs(summary, results_dir, arch).values()
    seeds = [final(run)["val_mean_px"] for run in centre]
    for (values, curves), (axis, title) in zip(axes.T, NAMES.items(), strict=True):
        rows = _rows(summary, arch, axis)
        places = [row["value"] for row in rows]
        errors = [final(runs[row["run"]])["val_mean_px"] for row in rows]
        values.plot(places, errors, color=style.GREY, lw=0.8, zorder=1)
        timed = [seconds(runs[row["run"]], rates) for row in rows]
        known = all(times is not None for times in timed)
        for i, (row, error, times) in enumerate(zip(rows, errors, timed, strict=True)):
            shade = style.shade(0.9 * i / max(len(rows) - 1, 1))
            values.plot(row["value"], error, "o", ms=8, color=shade)
            run = runs[row["run"]]
            epochs = [entry["epoch"] for entry in run["history"]]
            curves.plot(times if known else epochs, _history(run), ".-", ms=7, color=shade)
        values.plot([summary["centre"][axis]] * len(seeds), seeds, "_", ms=14, mew=1.5, color=color)
        values.set(title=title, xscale="log")
        values.set_xticks(places, [_label(place) for place in places])
        values.minorticks_off()
        each = RunConfig.from_json(runs[rows[0]["run"]]["config"]).num_train
        curves.set_xlabel("seconds on 2 CPU cores" if known else f"epoch ({each:,} images each)")
        if not known:
            curves.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in axes.flat:
        log_pixels(axis)
        axis.grid(alpha=0.3)
    after = f"after {summary['short_epochs']} epochs"
    axes[0, 0].set_ylabel(f"{after}:\nmean validation error, px of 224")
    axes[1, 0].set_ylabel("during training:\nmean validation error, px of 224")
    return figure


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """For each head the error against each value, and in the course of training."""
    return {
        f"_{arch}": _draw(summary, runs, results_dir, arch)
        for arch in style.COMPARED
        if all(_rows(summary, arch, axis) for axis in NAMES)
    }


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A row for the centre, with all its seeds, and one for each of some values beside it."""
    centre = [
        list(centre_runs(summary, results_dir, arch).values()) or [_centre(summary, runs, arch)]
        for arch in style.COMPARED
    ]
    shown = ", ".join(f"{NAMES[axis]} {_label(v)}" for axis, v in summary["centre"].items())
    lines = [[shown, *(cell for group in centre for cell in _cells(group))]]
    for axis, title in NAMES.items():
        for value in TABLE[axis]:
            groups = [
                [runs[row["run"]] for row in _rows(summary, arch, axis) if row["value"] == value]
                for arch in style.COMPARED
            ]
            if all(groups):
                cells = [cell for group in groups for cell in _cells(group)]
                lines.append([f"{title} {_label(value)}", *cells])
    names = [head.title for head in style.COMPARED.values()]
    columns = ("mean px", "median px", "% right")
    return markdown(["setting", *(f"{n}, {c}" for n in names for c in columns)], lines)


def _centre(summary: dict, runs: dict, arch: str) -> dict:
    """The sweep's own run of the centre."""
    rows = _rows(summary, arch, "depth")
    return next(runs[r["run"]] for r in rows if r["value"] == summary["centre"]["depth"])


def _cells(group: list[dict]) -> list[str]:
    last = [final(run) for run in group]
    cells = [style.spread((h[f"val_{name}_px"] for h in last), 1) for name in ("mean", "median")]
    return [*cells, style.spread((100 * h["val_right_rate"] for h in last), 1)]


def long_table(summary: dict, runs: dict) -> list[list]:
    """A row for each head and value: final weights, and those that did best on validation."""
    head = ["run", "head", "axis", "value"]
    head += [f"final, validation, {name}" for name in ("mean px", "median px", "right")]
    head += [f"best, {split}, {metric}" for split in ("validation", "test") for metric in METRICS]
    rows = []
    for row in summary["rows"]:
        last = final(runs[row["run"]])
        values = (last[f"val_{name}"] for name in ("mean_px", "median_px", "right_rate"))
        about = [row[name] for name in ("run", "arch", "axis", "value")]
        about += [round(value, 4) for value in values]
        best = (metrics_columns(row[split]) for split in ("validation", "test"))
        rows.append(about + [value for columns in best for value in columns])
    return [head, *rows]


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """Final errors by head, axis and value, what seeds and images leave open, and times."""
    found = {}
    for arch in style.COMPARED:
        centre = centre_runs(summary, results_dir, arch)
        seeds = [final(run)["val_mean_px"] for run in centre.values()]
        for axis in NAMES:
            rows = _rows(summary, arch, axis)
            for row in rows:
                last = final(runs[row["run"]])
                key = f"{arch}_{axis}_{_label(row['value'])}"
                found[key] = f"{last['val_mean_px']:.1f} px"
                found[f"{key}_right"] = f"{100 * last['val_right_rate']:.1f} %"
                found[f"{key}_change"] = (
                    f"{style.signed(last['val_mean_px'] - np.mean(seeds), 1)} px"
                )
            best = min(rows, key=lambda row: final(runs[row["run"]])["val_mean_px"])
            found[f"{arch}_{axis}_best"] = _label(best["value"])
        found[f"{arch}_centre"] = style.spread(seeds, 1, " px")
        found[f"{arch}_seeds"] = f"{np.ptp(seeds):.1f} px"
        errors = [Answered(run, name, DOMAIN, results_dir).errors for name, run in centre.items()]
        between = [paired_difference(a, b) for a, b in combinations(errors, 2)]
        widest = max((each.high - each.low) / 2 for each in between)
        found[f"{arch}_images"] = f"{widest:.1f} px"
    found["by_time"] = by_time(summary, runs, _rates())
    return found


def by_time(summary: dict, runs: dict, rates: Rates) -> str:
    """What settings that end better than the centre reach in the time of its training: a text."""
    parts = []
    for arch, head in style.COMPARED.items():
        centre = _centre(summary, runs, arch)
        times, own = seconds(centre, rates), final(centre)["val_mean_px"]
        if times is None:
            return "The seconds of training on a CPU are not measured."
        texts = []
        for axis in ("batch_size", "depth"):
            for row in _rows(summary, arch, axis):
                run = runs[row["run"]]
                if final(run)["val_mean_px"] < own:
                    error = reached(run, rates, times[-1])
                    result = "no epoch done" if math.isnan(error) else f"{error:.1f} px"
                    texts.append(f"{NAMES[axis]} {_label(row['value'])}: {result}")
        better = ", ".join(texts) or "no other setting ends better"
        parts.append(f"{head.title}, {own:.1f} px after {times[-1]:.0f} s; {better}")
    known = (
        "The baseline's final error and its time on 2 CPU cores, then the errors that settings "
        "with a lower final error reach in that time"
    )
    return f"{known}: {'. '.join(parts)}. Their learning rates are still high then."
