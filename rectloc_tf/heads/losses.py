"""Losses: elementwise, masked and not reduced. Shapes must agree exactly.

Each takes outputs and targets float32 [...] and a mask that broadcasts to them, 1 where there is
something to learn and 0 elsewhere; the result is float32 [...], 0 where the mask is. Targets must
be finite everywhere. `registry.LOSSES` lists those that `--loss` may name.
"""

import tensorflow as tf

from rectloc_tf.heads.distributions import jensen_shannon_terms, kl_terms


def squared_error(outputs: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """(outputs - targets)^2, in the square of the targets' unit."""
    _require_same_shape(outputs, targets)
    return tf.math.squared_difference(tf.cast(outputs, tf.float32), targets) * mask


def absolute_error(outputs: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """|outputs - targets|, in the targets' unit."""
    _require_same_shape(outputs, targets)
    return tf.abs(tf.cast(outputs, tf.float32) - targets) * mask


def huber(outputs: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """e^2 / 2 for errors |e| <= 1 of the targets' unit, |e| - 1/2 beyond (Huber, 1964)."""
    errors = absolute_error(outputs, targets, mask)
    near = tf.minimum(errors, 1.0)
    return near * (errors - 0.5 * near)


def sigmoid_cross_entropy(outputs: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """-t log p - (1 - t) log (1 - p) of p = sigmoid(outputs), in nats; targets t are in 0-1."""
    _require_same_shape(outputs, targets)
    logits = tf.cast(outputs, tf.float32)
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits) * mask


def jensen_shannon(outputs: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Terms of the Jensen-Shannon divergence, in nats; both are logarithms of probabilities."""
    _require_same_shape(outputs, targets)
    return jensen_shannon_terms(*_where_present(outputs, targets, mask)) * mask


def kl_divergence(outputs: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Terms t log(t / p) of the Kullback-Leibler divergence, in nats; both are logarithms."""
    _require_same_shape(outputs, targets)
    log_p, log_t = _where_present(outputs, targets, mask)
    return kl_terms(log_t, log_p) * mask


def _where_present(outputs: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor) -> list[tf.Tensor]:
    """Both in float32, 0 where the mask is: an exponential of anything may be infinite."""
    return [tf.where(mask > 0, tf.cast(values, tf.float32), 0.0) for values in (outputs, targets)]


def _require_same_shape(outputs: tf.Tensor, targets: tf.Tensor) -> None:
    """Raises ValueError if the static shapes differ: broadcasting would hide a mistake."""
    if not outputs.shape.is_compatible_with(targets.shape):
        raise ValueError(f"outputs {outputs.shape} and targets {targets.shape} differ in shape")


def mean_over_present(losses: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean over the points that are there: float32 [B] of losses and mask [B, C]; 0 of none."""
    return tf.reduce_sum(losses * mask, axis=1) / tf.maximum(tf.reduce_sum(mask, axis=1), 1.0)
