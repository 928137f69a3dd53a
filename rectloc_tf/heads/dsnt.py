"""The differentiable spatial to numerical transform: coordinates as a heatmap's expected value.

Nibali et al., "Numerical Coordinate Regression with Convolutional Neural Networks" (2018). Each
keypoint has a map of logits; Z is their softmax over all cells, and X, Y are the coordinates of the
cells' centres, with the edges of the map at -1 and 1:

- Answer: mu = (sum Z X, sum Z Y) (their equations 2 to 4).
- Loss: |mu - p|, the Euclidean distance to the true p (equation 6), plus `regularizer_weight`
  (theirs: 1) times the Jensen-Shannon divergence of Z and a Gaussian around p whose sigma is one
  cell (equations 8 and 10). Without the latter maps of any shape with the right mean would do.

Confidence is the probability within three sigma of the answer: 0 where the map has peaks on
either side of it. The maps stand on a top-down path (`network.top_down`), without the dilation of
the published backbones.
"""

import tensorflow as tf

from rectloc_tf.geometry import cell_centers
from rectloc_tf.heads.distributions import CONFIDENT_WITHIN, log_gaussian, uniform_logits
from rectloc_tf.heads.head import Head, Points
from rectloc_tf.network.top_down import conv, top_down

SIGMA = 1.0  # of the targets, in cells


class DSNT(Head):
    """Outputs logits [B, H, W, K]."""

    can_be_empty = True

    @property
    def _count(self) -> int:
        """Cells along each side of a map."""
        return -(-self.image_size // self.config.stride)

    def outputs(self, features, dtype):
        """The path in the backbone's precision, the logits in float32."""
        x = top_down(features, self.config.stride, dtype, self.config.batch_norm)
        return conv(x, len(self.keypoints.names), 1, "float32", "logits")

    def targets(self, points, present):
        """`log_map` [B, N, H W], of the Gaussians, and `points` [B, N, 2], the map from -1 to 1."""
        away = self._cells() - points[:, :, None] / self.config.stride  # [B, N, H W, 2]
        squared = tf.reduce_sum(tf.square(away), axis=-1)
        return {
            "log_map": log_gaussian(squared, SIGMA),
            "points": 2 * points / (self.config.stride * self._count) - 1,
            "mask": tf.cast(present, tf.float32),
        }

    def losses(self, outputs, targets):
        """The distance, of which the map's half side is 1, plus the weighted divergence."""
        return self._losses(self._asked(outputs), targets)

    def _losses(self, logits, targets):
        mask = targets["mask"]
        # A point that is absent may lie anywhere: its distance must not become infinite.
        away = (self._expected(logits) - targets["points"]) * mask[..., None]
        squared = tf.reduce_sum(tf.square(away), axis=-1)
        # The gradient of a root at 0 is infinite; of the distance it is 0 there.
        somewhere = squared > 0
        distances = tf.where(somewhere, tf.sqrt(tf.where(somewhere, squared, 1.0)), 0.0)
        terms = self.loss_function(
            tf.nn.log_softmax(logits, axis=-1), targets["log_map"], mask[..., None]
        )
        return distances + self.config.regularizer_weight * tf.reduce_sum(terms, axis=-1)

    def empty_losses(self, targets):
        """Of maps that are the same everywhere, whose answer is the middle."""
        return self._losses(uniform_logits(targets["log_map"]), targets)

    def decode(self, outputs):
        """The expected coordinates; confidence is the probability near them."""
        logits = self._asked(outputs)
        places = (self._expected(logits) + 1) * (self._count / 2)  # in cells
        squared = tf.reduce_sum(tf.square(self._cells() - places[:, :, None]), axis=-1)
        near = tf.cast(squared <= (CONFIDENT_WITHIN * SIGMA) ** 2, tf.float32)
        confidence = tf.reduce_sum(near * tf.nn.softmax(logits, axis=-1), axis=-1)
        return Points(places * self.config.stride, tf.minimum(confidence, 1.0))

    def cell_maps(self, outputs):
        """Probabilities in relation to each map's greatest."""
        logits = self._asked(outputs)
        shown = 255 * tf.exp(logits - tf.reduce_max(logits, axis=-1, keepdims=True))
        shown = tf.reshape(shown, [-1, len(self.keypoints.names), self._count, self._count])
        return tf.transpose(shown, [0, 2, 3, 1]), self.config.stride

    def _cells(self) -> tf.Tensor:
        """Centres of the cells [H W, 2], (x, y) in cells."""
        centres = tf.constant(cell_centers(self._count))
        return tf.reshape(tf.stack(tf.meshgrid(centres, centres), axis=-1), [-1, 2])

    def _expected(self, logits: tf.Tensor) -> tf.Tensor:
        """Expected coordinates [B, K, 2] of logits [B, K, H W], the map from -1 to 1."""
        coordinates = 2 * self._cells() / self._count - 1
        return tf.einsum("bkc,cx->bkx", tf.nn.softmax(logits, axis=-1), coordinates)

    def _asked(self, outputs: tf.Tensor) -> tf.Tensor:
        """Logits [B, K, H W] of the keypoints asked for, the first."""
        height, width, every = outputs.shape[1:]
        logits = tf.transpose(tf.reshape(outputs, [-1, height * width, every]), [0, 2, 1])
        return logits[:, : len(self.keypoints.names)]
