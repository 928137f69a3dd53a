"""Score maps and offsets: the fully convolutional head of DeeperCut and DeepLabCut.

Insafutdinov et al., "DeeperCut" (2016), sections 3 and 4; Mathis et al., "DeepLabCut" (2018), whose
settings these are. For each keypoint a score map says which cells lie within a radius of it, and
two offset maps say where it is from there:

- Score target of cell c: 1 if |c - x| <= radius, else 0. Loss: sigmoid cross-entropy, averaged over
  all cells; a cell inside the disc weighs `positive_weight` times as much (theirs: 1, with which a
  keypoint's map may stay empty for good).
- Offset target of cell c: (x - c) / radius (theirs: / 7.2801). Loss: Huber, averaged over the cells
  inside the disc and x and y, times `offset_weight` (theirs: 0.05, beside cells that all weigh 1).
- Answer: the cell of the greatest score, plus radius times its offset. With `votes` the mean of
  where it and its neighbours point, weighted by their probabilities: a single offset is noisy.

The centre of cell (i, j) is stride (j + 0.5, i + 0.5) in working pixels. Points of one class share
a map; a cell's offset then points to the nearest of them.

The maps stand on a top-down path (`network.top_down`). Without its batch normalisation
(`batch_norm`) all its units may die where there is a keypoint: the maps then show one plateau
there, the last layer's bias, and keypoints near each other cannot be distinguished.
"""

import math

import tensorflow as tf

from rectloc_tf.geometry import cell_centers
from rectloc_tf.heads.head import Head, Points
from rectloc_tf.heads.losses import huber
from rectloc_tf.heads.peaks import Peaks
from rectloc_tf.network.top_down import conv, top_down
from rectloc_tf.registry import UNORDERED

_VOTERS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))  # rows and columns from the best cell
MIN_DISTANCE = 10.0  # nearest that two detections may be, px of 224


class ScoreMap(Head):
    """Outputs `scores` [B, H, W, K], logits, and `offsets` [B, H, W, 2K]: x0, y0, x1, y1, ..."""

    can_be_empty = True

    @property
    def answers_any_number(self) -> bool:
        """A map of one class holds as many discs as there are."""
        return self.keypoints.kind == UNORDERED

    @property
    def answer_step(self) -> float:
        """From cell to cell, of which that of the greatest score is chosen."""
        return float(self.config.stride)

    @property
    def _number(self) -> int:
        """K, which is also the number C of separate answers."""
        return len(self.keypoints.names)

    @property
    def _radius(self) -> float:
        """Of the discs, in working pixels."""
        return self.to_working(self.config.radius)

    def outputs(self, features, dtype):
        """The path in the backbone's precision, the maps in float32."""
        x = top_down(features, self.config.stride, dtype, self.config.batch_norm)
        return {
            "scores": conv(x, self._number, 1, "float32", "scores"),
            "offsets": conv(x, 2 * self._number, 1, "float32", "offsets"),
        }

    def _cells(self, count: int) -> tf.Tensor:
        """Coordinates of the centres of `count` cells, in working pixels."""
        return tf.constant(cell_centers(count, self.config.stride))

    def targets(self, points, present):
        """`scores` [B, H, W, C], 0 or 1, and `offsets` [B, H, W, C, 2] in radii."""
        cells = self._cells(-(-self.image_size // self.config.stride))
        grid = tf.stack(tf.meshgrid(cells, cells), axis=-1)  # (x, y) of each cell
        away = points[:, None, None] - grid[None, :, :, None]  # [B, H, W, N, 2]
        distances = tf.reduce_sum(tf.square(away), axis=-1)
        distances = tf.where(present[:, None, None], distances, math.inf)
        if self.keypoints.kind == UNORDERED:
            nearest = tf.argmin(distances, axis=-1)[..., None]
            away = tf.gather(away, nearest, batch_dims=3)
            distances = tf.reduce_min(distances, axis=-1, keepdims=True)
            present = tf.reduce_any(present, axis=-1, keepdims=True)
        return {
            "scores": tf.cast(distances <= self._radius**2, tf.float32),
            "offsets": away / self._radius,
            "mask": tf.cast(present, tf.float32),
        }

    def losses(self, outputs, targets):
        """The scores' loss plus the offsets' of each map."""
        scores, offsets = self._asked(outputs)
        return self._score_losses(scores, targets) + self._offset_losses(offsets, targets)

    def _score_losses(self, scores, targets):
        inside, mask = targets["scores"], targets["mask"][:, None, None]
        weights = 1 + (self.config.positive_weight - 1) * inside
        return tf.reduce_mean(weights * self.loss_function(scores, inside, mask), axis=[1, 2])

    def _offset_losses(self, offsets, targets):
        inside = targets["scores"] * targets["mask"][:, None, None]
        errors = huber(offsets, targets["offsets"], inside[..., None])
        cells = tf.maximum(tf.reduce_sum(inside, axis=[1, 2]), 1.0)
        mean = tf.reduce_sum(errors, axis=[1, 2, 4]) / (2 * cells)
        return self.config.offset_weight * mean

    def empty_losses(self, targets):
        """Of the best map that is the same everywhere, with offsets of 0.

        With a share f of its cells inside discs, which weigh w, its probability is
        p = w f / (w f + 1 - f) and its loss -w f log p - (1 - f) log (1 - p).
        """
        inside = tf.reduce_mean(targets["scores"], axis=[1, 2])
        weighted, rest = self.config.positive_weight * inside, 1 - inside
        total = weighted + rest
        entropy = -tf.math.xlogy(weighted, weighted / total) - tf.math.xlogy(rest, rest / total)
        offsets = self._offset_losses(tf.zeros_like(targets["offsets"]), targets)
        return (entropy + offsets) * targets["mask"]

    def decode(self, outputs):
        """The cell of the greatest score, moved by its offset; confidence is its probability."""
        logits, points = self._flat(outputs)
        count = -(-self.image_size // self.config.stride)
        best = tf.argmax(logits, axis=1, output_type=tf.int32)[..., None]  # [B, C, 1]
        rows, columns = tf.unstack(tf.constant(_VOTERS[: self.config.votes]), axis=1)
        rows, columns = best // count + rows, best % count + columns  # [B, C, V]
        there = (rows >= 0) & (rows < count) & (columns >= 0) & (columns < count)
        cells = tf.where(there, rows * count + columns, best)
        log_p = tf.math.log_sigmoid(tf.gather(tf.transpose(logits, [0, 2, 1]), cells, batch_dims=2))
        # In relation to the best cell, whose weight is 1 however small its probability.
        weights = tf.where(there, tf.exp(log_p - log_p[..., :1]), 0.0)[..., None]
        votes = tf.gather(tf.transpose(points, [0, 2, 1, 3]), cells, batch_dims=2)
        xy = tf.reduce_sum(weights * votes, axis=2) / tf.reduce_sum(weights, axis=2)
        return Points(xy, tf.sigmoid(tf.reduce_max(logits, axis=1)))

    def detections(self, outputs, max_points):
        """Local maxima of the score, moved by their offsets, none nearer than MIN_DISTANCE to a
        greater one.

        Values are 255 times the probability. None for several maps.
        """
        if self._number > 1:
            return None
        scores = outputs["scores"]
        highest = scores >= tf.nn.max_pool2d(scores, 3, 1, "SAME")
        logits, points = self._flat(outputs)
        logits = tf.where(tf.reshape(highest, tf.shape(logits)), logits, -math.inf)[..., 0]
        points = points[:, :, 0]
        nearest = self.to_working(MIN_DISTANCE) ** 2
        found, values = [], []
        for _ in range(max_points):
            best = tf.argmax(logits, axis=1)
            found.append(tf.gather(points, best, batch_dims=1))
            values.append(255 * tf.sigmoid(tf.gather(logits, best, batch_dims=1)))
            distances = tf.reduce_sum(tf.square(points - found[-1][:, None]), axis=-1)
            logits = tf.where(distances < nearest, -math.inf, logits)
        values = tf.stack(values, axis=1)
        return Peaks(tf.stack(found, axis=1), values, (values > 0) | (tf.range(max_points) == 0))

    def _flat(self, outputs):
        """Logits [B, H W, C], and where each cell points to [B, H W, C, 2] in working pixels."""
        scores, offsets = self._asked(outputs)
        height, width = scores.shape[1:3]
        grid = tf.stack(tf.meshgrid(self._cells(width), self._cells(height)), axis=-1)
        points = grid[:, :, None] + self._radius * offsets
        cells = height * width
        return (
            tf.reshape(scores, [-1, cells, self._number]),
            tf.reshape(points, [-1, cells, self._number, 2]),
        )

    def cell_maps(self, outputs):
        """255 times the probabilities."""
        scores, _ = self._asked(outputs)
        return 255 * tf.sigmoid(scores), self.config.stride

    def _asked(self, outputs):
        """Scores [B, H, W, C] and offsets [B, H, W, C, 2] of the keypoints asked for, the first."""
        scores, offsets = outputs["scores"], outputs["offsets"]
        height, width, every = scores.shape[1:]
        offsets = tf.reshape(offsets, [-1, height, width, every, 2])
        number = self._number
        return (
            (scores, offsets)
            if number == every
            else (scores[..., :number], offsets[..., :number, :])
        )
