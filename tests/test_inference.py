"""The folded, constant network against the model that was trained."""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.streams import make_batch, training_batches
from rectloc_tf.config import RunConfig
from rectloc_tf.geometry import working_to_frame
from rectloc_tf.models import build_run_model
from rectloc_tf.network.layers import FusedBatchNormalization
from rectloc_tf.registry import HEADS
from rectloc_tf.serving.inference import (
    fold_batch_normalization,
    make_answers,
    make_network,
)
from tests.exported import export_model
from tests.narrow import narrow
from tests.training import small_network, start_training

SIZE = 64


def with_statistics(model, seed=0):
    """Gives every batch normalisation weights as training leaves them: all different."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            low, high = [0.5, -0.2, -0.2, 0.5], [1.5, 0.2, 0.2, 2.0]
            layer.set_weights([rng.uniform(a, b, shape) for a, b in zip(low, high, strict=True)])
    return model


def noise(count, channels=1, seed=1):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.integers(0, 256, (count, SIZE, SIZE, channels), np.uint8))


def relative_error(ours, theirs):
    return float(tf.norm(ours - theirs) / tf.norm(theirs))


@pytest.mark.parametrize(
    ("arch", "channels", "depth", "config"),
    [
        ("deconv", 3, 50, {}),
        ("xy", 3, 34, {}),
        ("score_map", 1, 18, {}),
        ("dsnt", 1, 18, {"batch_norm": True}),  # in its own layers, as score maps have it
        ("simcc", 3, 18, {}),
    ],
)
def test_folding_changes_nothing_but_rounding(arch, channels, depth, config):
    keras.utils.set_random_seed(depth)
    model = with_statistics(small_network(arch, channels, depth=depth, **config)[0])
    before = [weights.copy() for weights in model.get_weights()]
    images = noise(2, channels)
    expected = model(images, training=False)
    network = make_network(model)
    found = network(images)
    tf.nest.assert_same_structure(found, expected)
    for ours, theirs in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        assert relative_error(ours, theirs) < 1e-5
    for weights, unchanged in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, unchanged)
    again = tf.nest.flatten(model(images, training=False))
    for ours, theirs in zip(again, tf.nest.flatten(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    concrete = tf.function(network).get_concrete_function(tf.TensorSpec(images.shape, tf.uint8))
    assert not concrete.captured_inputs  # the weights are constants of the graph
    definition = concrete.graph.as_graph_def()
    nodes = [node.op for function in definition.library.function for node in function.node_def]
    assert nodes.count("Conv2D") >= 20
    assert not [op for op in nodes if "BatchNorm" in op or "Variable" in op]


def test_decoding_never_sees_an_empty_batch():
    # OpenVINO has no pooling of one, which finds the maxima of a map.
    images, counts = keras.Input((8, 8, 1), dtype="uint8"), []
    model = keras.Model(images, keras.layers.Rescaling(1.0)(images))

    def decode(outputs):
        counts.append(len(outputs))
        return {"sum": tf.reduce_sum(outputs, axis=(1, 2, 3))}

    network = make_network(model, decode)
    assert network(tf.zeros([0, 8, 8, 1], tf.uint8))["sum"].shape == (0,)
    assert network(tf.ones([3, 8, 8, 1], tf.uint8))["sum"].numpy().tolist() == [64, 64, 64]
    assert counts == [1, 3]


def test_only_what_belongs_together_is_folded():
    """A normalisation of something else than its convolution stays, and so does the answer."""
    images = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(4, 3, use_bias=False, name="a_conv")(x)
    x = keras.layers.Activation("relu")(x)
    x = FusedBatchNormalization(name="a_bn")(x)
    x = FusedBatchNormalization(name="alone")(x)
    y = keras.layers.Conv2D(5, 3, use_bias=False, name="b_conv")(x)
    x = FusedBatchNormalization(name="b_bn")(y)
    model = with_statistics(keras.Model(images, keras.layers.GlobalAveragePooling2D()(x)))
    folded = fold_batch_normalization(model)
    names = [layer.name for layer in folded.layers]
    assert ("a_bn" in names, "alone" in names, "b_bn" in names) == (True, True, False)
    np.testing.assert_allclose(folded(noise(3)), model(noise(3)), rtol=1e-4, atol=1e-5)


def test_a_convolution_that_something_else_uses_is_not_folded():
    images = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(images)
    conv = keras.layers.Conv2D(5, 3, use_bias=False, name="b_conv")(x)
    x = keras.layers.Add()([FusedBatchNormalization(name="b_bn")(conv), conv])
    model = with_statistics(keras.Model(images, keras.layers.GlobalAveragePooling2D()(x)))
    folded = fold_batch_normalization(model)
    np.testing.assert_allclose(folded(noise(3)), model(noise(3)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arch", "precision"),
    [(head, "float32") for head in HEADS] + [("deconv", "mixed_bfloat16")],
)
def test_an_empty_batch_has_empty_answers(arch, precision):
    with narrow():
        images, encoded = make_answers(*small_network(arch, precision=precision))
    expected = {"points_xy": (0, 1, 2), "center_xy": (0, 2)}
    if arch != "xy":
        expected |= {"point_confidence": (0, 1), "confidence": (0,), "heatmap": (0, SIZE, SIZE)}
    for answers in (
        images(tf.zeros([0, SIZE, SIZE, 1], tf.uint8)),
        images(tf.zeros([0, 90, 31, 3], tf.uint8)),
        encoded(tf.zeros([0], tf.string)),
    ):
        assert {name: tuple(value.shape) for name, value in answers.items()} == expected


NUM_TESTED = 300
# Half precision is looked at in whole networks of a dense and a convolutional head: in a narrow
# one so few roundings add up that chance decides where there are more.
WHOLE = ("deconv", "score_map")


@pytest.fixture(scope="module")
def trained(request):
    """A network after 60 steps, float32, its head, and the scenes that it is tested on."""
    keras.utils.set_random_seed(0)
    run = RunConfig(
        arch=request.param,
        image_size=SIZE, batch_size=16, num_images=600, epochs=2, precision="float32",
    )  # fmt: skip
    with contextlib.nullcontext() if run.arch in WHOLE else narrow():
        source, head, state, step = start_training(run)
    for batch in training_batches(run, source):
        step(batch)
    tested = make_batch(source, tf.range(9000, 9000 + NUM_TESTED, dtype=tf.int64))
    return run, state.model, head, tested


@pytest.mark.parametrize("trained", HEADS, indirect=True)
def test_an_exported_network_answers_as_the_trained_one(trained, tmp_path):
    _, model, head, batch = trained
    images = batch["images"]
    served = tf.saved_model.load(str(export_model(model, head, tmp_path)))
    found = served.signatures["serving_default"](images=images)
    expected = head.answers(model(images, training=False))
    assert served.signatures["keypoints"]()["names"].numpy().tolist() == [
        name.encode() for name in head.keypoints.names
    ]
    points = working_to_frame(found["points_xy"].numpy(), SIZE)
    alive = working_to_frame(expected["points_xy"].numpy(), SIZE)
    np.testing.assert_allclose(points, alive, atol=0.01)  # px of 224
    np.testing.assert_array_equal(found["center_xy"], found["points_xy"][:, 0])
    if head.name == "xy":
        return
    confidence = found["point_confidence"].numpy()
    np.testing.assert_allclose(confidence, expected["point_confidence"], atol=1e-4)
    assert relative_error(found["heatmap"], expected["maps"][..., 0]) < 1e-5


@pytest.mark.parametrize("trained", WHOLE, indirect=True)
def test_sixteen_bits_are_no_worse_than_before(trained):
    """Against the truth, and against what float32 answers: folding rounds less often."""
    run, model, head, batch = trained
    half = build_run_model(dataclasses.replace(run, precision="mixed_bfloat16"), head, 1)
    half.set_weights(model.get_weights())
    outputs = {
        "exact": model(batch["images"], training=False),
        "unfolded": half(batch["images"], training=False),
        "folded": make_network(half)(batch["images"]),
    }
    truths = batch["points"].numpy()
    errors = {}
    for name, found in outputs.items():
        away = np.linalg.norm(head.decode(found).xy.numpy() - truths, axis=-1)
        errors[name] = working_to_frame(away.mean(axis=1), SIZE)
    worse = errors["folded"] - errors["unfolded"]
    standard_error = worse.std() / np.sqrt(NUM_TESTED)
    assert worse.mean() <= 2 * standard_error + 0.01
    exact, unfolded, folded = (
        tf.nest.flatten(outputs[name]) for name in ("exact", "unfolded", "folded")
    )
    for value, before, after in zip(exact, unfolded, folded, strict=True):
        assert 0 < relative_error(after, value) < 1.1 * relative_error(before, value)
