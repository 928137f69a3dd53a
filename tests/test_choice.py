"""Choices against the metrics, and the noise model against simulations and exact values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize_scalar
from scipy.special import ndtr
from scipy.stats import norm

from rectloc_tf.results.choice import (
    NOWHERE,
    SIGMAS,
    area_ratios,
    chosen,
    expected_right,
    fit_sigma,
    right_probability,
)
from rectloc_tf.results.point_metrics import center_metrics

NAN = math.nan


def _boxes(centers, side=4.0):
    centers = np.asarray(centers, float)
    return np.concatenate([centers - side / 2, centers + side / 2], axis=-1)


def _log_areas(pictures, n, seed=0, spread=0.5):
    """Largest first."""
    logs = np.random.default_rng(seed).normal(7, spread, (pictures, n))
    return -np.sort(-logs, axis=1)


def _answers(log_areas, sigma, runs=1, seed=1):
    """Whether simulated runs choose the first rectangle: float [S, N]."""
    noise = np.random.default_rng(seed).normal(0, sigma, (runs, *log_areas.shape))
    return ((log_areas + noise).argmax(axis=2) == 0).astype(float)


TWO = [(5, 5), (100, 50)]


@pytest.mark.parametrize(
    ("point", "rank"),
    [
        ((5, 5), 0),
        ((5 + 16, 5), 0),  # exactly 16 px still counts
        ((5 + 16.001, 5), NOWHERE),
        ((100, 50 - 16), 1),
        ((100 + 12, 50 + 12), NOWHERE),
        ((NAN, 5), NOWHERE),
        ((math.inf, 5), NOWHERE),
    ],
)
def test_what_a_point_chose(point, rank):
    assert chosen(np.array([point], float), _boxes([TWO])).tolist() == [rank]


def test_the_largest_comes_before_a_nearer_one_and_then_the_nearest():
    places = [(0, 0), (10, 0), (21, 0), (15, 0)]
    found = [chosen(np.array([[x, 0.0]]), _boxes([places])).item() for x in (9.9, 16, 17, 30, 40)]
    assert found == [0, 0, 3, 2, NOWHERE]


def test_the_radius_can_be_another():
    points = np.array([[9.0, 5]])
    assert chosen(points, _boxes([TWO]), radius=4).tolist() == [0]
    assert chosen(points, _boxes([TWO]), radius=3.9).tolist() == [NOWHERE]


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(1, 12), st.integers(1, 4), st.data())
def test_choices_have_the_rates_of_the_metrics(count, n, data):
    coordinates = st.floats(0, 64, width=32)
    points = data.draw(arrays(float, (count, 2), elements=coordinates))
    places = data.draw(arrays(float, (count, n, 2), elements=coordinates))
    ranks = chosen(points, _boxes(places, side=0))
    present = np.ones((count, 1), bool)
    metrics = center_metrics(points, places[:, :1], present, places[:, 1:])
    assert (ranks == 0).mean() == metrics["right_rate"]
    assert (ranks > 0).mean() == metrics["wrong_rate"]
    assert (ranks == NOWHERE).mean() == metrics["nowhere_rate"]


def test_area_ratios():
    rectangles = [[[0, 0, 20, 10], [5, 5, 15, 20]], [[0, 0, 4, 4], [1, 1, 5, 5]]]
    assert area_ratios(np.array(rectangles, np.float32)).tolist() == [0.75, 1]
    assert area_ratios(np.zeros((3, 1, 4))).tolist() == [0, 0, 0]


@pytest.mark.parametrize("sigma", [0.01, 0.3, 2])
def test_two_rectangles_are_compared_as_the_normal_distribution_says(sigma):
    gaps = np.linspace(0, 25 * sigma, 60)
    log_areas = np.stack([5 + gaps, np.full(60, 5.0)], axis=1)
    exact = ndtr(gaps / (math.sqrt(2) * sigma))
    np.testing.assert_allclose(right_probability(log_areas, sigma), exact, rtol=0, atol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_equal_rectangles_are_chosen_at_random(n):
    np.testing.assert_allclose(right_probability(np.ones((2, n)), 0.1), 1 / n, atol=1e-14)


def test_two_equal_runners_up():
    # The first is the largest of three equal judgements, or of two if one is far behind.
    log_areas = np.array([[1.0, 1, -50], [1, 1, 1]])
    np.testing.assert_allclose(right_probability(log_areas, 0.5), [1 / 2, 1 / 3], atol=1e-14)


@pytest.mark.parametrize("n", [3, 4, 5])
def test_several_rectangles_are_chosen_as_often_as_in_a_simulation(n):
    log_areas, sigma, repeats = _log_areas(20, n), 0.4, 20_000
    noise = np.random.default_rng(n).normal(0, sigma, (repeats, *log_areas.shape))
    shares = ((log_areas + noise).argmax(axis=2) == 0).mean(axis=0)
    exact = right_probability(log_areas, sigma)
    errors = np.sqrt(exact * (1 - exact) / repeats)
    assert (abs(shares - exact) <= 4 * errors).all()
    assert errors.max() < 0.004
    assert expected_right(log_areas, sigma) == pytest.approx(exact.mean())


def test_more_noise_is_less_right():
    log_areas = _log_areas(10, 4)
    rights = [expected_right(log_areas, sigma) for sigma in (0.001, 0.01, 0.1, 1, 10, 1000)]
    assert rights == sorted(rights, reverse=True)
    assert rights[0] == pytest.approx(1, abs=1e-3)
    assert rights[-1] == pytest.approx(1 / 4, abs=1e-3)


@pytest.mark.parametrize("sigma", [0, -1, NAN])
def test_noise_is_positive(sigma):
    with pytest.raises(ValueError, match="sigma must be positive"):
        right_probability(np.ones((1, 2)), sigma)


def _exact_cost(log_areas, right):
    """The negative log-likelihood of log sigma for two rectangles."""
    scores = np.where(right == 1, 1, -1) * (log_areas[:, 0] - log_areas[:, 1]) / math.sqrt(2)
    return lambda log_sigma: -norm.logcdf(scores / math.exp(log_sigma)).sum()


def _exact_optimum(log_areas, right):
    bounds = np.log(SIGMAS[[0, -1]])
    found = minimize_scalar(_exact_cost(log_areas, right), bounds=bounds, method="bounded")
    return math.exp(found.x)


@pytest.mark.parametrize("sigma", [0.02, 0.1, 0.6])
def test_sigma_is_the_optimum_of_the_exact_likelihood(sigma):
    log_areas = _log_areas(300, 2)
    right = _answers(log_areas, sigma)[0]
    assert fit_sigma(log_areas, right) == pytest.approx(_exact_optimum(log_areas, right), rel=1e-3)


def test_one_slip_that_is_all_but_impossible_does_count():
    log_areas = np.array([[7, 6.95]] * 2000 + [[7, 5.4]])
    right = np.array([1, 0, 1, 1] * 500 + [1])
    without = fit_sigma(log_areas, right)
    right[-1] = 0
    found = fit_sigma(log_areas, right)
    assert found == pytest.approx(_exact_optimum(log_areas, right), rel=1e-3)
    assert found > 1.8 * without
    assert ndtr(-1.6 / math.sqrt(2) / found) < 1e-16  # where 1 - p would be rounding


def test_answers_nowhere_do_not_count():
    log_areas = _log_areas(200, 2)
    right = _answers(log_areas, 0.2)[0]
    right[::3] = NAN
    answered = np.arange(200) % 3 != 0
    expected = fit_sigma(log_areas[answered], right[answered])
    assert fit_sigma(log_areas, right) == pytest.approx(expected, rel=1e-9)
    assert fit_sigma(log_areas, np.nan_to_num(right)) > 1.5 * expected


def test_runs_count_like_pictures():
    log_areas = _log_areas(100, 2)
    right = _answers(log_areas, 0.2, runs=3)
    pooled = fit_sigma(np.tile(log_areas, (3, 1)), right.ravel())
    assert fit_sigma(log_areas, right) == pytest.approx(pooled, rel=1e-9)


@pytest.mark.parametrize(
    ("pictures", "n", "sigma"), [(2000, 2, 0.05), (800, 3, 0.2), (600, 5, 0.5)]
)
def test_sigma_is_recovered_from_simulated_choices(pictures, n, sigma):
    log_areas = _log_areas(pictures, n)
    assert fit_sigma(log_areas, _answers(log_areas, sigma)) == pytest.approx(sigma, rel=0.2)


def test_sigma_of_one_domain_predicts_another():
    sigma = 0.3
    two, five = _log_areas(1000, 2, spread=0.8), _log_areas(1000, 5, seed=2, spread=0.8)
    fitted = fit_sigma(two, _answers(two, sigma, runs=3))
    observed = _answers(five, sigma, runs=3).mean()
    assert expected_right(five, fitted) == pytest.approx(observed, abs=0.03)
    assert expected_right(two, fitted) > observed + 0.1


def test_all_right_is_the_least_sigma_and_worse_than_chance_the_greatest():
    log_areas = _log_areas(50, 2)
    assert fit_sigma(log_areas, np.ones(50)) == SIGMAS[0] == 0.005
    assert fit_sigma(log_areas, np.zeros(50)) == SIGMAS[-1] == pytest.approx(2)


def test_one_rectangle_says_nothing_of_sigma():
    assert fit_sigma(np.full((5, 1), 7.0), np.ones(5)) == SIGMAS[0]


def test_no_answers_have_no_sigma():
    for log_areas, right in ((np.zeros((0, 2)), []), (np.zeros((3, 2)), [NAN] * 3)):
        assert math.isnan(fit_sigma(log_areas, right))
    assert math.isnan(expected_right(np.zeros((0, 2)), 0.1))
