"""Pictures a run makes of itself. NumPy and Matplotlib only, no global state.

Points are (x, y) in pixels of the picture they are drawn on, origin at its top-left corner.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from rectloc_tf.geometry import centers

MAX_STRIP = 8
TRUTH = {"marker": "+", "color": "#00b050", "markersize": 11, "markeredgewidth": 2}
PREDICTED = {"marker": "x", "color": "#ff4fa3", "markersize": 9, "markeredgewidth": 2}


def _grid(rows: int, columns: int, tile: float = 2.2) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(columns * tile, rows * tile + 0.45), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    return figure, axes


def _show(axis, image: np.ndarray, points=(), truth=None, vmax: float = 255.0) -> None:
    """Draws image [H, W] or [H, W, 3] with predicted points [P, 2] and the true one [2]."""
    height, width = image.shape[:2]
    extent = (0, width, height, 0)
    cmap = None if image.ndim == 3 else "gray"
    axis.imshow(image, cmap=cmap, vmin=0, vmax=vmax, extent=extent, interpolation="nearest")
    if truth is not None:
        axis.plot(*truth, linestyle="none", **TRUTH)
    for point in points:
        axis.plot(*point, linestyle="none", **PREDICTED, clip_on=False)
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)


def _legend(figure: Figure) -> None:
    entries = [
        Line2D([], [], linestyle="none", label="true centre of the largest", **TRUTH),
        Line2D([], [], linestyle="none", label="predicted", **PREDICTED),
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=2, frameon=False)


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
    truth = centers(rectangles[:, 0].astype(np.float64))
    for i, image in enumerate(images):
        row, column = i // columns * per_row, i % columns
        _show(axes[row, column], image, points[i : i + 1], truth[i])
        if heatmaps is not None:
            peak = float(heatmaps[i].max())
            _show(axes[row + 1, column], heatmaps[i], vmax=max(peak, 1.0))
            axes[row + 1, column].set_title(f"peak {peak:.0f} of 255", fontsize=8)
    _legend(figure)
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
    truth = centers(rectangles[:, 0].astype(np.float64))
    peaks = [int(s["heatmaps"].max()) if "heatmaps" in s else 255 for s in snapshots.values()]
    brightest = max(peaks, default=255)
    axes[0, 0].set_title("scene", fontsize=9)
    for i, image in enumerate(images):
        _show(axes[i, 0], image, truth=truth[i])
    for column, epoch in enumerate((epochs[place] for place in places), start=1):
        snapshot = snapshots[epoch]
        axes[0, column].set_title(f"epoch {epoch}", fontsize=9)
        for i, image in enumerate(images):
            shown = snapshot["heatmaps"][i] if "heatmaps" in snapshot else image
            point = snapshot["points"][i : i + 1]
            _show(axes[i, column], shown, point, truth[i], vmax=max(brightest, 1))
    _legend(figure)
    return figure


def history_curves(history: Sequence[dict[str, float]], is_heatmap: bool) -> Figure:
    """Loss, centre error and pick rates against the epoch."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
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
    error.set(title="Centre error, validation", ylabel="px of 224", yscale="log")
    error.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    error.yaxis.set_major_formatter(ScalarFormatter())
    error.yaxis.set_minor_formatter(NullFormatter())
    plot(rates, "val_right_rate", "right (within 16 px)", color="#009e73")
    plot(rates, "val_wrong_rate", "another rectangle", color="#d55e00")
    plot(rates, "val_nowhere_rate", "nowhere", color="0.5")
    rates.set(title="Which rectangle, validation", ylabel="share of images", ylim=(-0.02, 1.02))
    for axis in (loss, error, rates):
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    return figure


def overlay(
    image: np.ndarray,
    point: np.ndarray,
    heatmap: np.ndarray | None = None,
    truth: np.ndarray | None = None,
) -> Figure:
    """One picture with the predicted centre and, if given, the heatmap [S, S] laid over it.

    Args:
        image: uint8 [H, W] or [H, W, 3], any size.
        point: (x, y) in its pixels.
        heatmap: brightness 0-255, stretched over the picture.
        truth: the true centre, if known.
    """
    height, width = image.shape[:2]
    scale = max(4.0 / max(height, width), 1 / 200)
    figure = Figure(figsize=(max(width * scale, 1), max(height * scale, 1)))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    _show(axis, image, [point], truth)
    if heatmap is not None:
        extent = (0, width, height, 0)
        alpha = np.clip(heatmap / max(float(heatmap.max()), 1.0), 0, 1) * 0.6
        axis.imshow(heatmap, cmap="inferno", alpha=alpha, extent=extent, aspect="auto")
    axis.set_aspect("auto")
    return figure


def figure_to_rgb(figure: Figure) -> np.ndarray:
    """Rasterises a figure: uint8 [H, W, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
