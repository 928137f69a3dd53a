"""Intervals against loops, theory and their own promises."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm

from rectloc_tf.results import intervals
from rectloc_tf.results.intervals import (
    Interval,
    bootstrap,
    paired_difference,
    percentiles,
    resample,
)

NORMAL = norm.ppf(0.975)
LOOPS = {
    "mean": np.mean,
    "median": np.median,
    "nanmean": lambda v: np.nanmean(v) if (v == v).any() else np.nan,
    "nanmedian": lambda v: np.nanmedian(v) if (v == v).any() else np.nan,
}
PROPERTY = settings(deadline=None, max_examples=40, derandomize=True)
VALUES = st.integers(-50, 50).map(float)


def _values(runs, pictures, seed=0, nan=0.0):
    generator = np.random.default_rng(seed)
    values = generator.gamma(2, 5, (runs, pictures)).round(1)  # some are equal
    return np.where(generator.random(values.shape) < nan, np.nan, values)


def _counts(pictures, runs, resamples, seed):
    """The counts that `resample` hands to a measure: [R, N] and a list of [R, S]."""
    seen = []

    def measure(*counts):
        seen.append(counts)
        return np.zeros(len(counts[0]))

    resample(measure, pictures, runs, resamples, seed)
    seen = seen[1:]  # the first are the data as they are
    of_runs = [np.concatenate([chunk[1][i] for chunk in seen]) for i in range(len(runs))]
    return np.concatenate([chunk[0] for chunk in seen]), of_runs


def _repeated(values, pictures, runs):
    """A resample written out: every drawn run on every drawn picture."""
    return np.repeat(np.repeat(values, runs.astype(int), axis=0), pictures.astype(int), axis=1)


def _samples(values, resamples=10_000, seed=0):
    """Resampled means."""

    def measure(pictures, runs):
        return np.einsum("rn,sn,rs->r", pictures, values, runs[0], optimize=True) / (
            pictures.sum(axis=1) * runs[0].sum(axis=1)
        )

    return resample(measure, values.shape[1], [len(values)], resamples, seed)[1]


def _bounds(interval):
    return interval.value, interval.low, interval.high


def test_counts_are_of_as_many_pictures_and_one_run_fewer():
    pictures, (three, one, two) = _counts(40, [3, 1, 2], 700, seed=5)
    assert pictures.shape == (700, 40)
    assert set(pictures.sum(axis=1)) == {40}
    assert three.shape == (700, 3)
    assert set(three.sum(axis=1)) == {2}
    assert set(two.sum(axis=1)) == {1}
    assert (one == 1).all()
    # Poisson-like, and each as often as another.
    assert pictures.var() == pytest.approx(1 - 1 / 40, rel=0.05)
    np.testing.assert_allclose(three.mean(axis=0), 2 / 3, atol=0.1)
    assert abs(np.corrcoef(three[:, 0], two[:, 0])[0, 1]) < 0.1  # drawn for themselves


@pytest.mark.parametrize("statistic", LOOPS)
@pytest.mark.parametrize("runs", [1, 2, 3])
def test_statistics_are_those_of_resamples_written_out(statistic, runs):
    values = _values(runs, 7, nan=0.5 if statistic.startswith("nan") else 0)
    counts, (drawn,) = _counts(7, [runs], 300, seed=3)
    loop = LOOPS[statistic]
    pairs = zip(counts, drawn, strict=True)
    samples = np.array([loop(_repeated(values, *pair)) for pair in pairs])
    found = intervals.STATISTICS[statistic](values, counts, drawn)
    np.testing.assert_allclose(found, samples, rtol=1e-12)
    expected = percentiles(loop(values), samples)
    got = bootstrap(values, statistic, resamples=300, seed=3)
    assert _bounds(got) == pytest.approx(_bounds(expected), rel=1e-12)


def test_some_resamples_have_nothing_to_measure_and_do_not_count():
    values = np.array([[np.nan, 3.0, np.nan]])
    counts, _ = _counts(3, [1], 200, seed=0)
    assert (counts[:, 1] == 0).any()
    for statistic in ("nanmean", "nanmedian"):
        assert bootstrap(values, statistic, resamples=200) == Interval(3, 3, 3)
        nothing = bootstrap(values * np.nan, statistic, resamples=20)
        assert all(map(math.isnan, _bounds(nothing)))


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_differences_are_those_of_resamples_written_out(statistic, paired):
    a, b = _values(3, 9), _values(3 if paired else 2, 9, seed=1)
    counts, runs = _counts(9, [3] if paired else [3, 2], 300, seed=4)
    samples = [
        LOOPS[statistic](_repeated(a, counts[r], runs[0][r]))
        - LOOPS[statistic](_repeated(b, counts[r], runs[-1][r]))
        for r in range(300)
    ]
    expected = percentiles(LOOPS[statistic](a) - LOOPS[statistic](b), np.array(samples))
    got = paired_difference(a, b, statistic, paired_seeds=paired, resamples=300, seed=4)
    assert _bounds(got) == pytest.approx(_bounds(expected), rel=1e-12)


def test_percentiles_are_samples():
    samples = np.random.default_rng(0).permutation(np.append(np.arange(1001.0), [np.nan] * 50))
    assert percentiles(7, samples) == Interval(7, 25, 975)
    ends = np.array([-np.inf] * 10 + [1.0] * 80 + [np.inf] * 10)
    assert percentiles(1, ends) == Interval(1, -np.inf, np.inf)
    assert percentiles(1, np.array([2.0])) == Interval(1, 2, 2)


def test_what_is_drawn_does_not_depend_on_the_chunks(monkeypatch):
    values = _values(3, 20)
    whole = bootstrap(values, resamples=101)
    monkeypatch.setattr(intervals, "CHUNK", 7)
    assert bootstrap(values, resamples=101) == whole


def test_the_pictures_drawn_do_not_depend_on_the_runs():
    np.testing.assert_array_equal(
        _counts(15, [1], 50, seed=1)[0], _counts(15, [3, 2], 50, seed=1)[0]
    )
    values = _values(1, 50)
    again = bootstrap(np.repeat(values, 3, axis=0), resamples=500)
    assert _bounds(again) == pytest.approx(_bounds(bootstrap(values, resamples=500)))


def test_a_run_can_be_a_vector():
    values = _values(1, 30)
    assert bootstrap(values[0], resamples=50) == bootstrap(values, resamples=50)


def test_means_of_one_run_have_the_interval_of_normal_theory():
    values = np.random.default_rng(2).normal(10, 3, (1, 400))
    interval = bootstrap(values)
    half = NORMAL * values.std() / 20
    assert interval.value == pytest.approx(values.mean())
    # A percentile of 10,000 samples has a standard error of 1.4 % of it.
    assert interval.high - interval.value == pytest.approx(half, rel=0.06)
    assert interval.value - interval.low == pytest.approx(half, rel=0.06)


def test_a_right_rate_has_the_interval_of_normal_theory():
    right = np.arange(1000) < 300
    interval = bootstrap(right)
    half = NORMAL * math.sqrt(0.3 * 0.7 / 1000)
    assert interval.value == 0.3
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.05)


def test_a_median_has_the_interval_of_order_statistics():
    values = np.random.default_rng(3).normal(0, 1, 1001)
    interval = bootstrap(values, "median", resamples=2000)
    ordered, half = np.sort(values), NORMAL * math.sqrt(1001) / 2
    assert interval.value == ordered[500]
    for end, rank in ((interval.low, 500 - half), (interval.high, 500 + half)):
        # Ranks of 2,000 percentiles have a standard error of about 1.
        assert ordered[int(rank) - 4] <= end <= ordered[int(rank) + 5]


def test_runs_and_pictures_each_add_their_unbiased_variance():
    generator = np.random.default_rng(4)
    of_runs, of_pictures = generator.normal(0, 1, 3), generator.normal(0, 15, 200)
    samples = _samples(of_runs[:, None] + of_pictures)
    expected = of_runs.var(ddof=1) / 3 + of_pictures.var() / 200
    assert 0.2 < of_runs.var(ddof=1) / 3 / expected < 0.8  # both matter
    assert samples.var() == pytest.approx(expected, rel=0.05)


def test_noise_of_single_answers_counts_three_times():
    generator = np.random.default_rng(5)
    ratios = [
        _samples(generator.normal(0, 1, (8, 300)), 400, seed).var() * 8 * 300 for seed in range(40)
    ]
    assert np.mean(ratios) == pytest.approx(3, abs=0.3)


def test_a_difference_on_the_same_pictures_is_surer_than_on_others():
    generator = np.random.default_rng(6)
    difficulty = generator.normal(0, 10, 300)
    a, b = difficulty + generator.normal(1, 1, 300), difficulty + generator.normal(0, 1, 300)
    interval = paired_difference(a, b)
    assert (interval.high - interval.low) / 2 == pytest.approx(
        NORMAL * (a - b).std() / math.sqrt(300), rel=0.06
    )
    assert interval.low > 0.5
    assert interval.high < 1.5


def test_paired_runs_cancel_what_they_share():
    generator = np.random.default_rng(7)
    b = generator.normal(0, 1, (4, 50)) + generator.normal(0, 20, (4, 1))
    paired = paired_difference(b + 3, b, paired_seeds=True, resamples=500)
    assert _bounds(paired) == pytest.approx((3, 3, 3))
    unpaired = paired_difference(b + 3, b, resamples=500)
    assert unpaired.low < -5
    assert unpaired.high > 11


@pytest.mark.parametrize(
    ("draw", "truth", "statistic"),
    [
        (lambda g: g.exponential(2, (1, 80)), 2, "mean"),
        (lambda g: g.exponential(2, (1, 80)), 2 * math.log(2), "median"),
        (lambda g: g.random((1, 80)) < 0.7, 0.7, "mean"),
        # As much variance by the runs as by the pictures.
        (lambda g: g.normal(0, 1, (5, 1)) + g.normal(0, 4, 80), 0, "mean"),
    ],
    ids=["mean", "median", "rate", "runs"],
)
def test_coverage(draw, truth, statistic):
    generator = np.random.default_rng(8)
    found = [bootstrap(draw(generator), statistic, resamples=400) for _ in range(400)]
    coverage = np.mean([interval.low <= truth <= interval.high for interval in found])
    assert 0.9 <= coverage <= 0.98


def test_three_runs_that_alone_differ_hold_the_truth_three_times_of_four():
    generator = np.random.default_rng(9)
    draws = generator.normal(0, 1, (600, 3, 1)).repeat(5, axis=2)
    found = [bootstrap(values, resamples=300) for values in draws]
    ends = [(interval.low, interval.high) for interval in found]
    np.testing.assert_allclose(ends, np.stack([draws.min((1, 2)), draws.max((1, 2))], axis=1))
    coverage = np.mean([low <= 0 <= high for low, high in ends])
    assert coverage == pytest.approx(3 / 4, abs=0.05)


@pytest.mark.parametrize("statistic", ["mean", "nanmedian"])
def test_memory_stays_small(statistic):
    values = _values(3, 1000)
    tracemalloc.start()
    bootstrap(values, statistic, resamples=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


def _few(runs):
    return st.integers(1, 8).flatmap(lambda n: arrays(float, (runs, n), elements=VALUES))


@PROPERTY
@given(_few(4), st.sampled_from(["mean", "median"]), st.booleans())
def test_swapping_negates(values, statistic, one_run):
    a, b = (values[:1], values[1:2]) if one_run else (values[:2], values[2:])
    kwargs = {"paired_seeds": True, "resamples": 60}
    there = paired_difference(a, b, statistic, **kwargs)
    back = paired_difference(b, a, statistic, **kwargs)
    assert _bounds(there) == pytest.approx((-back.value, -back.high, -back.low), abs=1e-9)


@PROPERTY
@given(_few(3), VALUES, st.sampled_from([*LOOPS]))
def test_shifts_and_scales_go_through(values, shift, statistic):
    plain = bootstrap(values, statistic, resamples=60)
    moved = bootstrap(2 * values + shift, statistic, resamples=60)
    expected = [2 * bound + shift for bound in _bounds(plain)]
    assert _bounds(moved) == pytest.approx(expected, abs=1e-9)


@PROPERTY
@given(VALUES, st.integers(1, 4), st.integers(1, 9), st.sampled_from([*LOOPS]))
def test_constant_values_have_no_width(value, runs, pictures, statistic):
    interval = bootstrap(np.full((runs, pictures), value), statistic, resamples=60)
    assert _bounds(interval) == pytest.approx((value,) * 3, abs=1e-9)


@PROPERTY
@given(_few(3), st.integers(0, 2**32), st.sampled_from([*LOOPS]))
def test_a_seed_says_all(values, seed, statistic):
    first, again = (bootstrap(values, statistic, resamples=60, seed=seed) for _ in range(2))
    assert first == again
    assert values.min() <= first.low <= first.high <= values.max() + 1e-9


def test_seeds_differ():
    values = _values(1, 100)
    assert bootstrap(values, resamples=50) != bootstrap(values, resamples=50, seed=1)


@pytest.mark.parametrize(
    ("values", "statistic", "message"),
    [
        ([1.0, np.nan], "mean", "must be finite"),
        ([1.0, np.inf], "nanmedian", "must be finite"),
        ([], "mean", "shape"),
        (np.zeros((2, 3, 4)), "mean", "shape"),
        ([1.0], "mode", "one of mean, median, nanmean, nanmedian, not mode"),
    ],
)
def test_values_that_have_no_statistic(values, statistic, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(values, statistic)


def test_differences_of_what_does_not_match():
    with pytest.raises(ValueError, match="number of pictures differs: 4, 5"):
        paired_difference(np.zeros((2, 4)), np.zeros((2, 5)))
    with pytest.raises(ValueError, match="number of paired runs differs: 2, 3"):
        paired_difference(np.zeros((2, 4)), np.zeros((3, 4)), paired_seeds=True)


def test_medians_of_runs_far_apart_are_found_beyond_the_middle():
    # Draws of two of three runs, whose medians are far from that of all: each resample by hand.
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 400)) + np.array([[-50.0], [0.0], [50.0]])
    values[0, :7] = np.nan
    pictures = rng.multinomial(400, np.full(400, 1 / 400), size=30).astype(float)
    runs = rng.multinomial(2, np.full(3, 1 / 3), size=30).astype(float)
    found = intervals.STATISTICS["nanmedian"](values, pictures, runs)
    times = (runs[:, :, None] * pictures[:, None]).reshape(30, -1).astype(int)
    expected = [np.nanmedian(np.repeat(values.ravel(), each)) for each in times]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
