"""Metrics against plain formulas."""

import itertools
import json
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rectloc_tf.results.evaluation import statistics
from rectloc_tf.results.metrics import (
    PICK_RADIUS,
    center_metrics,
    error_summary,
    finite_or_none,
    location_metrics,
    match_points,
    r2_scores,
    value_metrics,
)

EMPTY = {"median": None, "mean": None, "p95": None, "rmse": None}
# Centres (5, 5) and (100, 50): far apart.
TWO = [[0, 0, 10, 10], [96, 47, 104, 53]]


def _sums(outputs, targets):
    """Per-example errors, sums and squares [N, C] of [N, C, count], and count."""
    outputs, targets = np.asarray(outputs, float), np.asarray(targets, float)
    parts = (outputs - targets) ** 2, targets, targets**2
    return [part.sum(axis=2) for part in parts], targets.shape[2]


def _r2(outputs, targets):
    (errors, sums, squares), count = _sums(outputs, targets)
    return r2_scores(errors, sums, squares, count)


def _metrics(outputs, targets, is_heatmap):
    (errors, sums, squares), count = _sums(outputs, targets)
    return value_metrics(errors, sums, squares, count, is_heatmap)


def _random(shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 224, shape)


@pytest.mark.parametrize(("columns", "count"), [(1, 64), (2, 1), (6, 1), (3, 5)])
def test_r2_is_one_minus_sse_over_sst_of_each_column(columns, count):
    targets = _random((20, columns, count))
    outputs = targets + _random((20, columns, count), 1) - 112
    expected = []
    for column in range(columns):
        t, o = targets[:, column].ravel(), outputs[:, column].ravel()
        expected.append(1 - sum((o - t) ** 2) / sum((t - t.mean()) ** 2))
    np.testing.assert_allclose(_r2(outputs, targets), expected, rtol=1e-9)


def test_perfect_answers_have_r2_one():
    targets = _random((9, 2, 1))
    assert _r2(targets, targets).tolist() == [1, 1]


def test_the_mean_as_answer_has_r2_zero():
    targets = _random((50, 2, 4))
    outputs = np.broadcast_to(targets.mean(axis=(0, 2), keepdims=True), targets.shape)
    np.testing.assert_allclose(_r2(outputs, targets), [0, 0], atol=1e-9)


def test_worse_than_the_mean_is_negative():
    np.testing.assert_allclose(_r2([[[3.0]], [[0.0]]], [[[0.0]], [[3.0]]]), [1 - 18 / 4.5])


@pytest.mark.parametrize("levels", [[0.0], [255.0, 1e6], _random(200)])
def test_r2_of_constant_targets(levels):
    # As scikit-learn's r2_score: 1 if met exactly, otherwise 0. Sums of most levels round.
    targets = np.broadcast_to(np.reshape(levels, (1, -1, 1)), (37, len(levels), 11))
    assert set(_r2(targets, targets)) == {1}
    assert set(_r2(targets + 1e-3, targets)) == {0}


def test_a_constant_column_leaves_the_others_alone():
    targets = _random((30, 3, 1))
    targets[:, 1] = 7
    outputs = targets + _random((30, 3, 1), 1) - 112
    both = _r2(outputs, targets)
    assert both[1] == 0
    others = _r2(outputs[:, [0, 2]], targets[:, [0, 2]])
    np.testing.assert_allclose(both[[0, 2]], others, rtol=1e-12)


def test_a_small_spread_on_a_large_mean_is_not_constant():
    targets = 100 + np.random.default_rng(0).normal(0, 0.01, (1000, 1, 1))
    outputs = targets + np.random.default_rng(1).normal(0, 0.005, targets.shape)
    spread = targets - targets.mean()
    expected = 1 - ((outputs - targets) ** 2).sum() / (spread**2).sum()
    np.testing.assert_allclose(_r2(outputs, targets), [expected], rtol=1e-4)


def test_values_of_coordinates():
    targets = _random((25, 4, 1))
    outputs = targets + _random((25, 4, 1), 1) / 10
    metrics = _metrics(outputs, targets, is_heatmap=False)
    mse = ((outputs - targets) ** 2).mean()
    assert set(metrics) == {"mse", "ln_mse", "r2", "r2_per_coordinate"}
    assert metrics["mse"] == pytest.approx(mse)
    assert metrics["ln_mse"] == pytest.approx(math.log(mse))
    np.testing.assert_allclose(metrics["r2_per_coordinate"], _r2(outputs, targets))
    assert metrics["r2"] == pytest.approx(np.mean(metrics["r2_per_coordinate"]))


def test_values_of_heatmaps():
    targets = _random((25, 1, 49))
    outputs = targets + _random((25, 1, 49), 1) / 10
    metrics = _metrics(outputs, targets, is_heatmap=True)
    assert set(metrics) == {"mse", "ln_mse", "r2", "zero_map_mse"}
    assert metrics["mse"] == pytest.approx(((outputs - targets) ** 2).mean())
    residual = ((outputs - targets) ** 2).sum()
    assert metrics["r2"] == pytest.approx(1 - residual / ((targets - targets.mean()) ** 2).sum())
    assert metrics["zero_map_mse"] == pytest.approx((targets**2).mean())


def test_zero_map_mse_is_the_mse_of_the_zero_map():
    targets = _random((10, 1, 16))
    metrics = _metrics(np.zeros_like(targets), targets, is_heatmap=True)
    assert metrics["zero_map_mse"] == pytest.approx(metrics["mse"], rel=1e-12)
    assert metrics["r2"] < 0


def test_no_error_has_no_logarithm():
    targets = _random((4, 2, 1))
    metrics = _metrics(targets, targets, is_heatmap=False)
    assert (metrics["mse"], metrics["ln_mse"], metrics["r2"]) == (0, None, 1)


@pytest.mark.parametrize("is_heatmap", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_none(is_heatmap, bad):
    targets = _random((5, 1 if is_heatmap else 2, 3))
    errors, sums, squares = _sums(targets + 1, targets)[0]
    errors[2] = bad
    metrics = value_metrics(errors, sums, squares, 3, is_heatmap)
    assert (metrics["mse"], metrics["ln_mse"], metrics["r2"]) == (None, None, None)
    json.dumps(metrics, allow_nan=False)


def test_summary_of_errors():
    errors = np.random.default_rng(0).gamma(2, 5, 101)
    ordered = sorted(errors)
    expected = {
        "median": ordered[50],
        "mean": sum(errors) / 101,
        "p95": ordered[95],
        "rmse": math.sqrt(sum(errors**2) / 101),
    }
    assert error_summary(errors) == pytest.approx(expected)


def test_summary_of_no_errors_is_none():
    assert error_summary(np.array([])) == EMPTY


def test_summary_of_errors_that_are_not_finite_is_none():
    assert error_summary(np.array([1, np.nan])) == EMPTY
    assert error_summary(np.array([1, 3, np.inf]))["median"] == 3
    assert error_summary(np.array([1, 3, np.inf]))["mean"] is None


@pytest.mark.parametrize(
    ("point", "pick"),
    [
        ((5, 5), "right"),
        ((5 + 16, 5), "right"),  # exactly 16 px still counts
        ((5, 5 + 16), "right"),
        ((5 + 16.001, 5), "nowhere"),
        ((5 + 12, 5 + 12), "nowhere"),  # 16.97 px: the circle, not the square
        ((100, 50), "wrong"),
        ((100 - 16, 50), "wrong"),
        ((100, 50 + 16.001), "nowhere"),
        ((200, 200), "nowhere"),
        ((-1e9, 0), "nowhere"),
    ],
)
def test_what_a_point_picked(point, pick):
    metrics = center_metrics(np.array([point], float), np.array([TWO], float))
    rates = {name: metrics[f"{name}_rate"] for name in ("right", "wrong", "nowhere")}
    assert rates == {"right": 0, "wrong": 0, "nowhere": 0} | {pick: 1}
    error = math.dist(point, (5, 5))
    assert metrics["center_error_px"] == pytest.approx(dict.fromkeys(EMPTY, error))
    assert metrics["center_error_px_right"] == (
        metrics["center_error_px"] if pick == "right" else EMPTY
    )


def test_near_two_centres_is_right_not_wrong():
    close = [[0, 0, 10, 10], [3, 0, 13, 8]]
    metrics = center_metrics(np.array([[8.0, 4]]), np.array([close], float))
    assert (metrics["right_rate"], metrics["wrong_rate"]) == (1, 0)


def test_rates_and_errors_over_several_images():
    points = np.array([[5, 5], [5, 9], [100, 52], [150, 5], [17, 5]], float)
    metrics = center_metrics(points, np.array([TWO] * 5, float))
    assert metrics["right_rate"] == 0.6
    assert metrics["wrong_rate"] == 0.2
    assert metrics["nowhere_rate"] == 0.2
    errors = np.array([0, 4, math.hypot(95, 47), 145, 12])
    assert metrics["center_error_px"]["median"] == 12
    assert metrics["center_error_px"]["mean"] == pytest.approx(errors.mean())
    right = metrics["center_error_px_right"]
    assert (right["median"], right["mean"]) == (4, pytest.approx(16 / 3))
    assert right["rmse"] == pytest.approx(math.sqrt(160 / 3))


def test_one_rectangle_is_never_the_wrong_one():
    points, rectangles = _random((50, 2)), np.array([[[100, 100, 130, 120]]] * 50, float)
    metrics = center_metrics(points, rectangles)
    assert metrics["wrong_rate"] == 0
    near = np.hypot(*(points - (115, 110)).T) <= 16
    assert metrics["right_rate"] == near.mean()


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(1, 12), st.integers(1, 4), st.data())
def test_rates_add_up_and_follow_their_definition(count, n, data):
    coordinates = st.floats(0, 64, width=32)
    points = data.draw(arrays(float, (count, 2), elements=coordinates))
    corners = data.draw(arrays(float, (count, n, 2), elements=coordinates))
    metrics = center_metrics(points, np.concatenate([corners - 8, corners + 8], axis=-1))
    names = ("right_rate", "wrong_rate", "nowhere_rate")
    assert sum(metrics[name] for name in names) == pytest.approx(1, abs=1e-12)
    picks = dict.fromkeys(names, 0)
    for point, scene in zip(points, corners, strict=True):
        near = [math.sqrt(sum((center - point) ** 2)) <= PICK_RADIUS for center in scene]
        picks["right_rate" if near[0] else "wrong_rate" if any(near) else "nowhere_rate"] += 1
    for name in names:
        assert metrics[name] == pytest.approx(picks[name] / count)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_points_that_are_not_finite_are_nowhere(bad):
    points = np.array([[bad, bad], [5, 5]])
    metrics = center_metrics(points, np.array([TWO] * 2, float))
    assert metrics["right_rate"] == metrics["nowhere_rate"] == 0.5
    assert metrics["wrong_rate"] == 0
    assert metrics["center_error_px"]["mean"] is None
    assert metrics["center_error_px_right"]["mean"] == 0
    json.dumps(metrics, allow_nan=False)


def test_metrics_are_strict_json():
    targets = _random((8, 2, 1))
    values = _metrics(targets + 1, targets, is_heatmap=False)
    found = center_metrics(targets[..., 0], np.array([TWO] * 8, float))
    again = json.loads(json.dumps({**values, **found}, allow_nan=False))
    assert again == {**values, **found}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, 1), (np.float32(0.5), 0.5), (math.nan, None), (math.inf, None), (-math.inf, None)],
)
def test_finite_or_none(value, expected):
    result = finite_or_none(value)
    assert result == expected
    assert result is None or type(result) is float


@pytest.mark.parametrize("shape", [(5, 2), (5, 6), (3, 8, 8, 1)])
def test_statistics_equal_numpy(shape):
    outputs, targets = _random(shape).astype("float32"), _random(shape, 1).astype("float32")
    result = statistics(tf.constant(outputs), tf.constant(targets))
    expected = {"errors": (outputs - targets) ** 2, "sums": targets, "squares": targets**2}
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        if len(shape) == 4:
            value = value.astype(float).sum(axis=(1, 2))
        assert result[name].dtype == tf.float32
        assert result[name].shape == value.shape
        np.testing.assert_allclose(result[name], value, rtol=1e-5)


def test_statistics_of_a_full_size_map_keep_enough_digits():
    # R^2 subtracts sums of 50,176 float32 values from each other.
    rng = np.random.default_rng(0)
    targets = rng.uniform(0, 255, (2, 224, 224, 1)).astype("float32")
    outputs = targets + rng.normal(0, 5, targets.shape).astype("float32")
    result = statistics(tf.constant(outputs), tf.constant(targets))
    columns = [result[name].numpy().astype(float) for name in ("errors", "sums", "squares")]
    score = r2_scores(*columns, 224 * 224)
    difference = outputs.astype(float) - targets
    spread = targets.astype(float) - targets.astype(float).mean()
    np.testing.assert_allclose(1 - score, (difference**2).sum() / (spread**2).sum(), rtol=1e-4)


def test_statistics_refuse_another_shape():
    with pytest.raises(ValueError, match="differ in shape"):
        statistics(tf.zeros([4, 8, 8, 1]), tf.zeros([4, 8, 8]))


def _best_pairing(points, truths, radius):
    """By trying all: the greatest number of pairs, and the least sum of distances for it."""
    best = (0, 0.0)
    width = min(len(points), len(truths))
    for chosen in itertools.permutations(range(len(truths)), width):
        for rows in itertools.combinations(range(len(points)), width):
            distances = np.linalg.norm(points[list(rows)] - truths[list(chosen)], axis=1)
            near = distances[distances <= radius]
            best = max(best, (len(near), -near.sum()))
    return best


@given(
    arrays(float, st.tuples(st.integers(0, 4), st.just(2)), elements=st.floats(0, 40)),
    arrays(float, st.tuples(st.integers(1, 4), st.just(2)), elements=st.floats(0, 40)),
)
def test_matching_is_the_best_there_is(points, truths):
    pairs = match_points(points, truths, 16.0)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    distances = [np.linalg.norm(points[i] - truths[j]) for i, j in pairs]
    assert all(d <= 16 for d in distances)
    count, total = _best_pairing(points, truths, 16.0)
    assert len(pairs) == count
    np.testing.assert_allclose(sum(distances), -total, atol=1e-9)


def test_locations_are_counted():
    rectangles = np.array([TWO, TWO, TWO], float)  # centres (5, 5) and (100, 50)
    points = [
        np.array([[5.0, 6.0], [100.0, 50.0]]),  # both
        np.array([[104.0, 50.0], [103.0, 52.0], [200.0, 200.0]]),  # one, twice, and outside
        np.zeros((0, 2)),
    ]
    assert location_metrics(points, rectangles) == {
        "num_images": 3,
        "precision": pytest.approx(3 / 5),
        "recall": pytest.approx(3 / 6),
        "recall_by_rank": pytest.approx([1 / 3, 2 / 3]),
        "count_error": pytest.approx(-1 / 3),
        "count_abs_error": pytest.approx(1.0),
        "points_per_image": pytest.approx(5 / 3),
        "outside_rate": pytest.approx(1 / 5),
        "found": "3 2 0",
    }


def test_no_points_have_no_precision():
    metrics = location_metrics([np.zeros((0, 2))], np.array([TWO], float))
    assert metrics["precision"] is None
    assert metrics["outside_rate"] is None
    assert metrics["recall"] == 0
    json.dumps(metrics, allow_nan=False)
