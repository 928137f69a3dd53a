"""Pictures a run makes of itself. NumPy and Matplotlib only, no global state."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rectloc_tf.registry import Words
from rectloc_tf.results.drawing import (
    add_key,
    add_legend,
    keypoint_colors,
    log_pixels,
    new_figure,
    show_scene,
)

# Images that a run shows of itself.
NUM_SNAPSHOT_SCENES = 8
NUM_STRIP_SCENES = 4
NUM_PICTURED_SCENES = 16
NUM_WORST_IMAGES = 8
KEY_COLUMNS = 3  # as wide as the key below a grid needs
MAX_STRIP = 8
USUAL = Words()


def _grid(rows: int, columns: int, tile: float = 2.2) -> tuple[Figure, np.ndarray]:
    figure = new_figure(columns * tile, rows * tile + 0.45)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def prediction_grid(
    pictured: dict[str, np.ndarray],
    columns: int = 8,
    words: Words = USUAL,
    titles: Sequence[str] = (),
    names: Sequence[str] = (),
) -> Figure:
    """Images with true and predicted points; under each its heatmap, if there is one.

    Args:
        pictured: as `pictures.predict_scenes` returns it: images, truths, points and perhaps
            heatmaps.
        columns: images in a row, at most.
        words: those of the source.
        titles: of the images, if they have some.
        names: of the keypoints, if they are named; each then has its own colour.
    """
    colors = keypoint_colors(len(names)) if names else None
    images, heatmaps = pictured["images"], pictured.get("heatmaps")
    columns = min(columns, max(len(images), KEY_COLUMNS))
    rows = -(-len(images) // columns)
    per_row = 1 if heatmaps is None else 2
    figure, axes = _grid(rows * per_row, columns)
    for i, image in enumerate(images):
        row, column = i // columns * per_row, i % columns
        marks = pictured["points"][i], pictured["truths"][i]
        show_scene(axes[row, column], image, *marks, colors=colors)
        if titles:
            axes[row, column].set_title(titles[i], fontsize=6)
        if heatmaps is not None:
            peak = float(heatmaps[i].max())
            show_scene(axes[row + 1, column], heatmaps[i], vmax=max(peak, 1.0))
            axes[row + 1, column].set_title(f"peak {peak:.0f} of 255", fontsize=8)
    _add_marks_key(figure, names, pictured["truths"], words)
    return figure


def _add_marks_key(figure: Figure, names: Sequence[str], truths: np.ndarray, words: Words) -> None:
    """Adds what the marks mean: by name of keypoint, or true and predicted points [N, T, 2]."""
    if names:
        add_key(figure, names)
    else:
        add_legend(figure, words.truth if truths.shape[1] == 1 else words.truths)


def epoch_strip(
    images: np.ndarray,
    truths: np.ndarray,
    snapshots: dict[int, dict[str, np.ndarray]],
    words: Words = USUAL,
    unit: str = "epoch",
    names: Sequence[str] = (),
) -> Figure:
    """A row for each image: the image, then the prediction after up to MAX_STRIP of the epochs.

    Heatmaps share one grey scale, from 0 to the brightest of them all, so that their growth
    shows.

    Args:
        images: uint8 [N, S, S].
        truths: [N, T, 2] in working pixels.
        snapshots: epoch -> points [N, P, 2] (or [N, 2], as runs once kept them) in working pixels
            and, for heads with maps, uint8 heatmaps [N, S, S].
        words: those of the source.
        unit: "epoch" or "step", what the snapshots are counted in.
        names: as in `prediction_grid`.
    """
    colors = keypoint_colors(len(names)) if names else None
    epochs = list(snapshots)
    places = np.linspace(0, len(epochs) - 1, min(MAX_STRIP, len(epochs))).round().astype(int)
    figure, axes = _grid(len(images), len(places) + 1, tile=1.8)
    peaks = [int(s["heatmaps"].max()) if "heatmaps" in s else 255 for s in snapshots.values()]
    brightest = max(peaks, default=255)
    axes[0, 0].set_title(words.image, fontsize=9)
    for i, image in enumerate(images):
        show_scene(axes[i, 0], image, truths=truths[i], colors=colors)
    for column, epoch in enumerate((epochs[place] for place in places), start=1):
        snapshot = snapshots[epoch]
        axes[0, column].set_title(f"{unit} {epoch}", fontsize=9)
        for i, image in enumerate(images):
            shown = snapshot["heatmaps"][i] if "heatmaps" in snapshot else image
            points = snapshot["points"][i].reshape(-1, 2)
            style = {"vmax": max(brightest, 1), "colors": colors}
            show_scene(axes[i, column], shown, points, truths[i], **style)
    _add_marks_key(figure, names, truths, words)
    return figure


def history_curves(history: Sequence[dict[str, float]], words: Words = USUAL) -> Figure:
    """Loss, errors and pick rates against the epoch, in the words of the source."""
    figure = new_figure(11, 3.2)
    loss, error, rates = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in history]

    def plot(axis, column, label, **style):
        axis.plot(epochs, [row[column] for row in history], label=label, **style)

    plot(loss, "train_loss", "training", color="#0072b2")
    plot(loss, "val_loss", "validation", color="#d55e00")
    can_be_empty = np.isfinite([row["val_zero_map_loss"] for row in history]).any()
    if can_be_empty:
        plot(loss, "val_zero_map_loss", "empty map", color="0.5", linestyle="--")
    # A map's loss stays near that of an empty one; others fall over decades.
    loss.set(title="Loss", yscale="linear" if can_be_empty else "log")
    plot(error, "val_median_px", "median", color="#0072b2")
    plot(error, "val_mean_px", "mean", color="#d55e00")
    plot(error, "val_p95_px", "95th percentile", color="0.5", linestyle=":")
    error.set(title=f"{words.error.capitalize()}, validation", ylabel=words.unit)
    log_pixels(error)
    if history and "val_pck" in history[0]:
        plot(rates, "val_pck", "PCK", color="#009e73")
        rates.set(title="Correct keypoints, validation", ylabel="share", ylim=(-0.02, 1.02))
    else:
        plot(rates, "val_right_rate", "right (within 16 px)", color="#009e73")
        plot(rates, "val_wrong_rate", words.other, color="#d55e00")
        plot(rates, "val_nowhere_rate", "nowhere", color="0.5")
        rates.set(title="Right or wrong, validation", ylabel="share of images", ylim=(-0.02, 1.02))
    for axis in (loss, error, rates):
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return figure


def figure_to_rgb(figure: Figure) -> np.ndarray:
    """Rasterises a figure: uint8 [H, W, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
