"""Discrete distributions along the last axis, as heads that answer with one need them."""

import math

import tensorflow as tf

CONFIDENT_WITHIN = 3.0  # sigma; of a Gaussian 98.9 % lie there in a plane, 99.7 % on a line


def log_gaussian(squared_distances: tf.Tensor, sigma: float) -> tf.Tensor:
    """Logarithms of a Gaussian over cells, normalised over them: float32 [..., cells].

    Args:
        squared_distances: float32 [..., cells], of the cells' centres from the Gaussian's.
        sigma: in the same unit, not squared.
    """
    return tf.nn.log_softmax(-squared_distances / (2 * sigma**2), axis=-1)


def uniform_logits(like: tf.Tensor) -> tf.Tensor:
    """Logits of the distribution that is the same for each cell."""
    return tf.zeros_like(like)


def kl_terms(log_p: tf.Tensor, log_q: tf.Tensor) -> tf.Tensor:
    """The terms p log(p / q) of the Kullback-Leibler divergence, in nats; 0 where p is 0."""
    p = tf.exp(log_p)
    return tf.where(p > 0, p * (log_p - log_q), 0.0)


def jensen_shannon_terms(log_p: tf.Tensor, log_q: tf.Tensor) -> tf.Tensor:
    """The terms of the Jensen-Shannon divergence of two distributions, in nats.

    (p log(p / m) + q log(q / m)) / 2 of m = (p + q) / 2; their sum is from 0 to log 2.
    """
    largest = tf.maximum(log_p, log_q)
    log_m = largest + tf.math.log1p(tf.exp(-tf.abs(log_p - log_q))) - math.log(2)
    return (kl_terms(log_p, log_m) + kl_terms(log_q, log_m)) / 2
