"""The head of expected coordinates, against its definition in NumPy and float64."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from rectloc_tf.config import STRIDES, HeadConfig, Keypoints
from rectloc_tf.models import make_head
from rectloc_tf.registry import NAMED
from tests.test_score_map import layers_of


def make(size=64, number=1, **config):
    names = tuple(f"point_{n}" for n in range(number))
    keypoints = Keypoints(names, NAMED, number)
    return make_head(HeadConfig(arch="dsnt", **config), size, keypoints)


def define(logits, points, size, stride):
    """Answers, losses and gradients of logits [H, W] of one keypoint at a point, working px.

    Returns the answer in working px, the confidence, the distance, the divergence, and what the
    logits' gradients of the last two are.
    """
    count = math.ceil(size / stride)
    middle = (np.arange(count) + 0.5) * stride
    x, y = np.meshgrid(middle, middle)
    z = np.exp(logits - logits.max())
    z /= z.sum()
    answer = np.array([(z * x).sum(), (z * y).sum()])
    near = np.hypot(x - answer[0], y - answer[1]) <= 3 * stride
    half = stride * count / 2
    away = (answer - points) / half
    distance = np.hypot(*away)
    target = np.exp(-((x - points[0]) ** 2 + (y - points[1]) ** 2) / (2 * stride**2))
    target /= target.sum()
    mixed = (z + target) / 2
    divergence = 0.5 * (z * np.log(z / mixed)).sum() + 0.5 * (target * np.log(target / mixed)).sum()
    along = (away[0] * (x - answer[0]) + away[1] * (y - answer[1])) / half / distance
    slope = 0.5 * np.log(z / mixed)
    return {
        "answer": answer,
        "confidence": z[near].sum(),
        "distance": distance,
        "divergence": divergence,
        "distance gradient": z * along,
        "divergence gradient": z * (slope - (z * slope).sum()),
    }


@pytest.mark.parametrize(("size", "stride"), [(64, 4), (80, 16), (112, 32), (72, 8), (64, 16)])
@pytest.mark.parametrize("weight", [1.0, 0.0, 2.5])
def test_answers_losses_and_gradients_are_those_by_hand(size, stride, weight):
    rng = np.random.default_rng(size + stride)
    head = make(size, 2, stride=stride, regularizer_weight=weight)
    side = math.ceil(size / stride)
    logits = rng.normal(0, 2, (3, side, side, 2)).astype(np.float32)
    points = rng.uniform(0, size, (3, 2, 2)).astype(np.float32)
    outputs = tf.constant(logits)
    targets = head.targets(tf.constant(points), tf.ones([3, 2], tf.bool))
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = head.losses(outputs, targets)
    gradient = tape.gradient(losses, outputs)
    found = head.decode(outputs)
    for b, k in np.ndindex(3, 2):
        exact = logits[b, ..., k].astype(np.float64)
        by_hand = define(exact, points[b, k].astype(float), size, stride)
        np.testing.assert_allclose(found.xy[b, k], by_hand["answer"], rtol=1e-5)
        assert float(found.confidence[b, k]) == pytest.approx(by_hand["confidence"], rel=1e-4)
        loss = by_hand["distance"] + weight * by_hand["divergence"]
        assert float(losses[b, k]) == pytest.approx(loss, rel=1e-4)
        slope = by_hand["distance gradient"] + weight * by_hand["divergence gradient"]
        np.testing.assert_allclose(gradient[b, ..., k], slope, rtol=1e-3, atol=1e-6)


def test_the_divergence_is_at_most_log_2():
    """A map with all of its mass in the corner that is farthest from the point."""
    head = make()
    logits = np.zeros((1, 16, 16, 1), np.float32)
    logits[0, 0, 0, 0] = 500
    targets = head.targets(tf.constant([[[62.0, 62.0]]]), tf.ones([1, 1], tf.bool))
    (loss,) = head.losses(tf.constant(logits), targets).numpy().ravel()
    assert loss == pytest.approx(np.hypot(*2 * [60 / 32]) + math.log(2), rel=1e-5)


def test_at_the_truth_the_distance_has_no_slope():
    head = make(regularizer_weight=0.0)
    points = tf.constant([[[32.0, 32.0]]])  # the middle, which even maps answer exactly
    outputs = tf.zeros([1, 16, 16, 1])
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = head.losses(outputs, head.targets(points, tf.ones([1, 1], tf.bool)))
    assert losses.numpy() == 0
    np.testing.assert_array_equal(tape.gradient(losses, outputs), np.zeros((1, 16, 16, 1)))


def test_the_published_coordinates():
    """The paper's figure 2: X_ij = (2 j - (n + 1)) / n with j from 1 to n, and the answer."""
    logits = np.full((1, 5, 5, 1), -np.inf, np.float32)
    z = np.zeros((5, 5))
    z[1, 3], z[2, 2], z[2, 3], z[2, 4], z[3, 3] = 0.1, 0.1, 0.6, 0.1, 0.1
    with np.errstate(divide="ignore"):
        logits[0, ..., 0] = np.log(z)
    head = make(80, stride=16)
    xy = head.decode(tf.constant(logits)).xy[0, 0].numpy()
    np.testing.assert_allclose(2 * xy / 80 - 1, [0.4, 0.0], atol=1e-6)


def test_between_two_peaks_there_is_no_confidence():
    logits = np.full((1, 16, 16, 1), -50, np.float32)
    logits[0, 3, 2, 0] = logits[0, 11, 13, 0] = 0
    found = make().decode(tf.constant(logits))
    np.testing.assert_allclose(found.xy[0, 0], [4 * 8, 4 * 7.5], rtol=1e-5)
    assert found.confidence[0, 0] < 1e-6


def test_nothing_is_the_middle():
    head, points = make(number=2), tf.constant([[[32.0, 32.0], [60.0, 32.0]]])
    targets = head.targets(points, tf.constant([[True, True]]))
    here, there = head.empty_losses(targets)[0].numpy()
    even = head.losses(tf.fill([1, 16, 16, 2], 3.0), targets)[0].numpy()
    np.testing.assert_allclose([here, there], even, rtol=1e-5)
    assert there > here + 0.8  # 28 px of a half side of 32, and about the same divergence


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("size", [64, 80])
def test_pictures_show_the_map(size, stride):
    head, side = make(size, stride=stride), math.ceil(size / stride)
    logits = np.random.default_rng(0).normal(size=(2, side, side, 1)).astype(np.float32)
    maps = head.maps(tf.constant(logits)).numpy()
    assert maps.shape == (2, size, size, 1)
    np.testing.assert_allclose(maps.max(axis=(1, 2, 3)), 255, rtol=1e-6)
    for i, j in ((0, 0), (size - 1, 3), (5, size - 1)):
        z = np.exp(logits[1, ..., 0] - logits[1].max())
        assert maps[1, i, j, 0] == pytest.approx(255 * z[i // stride, j // stride], rel=1e-4)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_logits_are_a_convolution_of_the_path(batch_norm):
    model = layers_of(make(64, 3, batch_norm=batch_norm), 64)
    assert model.output.shape == (None, 16, 16, 3)
    hidden = keras.Model(model.inputs, model.get_layer("smooth_relu").output)
    rng = np.random.default_rng(0)
    features = {x.name: rng.normal(size=(2, *x.shape[1:])).astype(np.float32) for x in model.inputs}
    kernel, bias = model.get_layer("logits").get_weights()
    expected = hidden(features).numpy() @ kernel[0, 0] + bias
    np.testing.assert_allclose(model(features), expected, rtol=1e-3, atol=1e-4)
    names = [layer.name for layer in model.layers]
    assert ("smooth_bn" in names) == batch_norm
