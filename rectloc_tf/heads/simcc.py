"""SimCC: coordinates by classification, along x and along y.

Li et al., "SimCC: a Simple Coordinate Classification Perspective for Human Pose Estimation" (2022).
Each keypoint has a map of the features, flattened, from which one linear layer makes logits of bins
along x and another along y (their section 3.1); both are shared by all keypoints.

- Bins: `splitting` (theirs: 2) for each working pixel, so that a bin is finer than a pixel.
- Loss: Kullback-Leibler divergence from the network's distribution over an axis' bins to a Gaussian
  around the true coordinate, of `sigma` (theirs: 6 bins), the mean over both axes. (Theirs is
  also divided by the number of bins, which changes its scale alone.)
- Answer: the centre of the most probable bin of each axis.

Confidence is the probability within three sigma of the answer, the smaller of the two axes'. The
maps stand on a top-down path (`network.top_down`), whose finest stride is that of the published
backbone HRNet.
"""

import tensorflow as tf
from keras import layers

from rectloc_tf.geometry import cell_centers
from rectloc_tf.heads.distributions import CONFIDENT_WITHIN, log_gaussian, uniform_logits
from rectloc_tf.heads.head import Head, Points
from rectloc_tf.network.top_down import conv, top_down


class SimCC(Head):
    """Outputs logits `x` and `y`, [B, K, bins] each."""

    can_be_empty = True

    @property
    def answer_step(self) -> float:
        """From bin to bin, of which the most probable is chosen."""
        return 1 / self.config.splitting

    @property
    def _bins(self) -> int:
        return self.config.splitting * self.image_size

    @property
    def _sigma(self) -> float:
        """Of the targets, in working pixels."""
        return self.to_working(self.config.sigma)

    def outputs(self, features, dtype):
        """The path in the backbone's precision, the linear layers in float32."""
        x = top_down(features, self.config.stride, dtype, self.config.batch_norm)
        number = len(self.keypoints.names)
        maps = conv(x, number, 1, "float32", "maps")
        rows = layers.Permute((3, 1, 2), dtype="float32", name="by_keypoint")(maps)
        cells = maps.shape[1] * maps.shape[2]
        flat = layers.Reshape((number, cells), dtype="float32", name="flat")(rows)
        return {
            axis: layers.Dense(self._bins, dtype="float32", name=f"bins_{axis}")(flat)
            for axis in ("x", "y")
        }

    def targets(self, points, present):
        """`log_x` and `log_y` [B, N, bins], of the Gaussians."""
        away = self._centres() - points[..., None]  # [B, N, 2, bins]
        log_both = log_gaussian(tf.square(away), self._sigma)
        mask = tf.cast(present, tf.float32)
        return {"log_x": log_both[:, :, 0], "log_y": log_both[:, :, 1], "mask": mask}

    def losses(self, outputs, targets):
        """The mean of the divergences along x and y."""
        x, y = self._asked(outputs)
        return (self._divergence(x, "log_x", targets) + self._divergence(y, "log_y", targets)) / 2

    def _divergence(self, logits, name, targets):
        log_found, mask = tf.nn.log_softmax(logits, axis=-1), targets["mask"][..., None]
        return tf.reduce_sum(self.loss_function(log_found, targets[name], mask), axis=-1)

    def empty_losses(self, targets):
        """Of distributions that are the same for every bin."""
        names = ("log_x", "log_y")
        return sum(
            self._divergence(uniform_logits(targets[name]), name, targets) / 2 for name in names
        )

    def decode(self, outputs):
        """The most probable bins; confidence is the probability near them."""
        found = [self._along(logits) for logits in self._asked(outputs)]
        places, confidences = zip(*found, strict=True)
        return Points(tf.stack(places, axis=-1), tf.minimum(tf.minimum(*confidences), 1.0))

    def _along(self, logits):
        """Coordinates [B, K] of an axis in working pixels, and their confidences [B, K]."""
        centres = self._centres()
        places = tf.gather(centres, tf.argmax(logits, axis=-1))
        near = tf.abs(centres - places[..., None]) <= CONFIDENT_WITHIN * self._sigma
        found = tf.where(near, tf.nn.softmax(logits, axis=-1), 0.0)
        return places, tf.reduce_sum(found, axis=-1)

    def maps(self, outputs):
        """Products of both axes' probabilities, in relation to the greatest pixel of each map."""
        along = []
        for logits in self._asked(outputs):
            shares = tf.nn.softmax(logits, axis=-1)
            shares = tf.reshape(
                shares, [-1, shares.shape[1], self.image_size, self.config.splitting]
            )
            pixels = tf.reduce_sum(shares, axis=-1)
            along.append(pixels / tf.reduce_max(pixels, axis=-1, keepdims=True))
        x, y = along
        return 255 * tf.einsum("bkx,bky->byxk", x, y)

    def _centres(self) -> tf.Tensor:
        """Centres of the bins, in working pixels."""
        return tf.constant(cell_centers(self._bins, 1 / self.config.splitting))

    def _asked(self, outputs):
        """Logits along x and y, [B, K, bins] each, of the keypoints asked for, the first."""
        number = len(self.keypoints.names)
        return outputs["x"][:, :number], outputs["y"][:, :number]
