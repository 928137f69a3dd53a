"""A disc against a Gaussian of equal mass."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from figures import style
from figures.maps import show_map
from figures.style import BENCHMARK
from rectloc_tf.results.data_files import read_json
from rectloc_tf.results.drawing import new_figure, true_centers
from rectloc_tf.results.markdown import markdown

NAMES = {"disc": "disc", "gaussian": "Gaussian"}
IN_TURNS = "disc against gaussian, graph"  # both in the same minutes, batch by batch


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """The same scenes with the heatmaps of both, whole and near the true centre."""
    chosen = {}
    for row in summary["rows"]:
        if runs[row["run"]]["pictures"].get("3"):
            chosen.setdefault(row["target"], runs[row["run"]]["pictures"]["3"])
    if len(chosen) < len(NAMES):
        return {}
    count = len(chosen["disc"]["points"])
    figure = new_figure(style.WIDTH, 5 * style.WIDTH / count + 0.5)
    axes = figure.subplots(5, count)
    truth = true_centers(chosen["disc"]["rectangles"])
    for row, (target, name) in enumerate(NAMES.items()):
        pictures = chosen[target]
        tiles = style.read_sheet(results_dir / "runs" / pictures["sheet"], count)
        brightest = int(tiles[1].max())
        for i in range(count):
            style.show(axes[0, i], tiles[0, i], truth=truth[i])
            show_map(axes[1 + row, i], tiles[1, i], brightest)
            style.show(axes[3 + row, i], _around(tiles[1, i], truth[i]), vmax=brightest)
        style.label_row(axes[1 + row, 0], f"{name}: answer")
        style.label_row(axes[3 + row, 0], f"{name}, near")
    return {"": figure}


def _around(tile: np.ndarray, point: np.ndarray) -> np.ndarray:
    """A quarter of a picture's width around a point in its pixels, black beyond the border."""
    half = len(tile) // 8
    column, row = np.floor(point).astype(int)
    return np.pad(tile, half)[row : row + 2 * half, column : column + 2 * half]


def paired(summary: dict, value: Callable[[dict], float]) -> list[float]:
    """The Gaussian's value less the disc's, of each seed that has both; `test` metrics."""
    found: dict[int, dict[str, float]] = {}
    for row in summary["rows"]:
        found.setdefault(row["seed"], {})[row["target"]] = value(row["test"])
    return [
        of_seed["gaussian"] - of_seed["disc"]
        for _, of_seed in sorted(found.items())
        if len(of_seed) == len(NAMES)
    ]


def drawing_cost() -> dict[str, float] | None:
    """A Gaussian's time over a disc's, measured in turns: median, min and max; None if not."""
    if not BENCHMARK.exists():
        return None
    rows = [row for row in read_json(BENCHMARK)["rows"] if row["work"] == IN_TURNS]
    return next((row["ours_over_theirs"] for row in rows if row["who"] == "gaussian"), None)


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line a target, the range over seeds."""
    lines = []
    for target, name in NAMES.items():
        tests = [row["test"] for row in summary["rows"] if row["target"] == target]
        if not tests:
            continue
        errors = [test["center_error_px"] for test in tests]
        exact = [test["center_error_px_right"]["median"] for test in tests]
        lines.append(
            [name, len(tests), style.spread((e["mean"] for e in errors), 2),
             style.spread((e["median"] for e in errors), 2), style.spread(exact, 2),
             *style.rates(tests)]
        )  # fmt: skip
    head = ["target", "seeds", "mean px", "median px", "median px where right", "right", "wrong"]
    return markdown([*head, "nowhere"], lines)


def long_table(summary: dict, runs: dict) -> list[list]:
    """A row for each run. R² and MSE are of its own target's maps, and not to be compared."""
    rates = ["right_rate", "wrong_rate", "nowhere_rate"]
    names = ["mean_px", "median_px", "median_px_where_right", *rates, "mse", "zero_map_mse", "r2"]
    rows: list[list] = [["run", "target", "seed", *names]]
    for row in summary["rows"]:
        test = row["test"]
        errors = [test["center_error_px"][name] for name in ("mean", "median")]
        errors.append(test["center_error_px_right"]["median"])
        more = [test.get(name) for name in (*rates, "mse", "zero_map_mse", "r2")]
        rows.append([row["run"], row["target"], row["seed"], *errors, *more])
    return rows


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """Differences over seeds, the blob's sizes, and the cost of drawing it."""
    made = {"epochs": str(runs[summary["rows"][0]["run"]]["epochs"])}
    differences = paired(summary, lambda test: test["center_error_px"]["mean"])
    right = paired(summary, lambda test: 100 * test["right_rate"])
    for name, values, digits in (("px", differences, 2), ("points", right, 1)):
        low, high = (style.signed(end, digits) for end in (min(values), max(values)))
        made[f"difference_{name}"] = f"{style.signed(float(np.mean(values)), digits)}"
        made[f"difference_{name}_range"] = f"{low} to {high}"
    made["sigma"] = f"{summary['rows'][0]['sigma']:.2f} px"
    cost = drawing_cost()
    if cost:
        made["cost"] = "{median:.2f} ({min:.2f}–{max:.2f})".format(**cost)
    return made
