"""Evaluation against a plain NumPy recomputation, on models whose answers are known."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from pipelines.scenes.render import render_opencv
from pipelines.scenes.sampling import scene_table
from pipelines.source import Source, make_source
from rectloc_tf.config import HeadConfig, Keypoints, RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import centers
from rectloc_tf.heads.peaks import WINDOW
from rectloc_tf.models import make_head, run_head
from rectloc_tf.registry import NAMED, UNORDERED
from rectloc_tf.results import evaluation
from rectloc_tf.results.evaluation import (
    BATCH_SIZE,
    LOCATION_THRESHOLDS,
    Evaluator,
    choose_threshold,
    detect,
    make_report,
    measure_detections,
    measure_locations,
)
from rectloc_tf.results.metrics import detection_metrics, location_metrics
from rectloc_tf.results.point_metrics import similarity
from tests.oracles import heatmap_targets_numpy

SIZE = 64


def run_of(arch="xy", **fields):
    return RunConfig(arch=arch, **{"image_size": SIZE, **fields})


# So many and so small that every kind of answer occurs: right, another one's, nowhere.
XY, DISC = run_of(domain=5, max_side=50), run_of("deconv", domain=5, max_side=50)


def measure(model, run, indices, asked=None, renderer="graph", **options):
    """Measures a model with the head of `run` on the scenes of `asked`."""
    source = make_source(asked or run, renderer)
    return Evaluator(model, run_head(run), **options)(source, indices)


def make_model(answer):
    images = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    return keras.Model(images, answer(ops.cast(images, "float32")))


def center_of_light(x):
    """(x, y) of the picture's mean brightness, in pixels of the 224 frame."""
    cells = (np.arange(SIZE, dtype=np.float32) + 0.5) * (224 / SIZE)
    light = x[..., 0] / ops.sum(x, axis=(1, 2))[..., None]
    return ops.stack([ops.sum(light * cells, (1, 2)), ops.sum(light * cells[:, None], (1, 2))], 1)


def near_first_lit_cell(x):
    """A map that is 200 four cells right and below of the first white pixel, 3 elsewhere."""
    cell = ops.argmax(ops.reshape(x, (-1, SIZE * SIZE)), axis=1)
    lit = ops.reshape(3 + 197 * ops.one_hot(cell, SIZE * SIZE), (-1, SIZE, SIZE, 1))
    return ops.roll(lit, (4, 4), axis=(1, 2))


@pytest.fixture(scope="module")
def xy_model():
    return make_model(center_of_light)


@pytest.fixture(scope="module")
def heatmap_model():
    return make_model(near_first_lit_cell)


def summary(errors):
    return {
        "median": np.median(errors),
        "mean": np.mean(errors),
        "p95": np.percentile(errors, 95),
        "rmse": np.sqrt(np.mean(errors**2)),
    }


def recompute(outputs, points, targets, rectangles):
    """The metrics as their definitions say, in float64; targets [N, ..., columns of R2].

    All points are present, so the loss is the mean squared error.
    """
    outputs, targets = outputs.astype(np.float64), targets.astype(np.float64)
    mse = np.mean((outputs - targets) ** 2)
    columns = outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1, outputs.shape[-1])
    r2 = [
        1 - ((o - t) ** 2).sum() / ((t - t.mean()) ** 2).sum()
        for o, t in zip(columns[0].T, columns[1].T, strict=True)
    ]
    centers = (rectangles[..., :2] + rectangles[..., 2:]) / 2 * (224 / SIZE)
    distances = np.sqrt(((centers - points[:, None, :]) ** 2).sum(-1))
    errors = distances[:, 0]
    right = errors <= 16
    wrong = ~right & (distances[:, 1:].min(axis=1) <= 16)

    return {
        "num_images": len(rectangles),
        "mse": mse,
        "ln_mse": math.log(mse),
        "r2": np.mean(r2),
        "loss": mse,
        "empty_loss": None,
        "empty_answers": None,
        "center_error_px": summary(errors),
        "right_rate": right.mean(),
        "wrong_rate": wrong.mean(),
        "nowhere_rate": 1 - right.mean() - wrong.mean(),
        "center_error_px_right": summary(errors[right]),
    }, r2


def assert_metrics(measured, expected):
    assert measured.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, dict):
            assert_metrics(measured[name], value)
        elif value is None or isinstance(value, str):
            assert measured[name] == value, name
        else:
            assert measured[name] == pytest.approx(value, rel=1e-5, abs=1e-9), name


def every_kind_occurs(metrics):
    return all(metrics[f"{kind}_rate"] > 0 for kind in ("right", "wrong", "nowhere"))


def scenes(indices, run=XY):
    rectangles = scene_table(run.scene)[list(indices)]
    return rectangles, render_opencv(rectangles, run.image_size, run.solid)


# Less than a batch, a batch, and two that leave the last one part empty.
@pytest.mark.parametrize("number", [7, BATCH_SIZE, BATCH_SIZE + 1, 2 * BATCH_SIZE + 23])
def test_xy_metrics(xy_model, number):
    indices = range(8000, 8000 + number)
    rectangles, images = scenes(indices)
    outputs = xy_model(images).numpy()
    targets = (rectangles[:, 0, :2] + rectangles[:, 0, 2:]) / 2 * (224 / SIZE)
    expected, r2 = recompute(outputs, outputs, targets, rectangles)
    assert number < BATCH_SIZE or every_kind_occurs(expected)
    measured = measure(xy_model, XY, indices)
    assert_metrics(measured, expected | {"r2_per_coordinate": r2})


def first_lit(images):
    """Where `near_first_lit_cell` has its light, in px of 224."""
    cells = images.reshape(len(images), -1).argmax(axis=1)
    columns, rows = (cells % SIZE + 4) % SIZE, (cells // SIZE + 4) % SIZE
    return (np.stack([columns, rows], axis=1) + 0.5) * (224 / SIZE)


@pytest.mark.parametrize("number", [73, 2 * BATCH_SIZE])
@pytest.mark.parametrize(
    "fields",
    [{}, {"target": "gaussian", "labels": "all"}],
    ids=["disc of the largest", "gaussians of all"],
)
def test_heatmap_metrics(heatmap_model, number, fields):
    indices = range(9000, 9000 + number)
    run = run_of("deconv", domain=5, max_side=50, **fields)
    rectangles, images = scenes(indices)
    outputs, points = heatmap_model(images).numpy(), first_lit(images)
    places = ((rectangles[..., :2] + rectangles[..., 2:]) / 2)[:, list(run.ranks)]
    there = np.ones(places.shape[:2], bool)
    truth = heatmap_targets_numpy(places, there, SIZE, run.head)
    expected, _ = recompute(outputs, points, truth, rectangles)
    empty = np.mean(truth.astype(np.float64) ** 2)
    expected |= {
        "zero_map_mse": empty,
        "empty_loss": empty,
        "empty_answers": [expected["mse"] / empty],
    }
    assert every_kind_occurs(expected)
    measured = measure(heatmap_model, run, indices)
    each = measured.pop("keypoint_error_px", {})
    assert_metrics(measured, expected)
    assert list(each) == [f"rank_{rank + 1}" for rank in range(5 if fields else 0)]
    answers = run_head(run).decode(tf.constant(outputs)).xy.numpy()
    errors = np.linalg.norm(answers - places, axis=-1) * (224 / SIZE)
    assert_metrics(each, {name: summary(errors[:, n]) for n, name in enumerate(each)})


def test_every_point_of_several_labels_counts():
    constant = np.array([60, 170, 30, 10, 200, 100], np.float32)
    model = make_model(lambda x: 0 * ops.mean(x, (1, 2)) + constant)
    run = run_of(domain=3, labels="all")
    indices = range(61)
    rectangles, _ = scenes(indices, run)
    truth = ((rectangles[..., :2] + rectangles[..., 2:]) / 2 * (224 / SIZE)).reshape(61, 6)
    outputs = np.tile(constant, (61, 1))
    expected, r2 = recompute(outputs, outputs[:, :2], truth, rectangles)
    errors = np.linalg.norm((outputs - truth).reshape(61, 3, 2), axis=-1)
    each = {f"rank_{rank + 1}": summary(errors[:, rank]) for rank in range(3)}
    measured = measure(model, run, indices)
    assert_metrics(measured, expected | {"r2_per_coordinate": r2, "keypoint_error_px": each})
    # Asked for the largest alone, its first point is all that counts.
    expected, r2 = recompute(outputs[:, :2], outputs[:, :2], truth[:, :2], rectangles)
    measured = measure(model, run, indices, asked=run_of(domain=3))
    assert_metrics(measured, expected | {"r2_per_coordinate": r2})


def test_points_of_one_class_are_right_where_any_of_them_is(heatmap_model):
    indices = range(9000, 9060)
    run = run_of("deconv", domain=2, labels="unordered")
    rectangles, images = scenes(indices, run)
    places = (rectangles[..., :2] + rectangles[..., 2:]) / 2
    away = places * (224 / SIZE) - first_lit(images)[:, None]
    errors = np.linalg.norm(away, axis=-1).min(axis=1)
    measured = measure(heatmap_model, run, indices)
    assert measured["center_error_px"] == pytest.approx(summary(errors), rel=1e-5)
    assert measured["right_rate"] == np.mean(errors <= 16)
    assert measured["wrong_rate"] == 0  # every rectangle is one of them
    assert 0 < measured["right_rate"] < 1
    truth = heatmap_targets_numpy(places, np.ones((60, 2), bool), SIZE, run.head, UNORDERED)
    assert measured["empty_loss"] == pytest.approx(np.mean(truth.astype(float) ** 2), rel=1e-5)


def test_an_oracle_makes_no_errors():
    run = run_of(domain=1, solid=True)
    measured = measure(make_model(center_of_light), run, range(9000, 9060))
    assert measured["right_rate"] == 1
    assert measured["center_error_px"]["p95"] < 1e-3
    assert measured["r2"] == pytest.approx(1, abs=1e-6)
    assert measured["center_error_px"] == measured["center_error_px_right"]


def test_an_oracle_of_heatmaps_makes_none_either():
    cells = (np.arange(SIZE, dtype=np.float32) + 0.5) * (224 / SIZE)

    def draw_disc(x):
        point = center_of_light(x)[:, :, None, None]
        distance2 = (point[:, 0] - cells) ** 2 + (point[:, 1] - cells[:, None]) ** 2
        # Centres lie on half pixels; the slack keeps rounding off the disc's edge.
        return 255 * ops.cast(distance2 <= 7.0**2 + 0.01, "float32")[..., None]

    run = run_of("deconv", domain=1, solid=True)
    measured = measure(make_model(draw_disc), run, range(9000, 9060))
    assert measured["mse"] == measured["loss"] == 0
    assert measured["ln_mse"] is None
    assert measured["r2"] == 1
    assert measured["center_error_px"]["p95"] < 1e-3
    assert measured["zero_map_mse"] > 0
    assert measured["empty_answers"] == [0]


def test_a_black_heatmap_is_as_bad_as_the_zero_map():
    measured = measure(make_model(lambda x: 0 * x), DISC, range(20))
    assert measured["mse"] == measured["zero_map_mse"] > 0
    assert measured["loss"] == measured["empty_loss"] > 0
    assert measured["empty_answers"] == [1]
    assert measured["r2"] < 0


def test_score_maps_have_a_loss_but_no_values():
    head = run_head(run_of("score_map", domain=5, max_side=50))
    images = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    light = ops.cast(images, "float32")[:, 2::4, 2::4] / 255
    outputs = {"scores": 3 * light - 2, "offsets": ops.concatenate([light, -light], -1)}
    source, indices = make_source(XY), range(9000, 9000 + BATCH_SIZE + 3)
    model = keras.Model(images, outputs)
    measured = Evaluator(model, head)(source, indices)
    assert [measured[name] for name in ("mse", "ln_mse", "r2")] == [None] * 3
    batch = source.draw(source.take(tf.constant(indices, tf.int64)))
    targets, outputs = head.targets(batch["points"], batch["present"]), model(batch["images"])
    empty = np.mean(head.empty_loss(targets))
    assert measured["loss"] == pytest.approx(np.mean(head.loss(outputs, targets)), rel=1e-5)
    assert measured["empty_loss"] == pytest.approx(empty, rel=1e-5)
    assert measured["empty_answers"] == pytest.approx([measured["loss"] / empty], rel=1e-5)
    found = head.decode(outputs).xy[:, 0].numpy() * (224 / SIZE)
    rectangles, _ = scenes(indices)
    truth = (rectangles[:, 0, :2] + rectangles[:, 0, 2:]) / 2 * (224 / SIZE)
    expected = summary(np.linalg.norm(found - truth, axis=-1))
    assert measured["center_error_px"] == pytest.approx(expected, rel=1e-5)


class Animals(Source):
    """Pictures of a single bright pixel, with two named keypoints, some of them absent."""

    image_size, channels, set_name, can_draw_on_device = SIZE, 1, "animals", True
    keypoints = Keypoints(("nose", "tail"), NAMED, 2)

    def __init__(self, number):
        rng = np.random.default_rng(0)
        self.cells = rng.integers(0, SIZE, (number, 2))
        self.points = (self.cells[:, None] + rng.normal(0, 8, (number, 2, 2))).astype(np.float32)
        self.present = rng.uniform(size=(number, 2)) < 0.7
        self.others = rng.uniform(0, SIZE, (number, 3, 2)).astype(np.float32)
        self.pixel_size = rng.uniform(0.5, 4, number).astype(np.float32)

    def check(self):
        pass

    def indices(self, split):
        return range(len(self.cells))

    def label(self, index):
        return f"animal_{index}"

    def take(self, indices):
        return {"index": indices}

    def augment(self, batch, places, words, count):
        return batch

    def draw(self, batch):
        columns, rows = tf.unstack(tf.gather(self.cells, batch["index"]), axis=-1)
        lit = tf.one_hot(rows * SIZE + columns, SIZE * SIZE, tf.constant(255, tf.uint8))
        known = ("points", "present", "others", "pixel_size")
        return {
            "images": tf.reshape(lit, [-1, SIZE, SIZE, 1]),
            **{name: tf.gather(getattr(self, name), batch["index"]) for name in known},
        }


def around_the_pixel(x):
    """Two keypoints: the lit cell of a picture, and 5 px of 224 right of it."""
    point = center_of_light(x)
    return ops.concatenate([point, point + np.array([5, 0], np.float32)], axis=1)


def test_named_keypoints_are_pooled_and_absent_ones_left_out():
    source, number = Animals(73), 73
    head = make_head(HeadConfig(arch="xy"), SIZE, source.keypoints)
    measured = Evaluator(make_model(around_the_pixel), head)(source, source.indices("test"))
    answers = np.stack([source.cells + 0.5, source.cells + 0.5 + (5 * SIZE / 224, 0)], axis=1)
    scale = source.pixel_size[:, None].astype(float)
    errors = np.linalg.norm(answers - source.points, axis=-1) * scale
    away = np.linalg.norm(answers[:, :, None] - source.others[:, None], axis=-1)
    away = (away * scale[..., None]).min(axis=2)
    there = source.present
    right, wrong = (errors <= 16)[there], ((errors > 16) & (away <= 16))[there]
    assert 0 < there.mean() < 1
    squares = (((answers - source.points) * 224 / SIZE) ** 2).mean(axis=-1) * there
    both = there.all(axis=1)
    boxes = np.abs(source.points[:, 0] - source.points[:, 1]).max(axis=-1) * scale[:, 0]
    near = errors <= 0.1 * boxes[:, None]
    expected = {
        "num_images": number,
        "mse": None,
        "ln_mse": None,
        "r2": None,
        "loss": (squares.sum(axis=1) / np.maximum(there.sum(axis=1), 1)).mean(),
        "empty_loss": None,
        "empty_answers": None,
        "center_error_px": summary(errors[there]),
        "right_rate": right.mean(),
        "wrong_rate": wrong.mean(),
        "nowhere_rate": 1 - right.mean() - wrong.mean(),
        "center_error_px_right": summary(errors[there][right]),
        "keypoint_error_px": {
            "nose": summary(errors[there[:, 0], 0]),
            "tail": summary(errors[there[:, 1], 1]),
        },
        "keypoint_labels": {"nose": there[:, 0].sum(), "tail": there[:, 1].sum()},
        "pck": {
            "share": near[both].mean(),
            "within": 0.1,
            "of": "the longer side of the box around the image's labelled points",
            "n": 2 * both.sum(),
        },
        "oks": similarity(errors, scale[..., None] * source.points, there),
    }
    assert 0 < expected["pck"]["share"] < 1
    assert every_kind_occurs(expected)
    assert_metrics(measured, expected)


def test_a_map_that_stays_empty_is_seen_by_its_keypoint():
    source = Animals(20)
    head = make_head(HeadConfig(arch="deconv"), SIZE, source.keypoints)

    def answer_the_second(x):
        return ops.concatenate([0 * x, ops.roll(x, (3, 1), axis=(1, 2))], axis=-1)

    measured = Evaluator(make_model(answer_the_second), head)(source, source.indices("test"))
    first, second = measured["empty_answers"]
    assert first == pytest.approx(1, rel=1e-6)
    truth = heatmap_targets_numpy(source.points, source.present, SIZE, head.config, NAMED)[..., 1]
    batch = source.draw({"index": tf.range(20)})
    painted = np.roll(batch["images"].numpy()[..., 0].astype(float), (3, 1), axis=(1, 2))
    there = source.present[:, 1, None, None]
    expected = ((painted - truth) ** 2 * there).sum() / (truth.astype(float) ** 2).sum()
    assert second == pytest.approx(expected, rel=1e-5)


def test_one_evaluator_serves_several_domains_and_ranges(xy_model):
    evaluator = Evaluator(xy_model, run_head(XY))
    for domain in (1, 4):
        source = make_source(run_of(domain=domain))
        again = Evaluator(xy_model, run_head(XY))(source, range(30))
        assert evaluator(source, range(30)) == again
    assert evaluator(source, range(5))["num_images"] == 5


@pytest.mark.parametrize("options", [{"jit": True}, {"renderer": "opencv"}], ids=["xla", "opencv"])
def test_how_it_is_carried_out_changes_nothing(heatmap_model, options):
    expected = measure(heatmap_model, DISC, range(60))
    assert_metrics(measure(heatmap_model, DISC, range(60), **options), expected)


def test_labels_are_checked_before_anything_is_computed(xy_model):
    evaluator = Evaluator(
        xy_model, run_head(XY), on_batch=lambda done, total: pytest.fail("started")
    )
    with pytest.raises(ConfigError, match="--labels: this model predicts 1 points, but 5 are"):
        evaluator(make_source(run_of(domain=5, labels="all")), range(10))


def test_on_batch_hears_of_every_batch(xy_model):
    calls = []
    measure(xy_model, XY, range(120), on_batch=lambda *call: calls.append(call))
    assert calls == [(0, 120), (50, 120), (100, 120)]


def test_on_batch_may_end_an_evaluation(xy_model):
    class Enough(Exception):
        pass

    calls = []

    def stop_once(done, total):
        calls.append(done)
        if calls == [0, 50]:
            raise Enough

    evaluator, source = Evaluator(xy_model, run_head(XY), on_batch=stop_once), make_source(XY)
    with pytest.raises(Enough):
        evaluator(source, range(120))
    assert calls == [0, 50]
    assert evaluator(source, range(120)) == measure(xy_model, XY, range(120))


def test_report_has_the_schema():
    run = RunConfig(domain=3)
    splits = {"test": {"3": {"mse": 1.0}}}
    report = make_report(run, splits, {"epochs": 40, "seconds": 1.5, "images_per_second": None})
    assert report == {
        "schema": 2,
        "config": run.to_json(),
        "splits": splits,
        "epochs": 40,
        "seconds": 1.5,
        "images_per_second": None,
    }


def test_all_locations_are_those_of_the_peaks_bright_enough():
    # Beside the bright cell, rolled around the borders, a dim one in the middle.
    middle = np.zeros((1, SIZE, SIZE, 1), np.float32)
    middle[0, SIZE // 2, SIZE // 2] = 50
    model = make_model(lambda x: ops.maximum(near_first_lit_cell(x), middle))
    indices = range(9000, 9000 + BATCH_SIZE + 3)  # the last batch is filled up
    seen = []
    head, source = run_head(DISC), make_source(DISC)
    found = measure_locations(model, head, source, indices, lambda *done: seen.append(done))
    assert seen == [(0, len(indices)), (BATCH_SIZE, len(indices))]
    assert [measured.pop("threshold") for measured in found] == list(LOCATION_THRESHOLDS)

    rectangles = scene_table(DISC.scene)[list(indices)]
    first = render_opencv(rectangles, SIZE).reshape(len(indices), -1).argmax(axis=1)
    bright = np.stack([(first % SIZE + 4) % SIZE, (first // SIZE + 4) % SIZE], axis=1)
    dim = np.array([SIZE // 2, SIZE // 2])
    far = np.linalg.norm(bright - dim, axis=1) >= 2 * WINDOW * SIZE
    for threshold, measured in zip(LOCATION_THRESHOLDS, found, strict=True):
        cells = [
            np.stack([one, dim]) if threshold <= 50 and apart else one[None]
            for one, apart in zip(bright, far, strict=True)
        ]
        points = [(cell + 0.5) * 224 / SIZE for cell in cells]
        expected = location_metrics(points, rectangles * 224 / SIZE)
        assert 0 < expected["recall"] < 1
        assert measured.pop("found") == expected.pop("found")
        assert measured.pop("recall_by_rank") == pytest.approx(expected.pop("recall_by_rank"))
        assert measured == pytest.approx(expected)
    assert found[0]["points_per_image"] > found[-1]["points_per_image"] == 1


def test_detections_are_those_of_the_head():
    run = run_of("deconv", domain=2, solid=True, labels="unordered")
    # The pictures themselves as maps: every rectangle is as bright as can be.
    model, head, source = make_model(lambda x: x), run_head(run), make_source(run)
    indices = range(9000, 9000 + BATCH_SIZE + 2)
    points, values, rectangles = detect(model, head, source, indices)
    assert points.shape == (len(indices), 7, 2)
    assert values.shape == (len(indices), 7)
    expected = scene_table(run.scene)[list(indices)]
    np.testing.assert_allclose(rectangles, expected * (224 / SIZE), rtol=1e-6)
    images = tf.constant(render_opencv(expected, SIZE, True), tf.float32)
    peaks = head.detections(images, 7)
    np.testing.assert_allclose(points, peaks.points.numpy() * (224 / SIZE), rtol=1e-4)
    np.testing.assert_array_equal(values, peaks.values)


def test_a_threshold_tells_bright_detections_from_dim_ones():
    # A blob of 100 about the centre, and a dim cell in a corner, which is right in no image.
    corner = np.zeros((1, SIZE, SIZE, 1), np.float32)
    corner[0, 1, 1] = 30

    def blobs(x):
        x = ops.pad(x, [[0, 0], [24, 24], [24, 24], [0, 0]])
        for _ in range(2):
            x = ops.average_pool(x, 25, 1, "valid")
        return ops.maximum(100 * x / ops.max(x, axis=(1, 2), keepdims=True), corner)

    model = make_model(blobs)
    fields = {"min_side": 8, "max_side": 20, "labels": "unordered", "num_images": 600}
    run = run_of("deconv", domain=1, solid=True, **fields)
    head, source = run_head(run), make_source(run)
    threshold = choose_threshold(detect(model, head, source, source.indices("validation")))
    assert 30 / 255 < threshold <= 100 / 255
    assert threshold == round(threshold, 3)
    indices = source.indices("test")[: BATCH_SIZE + 1]
    detected = detect(model, head, source, indices)
    found = measure_detections(detected, threshold)
    everything = measure_detections(detected, 0.001)
    assert found["threshold"] == threshold
    assert found["precision"] > 0.9 > 0.6 > everything["precision"]
    assert found["recall"] == everything["recall"] > 0.9
    assert measure_detections(detected, 0.4)["recall"] == 0
    points, values, rectangles = detected
    kept = [p[v >= 255 * threshold] for p, v in zip(points, values, strict=True)]
    assert found == {"threshold": threshold} | detection_metrics(kept, centers(rectangles))


@pytest.mark.parametrize(("value", "threshold"), [(0.01, 0.001), (74.99, 0.294), (300.0, 1.0)])
def test_a_threshold_is_rounded_down_and_never_0(monkeypatch, value, threshold):
    monkeypatch.setattr(evaluation, "best_threshold", lambda *found: value)
    found = np.zeros((1, 3, 2)), np.zeros((1, 3)), np.zeros((1, 1, 4))
    assert choose_threshold(found) == threshold


@pytest.mark.parametrize(("run", "model"), [(XY, "xy_model"), (DISC, "heatmap_model")])
def test_what_was_answered_comes_with_the_metrics(run, model, request):
    model, source = request.getfixturevalue(model), make_source(run)
    indices = source.indices("test")[:70]  # two batches, of which the second is filled up
    metrics, answers = Evaluator(model, run_head(run)).measure(source, indices)
    assert answers.points.shape == (70, 1, 2)
    truths = centers(scene_table(run.scene)[indices][:, 0]) * (224 / SIZE)
    errors = np.linalg.norm(answers.points[:, 0] - truths, axis=1)
    np.testing.assert_allclose(metrics["center_error_px"]["mean"], errors.mean(), rtol=1e-5)
    if run.arch == "xy":
        assert answers.confidence is None
    else:
        np.testing.assert_allclose(answers.confidence, 200 / 255, rtol=1e-2)
