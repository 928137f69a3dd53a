"""A toy head: softmax over the cells of P4, and the mean place."""

import keras
import tensorflow as tf
from keras import layers, ops

from rectloc_tf.geometry import cell_centers
from rectloc_tf.heads.head import Head, Points

STRIDE = 16


@keras.saving.register_keras_serializable(package="toys")
class CellSoftmax(layers.Layer):
    """Softmax over the cells of each map: [B, H, W, K] -> [B, H, W, K]."""

    def call(self, maps):
        """Makes each map add up to one."""
        logits = ops.cast(maps, "float32")
        return ops.exp(logits - ops.logsumexp(logits, axis=(1, 2), keepdims=True))

    def compute_output_spec(self, maps):
        """Float32, whatever comes in."""
        return keras.KerasTensor(maps.shape, "float32")


class Toy(Head):
    """Outputs shares [B, H, W, K], which add up to one for each keypoint."""

    def outputs(self, features, dtype):
        """One convolution, in float32."""
        names = self.keypoints.names
        maps = layers.Conv2D(len(names), 1, dtype="float32", name="cells")(features["P4"])
        return CellSoftmax(dtype="float32", name="shares")(maps)

    def targets(self, points, present):
        """`points` [B, K, 2] in working pixels."""
        return {"points": points, "mask": tf.cast(present, tf.float32)}

    def losses(self, outputs, targets):
        """The mean over x and y of each keypoint, in cells."""
        mask = targets["mask"][..., None]
        places = self.decode(outputs).xy / STRIDE, targets["points"] / STRIDE
        return tf.reduce_mean(self.loss_function(*places, mask), axis=-1)

    def decode(self, outputs):
        """The mean place; confidence is the share of the greatest cell."""
        shares = outputs[..., : len(self.keypoints.names)]
        cells = tf.constant(cell_centers(shares.shape[1], STRIDE))
        x = tf.einsum("bhwk,w->bk", shares, cells)
        y = tf.einsum("bhwk,h->bk", shares, cells)
        return Points(tf.stack([x, y], axis=-1), tf.reduce_max(shares, axis=[1, 2]))

    def maps(self, outputs):
        """255 times the shares, cells as large as their stride."""
        shares = 255 * outputs[..., : len(self.keypoints.names)]
        return tf.repeat(tf.repeat(shares, STRIDE, axis=1), STRIDE, axis=2)
