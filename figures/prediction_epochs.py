"""What the networks answer as they learn."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from figures import style
from figures.maps import blob_width, discs, show_map
from rectloc_tf.config import RunConfig
from rectloc_tf.experiments.headline import EXPERIMENT as HEADLINE
from rectloc_tf.experiments.summaries import summary_path
from rectloc_tf.results.data_files import read_json
from rectloc_tf.results.drawing import add_legend, log_pixels, new_figure, true_centers
from rectloc_tf.results.markdown import markdown

SCENES, COLUMNS = 3, 8
TICKS = (0, 1, 2, 5, 12)  # epochs that are named on an axis, and the last
LINES = {"plain": "--", "improved": "-"}
SUBS = (1, 1.25, 1.5, 2, 3, 4, 5, 6, 7, 8)  # of a logarithmic axis of less than a decade
CURVES = {"improved": "-", "longer": "--"}  # the headline's runs of 40 epochs


class Blobs(NamedTuple):
    """What maps show at one epoch, over the eight scenes.

    Attributes:
        epoch: 0 before training.
        peaks: brightness of each map's brightest cell, [N].
        widths: `maps.blob_width` of each that is not black, px of 224.
        black: share of pixels that are black.
        brightness: mean of the others.
    """

    epoch: int
    peaks: np.ndarray
    widths: np.ndarray
    black: float
    brightness: float


def _rows(summary: dict, arch: str) -> list[dict]:
    """A head's runs, the longest first."""
    rows = [row for row in summary["rows"] if row["arch"] == arch]
    return sorted(rows, key=lambda row: -row["epochs"])


def _of_maps(summary: dict) -> list[dict]:
    """The rows of heads that answer with a map: the only ones that have black pixels."""
    return [
        row for row in summary["rows"]
        if all("black_share" in numbers for numbers in row["snapshots"].values())
    ]  # fmt: skip


def blobs(row: dict, run: dict, results_dir: Path) -> list[Blobs]:
    """Of a run with maps, what it shows at each epoch that was kept."""
    sheet = run["snapshot_sheet"]
    tiles = style.read_sheet(results_dir / "runs" / sheet["sheet"], len(sheet["rectangles"]))
    made = []
    for (epoch, numbers), maps in zip(row["snapshots"].items(), tiles[1:], strict=True):
        widths = np.array([blob_width(tile) for tile in maps])
        peaks = maps.max(axis=(1, 2)).astype(float)
        shown = numbers["black_share"], numbers["brightness"]
        made.append(Blobs(int(epoch), peaks, widths[widths > 0], *shown))
    return made


def target_width(run: dict) -> float:
    """Median of `maps.blob_width` of the scenes' targets, px of 224."""
    config = RunConfig.from_json(run["config"])
    places = true_centers(run["snapshot_sheet"]["rectangles"])
    targets = (discs([p], config.image_size, config.radius, [config.peak]) for p in places)
    return float(np.median([blob_width(target) for target in targets]))


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """A strip for each head, what maps show by epoch, and the 40-epoch learning curves."""
    figures = {}
    for arch in style.COMPARED:
        rows = [row for row in _rows(summary, arch) if "snapshot_sheet" in runs[row["run"]]]
        if rows:
            figures[f"_{arch}"] = _strip(rows[0], runs[rows[0]["run"]], results_dir)
    maps = [row for row in _of_maps(summary) if "snapshot_sheet" in runs[row["run"]]]
    if maps:
        figures["_blob"] = _draw_blobs(maps, runs, results_dir)
    curves = _curves(results_dir)
    return figures | ({"_curves": _draw_curves(curves)} if curves else {})


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
    for i in range(scenes):
        style.show(axes[i, 0], tiles[0, i], truth=truth[i])
        for column, place in enumerate(places, start=1):
            is_map = len(tiles) > 1
            image = tiles[1 + place, i] if is_map else tiles[0, i]
            point = snapshots[epochs[place]]["points"][i]
            if is_map:
                show_map(axes[i, column], image, 255.0)
                axes[i, column].text(
                    0.97, 0.03, f"{image.max()}", transform=axes[i, column].transAxes,
                    ha="right", va="bottom", fontsize=8, color="white",
                )  # fmt: skip
            else:
                style.show(axes[i, column], image, [point], truth[i])
            axes[0, column].set_title(f"epoch {epochs[place]}", fontsize=9)
    axes[0, 0].set_title("scene", fontsize=9)
    if len(tiles) == 1:
        add_legend(figure)
    return figure


def _draw_blobs(rows: list[dict], runs: dict, results_dir: Path) -> Figure:
    figure = new_figure(style.WIDTH, 3.4)
    axes = figure.subplots(1, 3)
    peak, width, black = axes
    for row in rows:
        shown = blobs(row, runs[row["run"]], results_dir)
        color, line = style.HEADS[row["arch"]].color, LINES.get(row["variant"], ":")
        look = {"ls": line, "marker": "o", "color": color, "ms": 4}
        look["mfc"] = color if line == "-" else "white"
        label = f"{row['variant']}, {row['epochs']} epochs"
        epochs = [_place(blob.epoch) for blob in shown]
        peak.plot(epochs, [blob.peaks.mean() for blob in shown], **look, label=label)
        lit = [blob for blob in shown if len(blob.widths)]
        width.plot([_place(blob.epoch) for blob in lit], [np.median(b.widths) for b in lit], **look)
        black.plot(epochs, [100 * blob.black for blob in shown], **look)
    run = runs[rows[0]["run"]]
    for axis, level in (
        (peak, RunConfig.from_json(run["config"]).peak),
        (width, target_width(run)),
    ):
        axis.axhline(level, color=style.GREY, lw=1, ls=":")
        axis.annotate(
            "target", (0.02, level), xycoords=("axes fraction", "data"), xytext=(0, -3),
            textcoords="offset points", va="top", fontsize=8, color=style.GREY,
        )  # fmt: skip
    peak.set(title="Height of the peak", ylabel="brightness, mean of 8", ylim=(0, 270))
    width.set(title="Width of the blob", ylabel="px of 224, median of 8", ylim=(0, 40))
    black.set(title="Black pixels", ylabel="% of the map", ylim=(0, 105))
    every = sorted({int(epoch) for row in rows for epoch in row["snapshots"]})
    ticks = [*[epoch for epoch in TICKS if epoch < every[-1]], every[-1]]
    for axis in axes:
        axis.set_xscale("log")
        axis.set_xlim(0.8 * _place(0), 1.2 * every[-1])
        axis.set_xticks([_place(epoch) for epoch in ticks], map(str, ticks))
        axis.minorticks_off()
        axis.set_xlabel("epoch")
        axis.title.set_fontsize(10)
        axis.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def _place(epoch: int) -> float:
    """Where an epoch lies on a logarithmic axis, 0 left of 1."""
    return epoch or 0.5


def _curves(results_dir: Path) -> list[tuple[dict, list[dict]]]:
    """The headline's rows of CURVES, and the history of each; none without its summary."""
    path = results_dir / f"{HEADLINE.name}.json"
    if not path.exists():
        return []
    rows = [row for row in read_json(path)["rows"] if row["variant"] in CURVES]
    return [(row, read_json(summary_path(results_dir, row["run"]))["history"]) for row in rows]


def _draw_curves(curves: list[tuple[dict, list[dict]]]) -> Figure:
    """Validation error of all heads, and below it the losses of each."""
    heads = [arch for arch in style.HEADS if any(row["arch"] == arch for row, _ in curves)]
    figure = new_figure(style.WIDTH, 6.2)
    grid = figure.add_gridspec(2, len(heads), height_ratios=(1.15, 1))
    error = figure.add_subplot(grid[0, :])
    losses = [figure.add_subplot(grid[1, column]) for column in range(len(heads))]
    for row, history in curves:
        look = {"ls": CURVES[row["variant"]], "lw": 1}
        epochs = [epoch["epoch"] for epoch in history]
        head = style.HEADS[row["arch"]]
        error.plot(epochs, [e["val_mean_px"] for e in history], color=head.color, **look)
        axis = losses[heads.index(row["arch"])]
        for key, color in (("train_loss", style.GREY), ("val_loss", head.color)):
            axis.plot(epochs, [e[key] for e in history], color=color, **look)
        axis.set_title(f"{row['arch']}: loss", fontsize=10)
    log_pixels(error)
    error.set(ylabel="validation, mean px of 224", xlabel="epoch")
    error.grid(alpha=0.3)
    for axis in losses:
        log_pixels(axis)
        low, high = axis.get_ylim()
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 3) if high > 10 * low else SUBS))
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.tick_params(axis="y", labelsize=8)
    handles = [
        Line2D([], [], color=style.HEADS[a].color, label=style.HEADS[a].title) for a in heads
    ]
    words = {"improved": "augmented (three seeds)", "longer": "not augmented"}
    handles += [
        Line2D([], [], color=style.BLACK, ls=line, label=words[variant])
        for variant, line in CURVES.items()
    ]
    handles.append(Line2D([], [], color=style.GREY, label="training loss (below)"))
    error.legend(handles=handles, fontsize=8, ncols=2, loc="upper right")
    return figure


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """The longest run with maps at some of its epochs, a line each."""
    rows = sorted(_of_maps(summary), key=lambda row: -row["epochs"])
    if not rows:
        return ""
    row = rows[0]
    shown, history = blobs(row, runs[row["run"]], results_dir), _errors(runs[row["run"]])
    lines = []
    for place in _chosen(list(row["snapshots"])):
        blob = shown[place]
        width = f"{np.median(blob.widths):.1f}" if len(blob.widths) else "–"
        error = f"{history[blob.epoch]:.1f}" if blob.epoch in history else "–"
        lines.append(
            [blob.epoch, f"{blob.peaks.mean():.0f}", width, f"{100 * blob.black:.0f} %",
             f"{blob.brightness:.1f}", error]
        )  # fmt: skip
    head = ["epoch", "height of the peak", "width of the blob, px", "black pixels"]
    head += ["mean brightness of the others", "validation, mean px"]
    return markdown(head, lines)


def _errors(run: dict) -> dict[int, float]:
    """Mean error on validation by epoch, px of 224."""
    return {int(e["epoch"]): e["val_mean_px"] for e in run["history"]}


def long_table(summary: dict, runs: dict) -> list[list]:
    """A row for each run and epoch that was kept."""
    rows: list[list] = [["run", "arch", "variant", "epoch", "black_share", "brightness", "mean_px"]]
    for row in summary["rows"]:
        errors = _errors(runs[row["run"]])
        for epoch, numbers in row["snapshots"].items():
            about = [row[name] for name in ("run", "arch", "variant")]
            shown = [numbers.get("black_share"), numbers.get("brightness")]
            rows.append([*about, epoch, *shown, errors.get(int(epoch))])
    return rows


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """What maps show at each epoch, and validation errors after five epochs and at the end."""
    made = {}
    for row in _of_maps(summary):
        run = runs[row["run"]]
        for blob in blobs(row, run, results_dir):
            name = f"{row['variant']}_{blob.epoch}"
            made[f"{name}_peak"] = f"{blob.peaks.mean():.0f}"
            made[f"{name}_width"] = f"{np.median(blob.widths):.1f}" if len(blob.widths) else "–"
            made[f"{name}_black"] = f"{100 * blob.black:.0f} %"
            made[f"{name}_brightness"] = f"{blob.brightness:.1f}"
        made["target_width"] = f"{target_width(run):.1f}"
    for row in summary["rows"]:
        errors = _errors(runs[row["run"]])
        for epoch in (1, 5, max(errors)):
            key = "last" if epoch == max(errors) else str(epoch)
            made[f"{row['arch']}_{row['variant']}_error_{key}"] = f"{errors[epoch]:.1f}"
    return made | _curve_numbers(_curves(results_dir))


def _curve_numbers(curves: list[tuple[dict, list[dict]]]) -> dict[str, str]:
    """Of the curves by head and variant: errors at the fifth and last epoch, and loss ratios."""
    found: dict[str, list[list[dict]]] = {}
    for row, history in curves:
        found.setdefault(f"{row['arch']}_{row['variant']}", []).append(history)
    made = {}
    for name, histories in found.items():
        for key, epoch in (("5", 4), ("last", -1)):
            errors = [history[epoch]["val_mean_px"] for history in histories]
            made[f"{name}_curve_{key}"] = style.spread(errors, 1, " px")
        ratios = [history[-1]["val_loss"] / history[-1]["train_loss"] for history in histories]
        made[f"{name}_curve_ratio"] = style.spread(ratios, 1)
    return made
