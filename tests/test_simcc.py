"""The head of coordinate classes, against its definition in NumPy and float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rectloc_tf.config import HeadConfig, Keypoints
from rectloc_tf.models import make_head
from rectloc_tf.registry import NAMED
from tests.test_score_map import layers_of


def make(size=64, number=1, **config):
    names = tuple(f"point_{n}" for n in range(number))
    keypoints = Keypoints(names, NAMED, number)
    return make_head(HeadConfig(arch="simcc", **config), size, keypoints)


def define(logits, place, splitting, sigma):
    """An axis: answer, confidence, divergence and its gradient; lengths in working px."""
    middles = (np.arange(len(logits)) + 0.5) / splitting
    p = np.exp(logits - logits.max())
    p /= p.sum()
    target = np.exp(-((middles - place) ** 2) / (2 * sigma**2))
    target /= target.sum()
    answer = middles[logits.argmax()]
    near = np.abs(middles - answer) <= 3 * sigma
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(target > 0, target * np.log(target / p), 0)
    return answer, p[near].sum(), terms.sum(), p - target


@pytest.mark.parametrize(
    ("size", "splitting", "sigma"), [(64, 2, 2.5), (80, 3, 6.0), (112, 1, 9.0)]
)
def test_answers_losses_and_gradients_are_those_by_hand(size, splitting, sigma):
    rng = np.random.default_rng(size)
    head = make(size, 2, splitting=splitting, sigma=sigma)
    bins = splitting * size
    logits = rng.normal(0, 2, (2, 3, 2, bins)).astype(np.float32)  # axis, image, keypoint, bin
    points = rng.uniform(0, size, (3, 2, 2)).astype(np.float32)
    outputs = {"x": tf.constant(logits[0]), "y": tf.constant(logits[1])}
    targets = head.targets(tf.constant(points), tf.ones([3, 2], tf.bool))
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = head.losses(outputs, targets)
    gradients = tape.gradient(losses, outputs)
    found = head.decode(outputs)
    for b, k in np.ndindex(3, 2):
        by_hand = [
            define(logits[axis, b, k].astype(float), float(points[b, k, axis]), splitting,
                   sigma * size / 224)
            for axis in (0, 1)
        ]  # fmt: skip
        np.testing.assert_allclose(found.xy[b, k], [axis[0] for axis in by_hand], rtol=1e-6)
        confidence = min(axis[1] for axis in by_hand)
        assert float(found.confidence[b, k]) == pytest.approx(confidence, rel=1e-4)
        assert float(losses[b, k]) == pytest.approx((by_hand[0][2] + by_hand[1][2]) / 2, rel=1e-4)
        for axis, (*_, slope) in zip("xy", by_hand, strict=True):
            np.testing.assert_allclose(gradients[axis][b, k], slope / 2, rtol=1e-3, atol=1e-6)


def test_by_hand():
    """Four bins a pixel: the 131st begins at 32.5 px, and a point there lies between two."""
    head = make(splitting=4, sigma=7)  # 2 working px
    targets = head.targets(tf.constant([[[32.5, 10.1]]]), tf.ones([1, 1], tf.bool))
    x, y = (np.exp(targets[name][0, 0].numpy()) for name in ("log_x", "log_y"))
    assert x[129] == pytest.approx(x[130], rel=1e-4)
    assert x.argmax() in (129, 130)
    assert y.argmax() == 40  # its centre is 10.125
    for shares in (x, y):
        assert shares.sum() == pytest.approx(1, rel=1e-5)
    assert x[129 + 8] / x[129] == pytest.approx(np.exp(-(1.875**2 - 0.125**2) / 8), rel=1e-3)


def test_confidence_is_that_of_the_less_certain_axis():
    head = make()
    sure, torn = np.full(128, -50, np.float32), np.full(128, -50, np.float32)
    sure[20], torn[20], torn[100] = 0, 0.1, 0
    outputs = {"x": tf.constant(sure[None, None]), "y": tf.constant(torn[None, None])}
    found = head.decode(outputs)
    np.testing.assert_allclose(found.xy[0, 0], [10.25, 10.25])
    assert float(found.confidence[0, 0]) == pytest.approx(1 / (1 + np.exp(-0.1)), rel=1e-5)


def test_nothing_is_every_bin_alike():
    head, points = make(number=2), tf.constant([[[32.0, 32.0], [60.0, 3.0]]])
    targets = head.targets(points, tf.ones([1, 2], tf.bool))
    log_sum = sum(
        (np.exp(log) * log).sum(axis=-1)
        for log in (targets["log_x"][0].numpy(), targets["log_y"][0].numpy())
    )
    expected = np.log(128) + log_sum / 2
    np.testing.assert_allclose(head.empty_losses(targets)[0], expected, rtol=1e-5)


def test_pictures_show_the_product_of_both_axes():
    head = make(number=2)
    x, y = np.full((2, 1, 2, 128), -30, np.float32)
    x[0, 1, 40], y[0, 1, 90] = 0, 0
    maps = head.maps({"x": tf.constant(x), "y": tf.constant(y)}).numpy()
    assert maps.shape == (1, 64, 64, 2)
    assert maps[0, 45, 20, 1] == pytest.approx(255)
    assert (maps[0, ..., 1] > 1).sum() == 1
    np.testing.assert_allclose(maps[0, ..., 0], 255, rtol=1e-5)  # even, if nothing is known


def test_bins_are_linear_in_the_flattened_map_and_shared_by_keypoints():
    model = layers_of(make(64, 3, stride=8), 64)
    assert {name: x.shape for name, x in model.output.items()} == dict.fromkeys(
        "xy", (None, 3, 128)
    )
    maps = keras.Model(model.inputs, model.get_layer("maps").output)
    rng = np.random.default_rng(0)
    features = {x.name: rng.normal(size=(2, *x.shape[1:])).astype(np.float32) for x in model.inputs}
    flat = maps(features).numpy().transpose(0, 3, 1, 2).reshape(2, 3, 64)
    for axis in "xy":
        kernel, bias = model.get_layer(f"bins_{axis}").get_weights()
        assert kernel.shape == (64, 128)
        np.testing.assert_allclose(
            model(features)[axis], flat @ kernel + bias, rtol=1e-3, atol=1e-4
        )
