"""Losses, unreduced where the caller weighs them; shapes must agree exactly."""

import tensorflow as tf


def squared_error(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Elementwise (outputs - targets)^2, float32, in the square of the targets' unit.

    Raises:
        ValueError: if the static shapes differ (broadcasting would hide a mistake).
    """
    if not outputs.shape.is_compatible_with(targets.shape):
        raise ValueError(f"outputs {outputs.shape} and targets {targets.shape} differ in shape")
    return tf.math.squared_difference(tf.cast(outputs, tf.float32), targets)


def mse_per_example(outputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Mean squared error over everything but the batch: float32 [B] of [B, ...]."""
    errors = squared_error(outputs, targets)
    return tf.reduce_mean(errors, axis=list(range(1, len(errors.shape))))
