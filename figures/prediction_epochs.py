"""What the networks answer as they learn."""

import itertools
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from figures import style
from rectloc_tf.results.drawing import add_legend, new_figure, true_centers

SCENES, COLUMNS = 3, 8


def _row(summary: dict, arch: str) -> dict | None:
    return next((row for row in summary["rows"] if row["arch"] == arch), None)


def _of_maps(summary: dict) -> list[dict]:
    """The rows of heads that answer with a map: the only ones that have black pixels."""
    return [
        row for row in summary["rows"]
        if all("black_share" in numbers for numbers in row["snapshots"].values())
    ]  # fmt: skip


def _chosen(epochs: list[str]) -> list[int]:
    """Places of the epochs that are shown: spread over all that were kept."""
    return sorted(set(np.linspace(0, len(epochs) - 1, COLUMNS).round().astype(int).tolist()))


def _strip(row: dict, run: dict, results_dir: Path) -> Figure:
    sheet, snapshots = run["snapshot_sheet"], row["snapshots"]
    epochs = list(snapshots)
    places = _chosen(epochs)
    count = len(sheet["rectangles"])
    tiles = style.read_sheet(results_dir / "runs" / sheet["sheet"], count)
    truth = true_centers(sheet["rectangles"])
    scenes = min(SCENES, count)
    figure = new_figure(style.WIDTH, scenes * style.WIDTH / (len(places) + 1) + 0.7)
    axes = figure.subplots(scenes, len(places) + 1, squeeze=False)
    brightest = max(int(tiles[1:].max()), 1) if len(tiles) > 1 else 255
    for i in range(scenes):
        style.show(axes[i, 0], tiles[0, i], truth=truth[i])
        for column, place in enumerate(places, start=1):
            is_map = len(tiles) > 1
            image = tiles[1 + place, i] if is_map else tiles[0, i]
            point = snapshots[epochs[place]]["points"][i]
            # Marks would hide the small blob that a heatmap is about.
            marks = ((), None) if is_map else ([point], truth[i])
            style.show(axes[i, column], image, *marks, vmax=brightest if is_map else 255)
            axes[0, column].set_title(f"epoch {epochs[place]}", fontsize=9)
    axes[0, 0].set_title("scene", fontsize=9)
    if len(tiles) == 1:
        add_legend(figure)
    return figure


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """A strip for each head, and the share of black pixels against the epoch."""
    figures = {}
    for arch in style.COMPARED:
        row = _row(summary, arch)
        if row and "snapshot_sheet" in runs[row["run"]]:
            figures[f"_{arch}"] = _strip(row, runs[row["run"]], results_dir)
    maps = _of_maps(summary)
    if maps:
        figure = new_figure(style.WIDTH, 3.2)
        black, bright = figure.subplots(1, 2)
        for row, line in zip(maps, ("-", "--"), strict=False):
            epochs = [int(epoch) for epoch in row["snapshots"]]
            color = style.HEADS[row["arch"]].color
            for axis, key, scale in ((black, "black_share", 100), (bright, "brightness", 1)):
                values = [scale * s[key] for s in row["snapshots"].values()]
                axis.plot(epochs, values, line, marker="o", color=color, ms=4,
                          label=row["variant"])  # fmt: skip
        black.set(title="Black pixels", ylabel="% of the heatmap", xlabel="epoch")
        bright.set(title="Brightness of the others", ylabel="mean, 0–255", xlabel="epoch")
        for axis in (black, bright):
            axis.set_xscale("symlog", linthresh=1)
            apart = [e for e, later in itertools.pairwise(epochs) if later > 1.25 * e]
            axis.set_xticks([*apart, epochs[-1]], map(str, [*apart, epochs[-1]]))
            axis.tick_params(axis="x", labelsize=8)
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
        figures["_brightness"] = figure
    return figures


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """Black share and brightness at the epochs kept, one line each."""
    lines = []
    for row in _of_maps(summary):
        for epoch, numbers in row["snapshots"].items():
            lines.append(
                [row["variant"], epoch, f"{100 * numbers['black_share']:.1f} %",
                 f"{numbers['brightness']:.1f}"]
            )  # fmt: skip
    return style.markdown(["training", "epoch", "black pixels", "brightness of the others"], lines)
