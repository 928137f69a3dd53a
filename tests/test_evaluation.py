"""Evaluation against a plain NumPy recomputation, on models whose answers are known."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from pipelines.scenes.render import render_opencv
from pipelines.scenes.sampling import scene_table
from pipelines.targets import heatmap_targets_numpy
from rectloc_tf.config import RunConfig, SceneConfig, TargetConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.heads.peaks import WINDOW
from rectloc_tf.results.evaluation import (
    BATCH_SIZE,
    LOCATION_THRESHOLDS,
    Evaluator,
    make_report,
    match_outputs,
    measure_locations,
)
from rectloc_tf.results.metrics import location_metrics

SIZE = 64
# So many and so small that every kind of answer occurs: right, another one's, nowhere.
SCENE = SceneConfig(domain=5, image_size=SIZE, max_side=50)
XY, DISC = TargetConfig(kind="xy"), TargetConfig(kind="disc")


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


def recompute(outputs, points, targets, rectangles):
    """The metrics as their definitions say, in float64; targets [N, ..., columns of R2]."""
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

    def summary(errors):
        return {
            "median": np.median(errors),
            "mean": np.mean(errors),
            "p95": np.percentile(errors, 95),
            "rmse": np.sqrt(np.mean(errors**2)),
        }

    return {
        "num_images": len(rectangles),
        "mse": mse,
        "ln_mse": math.log(mse),
        "r2": np.mean(r2),
        "center_error_px": summary(errors),
        "right_rate": right.mean(),
        "wrong_rate": wrong.mean(),
        "nowhere_rate": 1 - right.mean() - wrong.mean(),
        "center_error_px_right": summary(errors[right]),
    }, r2


def assert_metrics(measured, expected):
    assert measured.keys() == expected.keys()
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, rel=1e-5, abs=1e-9), name


def every_kind_occurs(metrics):
    return all(metrics[f"{kind}_rate"] > 0 for kind in ("right", "wrong", "nowhere"))


def scenes(indices, scene=SCENE):
    rectangles = scene_table(scene)[list(indices)]
    return rectangles, render_opencv(rectangles, scene.image_size, scene.solid)


# Less than a batch, a batch, and two that leave the last one part empty.
@pytest.mark.parametrize("number", [7, BATCH_SIZE, BATCH_SIZE + 1, 2 * BATCH_SIZE + 23])
def test_xy_metrics(xy_model, number):
    indices = range(8000, 8000 + number)
    rectangles, images = scenes(indices)
    outputs = xy_model(images).numpy()
    targets = (rectangles[:, 0, :2] + rectangles[:, 0, 2:]) / 2 * (224 / SIZE)
    expected, r2 = recompute(outputs, outputs, targets, rectangles)
    assert number < BATCH_SIZE or every_kind_occurs(expected)
    measured = Evaluator(xy_model)(SCENE, XY, indices)
    assert_metrics(measured, expected | {"r2_per_coordinate": r2})


@pytest.mark.parametrize("number", [73, 2 * BATCH_SIZE])
@pytest.mark.parametrize(
    "targets",
    [DISC, TargetConfig(kind="gaussian", labels="all")],
    ids=["disc of the largest", "gaussians of all"],
)
def test_heatmap_metrics(heatmap_model, number, targets):
    indices = range(9000, 9000 + number)
    rectangles, images = scenes(indices)
    outputs = heatmap_model(images).numpy()
    cells = images.reshape(number, -1).argmax(axis=1)
    columns, rows = (cells % SIZE + 4) % SIZE, (cells // SIZE + 4) % SIZE
    points = (np.stack([columns, rows], axis=1) + 0.5) * (224 / SIZE)
    truth = heatmap_targets_numpy(rectangles, SIZE, targets)
    expected, _ = recompute(outputs, points, truth, rectangles)
    expected["zero_map_mse"] = np.mean(truth.astype(np.float64) ** 2)
    assert every_kind_occurs(expected)
    assert_metrics(Evaluator(heatmap_model)(SCENE, targets, indices), expected)


def test_every_point_of_several_labels_counts():
    constant = np.array([60, 170, 30, 10, 200, 100], np.float32)
    model = make_model(lambda x: 0 * ops.mean(x, (1, 2)) + constant)
    scene = SceneConfig(domain=3, image_size=SIZE)
    indices = range(61)
    rectangles, _ = scenes(indices, scene)
    truth = ((rectangles[..., :2] + rectangles[..., 2:]) / 2 * (224 / SIZE)).reshape(61, 6)
    outputs = np.tile(constant, (61, 1))
    expected, r2 = recompute(outputs, outputs[:, :2], truth, rectangles)
    measured = Evaluator(model)(scene, TargetConfig(kind="xy", labels="all"), indices)
    assert_metrics(measured, expected | {"r2_per_coordinate": r2})
    # Asked for the largest alone, its first point is all that counts.
    expected, r2 = recompute(outputs[:, :2], outputs[:, :2], truth[:, :2], rectangles)
    measured = Evaluator(model)(scene, XY, indices)
    assert_metrics(measured, expected | {"r2_per_coordinate": r2})


def test_an_oracle_makes_no_errors():
    scene = SceneConfig(domain=1, image_size=SIZE, solid=True)
    measured = Evaluator(make_model(center_of_light))(scene, XY, range(9000, 9060))
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

    scene = SceneConfig(domain=1, image_size=SIZE, solid=True)
    measured = Evaluator(make_model(draw_disc))(scene, DISC, range(9000, 9060))
    assert measured["mse"] == 0
    assert measured["ln_mse"] is None
    assert measured["r2"] == 1
    assert measured["center_error_px"]["p95"] < 1e-3
    assert measured["zero_map_mse"] > 0


def test_a_black_heatmap_is_as_bad_as_the_zero_map():
    measured = Evaluator(make_model(lambda x: 0 * x))(SCENE, DISC, range(20))
    assert measured["mse"] == measured["zero_map_mse"] > 0
    assert measured["r2"] < 0


def test_one_evaluator_serves_several_domains_and_ranges(xy_model):
    measure = Evaluator(xy_model)
    for domain in (1, 4):
        scene = SceneConfig(domain=domain, image_size=SIZE)
        again = Evaluator(xy_model)(scene, XY, range(30))
        assert measure(scene, XY, range(30)) == again
    assert measure(scene, XY, range(5))["num_images"] == 5


@pytest.mark.parametrize("options", [{"jit": True}, {"renderer": "opencv"}], ids=["xla", "opencv"])
def test_how_it_is_carried_out_changes_nothing(heatmap_model, options):
    expected = Evaluator(heatmap_model)(SCENE, DISC, range(60))
    assert_metrics(Evaluator(heatmap_model, **options)(SCENE, DISC, range(60)), expected)


@pytest.mark.parametrize(
    ("outputs", "labels", "domain", "wanted"),
    [
        (2, "largest", 1, 2),
        (2, "largest", 5, 2),
        (6, "largest", 5, 2),
        (2, "all", 1, 2),
        (6, "all", 3, 6),
        (4, "largest_and_smallest", 5, 4),
        (4, "largest_and_smallest", 1, 4),
        (4, "all", 2, 4),
    ],
)
def test_outputs_that_answer_the_labels(outputs, labels, domain, wanted):
    targets = TargetConfig(kind="xy", labels=labels)
    assert match_outputs(outputs, targets, SceneConfig(domain=domain)) == wanted


@pytest.mark.parametrize(
    ("outputs", "labels", "domain", "needed"),
    [
        (2, "all", 3, 3),
        (6, "all", 2, 2),
        (6, "all", 4, 4),
        (2, "largest_and_smallest", 3, 2),
        (6, "largest_and_smallest", 3, 2),
    ],
)
def test_outputs_that_do_not_are_refused(outputs, labels, domain, needed):
    targets = TargetConfig(kind="xy", labels=labels)
    with pytest.raises(ConfigError) as caught:
        match_outputs(outputs, targets, SceneConfig(domain=domain))
    message = str(caught.value)
    assert message.startswith(f"--labels={labels}: this model answers {outputs // 2} points")
    assert f"domain {domain} has {needed} labels" in message


def test_labels_are_checked_before_anything_is_computed(xy_model):
    measure = Evaluator(xy_model, on_batch=lambda done, total: pytest.fail("started"))
    with pytest.raises(ConfigError, match="--labels=all"):
        measure(SCENE, TargetConfig(kind="xy", labels="all"), range(10))


def test_on_batch_hears_of_every_batch(xy_model):
    calls = []
    measure = Evaluator(xy_model, on_batch=lambda *call: calls.append(call))
    measure(SCENE, XY, range(120))
    assert calls == [(0, 120), (50, 120), (100, 120)]


def test_on_batch_may_end_an_evaluation(xy_model):
    class Enough(Exception):
        pass

    calls = []

    def stop_once(done, total):
        calls.append(done)
        if calls == [0, 50]:
            raise Enough

    measure = Evaluator(xy_model, on_batch=stop_once)
    with pytest.raises(Enough):
        measure(SCENE, XY, range(120))
    assert calls == [0, 50]
    assert measure(SCENE, XY, range(120)) == Evaluator(xy_model)(SCENE, XY, range(120))


def test_report_has_the_schema():
    run = RunConfig(domain=3)
    splits = {"test": {"3": {"mse": 1.0}}}
    report = make_report(run, splits, {"epochs": 40, "seconds": 1.5, "images_per_second": None})
    assert report == {
        "schema": 1,
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
    found = measure_locations(model, SCENE, indices, lambda *done: seen.append(done))
    assert seen == [(0, len(indices)), (BATCH_SIZE, len(indices))]
    assert [measured.pop("threshold") for measured in found] == list(LOCATION_THRESHOLDS)

    rectangles = scene_table(SCENE)[list(indices)]
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
