"""FusedAdam against Keras' own Adam."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rectloc_tf.training.optimizers import FusedAdam

SHAPES = [(3, 4, 2), (5,), (1,)]


def _steps(kind, rate, num_steps=20, wrap=lambda optimizer: optimizer):
    """The optimiser, and the weights after each of some steps on the same gradients."""
    rng = np.random.default_rng(0)
    variables = [
        keras.Variable(rng.normal(size=shape).astype("float32"), name=f"weight{i}")
        for i, shape in enumerate(SHAPES)
    ]
    optimizer = wrap(kind(rate, name="adam"))
    optimizer.build(variables)
    apply = tf.function(lambda gradients: optimizer.apply(gradients, variables))
    weights = []
    for _ in range(num_steps):
        scales = (1e-3, 1.0, 1e3)
        gradients = [scale * rng.normal(size=s) for s, scale in zip(SHAPES, scales, strict=True)]
        apply([tf.constant(g, tf.float32) for g in gradients])
        weights.append([v.numpy() for v in variables])
    return optimizer, weights


RATES = {"small": 1e-3, "large": 0.1, "schedule": keras.optimizers.schedules.CosineDecay(0.1, 20)}


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_weights_and_moments_equal_keras(rate):
    theirs, expected = _steps(keras.optimizers.Adam, rate)
    ours, found = _steps(FusedAdam, rate)
    for step, (one, other) in enumerate(zip(expected, found, strict=True)):
        for a, b in zip(one, other, strict=True):
            # A step is about the rate long: equal within 1e-4 of that.
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-5, err_msg=f"step {step}")
    assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]
    for a, b in zip(theirs.variables, ours.variables, strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-4, atol=1e-9)


def test_loss_scaling_wraps_it():
    wrap = keras.optimizers.LossScaleOptimizer
    (_, expected), (_, found) = (
        _steps(kind, 0.1, wrap=wrap) for kind in (keras.optimizers.Adam, FusedAdam)
    )
    for a, b in zip(expected[-1], found[-1], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)


def test_loss_scaling_skips_a_step_that_overflows():
    optimizer = keras.optimizers.LossScaleOptimizer(FusedAdam(0.1))
    variable = keras.Variable(np.ones(3, "float32"))
    optimizer.build([variable])
    optimizer.apply([tf.constant([1.0, np.inf, 1.0])], [variable])
    np.testing.assert_array_equal(variable.numpy(), 1)
    optimizer.apply([tf.constant([1e4, 2e4, -1e4])], [variable])
    np.testing.assert_allclose(variable.numpy(), [0.9, 0.9, 1.1], rtol=1e-4)


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="amsgrad"):
        FusedAdam(amsgrad=True)
