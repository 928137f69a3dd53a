"""Ways to read a point from a map, side by side: what the literature does after the argmax.

All take maps float32 [B, H, W], 0 or more, and return (x, y) in cells, float32 [B, 2]: the origin
is the map's top-left corner and the first cell's centre (0.5, 0.5). Heads choose one of their own.
"""

from collections.abc import Callable

import tensorflow as tf

from rectloc_tf.geometry import cell_centers
from rectloc_tf.heads.peaks import WINDOW, argmax_points, refine_points

Decoder = Callable[[tf.Tensor], tf.Tensor]

SHARPNESS = 20.0  # of the soft argmax: cells at half of the peak then count e^-10 times as much
BLUR = 1.0  # sigma in cells by which DARK smooths a map
REACH = 3.0  # of the centre of mass, in cells
_LEAST = 1e-6  # of the peak, where a logarithm is taken


def argmax(maps: tf.Tensor) -> tf.Tensor:
    """The centre of the brightest cell."""
    return argmax_points(maps)[0]


def quarter_shift(maps: tf.Tensor) -> tf.Tensor:
    """That, a quarter of a cell towards the brighter neighbour along each axis.

    Newell et al., "Stacked Hourglass Networks for Human Pose Estimation" (2016), section 3.4. No
    shift along an axis whose neighbours are alike, or where the cell lies on the map's edge.
    """
    points = argmax(maps)
    near = _neighbours(maps, points)
    dx, dy = near[:, 1, 2] - near[:, 1, 0], near[:, 2, 1] - near[:, 0, 1]
    shift = 0.25 * tf.sign(tf.stack([dx, dy], axis=-1))
    return points + tf.where(_inside(maps, points), shift, 0.0)


def dark(maps: tf.Tensor) -> tf.Tensor:
    """The summit of a Gaussian through the logarithm of the smoothed map around its argmax.

    Zhang et al., "Distribution-Aware Coordinate Representation for Human Pose Estimation" (2020):
    the map is smoothed, here with a Gaussian of BLUR cells, and mu = m - H^-1 g, with gradient g
    and Hessian H of its logarithm at the argmax m, by central differences. Where H has no summit,
    or the summit is more than a cell away, the argmax stays.
    """
    smooth = _blur(maps)
    points = argmax(smooth)
    peaks = tf.reduce_max(smooth, axis=[1, 2])[:, None, None]
    logs = tf.math.log(tf.maximum(_neighbours(smooth, points), _LEAST * peaks + 1e-30))
    dx, dy = (logs[:, 1, 2] - logs[:, 1, 0]) / 2, (logs[:, 2, 1] - logs[:, 0, 1]) / 2
    dxx = logs[:, 1, 2] - 2 * logs[:, 1, 1] + logs[:, 1, 0]
    dyy = logs[:, 2, 1] - 2 * logs[:, 1, 1] + logs[:, 0, 1]
    dxy = (logs[:, 2, 2] - logs[:, 2, 0] - logs[:, 0, 2] + logs[:, 0, 0]) / 4
    determinant = dxx * dyy - dxy**2
    is_summit = (determinant > 1e-9) & (dxx < 0)
    safe = tf.where(is_summit, determinant, 1.0)
    shift = -tf.stack([dyy * dx - dxy * dy, dxx * dy - dxy * dx], axis=-1) / safe[:, None]
    near = tf.reduce_all(tf.abs(shift) <= 1, axis=-1, keepdims=True)
    return points + tf.where(is_summit[:, None] & near & _inside(maps, points), shift, 0.0)


def soft_argmax(maps: tf.Tensor) -> tf.Tensor:
    """The expected place under softmax(SHARPNESS * map / peak) over all cells.

    Luvizon et al., "Human Pose Regression by Combining Indirect Part Detection and Contextual
    Information" (2019). A map without a peak answers its middle.
    """
    peaks = tf.reduce_max(maps, axis=[1, 2], keepdims=True)
    logits = SHARPNESS * tf.math.divide_no_nan(maps, peaks)
    height, width = maps.shape[1:]
    shares = tf.reshape(tf.nn.softmax(tf.reshape(logits, [-1, height * width])), tf.shape(maps))
    x = tf.reduce_sum(shares * cell_centers(width), axis=[1, 2])
    y = tf.reduce_sum(shares * cell_centers(height)[:, None], axis=[1, 2])
    return tf.stack([x, y], axis=-1)


def center_of_mass(maps: tf.Tensor) -> tf.Tensor:
    """The centre of what exceeds half of the peak around it: see `peaks.refine_points`.

    The window reaches as far as the `deconv` head's, and at least REACH cells.
    """
    return refine_points(maps, *argmax_points(maps), max(WINDOW, REACH / maps.shape[2]))


DECODERS: dict[str, Decoder] = {
    "argmax": argmax,
    "quarter shift": quarter_shift,
    "DARK": dark,
    "soft argmax": soft_argmax,
    "centre of mass": center_of_mass,
}


def _inside(maps: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """Whether a cell has a neighbour on each side, by its centre: bool [B, 1]."""
    height, width = maps.shape[1:]
    last = tf.constant([width - 1, height - 1], tf.float32)
    return tf.reduce_all((points > 1) & (points < last), axis=-1, keepdims=True)


def _neighbours(maps: tf.Tensor, points: tf.Tensor) -> tf.Tensor:
    """The 3 x 3 cells around the cell that each point [B, 2] is in: [B, 3, 3], (y, x)."""
    height, width = maps.shape[1:]
    x, y = tf.unstack(tf.cast(tf.floor(points), tf.int32), axis=-1)
    around = tf.range(-1, 2)
    rows = tf.clip_by_value(y[:, None] + around, 0, height - 1)
    columns = tf.clip_by_value(x[:, None] + around, 0, width - 1)
    flat = tf.reshape(maps, [-1, height * width])
    cells = rows[:, :, None] * width + columns[:, None, :]
    return tf.reshape(tf.gather(flat, tf.reshape(cells, [-1, 9]), batch_dims=1), [-1, 3, 3])


def _blur(maps: tf.Tensor) -> tf.Tensor:
    """Maps smoothed by a Gaussian of BLUR cells, cut off at three; the edges are repeated."""
    reach = int(3 * BLUR)
    weights = tf.exp(-tf.square(tf.range(-reach, reach + 1, dtype=tf.float32)) / (2 * BLUR**2))
    weights /= tf.reduce_sum(weights)
    pads = [[0, 0], [reach, reach], [reach, reach]]
    wide = tf.pad(maps, pads, "SYMMETRIC")[..., None]
    for kernel in (weights[:, None], weights[None, :]):
        wide = tf.nn.conv2d(wide, kernel[:, :, None, None], 1, "VALID")
    return wide[..., 0]
