"""FusedBatchNormalization against Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rectloc_tf.layers import FusedBatchNormalization

SHAPE = (3, 5, 7, 4)  # B, H, W, C all different


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    layers = (
        keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5),
        FusedBatchNormalization(),
    )
    weights = [rng.uniform(0.5, 2, SHAPE[-1]).astype("float32") for _ in range(4)]
    for layer in layers:
        layer.build(SHAPE)
        layer.set_weights(weights)
    inputs = tf.constant(rng.normal(3, 2, SHAPE), tf.float32)
    cotangent = tf.constant(rng.normal(size=SHAPE), tf.float32)
    return *layers, inputs, cotangent


@pytest.mark.parametrize("training", [False, True])
def test_outputs_gradients_and_statistics_equal_keras(pair, training):
    results = []
    for layer in pair[:2]:
        with tf.GradientTape() as tape:
            tape.watch(pair[2])
            outputs = layer(pair[2], training=training)
            value = tf.reduce_sum(outputs * pair[3])
        gradients = tape.gradient(value, [pair[2], *(v.value for v in layer.trainable_variables)])
        results.append([outputs, *gradients, *layer.get_weights()])
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_weight_names_equal_keras(pair):
    theirs, ours, *_ = pair
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_keeps_statistics_in_float32(precision):
    layer = FusedBatchNormalization(dtype=precision)
    rng = np.random.default_rng(1)
    inputs = rng.normal(3, 2, SHAPE).astype("float32")
    outputs = layer(inputs, training=True)
    assert outputs.dtype == precision.removeprefix("mixed_")
    assert layer.moving_mean.dtype == "float32"
    # 0.9 of the initial 0 and 1, 0.1 of the batch's mean and (biased) variance.
    flat = inputs.reshape(-1, SHAPE[-1])
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * flat.mean(0), rtol=1e-2)
    expected = 0.9 + 0.1 * flat.var(0)
    np.testing.assert_allclose(layer.moving_variance.numpy(), expected, rtol=1e-2)


def test_refuses_what_the_fused_op_cannot_do():
    with pytest.raises(ValueError, match="axis"):
        FusedBatchNormalization(axis=1)
    with pytest.raises(ValueError, match="B, H, W, C"):
        FusedBatchNormalization()(np.zeros((2, 3), "float32"))
