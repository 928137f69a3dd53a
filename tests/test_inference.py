"""The folded, constant network against the model that was trained."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.streams import make_batch, training_batches
from rectloc_tf.config import ModelConfig, RunConfig
from rectloc_tf.geometry import centers, working_to_frame
from rectloc_tf.models import build_model
from rectloc_tf.network.layers import FusedBatchNormalization
from rectloc_tf.results.evaluation import decode_centers
from rectloc_tf.serving.inference import (
    fold_batch_normalization,
    make_answers,
    make_network,
)
from rectloc_tf.training.state import TrainState, make_train_step

SIZE = 64
HEADS = pytest.mark.parametrize("arch", ["xy", "deconv"])


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
    ("arch", "channels", "depth"), [("deconv", 1, 18), ("deconv", 3, 50), ("xy", 3, 34)]
)
def test_folding_changes_nothing_but_rounding(arch, channels, depth):
    keras.utils.set_random_seed(depth)
    config = ModelConfig(arch=arch, image_size=SIZE, depth=depth, channels=channels)
    model = with_statistics(build_model(config))
    before = [weights.copy() for weights in model.get_weights()]
    images = noise(2, channels)
    expected = model(images, training=False)
    network = make_network(model)
    assert relative_error(network(images), expected) < 1e-5
    for weights, unchanged in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weights, unchanged)
    np.testing.assert_array_equal(model(images, training=False), expected)
    concrete = tf.function(network).get_concrete_function(tf.TensorSpec(images.shape, tf.uint8))
    assert not concrete.captured_inputs  # the weights are constants of the graph
    definition = concrete.graph.as_graph_def()
    nodes = [node.op for function in definition.library.function for node in function.node_def]
    assert nodes.count("Conv2D") >= 20
    assert not [op for op in nodes if "BatchNorm" in op or "Variable" in op]


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


@HEADS
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_an_empty_batch_has_empty_answers(arch, precision):
    model = build_model(ModelConfig(arch=arch, image_size=SIZE, precision=precision))
    images, encoded = make_answers(model)
    expected = {"center_xy": (0, 2)}
    if arch == "deconv":
        expected |= {"confidence": (0,), "heatmap": (0, SIZE, SIZE)}
    for answers in (
        images(tf.zeros([0, SIZE, SIZE, 1], tf.uint8)),
        images(tf.zeros([0, 90, 31, 3], tf.uint8)),
        encoded(tf.zeros([0], tf.string)),
    ):
        assert {name: tuple(value.shape) for name, value in answers.items()} == expected


RUN = RunConfig(arch="xy", image_size=SIZE, batch_size=16, num_images=600, epochs=2, domain=1)
NUM_TESTED = 300


@pytest.fixture(scope="module", params=["xy", "deconv"])
def trained(request):
    """A network after 60 steps, float32, and the scenes that it is tested on."""
    keras.utils.set_random_seed(0)
    run = RunConfig(**{**RUN.to_json(), "arch": request.param, "precision": "float32"})
    strategy = tf.distribute.get_strategy()
    state = TrainState(run, strategy)
    step = make_train_step(run, state, strategy, jit=False)
    for batch in training_batches(run):
        step(batch)
    return state.model, make_batch(tf.range(9000, 9000 + NUM_TESTED, dtype=tf.int64), run.scene,
                                   run.targets)  # fmt: skip


def in_precision(model, arch, precision):
    other = build_model(ModelConfig(arch=arch, image_size=SIZE, precision=precision))
    other.set_weights(model.get_weights())
    return other


def points_of(outputs):
    return decode_centers(outputs, SIZE)[0].numpy()


def test_a_trained_network_answers_the_same_points(trained):
    model, batch = trained
    found = points_of(model(batch["images"], training=False))
    answers = make_answers(model)[0](batch["images"])["center_xy"].numpy()
    answers = working_to_frame(answers, SIZE)
    np.testing.assert_allclose(answers, found, atol=0.01)  # px of 224


def test_sixteen_bits_are_no_worse_than_before(trained):
    """Against the truth, and against what float32 answers: folding rounds less often."""
    model, batch = trained
    arch = model.name.split("_")[0]
    half = in_precision(model, arch, "mixed_bfloat16")
    outputs = {
        "exact": model(batch["images"], training=False),
        "unfolded": half(batch["images"], training=False),
        "folded": make_network(half)(batch["images"]),
    }
    truth = centers(working_to_frame(batch["rectangles"][:, 0].numpy(), SIZE))
    errors = {k: np.linalg.norm(points_of(v) - truth, axis=1) for k, v in outputs.items()}
    worse = errors["folded"] - errors["unfolded"]
    standard_error = worse.std() / np.sqrt(NUM_TESTED)
    assert worse.mean() <= 2 * standard_error + 0.01
    rounding = {k: relative_error(outputs[k], outputs["exact"]) for k in ("folded", "unfolded")}
    assert 0 < rounding["folded"] < 1.1 * rounding["unfolded"]
