"""Pictures a run makes of itself. NumPy and Matplotlib only, no global state."""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rectloc_tf.results.drawing import (
    add_legend,
    log_pixels,
    new_figure,
    show_scene,
    true_centers,
)

MAX_STRIP = 8


def _grid(rows: int, columns: int, tile: float = 2.2) -> tuple[Figure, np.ndarray]:
    figure = new_figure(columns * tile, rows * tile + 0.45)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def prediction_grid(
    images: np.ndarray,
    rectangles: np.ndarray,
    points: np.ndarray,
    heatmaps: np.ndarray | None = None,
    columns: int = 8,
) -> Figure:
    """Scenes with the true and the predicted centre; under each its heatmap, if there is one.

    Args:
        images: uint8 [N, S, S].
        rectangles: [N, n, 4], largest first, in working pixels.
        points: predicted centres [N, 2] in working pixels.
        heatmaps: [N, S, S] in 0-255, or None.
    """
    rows = -(-len(images) // columns)
    per_row = 1 if heatmaps is None else 2
    figure, axes = _grid(rows * per_row, columns)
    truth = true_centers(rectangles)
    for i, image in enumerate(images):
        row, column = i // columns * per_row, i % columns
        show_scene(axes[row, column], image, points[i : i + 1], truth[i])
        if heatmaps is not None:
            peak = float(heatmaps[i].max())
            show_scene(axes[row + 1, column], heatmaps[i], vmax=max(peak, 1.0))
            axes[row + 1, column].set_title(f"peak {peak:.0f} of 255", fontsize=8)
    add_legend(figure)
    return figure


def epoch_strip(
    images: np.ndarray, rectangles: np.ndarray, snapshots: dict[int, dict[str, np.ndarray]]
) -> Figure:
    """A row a scene: the scene, then the prediction after up to MAX_STRIP of the epochs.

    Heatmaps share one grey scale, from 0 to the brightest of them all, so that their growth
    shows.

    Args:
        images: uint8 [N, S, S].
        rectangles: [N, n, 4], largest first, in working pixels.
        snapshots: epoch -> points [N, 2] in working pixels and, for heatmaps, uint8 heatmaps
            [N, S, S].
    """
    epochs = list(snapshots)
    places = np.linspace(0, len(epochs) - 1, min(MAX_STRIP, len(epochs))).round().astype(int)
    figure, axes = _grid(len(images), len(places) + 1, tile=1.8)
    truth = true_centers(rectangles)
    peaks = [int(s["heatmaps"].max()) if "heatmaps" in s else 255 for s in snapshots.values()]
    brightest = max(peaks, default=255)
    axes[0, 0].set_title("scene", fontsize=9)
    for i, image in enumerate(images):
        show_scene(axes[i, 0], image, truth=truth[i])
    for column, epoch in enumerate((epochs[place] for place in places), start=1):
        snapshot = snapshots[epoch]
        axes[0, column].set_title(f"epoch {epoch}", fontsize=9)
        for i, image in enumerate(images):
            shown = snapshot["heatmaps"][i] if "heatmaps" in snapshot else image
            point = snapshot["points"][i : i + 1]
            show_scene(axes[i, column], shown, point, truth[i], vmax=max(brightest, 1))
    add_legend(figure)
    return figure


def history_curves(history: Sequence[dict[str, float]], is_heatmap: bool) -> Figure:
    """Loss, centre error and pick rates against the epoch."""
    figure = new_figure(11, 3.2)
    loss, error, rates = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in history]

    def plot(axis, column, label, **style):
        axis.plot(epochs, [row[column] for row in history], label=label, **style)

    unit = "brightness², 0–255" if is_heatmap else "px² of 224"
    plot(loss, "train_loss", "training", color="#0072b2")
    plot(loss, "val_loss", "validation", color="#d55e00")
    if is_heatmap:
        plot(loss, "val_zero_map_loss", "all-black map", color="0.5", linestyle="--")
    # A heatmap's loss stays near the all-black map's; coordinates fall over decades.
    loss.set(title="MSE", ylabel=unit, yscale="linear" if is_heatmap else "log")
    plot(error, "val_median_px", "median", color="#0072b2")
    plot(error, "val_mean_px", "mean", color="#d55e00")
    plot(error, "val_p95_px", "95th percentile", color="0.5", linestyle=":")
    error.set(title="Centre error, validation", ylabel="px of 224")
    log_pixels(error)
    plot(rates, "val_right_rate", "right (within 16 px)", color="#009e73")
    plot(rates, "val_wrong_rate", "another rectangle", color="#d55e00")
    plot(rates, "val_nowhere_rate", "nowhere", color="0.5")
    rates.set(title="Which rectangle, validation", ylabel="share of images", ylim=(-0.02, 1.02))
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
