"""A disc against a Gaussian of equal mass."""

from pathlib import Path

from matplotlib.figure import Figure

from figures import style

NAMES = {"disc": "disc", "gaussian": "Gaussian"}


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """The same scenes with the heatmaps of both."""
    chosen = {}
    for row in summary["rows"]:
        if runs[row["run"]]["pictures"].get("3"):
            chosen.setdefault(row["target"], runs[row["run"]]["pictures"]["3"])
    if len(chosen) < len(NAMES):
        return {}
    count = len(chosen["disc"]["points"])
    figure = style.new_figure(3 * style.WIDTH / count + 0.5)
    axes = figure.subplots(3, count)
    truth = style.true_centers(chosen["disc"]["rectangles"])
    for row, (target, name) in enumerate(NAMES.items(), start=1):
        pictures = chosen[target]
        tiles = style.read_sheet(results_dir / "runs" / pictures["sheet"], count)
        for i, point in enumerate(pictures["points"]):
            style.show(axes[0, i], tiles[0, i], truth=truth[i])
            style.show(axes[row, i], tiles[1, i], point, truth[i])
        style.label_row(axes[row, 0], f"trained on a {name}")
    style.legend_of_points(figure, axes[0, 0])
    return {"": figure}


def table(summary: dict, runs: dict) -> str:
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
    return style.markdown([*head, "nowhere", "R² of the map", "images/s"], lines)
