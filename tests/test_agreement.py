"""Kappa against tables worked by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rectloc_tf.results.agreement import cohens_kappa, mean_kappa, mean_kappa_interval
from rectloc_tf.results.intervals import Interval, percentiles, resample


def _of_table(table):
    """Two raters of whom so many items have category (i, j)."""
    table = np.array(table)
    i, j = np.indices(table.shape)
    return np.repeat([i.ravel(), j.ravel()], table.ravel(), axis=1)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[20, 5], [10, 15]], 0.4),  # p = .7, e = .5 * .6 + .5 * .4
        ([[45, 15], [25, 15]], 3 / 23),  # p = .6, e = .6 * .7 + .4 * .3
        ([[25, 35], [5, 35]], 7 / 27),  # p = .6, e = .6 * .3 + .4 * .7
        ([[5, 0, 0], [0, 3, 0], [0, 0, 2]], 1),
        ([[0, 5], [5, 0]], -1),
        ([[4, 6], [6, 9]], 0),  # independent
        ([[1, 1, 0], [0, 2, 1], [1, 0, 4]], 16 / 31),  # p = .7, e = .2² + .3² + .5²
        ([[0, 7], [0, 0]], 0),  # each always another
    ],
)
def test_kappa_of_a_table(table, expected):
    a, b = _of_table(table)
    assert cohens_kappa(a, b) == pytest.approx(expected, abs=1e-12)
    names = np.array(["left", "right", "nowhere"])
    assert cohens_kappa(names[a], names[b]) == pytest.approx(expected, abs=1e-12)


def test_kappa_of_booleans():
    a, b = _of_table([[20, 5], [10, 15]]).astype(bool)
    assert cohens_kappa(a, b) == pytest.approx(0.4)


@pytest.mark.parametrize("answer", [True, "right", 3])
def test_kappa_of_one_and_the_same_answer_is_undefined(answer):
    assert math.isnan(cohens_kappa([answer] * 4, [answer] * 4))


def test_kappa_of_nothing_is_undefined():
    assert math.isnan(cohens_kappa([], []))


def test_the_mean_is_over_pairs():
    raters = np.random.default_rng(0).integers(0, 3, (4, 50))
    pairs = [cohens_kappa(raters[i], raters[j]) for i in range(4) for j in range(i)]
    assert mean_kappa(raters) == pytest.approx(np.mean(pairs))


def test_pairs_without_a_kappa_do_not_count():
    a, b = _of_table([[20, 5], [10, 15]])
    always = np.zeros_like(a)
    # Twice the same answer has no kappa; one that never changes agrees as chance has it.
    assert mean_kappa([a, b, always, always]) == pytest.approx(0.4 / 5)
    assert math.isnan(mean_kappa([always] * 3))


def test_the_interval_is_that_of_resamples_written_out():
    raters = (np.random.default_rng(1).random((3, 25)) + np.linspace(0, 1, 25) > 1).astype(int)

    def loop(items, _):
        drawn = [np.repeat(raters, row.astype(int), axis=1) for row in items]
        return np.array([mean_kappa(each) for each in drawn])

    expected = percentiles(*resample(loop, 25, [], 200, 2))
    found = mean_kappa_interval(raters, resamples=200, seed=2)
    for name in ("value", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12)
    assert found.value == mean_kappa(raters)
    assert found.low < found.value < found.high


def test_the_interval_has_the_width_of_theory():
    # Fleiss, Cohen and Everitt (1969), for two raters with even margins: the standard error of
    # kappa is sqrt(p (1 - p) / N) / (1 - e) if e is taken as known, and e hardly varies here.
    raters = _of_table([[200, 50], [50, 200]])
    found = mean_kappa_interval(raters)
    assert found.value == pytest.approx(0.6)
    half = 1.96 * math.sqrt(0.8 * 0.2 / 500) / 0.5
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)


def test_resamples_without_a_kappa_do_not_count():
    found = mean_kappa_interval([[0, 0, 1], [0, 0, 1]], resamples=100)
    assert found == Interval(1, 1, 1)
    nothing = mean_kappa_interval([[1, 1], [1, 1]], resamples=10)
    assert all(map(math.isnan, (nothing.value, nothing.low, nothing.high)))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.integers(1, 12).flatmap(lambda n: arrays(int, (2, n), elements=st.integers(0, 3))),
    st.permutations(range(4)),
)
def test_kappa_is_symmetric_and_knows_no_names(ratings, names):
    kappa = cohens_kappa(*ratings)
    expected = pytest.approx(kappa, abs=1e-12, nan_ok=True)
    assert cohens_kappa(*ratings[::-1]) == expected
    assert cohens_kappa(*np.array(names)[ratings]) == expected
    assert math.isnan(kappa) or -1 <= kappa <= 1
    assert (kappa == 1) <= (ratings[0] == ratings[1]).all()


@pytest.mark.parametrize("ratings", [[[1, 0]], [1, 0], np.zeros((2, 2, 2))])
def test_ratings_of_another_shape(ratings):
    with pytest.raises(ValueError, match="two or more raters"):
        mean_kappa(ratings)


def test_the_items_of_a_picture_are_drawn_together():
    raters = np.random.default_rng(2).random((3, 20)) > 0.4
    alone = mean_kappa_interval(raters, resamples=100)
    # Ten items that are always the same say no more than one: the interval is as wide.
    assert mean_kappa_interval(np.repeat(raters[..., None], 10, axis=2), resamples=100) == alone
    apart = np.random.default_rng(3).integers(0, 3, (2, 12, 4))
    found = mean_kappa_interval(apart, resamples=50)
    assert found.value == pytest.approx(mean_kappa(apart.reshape(2, -1)))
