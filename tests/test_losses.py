"""Losses against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rectloc_tf.heads.losses import (
    absolute_error,
    huber,
    jensen_shannon,
    kl_divergence,
    mean_over_present,
    sigmoid_cross_entropy,
    squared_error,
)
from rectloc_tf.registry import LOSSES, load

SHAPES = [(3, 2), (3, 6), (2, 5, 7, 1)]


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _middle(x, t):
    """The logarithm of the mean of two probabilities."""
    return np.log((np.exp(x) + np.exp(t)) / 2)


# Of errors or of logits x and targets t in float64: the loss, and its derivative by the output.
PLAIN = {
    "squared_error": (lambda x, t: (x - t) ** 2, lambda x, t: 2 * (x - t)),
    "absolute_error": (lambda x, t: abs(x - t), lambda x, t: np.sign(x - t)),
    "huber": (
        lambda x, t: np.where(abs(x - t) <= 1, (x - t) ** 2 / 2, abs(x - t) - 0.5),
        lambda x, t: np.clip(x - t, -1, 1),
    ),
    "sigmoid_cross_entropy": (
        lambda x, t: -t * np.log(_sigmoid(x)) - (1 - t) * np.log(_sigmoid(-x)),
        lambda x, t: _sigmoid(x) - t,
    ),
    # Of logarithms of probabilities.
    "jensen_shannon": (
        lambda x, t: (np.exp(x) * (x - _middle(x, t)) + np.exp(t) * (t - _middle(x, t))) / 2,
        lambda x, t: np.exp(x) * (x - _middle(x, t)) / 2,
    ),
    "kl_divergence": (lambda x, t: np.exp(t) * (t - x), lambda x, t: -np.exp(t)),
}
EVERY = pytest.mark.parametrize("name", LOSSES)


def _random(shape, seed):
    return np.random.default_rng(seed).normal(100, 50, shape).astype("float32")


def _example(name, shape):
    """Outputs and targets that suit a loss, near enough for huber's two halves."""
    rng = np.random.default_rng(0)
    outputs = rng.normal(0, 3, shape).astype("float32")
    if name == "sigmoid_cross_entropy":
        return outputs, rng.uniform(0, 1, shape).astype("float32")
    targets = (outputs + rng.normal(0, 1.5, shape)).astype("float32")
    if name in ("jensen_shannon", "kl_divergence"):
        return -abs(outputs), -abs(targets)
    return outputs, targets


def _mask(shape):
    """Zeros and ones that broadcast over the last axis."""
    return np.random.default_rng(2).integers(0, 2, (*shape[:-1], 1)).astype("float32")


def _value_and_gradient(loss, outputs, targets, mask):
    outputs = tf.constant(outputs)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        values = loss(outputs, tf.constant(targets), tf.constant(mask))
    return values, tape.gradient(values, outputs)


def test_every_loss_is_looked_at():
    assert PLAIN.keys() == LOSSES.keys()
    functions = {f.__name__: f for f in (squared_error, absolute_error, huber)}
    more = (sigmoid_cross_entropy, jensen_shannon, kl_divergence)
    functions |= {f.__name__: f for f in more}
    assert {name: load(where) for name, where in LOSSES.items()} == functions


@EVERY
@pytest.mark.parametrize("shape", SHAPES)
def test_losses_are_elementwise_and_their_gradients_those_by_hand(name, shape):
    outputs, targets = _example(name, shape)
    ones = np.ones(shape, np.float32)
    values, gradient = _value_and_gradient(load(LOSSES[name]), outputs, targets, ones)
    assert values.dtype == tf.float32
    assert values.shape == shape
    expected, slope = (f(outputs.astype(float), targets.astype(float)) for f in PLAIN[name])
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-6)


@EVERY
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_masked_has_neither_value_nor_gradient(name, shape):
    outputs, targets = _example(name, shape)
    mask, ones = _mask(shape), np.ones(shape, np.float32)
    assert {*mask.ravel()} == {0, 1}
    loss = load(LOSSES[name])
    values, gradient = _value_and_gradient(loss, outputs, targets, mask)
    every_value, every_gradient = _value_and_gradient(loss, outputs, targets, ones)
    np.testing.assert_array_equal(values, every_value * mask)
    np.testing.assert_array_equal(gradient, every_gradient * mask)
    # Whatever the outputs are there.
    wild = np.where(mask == 1, outputs, 1e6).astype("float32")
    wild_values, wild_gradient = _value_and_gradient(loss, wild, targets, mask)
    np.testing.assert_array_equal(wild_values, values)
    np.testing.assert_array_equal(wild_gradient, gradient)


@pytest.mark.parametrize("shape", SHAPES)
def test_squared_error_of_large_values(shape):
    outputs, targets = _random(shape, 0), _random(shape, 1)
    errors = squared_error(tf.constant(outputs), tf.constant(targets), tf.ones(shape))
    assert errors.dtype == tf.float32
    np.testing.assert_allclose(errors, (outputs - targets) ** 2, rtol=1e-6)


def test_cases_done_by_hand():
    outputs, targets = tf.constant([[1.0, 2], [5, 5]]), tf.constant([[1.0, 4], [2, 5.5]])
    mask = tf.constant([[1.0, 1], [1, 1]])
    np.testing.assert_array_equal(squared_error(outputs, targets, mask), [[0, 4], [9, 0.25]])
    np.testing.assert_array_equal(absolute_error(outputs, targets, mask), [[0, 2], [3, 0.5]])
    np.testing.assert_array_equal(huber(outputs, targets, mask), [[0, 1.5], [2.5, 0.125]])
    cross = sigmoid_cross_entropy(tf.constant([[0.0, 0.0]]), tf.constant([[0.0, 1.0]]), mask[:1])
    np.testing.assert_allclose(cross, [[np.log(2)] * 2], rtol=1e-6)


def test_huber_is_smooth_where_its_halves_meet():
    outputs = np.array([-1.0, 1.0, 1.0001, -1.0001], np.float32)
    zeros, ones = np.zeros(4, np.float32), np.ones(4, np.float32)
    values, gradient = _value_and_gradient(huber, outputs, zeros, ones)
    np.testing.assert_allclose(values, [0.5, 0.5, 0.5001, 0.5001], rtol=1e-6)
    np.testing.assert_allclose(gradient, [-1, 1, 1, -1], rtol=1e-6)


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_cross_entropy_of_certain_answers_stays_finite(logit):
    outputs, targets = np.full(2, logit, np.float32), np.array([0, 1], np.float32)
    values, gradient = _value_and_gradient(sigmoid_cross_entropy, outputs, targets, np.ones(2, "f"))
    np.testing.assert_allclose(values, [max(logit, 0), max(-logit, 0)], atol=1e-6)
    np.testing.assert_allclose(gradient, (logit > 0) - targets, atol=1e-6)


@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "huber"])
@pytest.mark.parametrize("shape", SHAPES)
def test_truth_is_the_minimum(name, shape):
    truth, ones = _random(shape, 0), np.ones(shape, np.float32)
    values, gradient = _value_and_gradient(load(LOSSES[name]), truth, truth.copy(), ones)
    np.testing.assert_array_equal(values, np.zeros(shape))
    np.testing.assert_array_equal(gradient, np.zeros(shape))


def test_the_true_probability_is_the_minimum():
    targets = np.array([0.5, 0.2, 0.9], np.float32)
    logits, ones = np.log(targets / (1 - targets)), np.ones(3, np.float32)
    _, gradient = _value_and_gradient(sigmoid_cross_entropy, logits, targets, ones)
    np.testing.assert_allclose(gradient, np.zeros(3), atol=1e-6)


@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "huber"])
@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=4, max_size=4))
def test_nothing_is_below_the_truth(name, values):
    targets, mask = tf.constant([[10.0, 20, 30, 40]]), tf.ones([1, 4])
    outputs = tf.constant([values], tf.float32)
    loss = float(tf.reduce_mean(load(LOSSES[name])(outputs, targets, mask)))
    assert loss >= 0
    assert (loss == 0) == (values == [10, 20, 30, 40])


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.floats(-30, 30, width=32), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_no_logit_is_below_the_truth(logit, target):
    # The least of -t log p - (1 - t) log (1 - p) is at p = t.
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.nansum([-target * np.log(target), -(1 - target) * np.log(1 - target)])
    ones = tf.ones([1])
    loss = float(sigmoid_cross_entropy(tf.constant([logit]), target * ones, ones)[0])
    assert loss >= least - 1e-6


@EVERY
@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_outputs_are_measured_in_float32(name, dtype):
    # 300^2 overflows float16; probabilities have no logarithm above 0.
    sign = -1 if name in ("jensen_shannon", "kl_divergence") else 1
    outputs, targets = tf.constant([[300.0, 2.0]], dtype) * sign, tf.constant([[0.0, 0.0]])
    loss, mask = load(LOSSES[name]), tf.ones([1, 2])
    errors = loss(outputs, targets, mask)
    assert errors.dtype == tf.float32
    np.testing.assert_array_equal(errors, loss(tf.cast(outputs, tf.float32), targets, mask))
    expected = PLAIN[name][0](sign * np.array([[300.0, 2.0]]), 0.0)
    np.testing.assert_allclose(errors, expected, rtol=1e-5)


@EVERY
@pytest.mark.parametrize(
    ("outputs", "targets"),
    [((4, 2), (4, 1)), ((4, 2), (2,)), ((4, 8, 8, 1), (4, 8, 8)), ((1, 2), (4, 2))],
)
def test_shapes_that_would_broadcast_are_refused(name, outputs, targets):
    with pytest.raises(ValueError, match="differ in shape"):
        load(LOSSES[name])(tf.zeros(outputs), tf.zeros(targets), tf.ones(targets))


@EVERY
def test_an_unknown_batch_size_is_accepted(name):
    spec = tf.TensorSpec([None, 2], tf.float32)
    loss = tf.function(load(LOSSES[name]), input_signature=[spec] * 3)
    values = loss(tf.ones([3, 2]), tf.zeros([3, 2]), tf.ones([3, 2]))
    expected = PLAIN[name][0](np.ones((3, 2)), 0.0)
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_the_mean_is_over_what_is_present():
    losses = tf.constant([[1.0, 2, 4], [1, 2, 4], [1, 2, 4], [1, 2, 4]])
    mask = tf.constant([[1.0, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]])
    with tf.GradientTape() as tape:
        tape.watch(losses)
        means = mean_over_present(losses, mask)
    assert means.dtype == tf.float32
    np.testing.assert_allclose(means, [7 / 3, 2.5, 2, 0], rtol=1e-6)
    expected = [[1 / 3] * 3, [0.5, 0, 0.5], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(tape.gradient(means, losses), expected, rtol=1e-6)
