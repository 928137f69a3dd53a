"""Batch normalisation through TensorFlow's fused op."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="rectloc_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the last axis of NHWC tensors, in one fused op.

    Equal to Keras' own within rounding, in training and inference, with the same weights;
    Keras composes it from elementwise ops instead, each of which walks through memory once
    more. Input and output keep the compute dtype; statistics are float32.

    The fused op returns the variance with Bessel's correction, Keras averages the one
    without it: hence the factor (N - 1) / N, N = B H W.

    Replicas normalise by their own batch, but share the moving statistics: each averages the
    mean over replicas, so that their copies never drift apart.

    Defaults are those of the original's framework (momentum 0.9, epsilon 1e-5).

    Raises:
        ValueError: for inputs that are not [B, H, W, C], and for masks.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        if self.axis not in (-1, 3) or not (self.scale and self.center) or self.renorm:
            raise ValueError("FusedBatchNormalization needs axis=-1, scale and center, no renorm")

    def call(self, inputs, training=None, mask=None):
        """Normalises inputs [B, H, W, C]; in training also updates the moving statistics."""
        if mask is not None or len(inputs.shape) != 4:
            raise ValueError("FusedBatchNormalization takes unmasked inputs [B, H, W, C]")
        inputs = tf.cast(inputs, self.compute_dtype)
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        if not (training and self.trainable):
            outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
                inputs,
                gamma,
                beta,
                mean=tf.convert_to_tensor(self.moving_mean),
                variance=tf.convert_to_tensor(self.moving_variance),
                epsilon=self.epsilon,
                is_training=False,
            )
            return outputs
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, epsilon=self.epsilon, is_training=True
        )
        count = tf.cast(tf.reduce_prod(tf.shape(inputs, tf.int64)[:3]), tf.float32)
        mean, variance = _mean_over_replicas([mean, variance * ((count - 1) / count)])
        self._average(self.moving_mean, mean)
        self._average(self.moving_variance, variance)
        return outputs

    def _average(self, moving, value):
        moving.assign(moving * self.momentum + value * (1.0 - self.momentum))


def _mean_over_replicas(tensors):
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, tensors)
