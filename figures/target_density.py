"""A disc against a Gaussian of equal mass."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from figures import style
from rectloc_tf.results.drawing import new_figure, true_centers

NAMES = {"disc": "disc", "gaussian": "Gaussian"}


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
            style.show(axes[1 + row, i], tiles[1, i], vmax=brightest)
            style.show(axes[3 + row, i], _around(tiles[1, i], truth[i]), vmax=brightest)
        style.label_row(axes[1 + row, 0], name)
        style.label_row(axes[3 + row, 0], f"{name}, near")
    return {"": figure}


def _around(tile: np.ndarray, point: np.ndarray) -> np.ndarray:
    """A quarter of a picture's width around a point in its pixels, black beyond the border."""
    half = len(tile) // 8
    column, row = np.floor(point).astype(int)
    return np.pad(tile, half)[row : row + 2 * half, column : column + 2 * half]


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line a target, the spread over seeds."""
    lines = []
    for target, name in NAMES.items():
        rows = [row for row in summary["rows"] if row["target"] == target]
        if not rows:
            continue
        tests = [row["test"] for row in rows]
        errors = [test["center_error_px"] for test in tests]
        exact = [test["center_error_px_right"]["median"] for test in tests]
        lines.append(
            [name, len(rows), style.spread((e["median"] for e in errors), 2),
             style.spread((e["mean"] for e in errors), 2), style.spread(exact, 2),
             *style.rates(tests),
             style.spread((t["r2"] for t in tests), 3),
             style.spread((row["images_per_second"] for row in rows), 0)]
        )  # fmt: skip
    head = ["target", "seeds", "median px", "mean px", "median px where right", "right", "wrong"]
    return style.markdown([*head, "nowhere", "R² of the map", "images/s, fastest epoch"], lines)
