"""What every head promises (see `heads.head.Head`), for each of the registry and kind of points."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rectloc_tf.config import HeadConfig, Keypoints, ModelConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import frame_to_working
from rectloc_tf.heads.head import MAX_DETECTIONS
from rectloc_tf.models import build_model, load_model, make_head
from rectloc_tf.registry import HEADS, NAMED, RANKED, UNORDERED

BATCH, SIZE = 3, 64
CERTAIN = 20.0  # a logit


class Facts(NamedTuple):
    """What a head must be known for.

    Attributes:
        perfect: targets -> outputs that answer all of them.
        bound: how far its answers to perfect outputs may be off, working pixels.
        of_answer: outputs or their gradients, n -> those that answer the n-th of C answers.
        nothing: targets, a number for each answer [B, C] -> outputs that answer nothing. If
            there are many such, the numbers choose among them, and the loss is convex in them.
        least: how far above 0 the loss of perfect outputs may be, and how far below that of any.
        confidence: of a perfect answer, and how far from that it may be.
    """

    perfect: Callable[[dict], Any]
    bound: float
    of_answer: Callable[[Any, int], list]
    nothing: Callable[[dict, np.ndarray], Any] | None = None
    least: float = 1e-6
    confidence: tuple[float, float] = (1.0, 1e-6)


def score_map_outputs(targets):
    scores = CERTAIN * (2 * targets["scores"] - 1)
    offsets = targets["offsets"]
    return {"scores": scores, "offsets": tf.reshape(offsets, [*offsets.shape[:3], -1])}


def constant_scores(targets, logits):
    """The same score all over a map, and no offsets."""
    zeros = tf.nest.map_structure(tf.zeros_like, score_map_outputs(targets))
    return zeros | {"scores": zeros["scores"] + np.float32(logits)[:, None, None]}


def map_logits(targets):
    """Of maps whose softmax is the target's: [B, 16, 16, N]."""
    log_map = targets["log_map"]
    return tf.transpose(tf.reshape(log_map, [*log_map.shape[:2], 16, 16]), [0, 2, 3, 1])


FACTS = {
    "xy": Facts(lambda targets: targets["values"], 1e-4, lambda x, n: [x[:, 2 * n : 2 * n + 2]]),
    # Discs of 2 working pixels: off the grid, they have no exact centre.
    "deconv": Facts(
        lambda targets: targets["values"],
        0.4,
        lambda x, n: [x[..., n]],
        lambda targets, _: tf.zeros_like(targets["values"]),
    ),
    "score_map": Facts(
        score_map_outputs,
        1e-3,
        lambda x, n: [x["scores"][..., n], x["offsets"][..., 2 * n : 2 * n + 2]],
        constant_scores,
    ),
    # Gaussians of one cell that are cut off at the edges, where the points keep 1.75 cells away:
    # their mean is moved, and what it loses to the distance is 1/8 of a cell.
    "dsnt": Facts(
        map_logits,
        0.75,
        lambda x, n: [x[..., n]],
        lambda targets, numbers: map_logits(targets) * 0 + np.float32(numbers)[:, None, None],
        least=0.02,
        confidence=(0.98, 0.02),
    ),
    # Bins of half a pixel.
    "simcc": Facts(
        lambda targets: {axis: targets[f"log_{axis}"] for axis in "xy"},
        0.36,
        lambda x, n: [x["x"][:, n], x["y"][:, n]],
        lambda targets, numbers: {
            axis: targets[f"log_{axis}"] * 0 + np.float32(numbers)[..., None] for axis in "xy"
        },
        confidence=(0.998, 0.002),
    ),
}

CASES = [(name, kind) for name, spec in HEADS.items() for kind in spec.points]
EVERY = pytest.mark.parametrize(("name", "kind"), CASES)
ONE_MAP = [(name, kind) for name, kind in CASES if kind == UNORDERED]


def keypoints_of(kind, count):
    if kind == UNORDERED:
        return Keypoints(("point",), kind, count)
    return Keypoints(tuple(f"point_{n}" for n in range(count)), kind, count)


def make(name, kind, count=2, **config):
    """A head for `count` points."""
    return make_head(HeadConfig(arch=name, **config), SIZE, keypoints_of(kind, count))


def number_of(kind):
    """Points N of an image, so that batch, size, N and K all differ (of one class K = 1)."""
    return 4 if kind == UNORDERED else 2


@st.composite
def apart(draw, count):
    """Points [BATCH, count, 2] anywhere in squares that lie apart from each other."""
    middles = [(14, 14), (50, 14), (14, 50), (50, 50)]
    shift = st.floats(-7, 7, width=32)
    batch = []
    for _ in range(BATCH):
        chosen = draw(st.permutations(middles))[:count]
        batch.append([(x + draw(shift), y + draw(shift)) for x, y in chosen])
    return np.array(batch, np.float32)


def some_points(count, seed=0):
    """The same at random, for tests that need no more than one example."""
    rng = np.random.default_rng(seed)
    middles = np.array([(14, 14), (50, 14), (14, 50), (50, 50)])
    chosen = np.stack([rng.permutation(middles)[:count] for _ in range(BATCH)])
    return (chosen + rng.uniform(-7, 7, chosen.shape)).astype(np.float32)


def targets_of(head, points, present=None):
    present = np.ones(points.shape[:2], bool) if present is None else present
    return head.targets(tf.constant(points), tf.constant(present))


def perfect(head, targets):
    return FACTS[head.name].perfect(targets)


def noise(outputs, rng, scale):
    """Outputs moved in a random direction."""
    return tf.nest.map_structure(
        lambda x: x + scale * tf.constant(rng.standard_normal(x.shape), tf.float32), outputs
    )


def loss_and_gradient(head, outputs, targets):
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        loss = head.loss(outputs, targets)
    return loss, tape.gradient(loss, outputs)


def nearest(answers, points):
    """Distance of each answer [B, K, 2] to the nearest of the points [B, N, 2]: [B, K]."""
    away = answers[:, :, None] - points[:, None]
    return np.linalg.norm(away, axis=-1).min(axis=2)


def test_every_head_is_known():
    assert FACTS.keys() == HEADS.keys()


@EVERY
def test_decoding_perfect_outputs_gives_the_points(name, kind):
    count = number_of(kind)
    head = make(name, kind, count)

    @settings(deadline=None, max_examples=25, derandomize=True)
    @given(apart(count))
    def check(points):
        found = head.decode(perfect(head, targets_of(head, points)))
        assert found.xy.shape == (BATCH, 1 if kind == UNORDERED else count, 2)
        errors = (
            nearest(found.xy.numpy(), points)
            if kind == UNORDERED
            else np.linalg.norm(found.xy - points, axis=-1)
        )
        assert errors.max() < FACTS[name].bound
        if found.confidence is not None:
            assert found.confidence.shape == found.xy.shape[:2]
            expected, tolerance = FACTS[name].confidence
            np.testing.assert_allclose(found.confidence, expected, atol=tolerance)

    check()


@EVERY
def test_targets_fit_the_layers(name, kind):
    head = make(name, kind, 2)
    targets = targets_of(head, some_points(2))
    answers = perfect(head, targets)
    shapes = [layer.shape for layer in keras.tree.flatten(layers_of(head).outputs)]
    assert shapes == [(None, *x.shape[1:]) for x in tf.nest.flatten(answers)]
    assert {x.dtype for x in tf.nest.flatten([targets, answers])} == {tf.float32}
    losses = head.losses(answers, targets)
    assert losses.dtype == tf.float32
    assert losses.shape == targets["mask"].shape
    assert losses.shape[0] == BATCH


@EVERY
@pytest.mark.parametrize("garbage", [0.0, -300.0, 1e6])
def test_a_point_that_is_not_present_has_no_gradient(name, kind, garbage):
    count = number_of(kind)
    head, points = make(name, kind, count), some_points(count)
    present = np.ones((BATCH, count), bool)
    present[1, 1], present[2] = False, False
    points = np.where(present[..., None], points, np.float32(garbage))
    targets = targets_of(head, points, present)
    outputs = noise(perfect(head, targets), np.random.default_rng(0), 1.0)
    loss, gradient = loss_and_gradient(head, outputs, targets)
    assert np.isfinite(loss).all()
    assert loss[0] > 0
    assert loss[1] > 0
    assert all(np.isfinite(g).all() for g in tf.nest.flatten(gradient))
    mask, answer = targets["mask"].numpy(), FACTS[name].of_answer
    if mask.shape[1] == count:  # an answer for each point, which does not depend on the others
        np.testing.assert_array_equal(mask, present)
        all_there = head.losses(outputs, targets_of(head, some_points(count)))
        np.testing.assert_allclose(head.losses(outputs, targets), all_there * mask, rtol=1e-5)
    assert not mask[2].any()
    for n in range(mask.shape[1]):
        for part in answer(gradient, n):
            part = part.numpy().reshape(BATCH, -1)
            np.testing.assert_array_equal(part.any(axis=1), mask[:, n] == 1)


@EVERY
def test_a_batch_without_any_label_has_no_loss(name, kind):
    head = make(name, kind)
    targets = targets_of(head, some_points(2), np.zeros((BATCH, 2), bool))
    outputs = noise(perfect(head, targets), np.random.default_rng(0), 1.0)
    loss, gradient = loss_and_gradient(head, outputs, targets)
    np.testing.assert_array_equal(loss, np.zeros(BATCH))
    for part in tf.nest.flatten(gradient):
        np.testing.assert_array_equal(part, np.zeros(part.shape))
    if head.can_be_empty:
        np.testing.assert_array_equal(head.empty_loss(targets), np.zeros(BATCH))


@EVERY
def test_the_loss_is_least_at_the_truth(name, kind):
    for loss in HEADS[name].losses:
        count = number_of(kind)
        head, rng = make(name, kind, count, loss=loss), np.random.default_rng(0)
        targets = targets_of(head, some_points(count))
        truth = perfect(head, targets)
        least = head.loss(truth, targets).numpy()
        slack = FACTS[name].least
        np.testing.assert_allclose(least, 0, atol=slack)
        for scale in (1e-2, 1.0, 10.0, 100.0):
            for _ in range(5):
                moved = head.loss(noise(truth, rng, scale), targets).numpy()
                assert (moved >= least - slack).all()
                assert scale < 100 or (moved > 1e-3).all()


@EVERY
def test_the_loss_of_an_image_does_not_depend_on_the_others(name, kind):
    head, points = make(name, kind), some_points(2)
    targets = targets_of(head, points)
    outputs = noise(perfect(head, targets), np.random.default_rng(0), 1.0)
    together = head.loss(outputs, targets)
    for n in range(BATCH):
        one = slice(n, n + 1)
        alone = tf.nest.map_structure(lambda x: x[one], (outputs, targets))  # noqa: B023
        np.testing.assert_allclose(head.loss(*alone), together[one], rtol=1e-5)


def layers_of(head, precision="float32"):
    """The head's layers behind feature maps, which are those of a backbone in that precision."""
    dtype = precision.removeprefix("mixed_")
    features = {
        f"P{level}": keras.Input((SIZE >> level, SIZE >> level, 5), dtype=dtype, name=f"P{level}")
        for level in range(2, 6)
    }
    return keras.Model(features, head.outputs(features, precision))


@EVERY
@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_outputs_are_float32_under_every_precision(name, kind, precision):
    head = make(name, kind)
    model, rng = layers_of(head, precision), np.random.default_rng(0)
    features = {
        tensor.name: tf.cast(rng.standard_normal((BATCH, *tensor.shape[1:])), tensor.dtype)
        for tensor in model.inputs
    }
    outputs = model(features)
    answers = head.answers(outputs)
    targets = targets_of(head, some_points(2))
    every = [outputs, answers, head.losses(outputs, targets)]
    every.append(head.statistics(outputs, targets) or {})
    assert {x.dtype for x in tf.nest.flatten(every)} == {tf.float32}
    assert all(np.isfinite(x).all() for x in tf.nest.flatten(every))
    for variable in model.variables:
        assert variable.dtype == "float32"


@pytest.mark.parametrize("name", HEADS)
def test_a_network_answers_the_same_after_it_was_saved(name, tmp_path):
    head = make(name, RANKED)
    keras.utils.set_random_seed(0)
    model = build_model(ModelConfig(image_size=SIZE), head)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).integers(0, 256, (BATCH, SIZE, SIZE, 1), np.uint8)
    ours, theirs = (head.answers(m(images, training=False)) for m in (model, loaded))
    assert ours.keys() == theirs.keys()
    for answer, value in ours.items():
        np.testing.assert_allclose(theirs[answer], value, rtol=1e-5, atol=1e-5, err_msg=answer)


@EVERY
def test_asked_for_fewer_keypoints_a_head_answers_the_first(name, kind):
    whole, points = make(name, kind, 3), some_points(3)
    targets = targets_of(whole, points)
    outputs = noise(perfect(whole, targets), np.random.default_rng(0), 0.1)
    part = whole.of(keypoints_of(kind, 1))
    assert part.keypoints.num_points == 1
    assert (part.config, part.image_size) == (whole.config, whole.image_size)
    np.testing.assert_array_equal(part.decode(outputs).xy, whole.decode(outputs).xy[:, :1])
    few = targets_of(part, points[:, :1])
    assert part.losses(outputs, few).shape == (BATCH, 1)
    if targets["mask"].shape[1] > 1:
        every = whole.losses(outputs, targets)
        np.testing.assert_allclose(part.losses(outputs, few), every[:, :1], rtol=1e-5, atol=1e-7)
        if whole.can_be_empty:
            empty = whole.empty_losses(targets)[:, :1]
            np.testing.assert_allclose(part.empty_losses(few), empty, rtol=1e-5)
    maps = whole.maps(outputs)
    if maps is not None:
        np.testing.assert_array_equal(part.maps(outputs), maps[..., :1])


@EVERY
@pytest.mark.parametrize("asked", [2, 4])
def test_other_numbers_of_points_are_answered_or_refused(name, kind, asked):
    whole, points = make(name, kind, 3), some_points(asked)
    outputs = perfect(whole, targets_of(whole, some_points(3)))
    if whole.answers_any_number:
        part = whole.of(keypoints_of(kind, asked))
        assert part.decode(outputs).xy.shape == (BATCH, 1 if kind == UNORDERED else asked, 2)
        assert part.loss(outputs, targets_of(part, points)).shape == (BATCH,)
    else:
        message = f"--labels: this model predicts 3 points, but {asked} are labelled here"
        with pytest.raises(ConfigError, match=message):
            whole.of(keypoints_of(kind, asked))


@EVERY
@pytest.mark.parametrize("other", [RANKED, NAMED, UNORDERED])
def test_other_kinds_of_points_are_answered_or_refused(name, kind, other):
    whole = make(name, kind, 3)
    outputs = perfect(whole, targets_of(whole, some_points(3)))
    if other not in HEADS[name].points:
        with pytest.raises(ConfigError, match=f"--arch={name}: cannot predict {other} points"):
            whole.of(keypoints_of(other, 1))
        return
    for count in (1, 3):
        asked = keypoints_of(other, count)
        shared = whole.answers_any_number and make(name, other, count).answers_any_number
        if count == 1 or shared or other == kind:
            part = whole.of(asked)
            targets = targets_of(part, some_points(count))
            assert part.loss(outputs, targets).shape == (BATCH,)
            assert part.decode(outputs).xy.shape == (BATCH, len(asked.names), 2)
        else:
            message = (
                f"--labels: this model predicts {kind} points, but the labels here are {other}"
            )
            with pytest.raises(ConfigError, match=message):
                whole.of(asked)


def least_loss(head, targets):
    """The least loss of answering nothing, by ternary search: [B, C]."""

    def losses(numbers):
        return head.losses(FACTS[head.name].nothing(targets, numbers), targets).numpy()

    low, high = (np.full(targets["mask"].shape, end) for end in (-CERTAIN, CERTAIN))
    for _ in range(40):
        third = (high - low) / 3
        left = losses(low + third) < losses(high - third)
        low, high = np.where(left, low, low + third), np.where(left, high - third, high)
    return losses(low)


@EVERY
def test_the_empty_loss_is_that_of_answering_nothing(name, kind):
    head = make(name, kind)
    present = np.array([[True, True], [True, False], [False, False]])
    targets = targets_of(head, some_points(2), present)
    if not head.can_be_empty:
        assert FACTS[name].nothing is None
        with pytest.raises(NotImplementedError, match="always predicts a point"):
            head.empty_losses(targets)
        return
    empty, mask = head.empty_losses(targets).numpy(), targets["mask"].numpy()
    assert empty.shape == mask.shape
    np.testing.assert_array_equal(empty > 0, mask == 1)
    np.testing.assert_allclose(empty, least_loss(head, targets), rtol=1e-5)
    means = empty.sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
    np.testing.assert_allclose(head.empty_loss(targets), means, rtol=1e-6)


@pytest.mark.parametrize(("name", "kind"), ONE_MAP)
def test_detections_find_every_point_once(name, kind):
    head = make(name, kind, 4)

    @settings(deadline=None, max_examples=20, derandomize=True)
    @given(apart(4))
    def check(points):
        peaks = head.detections(perfect(head, targets_of(head, points)), 7)
        assert peaks.points.shape == (BATCH, 7, 2)
        found = peaks.valid.numpy() & (peaks.values.numpy() > 127.5)
        np.testing.assert_array_equal(found.sum(axis=1), [4] * BATCH)
        assert (np.diff(peaks.values, axis=1) <= 1e-3).all()
        for truths, places, these in zip(points, peaks.points.numpy(), found, strict=True):
            errors = np.linalg.norm(places[these][:, None] - truths, axis=-1)
            assert sorted(errors.argmin(axis=1)) == [0, 1, 2, 3]
            assert errors.min(axis=1).max() < FACTS[name].bound

    check()


@pytest.mark.parametrize(("name", "kind"), ONE_MAP)
def test_the_first_detection_is_the_answer(name, kind):
    head = make(name, kind, 4)
    outputs = noise(perfect(head, targets_of(head, some_points(4))), np.random.default_rng(0), 0.1)
    peaks = head.detections(outputs, 5)
    answer = head.decode(outputs).xy[:, 0]
    bound = frame_to_working(5, SIZE)  # on the same blob, which each may refine in its own way
    assert np.linalg.norm(peaks.points[:, 0] - answer, axis=-1).max() < bound


@EVERY
def test_detections_are_all_or_none(name, kind):
    head = make(name, kind)
    outputs = perfect(head, targets_of(head, some_points(2)))
    peaks = head.detections(outputs, 5)
    if peaks is not None:
        assert peaks.points.shape == (BATCH, 5, 2)
        assert peaks.values.shape == peaks.valid.shape == (BATCH, 5)
        assert peaks.valid.numpy()[:, 0].all()


@EVERY
def test_answers_hold_what_there_is(name, kind):
    head = make(name, kind)
    outputs = perfect(head, targets_of(head, some_points(2)))
    answers, points, maps = head.answers(outputs), head.decode(outputs), head.maps(outputs)
    np.testing.assert_array_equal(answers.pop("points_xy"), points.xy)
    if points.confidence is not None:
        np.testing.assert_array_equal(answers.pop("point_confidence"), points.confidence)
    if maps is not None:
        assert maps.shape[:3] == (BATCH, SIZE, SIZE)
        assert maps.numpy().min() >= 0
        assert maps.numpy().max() <= 255
        np.testing.assert_array_equal(answers.pop("maps"), maps)
    if kind == UNORDERED:
        peaks = head.detections(outputs, MAX_DETECTIONS)
        np.testing.assert_array_equal(answers.pop("detections_xy"), peaks.points)
        confidence = np.where(peaks.valid, np.clip(peaks.values.numpy() / 255, 0, 1), 0)
        np.testing.assert_array_equal(answers.pop("detection_confidence"), confidence)
    assert not answers


@EVERY
@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
def test_all_of_it_runs_in_a_graph_compiled_or_not(name, kind, jit):
    head, points = make(name, kind), some_points(2)
    targets = targets_of(head, points)
    outputs = noise(perfect(head, targets), np.random.default_rng(0), 0.1)

    def measure(outputs, points, present):
        targets = head.targets(points, present)
        return head.answers(outputs), head.losses(outputs, targets), head.loss(outputs, targets)

    def any_batch(x):  # without XLA it need not be known
        return tf.TensorSpec([BATCH if jit else None, *x.shape[1:]], x.dtype)

    example = outputs, tf.constant(points), tf.ones(points.shape[:2], tf.bool)
    signature = tf.nest.map_structure(any_batch, example)
    graph = tf.function(measure, input_signature=signature, jit_compile=jit or None)
    ours, theirs = (tf.nest.flatten(f(*example)) for f in (graph, measure))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_values(name):
    head = make(name, RANKED)
    assert head == make(name, RANKED)
    assert hash(head) == hash(make(name, RANKED))
    assert head.name == name
    with pytest.raises(dataclasses.FrozenInstanceError):
        head.image_size = 128
