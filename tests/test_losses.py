"""Losses against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rectloc_tf.heads.losses import mse_per_example, squared_error

SHAPES = [(3, 2), (3, 6), (2, 5, 7, 1)]


def _random(shape, seed):
    return np.random.default_rng(seed).normal(100, 50, shape).astype("float32")


@pytest.mark.parametrize("shape", SHAPES)
def test_squared_error_is_elementwise(shape):
    outputs, targets = _random(shape, 0), _random(shape, 1)
    errors = squared_error(tf.constant(outputs), tf.constant(targets))
    assert errors.dtype == tf.float32
    np.testing.assert_allclose(errors, (outputs - targets) ** 2, rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_mse_is_the_mean_of_each_example(shape):
    outputs, targets = _random(shape, 0), _random(shape, 1)
    losses = mse_per_example(tf.constant(outputs), tf.constant(targets))
    squares = (outputs.astype(float) - targets) ** 2
    expected = [example.mean() for example in squares]
    assert losses.shape == (shape[0],)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


def test_mse_of_a_case_done_by_hand():
    losses = mse_per_example(tf.constant([[1.0, 2], [5, 5]]), tf.constant([[1.0, 4], [2, 6]]))
    np.testing.assert_array_equal(losses, [2, 5])


@pytest.mark.parametrize("shape", SHAPES)
def test_truth_is_the_minimum(shape):
    truth = tf.constant(_random(shape, 0))
    with tf.GradientTape() as tape:
        tape.watch(truth)
        losses = mse_per_example(truth, tf.identity(tf.stop_gradient(truth)))
    assert losses.numpy().tolist() == [0.0] * shape[0]
    np.testing.assert_array_equal(tape.gradient(losses, truth), np.zeros(shape))


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=4, max_size=4))
def test_nothing_is_below_the_truth(values):
    targets = tf.constant([[10.0, 20, 30, 40]])
    outputs = tf.constant([values], tf.float32)
    loss = float(mse_per_example(outputs, targets)[0])
    assert loss >= 0
    assert (loss == 0) == (values == [10, 20, 30, 40])


def test_gradient_is_twice_the_error_over_the_count():
    outputs, targets = tf.constant(_random((3, 4), 0)), tf.constant(_random((3, 4), 1))
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = mse_per_example(outputs, targets)
    np.testing.assert_allclose(
        tape.gradient(losses, outputs), 2 * (outputs - targets) / 4, rtol=1e-5
    )


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_outputs_are_measured_in_float32(dtype):
    # 300^2 overflows float16.
    outputs, targets = tf.constant([[300.0, 2.0]], dtype), tf.constant([[0.0, 0.0]])
    errors = squared_error(outputs, targets)
    assert errors.dtype == tf.float32
    np.testing.assert_array_equal(errors, np.square(tf.cast(outputs, tf.float32).numpy()))


@pytest.mark.parametrize("loss", [squared_error, mse_per_example])
@pytest.mark.parametrize(
    ("outputs", "targets"),
    [((4, 2), (4, 1)), ((4, 2), (2,)), ((4, 8, 8, 1), (4, 8, 8)), ((1, 2), (4, 2))],
)
def test_shapes_that_would_broadcast_are_refused(loss, outputs, targets):
    with pytest.raises(ValueError, match="differ in shape"):
        loss(tf.zeros(outputs), tf.zeros(targets))


def test_an_unknown_batch_size_is_accepted():
    spec = tf.TensorSpec([None, 2], tf.float32)
    loss = tf.function(mse_per_example, input_signature=[spec, spec])
    np.testing.assert_array_equal(loss(tf.ones([3, 2]), tf.zeros([3, 2])), [1, 1, 1])
