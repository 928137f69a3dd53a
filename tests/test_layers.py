"""Our layers against Keras' own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rectloc_tf.network.layers import FusedBatchNormalization, PolyphaseConv2DTranspose

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


@pytest.mark.parametrize(
    ("filters", "kernel_size", "stride"),
    [(1, 14, 2), (1, 28, 4), (1, 15, 1), (3, (7, 5), 2), (2, 13, 3), (2, 2, 3)],
)
@pytest.mark.parametrize("max_taps", [0, 99], ids=["rows", "phases"])
def test_transposed_convolution_equals_keras(filters, kernel_size, stride, max_taps, monkeypatch):
    monkeypatch.setattr("rectloc_tf.network.layers.MAX_PHASE_TAPS", max_taps)
    rng = np.random.default_rng(2)
    inputs = tf.constant(rng.normal(size=SHAPE), tf.float32)
    layers = [
        kind(filters, kernel_size, strides=stride, padding="valid", activation="tanh")
        for kind in (keras.layers.Conv2DTranspose, PolyphaseConv2DTranspose)
    ]
    for layer in layers:
        layer.build(SHAPE)
    weights = [rng.normal(0, 0.1, w.shape).astype("float32") for w in layers[0].weights]
    results = []
    for layer in layers:
        layer.set_weights(weights)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
            cotangent = np.random.default_rng(3).normal(size=outputs.shape)
            value = tf.reduce_sum(outputs * cotangent.astype("float32"))
        gradients = tape.gradient(value, [inputs, *(v.value for v in layer.trainable_variables)])
        results.append([outputs, *gradients])
    for theirs, ours in zip(*results, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert [w.name for w in layers[1].weights] == [w.name for w in layers[0].weights]


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same"},
        {"strides": (1, 2)},
        {"dilation_rate": 2},
        {"data_format": "channels_first"},
        {"output_padding": 1, "strides": 2},
    ],
    ids=lambda options: next(iter(options)),
)
def test_transposed_convolution_refuses_what_it_cannot_do(options):
    with pytest.raises(ValueError, match="square strides"):
        PolyphaseConv2DTranspose(1, 3, **options)
