"""Training targets from rectangles: coordinates, or heatmaps in brightness 0-255.

With k labels the rectangle of rank r (0 = largest) is painted with peak brightness
255 (k - r') / k, r' being its place among the labelled ones; where two overlap the
brighter wins. The NumPy versions are the definition, slow and plain; tests hold the graph
versions to them.
"""

import functools
import math

import numpy as np
import tensorflow as tf

from rectloc_tf.config import TargetConfig
from rectloc_tf.geometry import cell_centers, centers, frame_to_working, working_to_frame

PEAK = 255.0
GAUSSIAN_REACH = 4.0  # in sigma, where a Gaussian has fallen to 0.03 % of its peak


def labelled_centers(rectangles: tf.Tensor, config: TargetConfig) -> tf.Tensor:
    """Centres of the labelled rectangles, largest first: float32 [B, k, 2], working pixels."""
    ranks = config.ranks(rectangles.shape[1])
    return centers(tf.cast(tf.gather(rectangles, ranks, axis=1), tf.float32))


def brightnesses(num_labels: int) -> np.ndarray:
    """Peak brightness of each label, largest first: float32 [k], 255 (k - r) / k."""
    return (PEAK * (num_labels - np.arange(num_labels)) / num_labels).astype(np.float32)


def xy_targets(rectangles: tf.Tensor, image_size: int, config: TargetConfig) -> tf.Tensor:
    """Coordinates x0, y0, x1, y1, ... of the labels: float32 [B, 2k], pixels of the 224 frame."""
    points = working_to_frame(labelled_centers(rectangles, config), image_size)
    return tf.reshape(points, [-1, 2 * points.shape[1]])


def heatmap_targets(rectangles: tf.Tensor, image_size: int, config: TargetConfig) -> tf.Tensor:
    """Heatmaps of the labels, float32 [B, S, S, 1], 0-255, one cell per working pixel.

    disc: a cell is lit if its centre lies within the radius of the rectangle's centre.
    gaussian: exp(-d^2 / (2 sigma^2)), d the distance of the two centres; 0 where |dx| or |dy|
    exceeds GAUSSIAN_REACH sigma, which takes less than 0.1 off any cell.
    """
    points = labelled_centers(rectangles, config)
    blobs = (
        _blob(points[:, label], image_size, config, float(peak))
        for label, peak in enumerate(brightnesses(points.shape[1]))
    )
    return functools.reduce(tf.maximum, blobs)[..., None]


def _blob(points: tf.Tensor, image_size: int, config: TargetConfig, peak: float) -> tf.Tensor:
    """One blob a picture, float32 [B, S, S], around points [B, 2] that are multiples of 1/2.

    Rows at the same distance from the point are the same row, since centres of rectangles are
    multiples of half a pixel. So only the rows at the distances f, 1 + f, 2 + f ... (f = 0 or
    1/2) are computed, up to the first that is empty, and each row of the map is fetched there.
    """
    reach = _reach(config, image_size)
    num_rows = math.ceil(reach) + 2
    cells = cell_centers(image_size)
    distances = tf.abs(cells - points[:, 1, None])  # of every row, [B, S]
    fraction = distances[:, :1] - tf.floor(distances[:, :1])
    dx2 = tf.square(cells - points[:, 0, None])[:, None, :]
    dy2 = tf.square(fraction + tf.range(num_rows, dtype=tf.float32))[:, :, None]
    if config.kind == "disc":
        rows = tf.cast(dx2 <= _float32(reach**2) - dy2, tf.float32) * peak
    else:
        scale = -0.5 / frame_to_working(config.sigma, image_size) ** 2
        column, row = (
            tf.where(d2 <= _float32(reach**2), tf.exp(scale * d2), 0.0) for d2 in (dx2, dy2)
        )
        rows = (peak * row) * column
    row_numbers = tf.minimum(tf.cast(distances, tf.int32), num_rows - 1)
    return tf.gather(rows, row_numbers, batch_dims=1)


def _reach(config: TargetConfig, image_size: int) -> float:
    """How far a blob extends from its centre, in working pixels."""
    length = config.radius if config.kind == "disc" else GAUSSIAN_REACH * config.sigma
    return frame_to_working(length, image_size)


def _float32(value: float) -> float:
    # So that a cell on the very edge of a blob counts alike in both versions.
    return float(np.float32(value))


def make_targets(rectangles: tf.Tensor, image_size: int, config: TargetConfig) -> tf.Tensor:
    """The target a run trains on: `xy_targets` or `heatmap_targets`, by `config.kind`."""
    make = heatmap_targets if config.is_heatmap else xy_targets
    return make(rectangles, image_size, config)


def heatmap_targets_numpy(
    rectangles: np.ndarray, image_size: int, config: TargetConfig
) -> np.ndarray:
    """The definition of `heatmap_targets`, one picture and one label at a time."""
    heatmaps = np.zeros([len(rectangles), image_size, image_size, 1], np.float32)
    x = cell_centers(image_size)
    y = x[:, None]
    ranks = config.ranks(rectangles.shape[1])
    reach2 = _float32(_reach(config, image_size) ** 2)
    for heatmap, scene in zip(heatmaps, rectangles, strict=True):
        for rank, peak in zip(ranks, brightnesses(len(ranks)), strict=True):
            center_x, center_y = centers(scene[rank].astype(np.float64))
            dx2, dy2 = (x - center_x) ** 2, (y - center_y) ** 2
            if config.kind == "disc":
                blob = peak * (dx2 + dy2 <= reach2)
            else:
                sigma = frame_to_working(config.sigma, image_size)
                near = (dx2 <= reach2) & (dy2 <= reach2)
                blob = peak * np.exp(-(dx2 + dy2) / (2 * sigma**2)) * near
            np.maximum(heatmap[..., 0], blob, out=heatmap[..., 0])
    return heatmaps
