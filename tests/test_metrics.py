"""Metrics against plain formulas."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rectloc_tf.config import Keypoints
from rectloc_tf.registry import NAMED, RANKED, UNORDERED
from rectloc_tf.results.metrics import (
    PICK_RADIUS,
    error_summary,
    finite_or_none,
    location_metrics,
    loss_metrics,
    match_points,
    r2_scores,
    value_metrics,
)
from rectloc_tf.results.point_metrics import center_metrics, error_intervals, point_metrics

EMPTY = {"median": None, "mean": None, "p95": None, "rmse": None}
# Centres (5, 5) and (100, 50): far apart.
TWO = [[0, 0, 10, 10], [96, 47, 104, 53]]
PLACES = [[5, 5], [100, 50]]


def _sums(outputs, targets):
    """Per-example errors, sums and squares [N, C] of [N, C, count], and count."""
    outputs, targets = np.asarray(outputs, float), np.asarray(targets, float)
    parts = (outputs - targets) ** 2, targets, targets**2
    return [part.sum(axis=2) for part in parts], targets.shape[2]


def _r2(outputs, targets):
    (errors, sums, squares), count = _sums(outputs, targets)
    return r2_scores(errors, sums, squares, count)


def _metrics(outputs, targets, can_be_empty):
    (errors, sums, squares), count = _sums(outputs, targets)
    return value_metrics(errors, sums, squares, count, can_be_empty)


def _centers(points, places):
    """Where the first of an image's places [N, M, 2] is right and the others are wrong."""
    points, places = np.asarray(points, float), np.asarray(places, float)
    present = np.ones((len(points), 1), bool)
    return center_metrics(points, places[:, :1], present, places[:, 1:])


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
    metrics = _metrics(outputs, targets, can_be_empty=False)
    mse = ((outputs - targets) ** 2).mean()
    assert set(metrics) == {"mse", "ln_mse", "r2", "r2_per_coordinate"}
    assert metrics["mse"] == pytest.approx(mse)
    assert metrics["ln_mse"] == pytest.approx(math.log(mse))
    np.testing.assert_allclose(metrics["r2_per_coordinate"], _r2(outputs, targets))
    assert metrics["r2"] == pytest.approx(np.mean(metrics["r2_per_coordinate"]))


def test_values_of_heatmaps():
    targets = _random((25, 1, 49))
    outputs = targets + _random((25, 1, 49), 1) / 10
    metrics = _metrics(outputs, targets, can_be_empty=True)
    assert set(metrics) == {"mse", "ln_mse", "r2", "zero_map_mse"}
    assert metrics["mse"] == pytest.approx(((outputs - targets) ** 2).mean())
    residual = ((outputs - targets) ** 2).sum()
    assert metrics["r2"] == pytest.approx(1 - residual / ((targets - targets.mean()) ** 2).sum())
    assert metrics["zero_map_mse"] == pytest.approx((targets**2).mean())


def test_zero_map_mse_is_the_mse_of_the_zero_map():
    targets = _random((10, 1, 16))
    metrics = _metrics(np.zeros_like(targets), targets, can_be_empty=True)
    assert metrics["zero_map_mse"] == pytest.approx(metrics["mse"], rel=1e-12)
    assert metrics["r2"] < 0


def test_no_error_has_no_logarithm():
    targets = _random((4, 2, 1))
    metrics = _metrics(targets, targets, can_be_empty=False)
    assert (metrics["mse"], metrics["ln_mse"], metrics["r2"]) == (0, None, 1)


@pytest.mark.parametrize("can_be_empty", [False, True])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_none(can_be_empty, bad):
    targets = _random((5, 1 if can_be_empty else 2, 3))
    errors, sums, squares = _sums(targets + 1, targets)[0]
    errors[2] = bad
    metrics = value_metrics(errors, sums, squares, 3, can_be_empty)
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
    metrics = _centers([point], [PLACES])
    rates = {name: metrics[f"{name}_rate"] for name in ("right", "wrong", "nowhere")}
    assert rates == {"right": 0, "wrong": 0, "nowhere": 0} | {pick: 1}
    error = math.dist(point, (5, 5))
    assert metrics["center_error_px"] == pytest.approx(dict.fromkeys(EMPTY, error))
    assert metrics["center_error_px_right"] == (
        metrics["center_error_px"] if pick == "right" else EMPTY
    )


def test_named_keypoints_that_nothing_can_be_mistaken_for():
    keypoints = Keypoints(("head", "tail"), NAMED, 2)
    answers = np.array([[[0, 0], [9, 0]], [[0, 3], [80, 80]]], float)
    present = np.array([[True, True], [True, False]])
    metrics = point_metrics(keypoints, answers, np.zeros((2, 2, 2)), present, np.zeros((2, 0, 2)))
    assert metrics["center_error_px"]["mean"] == 4
    rates = [metrics[f"{name}_rate"] for name in ("right", "wrong", "nowhere")]
    assert rates == [None] * 3  # 16 px mean nothing in images of any size
    assert metrics["keypoint_error_px"]["tail"]["mean"] == 9
    assert metrics["keypoint_labels"] == {"head": 2, "tail": 1}
    assert "pck" not in metrics


def test_keypoints_near_enough_for_the_size_of_the_animal_are_correct():
    keypoints = Keypoints(("head", "tail"), NAMED, 2)
    # Boxes of 100 x 20 and 30 x 50; a single point has no box, and the last image no point.
    points = np.array([[[0, 0], [100, 20]], [[0, 0], [30, 50]], [[9, 9], [0, 0]], [[0, 0]] * 2])
    present = np.array([[True, True], [True, True], [True, False], [False, False]])
    errors = np.array([[9.9, 10.1], [4.9, 5.1], [0, 0], [0, 0]])
    answers = points + errors[..., None] * np.array([1, 0])
    nothing_else, extents = np.zeros((4, 0, 2)), np.full(4, 1000.0)
    found = point_metrics(keypoints, answers, points, present, nothing_else, extents)["pck"]
    assert found == {
        "share": 0.5, "within": 0.1, "n": 4,
        "of": "the longer side of the box around the image's labelled points",
    }  # fmt: skip


def test_a_single_keypoint_is_correct_if_it_is_near_enough_for_the_image():
    points, present = np.zeros((4, 1, 2)), np.array([[True], [True], [True], [False]])
    answers = np.array([[[4.9, 0]], [[5.1, 0]], [[10, 0]], [[0, 0]]])
    keypoints, nothing_else = Keypoints(("nose",), NAMED, 1), np.zeros((4, 0, 2))
    extents = np.array([100.0, 100.0, 200.0, 100.0])
    found = point_metrics(keypoints, answers, points, present, nothing_else, extents)["pck"]
    assert found == {
        "share": pytest.approx(2 / 3), "within": 0.05, "of": "the longer side of the image", "n": 3
    }  # fmt: skip
    absent = np.zeros_like(present)
    found = point_metrics(keypoints, answers, points, absent, nothing_else, extents)["pck"]
    assert (found["share"], found["n"]) == (None, 0)


def test_similarity_is_cocos():
    keypoints = Keypoints(("head", "tail", "paw"), NAMED, 3)
    # Boxes of 100 x 20 and 40 x 90; a line, a single point and nothing have no area.
    points = np.array(
        [[[0, 0], [100, 20], [50, 10]], [[0, 90], [40, 0], [0, 0]], [[0, 0], [9, 0], [3, 0]],
         [[5, 5], [0, 0], [0, 0]], [[0, 0]] * 3], float
    )  # fmt: skip
    present = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 1], [1, 0, 0], [0, 0, 0]], bool)
    errors = np.array([[3, 0, 8], [6, 12, 500], [1, 1, 1], [1, 1, 1], [1, 1, 1]], float)
    answers = points + errors[..., None] * np.array([0, 1])
    found = point_metrics(keypoints, answers, points, present, np.zeros((5, 0, 2)))["oks"]

    def ks(error, area):  # as in COCO's evaluation code, vars = (2 sigma)^2
        return math.exp(-(error**2) / (2 * area * 0.1**2))

    first = (ks(3, 2000) + ks(0, 2000) + ks(8, 2000)) / 3
    second = (ks(6, 3600) + ks(12, 3600)) / 2
    assert found == {"mean": pytest.approx((first + second) / 2), "sigma": 0.05, "n": 2}
    nothing = point_metrics(keypoints, answers[2:], points[2:], present[2:], np.zeros((3, 0, 2)))
    assert nothing["oks"] == {"mean": None, "sigma": 0.05, "n": 0}


def test_intervals_are_of_whole_images():
    rng = np.random.default_rng(0)
    image = rng.exponential(5, size=(30, 1))
    errors = image + 0.1 * rng.random((30, 4))  # an image's keypoints are alike
    present = rng.random((30, 4)) < 0.8
    found = error_intervals(errors, present)
    oracle = {"median": [], "mean": []}
    for _ in range(2000):
        drawn = rng.integers(30, size=30)
        values = errors[drawn][present[drawn]]
        oracle["median"].append(np.median(values))
        oracle["mean"].append(values.mean())
    for name, values in oracle.items():
        spread = np.std(values)
        np.testing.assert_allclose(found[name], np.percentile(values, [2.5, 97.5]), atol=spread / 4)
    # Had the keypoints been drawn one by one, it would be half as wide.
    alone = errors[present].std() / math.sqrt(present.sum())
    assert found["mean"][1] - found["mean"][0] > 1.5 * (2 * 1.96 * alone)
    assert error_intervals(errors[:1], present[:1]) == {}
    assert error_intervals(errors, np.zeros_like(present)) == {}
    for bad in (math.nan, math.inf):  # as of a network that predicts no numbers
        errors[np.nonzero(present)[0][0], np.nonzero(present)[1][0]] = bad
        assert error_intervals(errors, present) == {}


@pytest.mark.parametrize("kind", [RANKED, NAMED, UNORDERED])
def test_where_nothing_is_to_be_found_there_is_no_number(kind):
    keypoints = Keypoints(("point",), kind, 1)
    nothing = np.zeros((3, 1), bool)
    points = np.zeros((3, 1, 2))
    metrics = point_metrics(keypoints, points, points, nothing, np.zeros((3, 2, 2)))
    rates = [metrics[f"{name}_rate"] for name in ("right", "wrong", "nowhere")]
    assert rates == [None] * 3
    assert metrics["center_error_px"] == metrics["center_error_px_right"] == EMPTY


def test_near_two_centres_is_right_not_wrong():
    metrics = _centers([[8, 4]], [[[5, 5], [8, 4]]])
    assert (metrics["right_rate"], metrics["wrong_rate"]) == (1, 0)


def test_rates_and_errors_over_several_images():
    points = np.array([[5, 5], [5, 9], [100, 52], [150, 5], [17, 5]], float)
    metrics = _centers(points, [PLACES] * 5)
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
    points = _random((50, 2))
    metrics = _centers(points, [[[115, 110]]] * 50)
    assert metrics["wrong_rate"] == 0
    near = np.hypot(*(points - (115, 110)).T) <= 16
    assert metrics["right_rate"] == near.mean()


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(1, 12), st.integers(1, 4), st.data())
def test_rates_add_up_and_follow_their_definition(count, n, data):
    coordinates = st.floats(0, 64, width=32)
    points = data.draw(arrays(float, (count, 2), elements=coordinates))
    corners = data.draw(arrays(float, (count, n, 2), elements=coordinates))
    metrics = _centers(points, corners)
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
    metrics = _centers(points, [PLACES] * 2)
    assert metrics["right_rate"] == metrics["nowhere_rate"] == 0.5
    assert metrics["wrong_rate"] == 0
    assert metrics["center_error_px"]["mean"] is None
    assert metrics["center_error_px_right"]["mean"] == 0
    json.dumps(metrics, allow_nan=False)


def test_metrics_are_strict_json():
    targets = _random((8, 2, 1))
    values = _metrics(targets + 1, targets, can_be_empty=False)
    found = _centers(targets[..., 0], [PLACES] * 8)
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


@pytest.mark.parametrize("can_be_empty", [False, True])
def test_losses_are_means_over_what_is_present(can_be_empty):
    losses = np.array([[1.0, 2, 6], [4, 50, 2], [70, 80, 90], [0, 3, 0]])
    mask = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 0], [0, 1, 0]], float)
    empty = np.array([[2.0, 4, 8], [2, 1, 4], [5, 5, 5], [1, 8, 1]])
    metrics = loss_metrics(losses, mask, empty if can_be_empty else None)
    assert metrics.keys() == {"loss", "empty_loss", "empty_answers"}
    # Of each image in turn: (1 + 2 + 6) / 3, (4 + 2) / 2, none, 3.
    assert metrics["loss"] == pytest.approx((3 + 3 + 0 + 3) / 4)
    if can_be_empty:
        assert metrics["empty_loss"] == pytest.approx((14 / 3 + 3 + 0 + 8) / 4)
        assert metrics["empty_answers"] == pytest.approx([5 / 4, 5 / 12, 8 / 12])
    else:
        assert (metrics["empty_loss"], metrics["empty_answers"]) == (None, None)


def test_what_no_image_asks_for_has_no_share_of_the_empty_loss():
    losses, mask = np.ones((3, 2)), np.array([[1.0, 0]] * 3)
    metrics = loss_metrics(losses, mask, 2 * losses)
    assert metrics == {"loss": 1, "empty_loss": 2, "empty_answers": [0.5, None]}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_losses_that_are_not_finite_are_none(bad):
    losses = np.array([[bad, 1.0], [1, 1]])
    metrics = loss_metrics(losses, np.ones((2, 2)), np.ones((2, 2)))
    assert metrics == {"loss": None, "empty_loss": 1, "empty_answers": [None, 1]}
    json.dumps(metrics, allow_nan=False)


def _plain(picks):
    """Metrics of (answer, truths, other places) of each point to find, one by one."""
    errors, right, wrong = [], [], []
    for answer, truths, others in picks:
        error = min(math.dist(answer, truth) for truth in truths)
        errors.append(error)
        right.append(error <= 16)
        wrong.append(error > 16 and any(math.dist(answer, place) <= 16 for place in others))
    errors, right = np.array(errors), np.array(right)
    return {
        "center_error_px": pytest.approx(error_summary(errors)),
        "right_rate": pytest.approx(right.mean()),
        "wrong_rate": pytest.approx(np.mean(wrong)),
        "nowhere_rate": pytest.approx(1 - right.mean() - np.mean(wrong)),
        "center_error_px_right": pytest.approx(error_summary(errors[right])),
    }


# N images with K keypoints or T points of one class, and M other places: all different.
N, K, T, M = 30, 2, 4, 3


def _example(answers, points):
    """Answers [N, answers, 2], points and present [N, points], others [N, M, 2]; in 60 px."""
    rng = np.random.default_rng(0)
    places = (rng.uniform(0, 60, (N, count, 2)) for count in (answers, points, M))
    answers, points, others = places
    return answers, points, rng.uniform(size=points.shape[:2]) < 0.7, others


def test_of_points_of_one_class_the_nearest_counts():
    answers, points, present, others = _example(1, T)
    present[3] = False  # an image without any
    found = point_metrics(Keypoints(("point",), UNORDERED, T), answers, points, present, others)
    picks = [
        (answers[i, 0], points[i][present[i]], others[i]) for i in range(N) if present[i].any()
    ]
    assert len(picks) < N
    assert found == _plain(picks)
    assert all(found[f"{name}_rate"] > 0 for name in ("right", "wrong", "nowhere"))


def test_named_keypoints_are_all_to_be_found():
    answers, points, present, others = _example(K, K)
    found = point_metrics(Keypoints(("nose", "tail"), NAMED, K), answers, points, present, others)
    picks = [
        (answers[i, k], [points[i, k]], others[i])
        for i in range(N)
        for k in range(K)
        if present[i, k]
    ]
    assert len(picks) < N * K
    each = found.pop("keypoint_error_px")
    counts = found.pop("keypoint_labels")
    assert found.pop("oks")["n"] == present.all(axis=1).sum()
    assert counts == dict(zip(("nose", "tail"), present.sum(axis=0).tolist(), strict=True))
    assert found == _plain(picks)
    assert all(found[f"{name}_rate"] > 0 for name in ("right", "wrong", "nowhere"))
    for k, name in enumerate(("nose", "tail")):
        errors = [math.dist(answers[i, k], points[i, k]) for i in range(N) if present[i, k]]
        assert each[name] == pytest.approx(error_summary(np.array(errors)))


def test_of_ranked_points_the_first_counts_and_each_has_its_error():
    answers, points, present, others = _example(K, K)
    present[:, 0] = True
    keypoints = Keypoints(("largest", "smallest"), RANKED, K)
    found = point_metrics(keypoints, answers, points, present, others)
    each = found.pop("keypoint_error_px")
    assert found == _plain(
        (a[0], p[:1], o) for a, p, o in zip(answers, points, others, strict=True)
    )
    assert each["largest"] == found["center_error_px"]
    errors = np.linalg.norm(answers - points, axis=-1)[present[:, 1], 1]
    assert each["smallest"] == pytest.approx(error_summary(errors))


@pytest.mark.parametrize("kind", [RANKED, NAMED])
def test_one_keypoint_has_errors_by_keypoint_only_if_it_has_a_name(kind):
    answers, points, present, others = _example(1, 1)
    found = point_metrics(Keypoints(("nose",), kind, 1), answers, points, present, others)
    if kind == NAMED:
        assert found.pop("keypoint_error_px") == {"nose": found["center_error_px"]}
        assert found.pop("keypoint_labels") == {"nose": int(present.sum())}
        assert found.pop("oks")["mean"] is None  # a point has no area
    assert "keypoint_error_px" not in found
    picks = [(answers[i, 0], points[i], others[i]) for i in range(N) if present[i, 0]]
    assert found == _plain(picks)


def test_a_keypoint_that_is_never_there_has_no_errors():
    answers, points, present, others = _example(K, K)
    present[:, 1] = False
    found = point_metrics(Keypoints(("nose", "tail"), NAMED, K), answers, points, present, others)
    assert found["keypoint_error_px"]["tail"] == EMPTY
    assert found["keypoint_error_px"]["nose"] == found["center_error_px"]
    json.dumps(found, allow_nan=False)


def test_coordinates_of_an_absent_point_do_not_matter():
    for kind, count in ((RANKED, K), (NAMED, K), (UNORDERED, 1)):
        answers, points, present, others = _example(count, K)
        present[:, 0] |= kind == RANKED
        names = ("nose", "tail")[:count]
        found, again = (
            point_metrics(Keypoints(names, kind, K), answers, places, present, others)
            for places in (points, np.where(present[..., None], points, 1e9))
        )
        assert found == again


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
