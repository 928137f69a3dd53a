"""The head of score maps and offsets, against its definition in plain loops."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rectloc_tf.config import STRIDES, HeadConfig, Keypoints, ModelConfig
from rectloc_tf.heads.score_map import MIN_DISTANCE
from rectloc_tf.models import build_model, make_head
from rectloc_tf.network.backbones import resnet_features
from rectloc_tf.network.top_down import CHANNELS
from rectloc_tf.registry import NAMED, RANKED, UNORDERED


def make(size=64, kind=NAMED, number=1, **config):
    """The head for `number` points."""
    names = ("point",) if kind == UNORDERED else tuple(f"point_{n}" for n in range(number))
    return make_head(HeadConfig(arch="score_map", **config), size, Keypoints(names, kind, number))


def define(points, present, size, stride, radius, kind=NAMED):
    """Targets by their definition, a cell, a point and a number at a time; lengths in working px.

    Returns scores [B, H, W, C], offsets [B, H, W, C, 2], and the slack of each cell: how far its
    distance is from a point where it would have another target.
    """
    side, count = math.ceil(size / stride), points.shape[1]
    answers = 1 if kind == UNORDERED else count
    scores = np.zeros((len(points), side, side, answers))
    offsets, slack = np.zeros((*scores.shape, 2)), np.full(scores.shape, np.inf)
    for b, i, j in np.ndindex(len(points), side, side):
        x, y = stride * (j + 0.5), stride * (i + 0.5)
        away = [(px - x, py - y) for px, py in points[b].tolist()]
        distances = [math.hypot(*d) if there else math.inf
                     for d, there in zip(away, present[b], strict=True)]  # fmt: skip
        if kind == UNORDERED:
            first, second = sorted([*distances, math.inf])[:2]
            nearest = distances.index(first)
            away, distances = [away[nearest]], [first]
            slack[b, i, j] = second - first if math.isfinite(first) else math.inf
        for c in range(answers):
            scores[b, i, j, c] = distances[c] <= radius
            offsets[b, i, j, c] = away[c][0] / radius, away[c][1] / radius
            slack[b, i, j, c] = min(slack[b, i, j, c], abs(distances[c] - radius))
    return scores, offsets, slack


def assert_as_defined(head, points, present):
    points = np.asarray(points, np.float32)
    targets = head.targets(tf.constant(points), tf.constant(present))
    size, stride, kind = head.image_size, head.config.stride, head.keypoints.kind
    radius = head.config.radius * size / 224
    scores, offsets, slack = define(points, present, size, stride, radius, kind)
    assert {value.dtype for value in targets.values()} == {tf.float32}
    assert targets["scores"].shape == scores.shape
    assert targets["offsets"].shape == offsets.shape
    decided = slack > 1e-4
    np.testing.assert_array_equal(targets["scores"].numpy()[decided], scores[decided])
    # Where nothing is to be learnt an offset is finite, and that is all.
    learnt = decided & (scores > 0)
    np.testing.assert_allclose(
        targets["offsets"].numpy()[learnt], offsets[learnt], rtol=1e-5, atol=1e-5
    )
    assert np.isfinite(targets["offsets"]).all()
    return targets["scores"].numpy(), targets["offsets"].numpy()


def everywhere(points):
    return np.ones(np.shape(points)[:2], bool)


@pytest.mark.parametrize("kind", [RANKED, NAMED, UNORDERED])
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("size", [64, 112, 224])
def test_targets_are_as_defined_at_every_stride(size, stride, kind):
    points = np.random.default_rng(stride).uniform(0, size, (2, 3, 2))
    present = np.array([[True, True, True], [True, False, True]])
    # A radius that no point can fall through: half the diagonal of a cell.
    head = make(size, kind, 3, stride=stride, radius=0.75 * stride * 224 / size)
    scores, _ = assert_as_defined(head, points, present)
    assert scores.shape == (2, *[math.ceil(size / stride)] * 2, 1 if kind == UNORDERED else 3)
    lit = scores.max(axis=(1, 2)) > 0
    np.testing.assert_array_equal(lit, present if kind != UNORDERED else [[True]] * 2)


@st.composite
def labelled_points(draw):
    """Points [2, 3, 2] anywhere within 1.5 sizes of 64, some absent."""
    places = st.floats(-16, 80, width=32)
    points = draw(st.lists(places, min_size=12, max_size=12))
    present = draw(st.lists(st.booleans(), min_size=6, max_size=6))
    return np.reshape(np.float32(points), (2, 3, 2)), np.reshape(present, (2, 3))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.sampled_from([RANKED, NAMED, UNORDERED]),
    st.sampled_from(STRIDES[:3]),
    st.floats(2, 100),
    labelled_points(),
)
@example(UNORDERED, 4, 10.0, (np.full((2, 3, 2), 20, np.float32), np.zeros((2, 3), bool)))
@example(NAMED, 4, 10.0, (np.full((2, 3, 2), 1e6, np.float32), np.eye(2, 3) > 0))
def test_targets_of_points_anywhere_are_as_defined(kind, stride, radius, labelled):
    assert_as_defined(make(64, kind, 3, stride=stride, radius=radius), *labelled)


def test_targets_by_hand():
    # 224 px: working pixels are those of the frame. Cells of 4 px have centres 2, 6, 10, ...
    head = make(224, radius=5)
    scores, offsets = assert_as_defined(head, [[[11.0, 6.5]]], everywhere([[[0, 0]]]))
    lit = [tuple(cell[:2].tolist()) for cell in np.argwhere(scores[0])]
    # Within 5 px: (10, 2), (10, 6), (14, 6), (10, 10), (14, 10). (6, 6) is 5.02 px away.
    assert lit == [(0, 2), (1, 2), (1, 3), (2, 2), (2, 3)]
    np.testing.assert_allclose(offsets[0, 1, 2, 0], [1 / 5, 0.5 / 5])
    np.testing.assert_allclose(offsets[0, 2, 3, 0], [-3 / 5, -3.5 / 5])


def test_a_cell_on_the_very_edge_is_inside():
    head = make(224, radius=4)
    scores, _ = assert_as_defined(head, [[[10.0, 10.0]]], everywhere([[[0, 0]]]))
    assert scores[0, ..., 0].sum() == 5  # its own and four neighbours, at 4 px


def test_offsets_of_one_class_point_to_the_nearest():
    points = np.array([[[10.0, 30.0], [20.0, 30.0], [50.0, 50.0]]])
    head = make(64, UNORDERED, 3, radius=30)  # 8.6 px: the discs of the first two overlap
    present = np.array([[True, True, False]])
    _, offsets = assert_as_defined(head, points, present)
    radius, cells = head.to_working(30), 4 * (np.arange(16) + 0.5)
    found = offsets[0, :, :, 0] * radius + np.stack(np.meshgrid(cells, cells), axis=-1)
    to_first = cells < 15  # nearer to x = 10 than to x = 20; the third is not there
    np.testing.assert_allclose(found[:, to_first], np.broadcast_to(points[0, 0], (16, 4, 2)))
    np.testing.assert_allclose(found[:, ~to_first], np.broadcast_to(points[0, 1], (16, 12, 2)))


def test_what_there_is_to_learn():
    present = tf.constant([[True, False, True], [False, False, False]])
    masks = {k: make(64, k, 3).targets(tf.zeros([2, 3, 2]), present)["mask"]
             for k in (RANKED, NAMED, UNORDERED)}  # fmt: skip
    np.testing.assert_array_equal(masks[RANKED], [[1, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(masks[NAMED], masks[RANKED])
    np.testing.assert_array_equal(masks[UNORDERED], [[1], [0]])


def example_outputs(count, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "scores": tf.constant(rng.normal(0, 2, (2, 16, 16, count)), tf.float32),
        "offsets": tf.constant(rng.normal(0, 1, (2, 16, 16, 2 * count)), tf.float32),
    }


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


POINTS = np.array([[[20.3, 30.1], [50.7, 12.2], [40.1, 50.5]], [[9.9, 9.1], [60.5, 3.3], [32, 32]]])
PRESENT = np.array([[True, False, True], [True, True, True]])


@pytest.mark.parametrize(
    "config", [{}, {"positive_weight": 1.0, "offset_weight": 2.0, "radius": 25.0}]
)
@pytest.mark.parametrize("kind", [NAMED, UNORDERED])
def test_losses_and_their_gradients_are_those_by_hand(kind, config):
    head = make(64, kind, 3, **config)
    targets = head.targets(tf.constant(POINTS, tf.float32), tf.constant(PRESENT))
    t, o = (targets[name].numpy().astype(float) for name in ("scores", "offsets"))
    mask, answers = targets["mask"].numpy(), targets["mask"].shape[1]
    outputs = example_outputs(answers)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = head.losses(outputs, targets)
    gradient = tape.gradient(losses, outputs)

    z = outputs["scores"].numpy().astype(float)
    weights = np.where(t == 1, head.config.positive_weight, 1) * mask[:, None, None]
    cross = -t * np.log(sigmoid(z)) - (1 - t) * np.log(sigmoid(-z))
    errors = outputs["offsets"].numpy().reshape(o.shape).astype(float) - o
    huber = np.where(abs(errors) <= 1, errors**2 / 2, abs(errors) - 0.5)
    inside = (t * mask[:, None, None])[..., None]
    cells = np.maximum(inside.sum(axis=(1, 2))[:, None, None], 1)
    expected = (weights * cross).mean(axis=(1, 2))
    expected += head.config.offset_weight * (inside * huber / (2 * cells)).sum(axis=(1, 2, 4))
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-7)

    slope = weights * (sigmoid(z) - t) / 256
    np.testing.assert_allclose(gradient["scores"], slope, rtol=1e-4, atol=1e-8)
    slope = head.config.offset_weight * inside * np.clip(errors, -1, 1) / (2 * cells)
    slope = slope.reshape(gradient["offsets"].shape)
    np.testing.assert_allclose(gradient["offsets"], slope, rtol=1e-4, atol=1e-8)


def test_offsets_are_learnt_inside_the_disc_only():
    head = make(64, NAMED, 3)
    targets = head.targets(tf.constant(POINTS, tf.float32), tf.constant(PRESENT))
    outputs = example_outputs(3)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        losses = head.losses(outputs, targets)
    gradient = tape.gradient(losses, outputs)["offsets"].numpy().reshape(2, 16, 16, 3, 2)
    learnt = targets["scores"].numpy() == 1
    np.testing.assert_array_equal(gradient.any(axis=-1), learnt)


def test_a_disc_beyond_the_picture_asks_for_an_empty_map():
    head = make(64)
    points = tf.constant([[[-20.0, 30.0]]])
    targets = head.targets(points, tf.constant([[True]]))
    assert not targets["scores"].numpy().any()
    zeros = {"scores": tf.zeros([1, 16, 16, 1]), "offsets": tf.ones([1, 16, 16, 2])}
    np.testing.assert_allclose(head.losses(zeros, targets), [[np.log(2)]], rtol=1e-6)
    np.testing.assert_array_equal(head.empty_losses(targets), [[0]])


def single_cells(count, *cells, size=64, stride=4):
    """Outputs with a few cells (answer, row, column, logit, dx, dy), and -9 elsewhere."""
    side = math.ceil(size / stride)
    scores = np.full((1, side, side, count), -9, np.float32)
    offsets = np.zeros((1, side, side, 2 * count), np.float32)
    for answer, row, column, logit, dx, dy in cells:
        scores[0, row, column, answer] = logit
        offsets[0, row, column, 2 * answer : 2 * answer + 2] = dx, dy
    return {"scores": tf.constant(scores), "offsets": tf.constant(offsets)}


def test_neighbours_vote_by_their_probabilities():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 2, (3, 16, 16, 2)).astype(np.float32)
    scores[0, 0, 15, 0], scores[1, 9, 0, 1] = 9, -1e4  # a corner
    scores[2, ..., 1] = -200 - np.abs(scores[2, ..., 1])  # no probability above 0 anywhere
    offsets = rng.normal(0, 0.3, (3, 16, 16, 4)).astype(np.float32)
    head = make(64, NAMED, 2, votes=5)
    found = head.decode({"scores": tf.constant(scores), "offsets": tf.constant(offsets)})
    radius = 10 * 64 / 224
    for b, c in np.ndindex(3, 2):
        logits = scores[b, ..., c].astype(float)
        i, j = np.unravel_index(logits.argmax(), logits.shape)
        total, weight = np.zeros(2), 0.0
        for di, dj in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)):
            y, x = i + di, j + dj
            if 0 <= y < 16 and 0 <= x < 16:
                p = math.exp(-np.logaddexp(0, -logits[y, x]) + np.logaddexp(0, -logits[i, j]))
                cell = np.array([4 * (x + 0.5), 4 * (y + 0.5)])
                total += p * (cell + radius * offsets[b, y, x, 2 * c : 2 * c + 2])
                weight += p
        np.testing.assert_allclose(found.xy[b, c], total / weight, rtol=1e-4)
        best = 1 / (1 + math.exp(-logits.max()))
        assert float(found.confidence[b, c]) == pytest.approx(best, rel=1e-5)


def test_answers_are_the_best_cells_moved_by_their_offsets():
    # Offsets are x0, y0, x1, y1, ...; of the second answer a lesser cell has another one.
    outputs = single_cells(3, (0, 2, 5, 3.0, 0.5, -0.25), (1, 0, 15, 0.0, 0, 0),
                           (1, 7, 7, -1.0, 1, 1), (2, 15, 0, -2.0, -0.1, 0.1))  # fmt: skip
    radius = 10 * 64 / 224
    points, confidence = make(64, NAMED, 3).decode(outputs)
    expected = [[22 + 0.5 * radius, 10 - 0.25 * radius], [62, 2],
                [2 - 0.1 * radius, 62 + 0.1 * radius]]  # fmt: skip
    np.testing.assert_allclose(points, [expected], rtol=1e-6)
    np.testing.assert_allclose(confidence, [sigmoid(np.array([3.0, 0, -2]))], rtol=1e-5)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("size", [64, 112, 224])
def test_cells_lie_where_targets_and_answers_say(size, stride):
    # The last cell of the first row; at sizes that a stride does not divide it reaches beyond.
    last = math.ceil(size / stride) - 1
    outputs = single_cells(1, (0, 0, last, 5.0, 0.5, 0.0), size=size, stride=stride)
    head = make(size, stride=stride, radius=50)
    found = head.decode(outputs).xy.numpy()
    expected = [stride * (last + 0.5) + 0.5 * 50 * size / 224, stride / 2]
    np.testing.assert_allclose(found, [[expected]], rtol=1e-6)
    targets = head.targets(tf.constant(found), tf.constant([[True]]))
    np.testing.assert_allclose(targets["offsets"][0, 0, last, 0], [0.5, 0], atol=1e-6)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.sampled_from([(64, 4, 10.0), (112, 8, 17.0), (224, 8, 17.0), (224, 16, 17.0),
                        (80, 32, 70.0)]), st.floats(0, 1), st.floats(0, 1))  # fmt: skip
@example((64, 4, 10.0), 0.0, 0.0)
@example((64, 4, 10.0), 1.0, 1.0)
@example((64, 4, 10.0), 0.5, 1.0)
def test_every_place_in_the_picture_is_found_again(setup, x, y):
    size, stride, radius = setup
    head = make(size, stride=stride, radius=radius)
    points = np.array([[[x * size, y * size]]], np.float32)
    targets = head.targets(tf.constant(points), tf.constant([[True]]))
    outputs = {
        "scores": 40 * targets["scores"] - 20,
        "offsets": tf.reshape(targets["offsets"], [1, *targets["scores"].shape[1:3], 2]),
    }
    np.testing.assert_allclose(head.decode(outputs).xy, points, atol=1e-3)


def test_detections_keep_their_distance():
    # Cells of 4 px at 224: columns 10 and 12 are 8 px apart, 10 and 14 are 16.
    cells = (0, 20, 10, 5.0, 0, 0), (0, 20, 12, 4.0, 0, 0), (0, 20, 14, 3.0, 0, 0)
    head = make(224, UNORDERED, 3)
    peaks = head.detections(single_cells(1, *cells, size=224), 3)
    np.testing.assert_array_equal(peaks.points[0, :2], [[42, 82], [58, 82]])
    expected = 255 * sigmoid(np.array([5.0, 3.0]))
    np.testing.assert_allclose(peaks.values[0, :2], expected, rtol=1e-5)
    assert peaks.values[0, 2] < 1
    # What counts is where cells point to: the second now says 10.5 px further, the third 12.
    moved = (0, 20, 10, 5.0, 0, 0), (0, 20, 12, 4.0, 0.25, 0), (0, 20, 14, 3.0, -0.4, 0)
    peaks = head.detections(single_cells(1, *moved, size=224), 3)
    np.testing.assert_allclose(peaks.points[0, :2], [[42, 82], [52.5, 82]])
    assert peaks.values[0, 2] < 1


def test_only_the_highest_of_neighbouring_cells_is_a_detection():
    # Each points to a place of its own, but they are neighbours: one summit.
    cells = (0, 20, 10, 5.0, -0.9, 0), (0, 20, 11, 4.0, 0.9, 0), (0, 21, 11, 4.5, 0, 0.9)
    peaks = make(224, UNORDERED, 3).detections(single_cells(1, *cells, size=224), 3)
    np.testing.assert_allclose(peaks.points[0, 0], [42 - 9, 82])
    assert (peaks.values.numpy()[0, 1:] < 1).all()


@pytest.mark.parametrize("size", [64, 224])
def test_no_two_detections_are_nearer_than_the_least_distance(size):
    rng, side = np.random.default_rng(0), size // 4
    outputs = {
        "scores": tf.constant(rng.normal(0, 2, (3, side, side, 1)), tf.float32),
        "offsets": tf.constant(rng.normal(0, 0.5, (3, side, side, 2)), tf.float32),
    }
    peaks = make(size, UNORDERED, 3).detections(outputs, 9)
    first, second = np.triu_indices(9, 1)
    points = peaks.points.numpy()
    gaps = np.linalg.norm(points[:, first] - points[:, second], axis=-1)
    assert gaps.min() >= MIN_DISTANCE * size / 224
    assert (np.diff(peaks.values, axis=1) <= 0).all()
    assert peaks.valid.numpy().all()


def test_more_detections_than_places_are_not_valid():
    outputs = single_cells(1, (0, 8, 8, 5.0, 0, 0))
    # Every cell points to the same place.
    cells = 4 * (np.arange(16) + 0.5)
    grid = np.stack(np.meshgrid(cells, cells), axis=-1)
    outputs["offsets"] = tf.constant((34 - grid) / (10 * 64 / 224), tf.float32)[None]
    peaks = make(64, UNORDERED, 3).detections(outputs, 3)
    assert peaks.valid.numpy().tolist() == [[True, False, False]]
    np.testing.assert_allclose(peaks.points[0, 0], [34, 34], rtol=1e-5)
    assert np.isfinite(peaks.points).all()
    assert peaks.values.numpy()[0, 1:].tolist() == [0, 0]


def test_several_maps_have_no_detections():
    assert make(64, NAMED, 3).detections(example_outputs(3), 5) is None
    assert make(64, NAMED, 1).detections(example_outputs(1), 5) is not None


@pytest.mark.parametrize(("size", "stride"), [(64, 4), (64, 32), (112, 16), (112, 32), (80, 32)])
def test_pictures_show_cells_as_large_as_their_stride(size, stride):
    head = make(size, NAMED, 3, stride=stride)
    side = math.ceil(size / stride)
    scores = np.random.default_rng(0).normal(0, 3, (2, side, side, 3)).astype(np.float32)
    outputs = {"scores": tf.constant(scores), "offsets": tf.zeros([2, side, side, 6])}
    maps = head.maps(outputs).numpy()
    assert maps.shape == (2, size, size, 3)
    assert maps.dtype == np.float32
    cells = np.arange(size) // stride
    expected = 255 * sigmoid(scores[:, cells[:, None], cells])
    np.testing.assert_allclose(maps, expected, rtol=1e-4)


def test_there_are_no_values_in_the_originals_units():
    head = make()
    targets = head.targets(tf.zeros([1, 1, 2]), tf.constant([[True]]))
    assert head.statistics(example_outputs(1), targets) is None


def layers_of(head, size, precision="float32"):
    images = keras.Input((size, size, 1))
    features = resnet_features(images, 18, precision)
    names = [f"P{level}" for level in range(2, 6)]
    inputs = {n: keras.Input(features[n].shape[1:], name=n) for n in names}
    return keras.Model(inputs, head.outputs(inputs, precision))


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("size", [64, 80, 112, 208])
def test_layers_make_a_cell_for_each_of_the_targets(size, stride):
    head = make(size, NAMED, 3, stride=stride)
    model = layers_of(head, size)
    targets = head.targets(tf.zeros([1, 3, 2]), tf.ones([1, 3], tf.bool))
    side = targets["scores"].shape[1]
    assert side == math.ceil(size / stride)
    assert {name: x.shape for name, x in model.output.items()} == {
        "scores": (None, side, side, 3),
        "offsets": (None, side, side, 6),
    }
    # Nothing below the stride is looked at.
    names = {layer.name for layer in model.layers if layer.name.startswith("lateral")}
    assert names == {f"lateral_P{level}" for level in range(int(math.log2(stride)), 6)}


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_path_adds_up_what_all_levels_see(batch_norm):
    head = make(
        80, batch_norm=batch_norm
    )  # P2 to P5 have sides 20, 10, 5 and 3: one is of odd size
    model = layers_of(head, 80)
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    features = {x.name: rng.normal(size=(2, *x.shape[1:])).astype(np.float32)
                for x in model.inputs}  # fmt: skip

    def lateral(level):
        kernel, bias = model.get_layer(f"lateral_P{level}").get_weights()
        return features[f"P{level}"] @ kernel[0, 0] + bias

    x = lateral(5)
    for level in (4, 3, 2):
        finer = lateral(level)
        rows = np.arange(finer.shape[1]) // 2
        x = x[:, rows[:, None], rows] + finer
    if batch_norm:
        (kernel,), bias = model.get_layer("smooth_conv").get_weights(), 0.0
        normalization = model.get_layer("smooth_bn")
        scale, shift, mean, variance = (rng.uniform(0.5, 2, x.shape[-1]) for _ in range(4))
        normalization.set_weights([scale, shift, mean, variance])
    else:
        kernel, bias = model.get_layer("smooth").get_weights()
    x = tf.nn.conv2d(x, kernel, 1, "SAME").numpy() + bias
    if batch_norm:
        x = scale * (x - mean) / np.sqrt(variance + normalization.epsilon) + shift
    x = np.maximum(x, 0)
    outputs = model(features)
    for name in ("scores", "offsets"):
        kernel, bias = model.get_layer(name).get_weights()
        expected = x @ kernel[0, 0] + bias
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-3, atol=1e-4)


def test_a_whole_network_works_at_a_size_that_its_stride_does_not_divide():
    head = make(80, RANKED, 2, stride=32, radius=70)
    model = build_model(ModelConfig(image_size=80), head)
    outputs = model(np.zeros((1, 80, 80, 1), np.uint8))
    assert outputs["scores"].shape == (1, 3, 3, 2)
    assert head.decode(outputs).xy.shape == (1, 2, 2)
    assert head.maps(outputs).shape == (1, 80, 80, 2)


def test_with_batch_norm_no_unit_dies():
    """However far its inputs lie on the dead side of the ReLU, each unit is alive somewhere."""
    alive = {}
    for batch_norm in (False, True):
        keras.utils.set_random_seed(0)
        model = layers_of(make(64, batch_norm=batch_norm), 64)
        # An offset of the path's last map that no kernel of either sign can undo.
        lateral = model.get_layer("lateral_P2")
        lateral.set_weights([weights - 50 for weights in lateral.get_weights()])
        smooth = model.get_layer("smooth_conv" if batch_norm else "smooth")
        kernel, *bias = smooth.get_weights()
        smooth.set_weights([np.abs(kernel), *bias])
        hidden = keras.Model(model.inputs, model.get_layer("smooth_relu").output)
        rng = np.random.default_rng(0)
        features = {x.name: np.abs(rng.normal(size=(4, *x.shape[1:]))) for x in model.inputs}
        active = hidden(features, training=True).numpy() > 0
        axes = tuple(n for n in range(4) if active.shape[n] != CHANNELS)
        alive[batch_norm] = active.any(axis=axes)
    assert not alive[False].any()
    assert alive[True].all()
