"""From heatmaps to points, in batched graph ops.

Everything here works in working pixels of the map itself (see `geometry`); callers convert.
"""

from typing import NamedTuple

import tensorflow as tf

from rectloc_tf.geometry import cell_centers

# Half the width of the window a peak is refined in, as a share of the map's size: 10.5 px of
# 224, one and a half radii of the default disc.
WINDOW = 10.5 / 224
_ITERATIONS = 3


class Peaks(NamedTuple):
    """Decoded peaks of a batch of maps, brightest first.

    Attributes:
        points: float32 [B, P, 2], (x, y) in working pixels.
        values: float32 [B, P], brightness of the map at each peak's brightest cell.
        valid: bool [B, P], whether the peak reaches the threshold; the first always does.
    """

    points: tf.Tensor
    values: tf.Tensor
    valid: tf.Tensor


def argmax_points(heatmaps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Centres of the brightest cells, (x, y) float32 [B, 2], and their values float32 [B].

    heatmaps is float32 [B, H, W]; of equal cells the first in reading order counts.
    """
    width = heatmaps.shape[2]
    flat = tf.reshape(heatmaps, [-1, heatmaps.shape[1] * width])
    cell = tf.argmax(flat, axis=1, output_type=tf.int32)
    points = tf.cast(tf.stack([cell % width, cell // width], axis=-1), tf.float32) + 0.5
    return points, tf.gather(flat, cell, batch_dims=1)


def refine_points(
    heatmaps: tf.Tensor, points: tf.Tensor, values: tf.Tensor, window: float = WINDOW
) -> tf.Tensor:
    """Moves points to the centre of mass of the blob they lie on.

    A blob of a regressed disc has no sharp summit, so its argmax lies anywhere on a plateau.
    The centre of mass of what exceeds half the peak, within a square window around the point,
    averages that out; the window is centred anew and the mean taken again (mean shift).

    Args:
        heatmaps: float32 [B, H, W].
        points: float32 [B, 2], (x, y).
        values: float32 [B], brightness of the peaks.
        window: half the width of the window, as a share of the map's size.

    Returns:
        float32 [B, 2]; a point whose window holds no mass (a map without a peak) stays put.
    """
    height, width = heatmaps.shape[1], heatmaps.shape[2]
    mass = tf.nn.relu(heatmaps - 0.5 * values[:, None, None])
    mass = tf.where(values[:, None, None] > 0, mass, 0.0)
    x, y = cell_centers(width), cell_centers(height)
    for _ in range(_ITERATIONS):
        columns = tf.cast(tf.abs(x - points[:, :1]) <= window * width, tf.float32)
        rows = tf.cast(tf.abs(y - points[:, 1:]) <= window * height, tf.float32)
        # Sums over the window, as products of the map with one vector a row and a column.
        by_row = tf.linalg.matvec(mass, columns)
        by_column = tf.linalg.matvec(mass, rows, transpose_a=True) * columns
        total = tf.reduce_sum(by_column, axis=1, keepdims=True)
        mean = tf.stack(
            [tf.reduce_sum(by_column * x, axis=1), tf.reduce_sum(by_row * rows * y, axis=1)], axis=1
        )
        points = tf.where(total > 0, tf.math.divide_no_nan(mean, total), points)
    return points


def decode_peaks(
    heatmaps: tf.Tensor,
    max_peaks: int = 1,
    threshold: float = 0.0,
    min_distance: float = 2 * WINDOW,
    refine: bool = True,
    window: float = WINDOW,
) -> Peaks:
    """Finds up to `max_peaks` peaks: the brightest cell, then the brightest far from it, ...

    Greedy non-maximum suppression among the local maxima (cells that none of their eight
    neighbours exceeds): each time, all nearer than `min_distance` to the peak just found are
    put out of play.

    Args:
        heatmaps: float32 [B, H, W] or [B, H, W, 1], brightness 0-255.
        max_peaks: how many peaks to look for, P.
        threshold: least brightness of a valid peak; the first peak is valid whatever it has.
        min_distance: least distance of a peak's cell from the peaks before it, as a share of
            the map's width.
        refine: sub-pixel refinement by `refine_points`; otherwise centres of cells.
        window: as in `refine_points`.
    """
    heatmaps = tf.convert_to_tensor(heatmaps)
    if len(heatmaps.shape) == 4:
        heatmaps = heatmaps[..., 0]
    in_play = heatmaps
    if max_peaks > 1:  # the brightest cell of all is a local maximum anyway
        neighbourhood = tf.nn.max_pool2d(heatmaps[..., None], 3, 1, "SAME")[..., 0]
        in_play = tf.where(heatmaps >= neighbourhood, heatmaps, heatmaps.dtype.min)
    x, y = cell_centers(heatmaps.shape[2]), cell_centers(heatmaps.shape[1])
    points, values = [], []
    for peak in range(max_peaks):
        point, value = argmax_points(in_play)
        if refine:
            point = refine_points(heatmaps, point, value, window)
        points.append(point)
        values.append(value)
        if peak + 1 < max_peaks:
            dx2 = tf.square(x - point[:, :1])[:, None, :]
            dy2 = tf.square(y - point[:, 1:])[:, :, None]
            near = dx2 + dy2 < (min_distance * heatmaps.shape[2]) ** 2
            in_play = tf.where(near, in_play.dtype.min, in_play)
    values = tf.stack(values, axis=1)
    first = tf.range(max_peaks) == 0
    valid = (values >= threshold) & (values > values.dtype.min)
    return Peaks(tf.stack(points, axis=1), values, first | valid)
