"""The coordinate head."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.scenes.sampling import scene_table
from rectloc_tf.config import HeadConfig, Keypoints, SceneConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import centers
from rectloc_tf.models import make_head
from rectloc_tf.registry import NAMED, RANKED, UNORDERED


def make(size=224, keypoints=1, kind=RANKED, **config):
    names = tuple(f"point_{n}" for n in range(keypoints))
    return make_head(HeadConfig(arch="xy", **config), size, Keypoints(names, kind, keypoints))


def labels(name, domain):
    """The keypoints of scenes."""
    return SceneConfig(labels=name, domain=domain).scene_keypoints


def everywhere(points):
    return tf.ones(np.shape(points)[:2], tf.bool)


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ([0], [56, 28]),
        ([0, 2], [56, 28, 110.25, 115.5]),
        ([0, 1, 2], [56, 28, 176.75, 35, 110.25, 115.5]),
    ],
)
def test_targets_by_hand(ranks, expected):
    # Working pixels of 64 are 3.5 px of the frame.
    scene = np.array([[[0, 0, 32, 16], [49, 3, 52, 17], [31, 30, 32, 36]]], np.float32)
    points = tf.constant(centers(scene)[:, ranks])
    targets = make(64, len(ranks)).targets(points, everywhere(points))
    assert targets["values"].dtype == targets["mask"].dtype == tf.float32
    np.testing.assert_array_equal(targets["values"], [expected])
    np.testing.assert_array_equal(targets["mask"], np.ones((1, len(ranks))))


@pytest.mark.parametrize("size", [64, 112, 224, 240, 448])
def test_targets_are_in_pixels_of_the_frame_whatever_the_size(size):
    scenes = scene_table(SceneConfig(domain=3, image_size=size))[:50]
    points = tf.constant(centers(scenes.astype(np.float32)))
    targets = make(size, 3).targets(points, everywhere(points))["values"].numpy()
    assert targets.shape == (50, 6)
    expected = centers(scenes.astype(float)) * 224 / size
    np.testing.assert_allclose(targets.reshape(50, 3, 2), expected, rtol=1e-6)
    assert targets.min() > 0
    assert targets.max() < 224


def test_what_is_not_present_is_masked():
    present = tf.constant([[True, False, True], [False, False, False]])
    mask = make(64, 3, NAMED).targets(tf.zeros([2, 3, 2]), present)["mask"]
    np.testing.assert_array_equal(mask, [[1, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize(
    ("loss", "function"),
    [
        ("squared_error", np.square),
        ("absolute_error", np.abs),
        ("huber", lambda e: np.where(np.abs(e) <= 1, e**2 / 2, np.abs(e) - 0.5)),
    ],
)
def test_losses_are_means_over_x_and_y(loss, function):
    head, rng = make(64, 3, NAMED, loss=loss), np.random.default_rng(0)
    outputs, values = (rng.normal(100, 2, (4, 6)).astype(np.float32) for _ in range(2))
    mask = np.array([[1, 0, 1], [1, 1, 1], [0, 0, 0], [0, 1, 0]], np.float32)
    targets = {"values": tf.constant(values), "mask": tf.constant(mask)}
    each = function(outputs.astype(float) - values).reshape(4, 3, 2).mean(axis=2) * mask
    np.testing.assert_allclose(head.losses(tf.constant(outputs), targets), each, rtol=1e-5)
    expected = each.sum(axis=1) / [2, 3, 1, 1]  # 0 of the one without any label
    np.testing.assert_allclose(head.loss(tf.constant(outputs), targets), expected, rtol=1e-5)


def test_gradient_is_twice_the_error_over_the_count():
    head, rng = make(64, 2), np.random.default_rng(0)
    outputs, values = (tf.constant(rng.normal(100, 50, (3, 4)), tf.float32) for _ in range(2))
    targets = {"values": values, "mask": tf.ones([3, 2])}
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = head.loss(outputs, targets)
    expected = 2 * (outputs - values) / 4
    np.testing.assert_allclose(tape.gradient(losses, outputs), expected, rtol=1e-5)


def test_a_network_always_answers_something():
    head = make()
    assert not head.can_be_empty
    with pytest.raises(NotImplementedError, match="xy always predicts"):
        head.empty_loss({"values": tf.zeros([1, 2]), "mask": tf.ones([1, 1])})


@pytest.mark.parametrize("keypoints", [1, 3])
def test_statistics_equal_numpy(keypoints):
    rng, shape = np.random.default_rng(0), (5, 2 * keypoints)
    outputs, targets = (rng.uniform(0, 224, shape).astype(np.float32) for _ in range(2))
    head = make(64, keypoints)
    result = head.statistics(tf.constant(outputs), {"values": tf.constant(targets)})
    expected = {"errors": (outputs - targets) ** 2, "sums": targets, "squares": targets**2}
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        assert result[name].dtype == tf.float32
        assert result[name].shape == value.shape
        np.testing.assert_allclose(result[name], value, rtol=1e-5)
    assert head.num_values == 1


def test_named_keypoints_have_no_statistics():
    zeros = tf.zeros([2, 6])
    assert make(64, 3, NAMED).statistics(zeros, {"values": zeros}) is None


@pytest.mark.parametrize("size", [64, 224])
def test_coordinates_pass_through_without_a_confidence(size):
    outputs = tf.constant([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    points, confidence = make(size, 2).decode(outputs)
    expected = np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]]) * size / 224
    np.testing.assert_allclose(points, expected, rtol=1e-6)
    assert confidence is None


def test_there_is_nothing_to_show_and_nothing_to_detect():
    head, outputs = make(64, 2), tf.zeros([3, 4])
    assert head.maps(outputs) is None
    assert head.detections(outputs, 5) is None
    assert head.answers(outputs).keys() == {"points_xy"}


@pytest.mark.parametrize("keypoints", [1, 4])
def test_layers_are_an_average_and_two_units_a_keypoint(keypoints):
    features = {"P5": keras.Input((2, 3, 5), name="P5")}
    model = keras.Model(features, make(64, keypoints).outputs(features, "mixed_bfloat16"))
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 2, 3, 5)).astype(np.float32)
    kernel, bias = model.get_layer("xy").get_weights()
    assert kernel.shape == (5, 2 * keypoints)
    expected = maps.mean(axis=(1, 2)) @ kernel + bias
    np.testing.assert_allclose(model({"P5": maps}), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("trained", "asked", "answered"),
    [
        (("largest", 1), ("largest", 5), 1),
        (("largest", 5), ("largest", 1), 1),
        (("all", 3), ("largest", 3), 1),  # the first of three points
        (("all", 3), ("largest", 5), 1),
        (("largest", 3), ("all", 1), 1),
        (("all", 3), ("all", 3), 3),
        (("largest_and_smallest", 3), ("largest_and_smallest", 5), 2),
        (("largest_and_smallest", 3), ("largest_and_smallest", 1), 2),
        (("largest_and_smallest", 4), ("all", 2), 2),
    ],
)
def test_outputs_that_answer_the_labels(trained, asked, answered):
    keypoints = labels(*trained)
    head = make_head(HeadConfig(), 64, keypoints)
    outputs = tf.random.stateless_uniform([2, 2 * len(keypoints.names)], [0, 1])
    part = head.of(labels(*asked))
    points = part.decode(outputs).xy
    assert points.shape == (2, answered, 2)
    np.testing.assert_array_equal(points, head.decode(outputs).xy[:, :answered])
    targets = part.targets(points, everywhere(points))
    assert part.losses(outputs, targets).shape == (2, answered)
    np.testing.assert_allclose(part.loss(outputs, targets), [0, 0], atol=1e-10)
    assert part.statistics(outputs, targets)["errors"].shape == (2, 2 * answered)


@pytest.mark.parametrize(
    ("trained", "asked", "answers", "needed"),
    [
        (("largest", 3), ("all", 3), 1, 3),
        (("all", 3), ("all", 2), 3, 2),
        (("all", 3), ("all", 4), 3, 4),
        (("largest", 3), ("largest_and_smallest", 3), 1, 2),
        (("all", 3), ("largest_and_smallest", 3), 3, 2),
    ],
)
def test_outputs_that_do_not_are_refused(trained, asked, answers, needed):
    head = make_head(HeadConfig(), 64, labels(*trained))
    with pytest.raises(ConfigError) as caught:
        head.of(labels(*asked))
    message = str(caught.value)
    assert message.startswith(f"--labels: this model predicts {answers} points")
    assert f"but {needed} are labelled here" in message
    assert message.endswith("use --labels=largest")


def test_points_of_one_class_are_refused():
    with pytest.raises(ConfigError, match="--arch=xy: cannot predict unordered points"):
        make_head(HeadConfig(), 64, Keypoints(("point",), UNORDERED, 3))
    with pytest.raises(ConfigError, match="--arch=xy: cannot predict unordered points"):
        make(64, 3).of(Keypoints(("point",), UNORDERED, 3))


def test_centred_coordinates_are_quarter_sides_from_the_middle():
    shapes = {"P5": keras.Input([7, 7, 8], name="P5")}
    raw, centred = make(112), make(112, units="centred")
    keras.utils.set_random_seed(0)
    a = keras.Model(shapes, raw.outputs(shapes, "float32"))
    b = keras.Model(shapes, centred.outputs(shapes, "float32"))
    b.set_weights(a.get_weights())
    features = {"P5": np.random.default_rng(0).normal(size=[5, 7, 7, 8]).astype(np.float32)}
    np.testing.assert_allclose(b(features), 112 + 56 * a(features).numpy(), rtol=1e-6)
    # A network that has learnt nothing answers with the middle, whatever the size.
    b.set_weights([np.zeros_like(w) for w in b.get_weights()])
    np.testing.assert_allclose(centred.decode(b(features)).xy, np.full([5, 1, 2], 56), rtol=1e-6)
    # Targets and loss are those of raw coordinates.
    points = tf.constant([[[10.0, 20.0]]])
    for head in (raw, centred):
        targets = head.targets(points, everywhere(points))
        np.testing.assert_allclose(targets["values"], [[20, 40]])
        np.testing.assert_allclose(head.losses(tf.constant([[22.0, 44.0]]), targets), [[10]])
