"""A heatmap from one vector: pooling, Dense(2500), 50 x 50, one transposed convolution.

Targets are blobs of brightness 0-255, or 0-`peak`. Points with an order share one map: that of
rank r among k has peak brightness 255 (k - r) / k, and where two overlap the brighter wins. Named
keypoints have a map each, and points of one class share a map in which all are equally bright.
"""

import functools
import math

import numpy as np
import tensorflow as tf
from keras import layers

from rectloc_tf.geometry import cell_centers
from rectloc_tf.heads.head import Head, Points
from rectloc_tf.heads.peaks import WINDOW, decode_peaks
from rectloc_tf.network.layers import LAYOUT, PolyphaseConv2DTranspose
from rectloc_tf.registry import NAMED, RANKED, UNORDERED

COARSE_SIZE = 50  # the side of the map that the Dense layer paints
BRIGHTEST = 255.0  # in answers and pictures, whatever the targets' peak
GAUSSIAN_REACH = 4.0  # in sigma, where a Gaussian has fallen to 0.03 % of its peak
# Nearest that two detections of one class may be, and half the window that each is refined in,
# px of 224.
MIN_DISTANCE, CLASS_WINDOW = 10.0, 7.0


def deconv_geometry(image_size: int) -> tuple[int, int]:
    """Stride and kernel size that take 50 x 50 to image_size x image_size without padding."""
    stride = image_size // COARSE_SIZE
    return stride, image_size - (COARSE_SIZE - 1) * stride


def brightnesses(num_labels: int, peak: float = BRIGHTEST) -> np.ndarray:
    """Peak brightness of each of some ranked points, first to last: float32 [k]."""
    return (peak * (num_labels - np.arange(num_labels)) / num_labels).astype(np.float32)


class Deconv(Head):
    """Outputs [B, S, S, M], brightness from 0 to `peak`; M = K for named keypoints, else 1."""

    can_be_empty = True

    @property
    def num_maps(self) -> int:
        """M."""
        return len(self.keypoints.names) if self.keypoints.kind == NAMED else 1

    @property
    def answers_any_number(self) -> bool:
        """One map holds as many blobs as there are."""
        return self.keypoints.kind != NAMED

    @property
    def answer_step(self) -> float:
        """From cell to cell, of which the brightest is chosen."""
        return 1.0

    def outputs(self, features, dtype):
        """Float32 throughout, which costs little."""
        average = layers.GlobalAveragePooling2D(data_format=LAYOUT, dtype="float32", name="average")
        stride, kernel_size = deconv_geometry(self.image_size)
        shape = (COARSE_SIZE, COARSE_SIZE, self.num_maps)
        x = layers.Dense(math.prod(shape), dtype="float32", name="coarse")(average(features["P5"]))
        x = layers.Reshape(shape, dtype="float32", name="coarse_map")(x)
        return PolyphaseConv2DTranspose(
            self.num_maps, kernel_size, strides=stride, padding="valid", dtype="float32",
            name="heatmap",
        )(x)  # fmt: skip

    def targets(self, points, present):
        """`values` [B, S, S, M]: see `blob`."""
        there, count = tf.cast(present, tf.float32), points.shape[1]
        peak = self.config.peak
        levels = brightnesses(count, peak) if self.keypoints.kind == RANKED else [peak] * count
        blobs = [
            self.blob(points[:, n], float(level) * there[:, n]) for n, level in enumerate(levels)
        ]
        if self.keypoints.kind == NAMED:
            return {"values": tf.stack(blobs, axis=-1), "mask": there}
        values = functools.reduce(tf.maximum, blobs)[..., None]
        return {"values": values, "mask": tf.reduce_max(there, axis=1, keepdims=True)}

    def blob(self, points: tf.Tensor, peaks: tf.Tensor) -> tf.Tensor:
        """One blob an image around points [B, 2] of some peak brightness [B]: [B, S, S].

        disc: a cell is lit if its centre lies within the radius of the point. gaussian:
        exp(-d^2 / (2 sigma^2)), d the distance of the two; 0 where |dx| or |dy| exceeds
        GAUSSIAN_REACH sigma, which takes less than 0.1 off any cell.

        Only the rows near the point are computed. Each row of the map is fetched from among
        them, those further away from an empty one.
        """
        reach = self._reach
        rows_away = math.ceil(reach) + 1
        own_row = tf.floor(points[:, 1])
        near = own_row[:, None] + tf.range(-rows_away, rows_away + 1, dtype=tf.float32)
        dx2 = tf.square(cell_centers(self.image_size) - points[:, 0, None])[:, None, :]
        dy2 = tf.square(near + 0.5 - points[:, 1, None])[:, :, None]
        if self.config.target == "disc":
            rows = tf.cast(dx2 <= _float32(reach**2) - dy2, tf.float32) * peaks[:, None, None]
        else:
            scale = -0.5 / self.to_working(self.config.sigma) ** 2
            column, row = (
                tf.where(d2 <= _float32(reach**2), tf.exp(scale * d2), 0.0) for d2 in (dx2, dy2)
            )
            rows = (peaks[:, None, None] * row) * column
        places = tf.range(self.image_size) - tf.cast(own_row, tf.int32)[:, None] + rows_away
        return tf.gather(rows, tf.clip_by_value(places, 0, 2 * rows_away), batch_dims=1)

    @property
    def _reach(self) -> float:
        """How far a blob extends from its centre, in working pixels."""
        config = self.config
        disc = config.target == "disc"
        return self.to_working(config.radius if disc else GAUSSIAN_REACH * config.sigma)

    def losses(self, outputs, targets):
        """The mean over all cells of each map."""
        mask = targets["mask"][:, None, None, :]
        errors = self.loss_function(self._asked(outputs), targets["values"], mask)
        return tf.reduce_mean(errors, axis=[1, 2])

    def empty_losses(self, targets):
        """Of an all-black map."""
        return self.losses(tf.zeros_like(targets["values"]), targets)

    def statistics(self, outputs, targets):
        """One column for all cells."""
        if self.keypoints.kind == NAMED:
            return None
        values = targets["values"]
        errors = tf.math.squared_difference(outputs, values)
        each = {"errors": errors, "sums": values, "squares": tf.square(values)}
        return {name: tf.reduce_sum(value, axis=[1, 2]) for name, value in each.items()}

    @property
    def num_values(self) -> int:
        """The cells of a map."""
        return self.image_size**2

    def decode(self, outputs):
        """The brightest blob of each map; of ranked points the brightest blobs, in that order."""
        number = len(self.keypoints.names)
        if self.keypoints.kind != NAMED:
            levels = brightnesses(number)
            peaks = decode_peaks(self.maps(outputs), number)
            return Points(peaks.points, tf.clip_by_value(peaks.values / levels, 0, 1))
        maps = tf.transpose(self.maps(outputs), [0, 3, 1, 2])
        peaks = decode_peaks(tf.reshape(maps, [-1, self.image_size, self.image_size]))
        xy = tf.reshape(peaks.points, [-1, number, 2])
        return Points(
            xy, tf.clip_by_value(tf.reshape(peaks.values, [-1, number]) / BRIGHTEST, 0, 1)
        )

    def detections(self, outputs, max_points):
        """The blobs of the map, brightest first; values are brightness."""
        if self.keypoints.kind == NAMED:
            return None
        if self.keypoints.kind == UNORDERED:
            distance, window = MIN_DISTANCE / 224, CLASS_WINDOW / 224
        else:
            distance, window = 2 * WINDOW, WINDOW
        return decode_peaks(self.maps(outputs), max_points, min_distance=distance, window=window)

    def cell_maps(self, outputs):
        """The outputs themselves, in 0-255, a cell for each working pixel."""
        maps, peak = self._asked(outputs), self.config.peak
        return maps if peak == BRIGHTEST else maps * (BRIGHTEST / peak), 1

    def _asked(self, outputs):
        """The maps of the requested keypoints, which come first."""
        return outputs if outputs.shape[3] == self.num_maps else outputs[..., : self.num_maps]


def _float32(value: float) -> float:
    # So that a cell on the very edge of a blob counts alike wherever it is computed.
    return float(np.float32(value))
