"""Where two curves cross for good."""

import math

import numpy as np
import pytest

from rectloc_tf.results.crossing import crossing
from rectloc_tf.results.intervals import bootstrap, resample

INF = math.inf


def _curve(means, pictures=1):
    """Values without noise whose means by size are these."""
    return {size: np.full((1, pictures), float(mean)) for size, mean in means.items()}


def _find(a, b, **kwargs):
    return crossing(_curve(a), _curve(b), resamples=3, **kwargs)


@pytest.mark.parametrize(
    ("b", "expected"),
    [
        ((12, 8, 5), 10 * 10 ** (2 / 4)),  # half of the way from 10 to 100 on a log scale
        ((11, 7, 5), 10 * 10 ** (1 / 4)),
        ((12, 12, 9), 100 * 10 ** (2 / 3)),
        ((12, 10, 9), 100),  # equal at 100, better after
        ((10, 9, 9), 10),
        ((8, 10, 9), 100),  # equal is not better
        ((8, 12, 9), 100 * 10 ** (2 / 3)),  # better, worse, and better for good
        ((9, 9, 9), 0),  # at all sizes
        ((12, 12, 12), INF),  # never
        ((9, 9, 10), INF),  # equal at last
        ((12, 8, 11), INF),  # not for good
    ],
)
@pytest.mark.parametrize("rates", [False, True])
def test_crossings_of_lines(b, expected, rates):
    sizes = (10, 100, 1000)
    flat = dict.fromkeys(sizes, 10)
    means = dict(zip(sizes, (20 - v for v in b) if rates else b, strict=True))
    found = _find(flat, means, larger_is_better=rates)
    assert found.size.value == pytest.approx(expected)
    assert (found.size.low, found.size.high) == pytest.approx((expected, expected))
    assert (found.always, found.never) == (expected == 0, expected == INF)


def test_the_order_of_the_sizes_does_not_matter():
    a, b = {1000: 10, 10: 10, 100: 10}, {100: 8, 1000: 5, 10: 12}
    assert _find(a, b).size.value == pytest.approx(10 * 10**0.5)


def test_only_both_curves_matter_between_neighbours():
    found = _find({10: 4, 20: 3, 40: 2}, {10: 9, 20: 5, 40: 1})
    assert found.size.value == pytest.approx(20 * 2 ** (2 / 3))


def _noisy(seed, slope, runs, pictures=200):
    """Errors that fall with the logarithm of the size, by pictures and runs."""
    generator = np.random.default_rng(seed)
    difficulty = np.random.default_rng(99).normal(0, 1, pictures)
    return {
        size: 10
        - slope * math.log10(size)
        + difficulty
        + generator.normal(0, 0.1, (runs, 1))
        + generator.normal(0, 1, (runs, pictures))
        for size in (10, 100, 1000)
    }


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_crossings_are_those_of_resamples_written_out(statistic):
    a, b = _noisy(0, 0, 2, pictures=12), _noisy(1, 0.3, 3, pictures=12)
    b = {size: values + 0.6 for size, values in b.items()}
    evaluate = getattr(np, statistic)

    def repeated(values, pictures, runs):
        return np.repeat(np.repeat(values, runs.astype(int), axis=0), pictures.astype(int), axis=1)

    def one(pictures, runs):
        points = [
            evaluate(repeated(values, pictures, drawn))
            for values, drawn in zip([*a.values(), *b.values()], runs, strict=True)
        ]
        gaps = [y - x for x, y in zip(points[:3], points[3:], strict=True)]
        if gaps[-1] >= 0:
            return INF
        for k in (1, 0):
            if gaps[k] >= 0:
                part = gaps[k] / (gaps[k] - gaps[k + 1])
                return [10, 100][k] * 10**part
        return 0.0

    def loop(pictures, runs):
        rows = range(len(pictures))
        return np.array([one(pictures[r], [drawn[r] for drawn in runs]) for r in rows])

    value, samples = resample(loop, 12, [2, 2, 2, 3, 3, 3], 400, 7)
    found = crossing(a, b, statistic, resamples=400, seed=7)
    ordered = np.sort(samples)
    assert found.size.value == pytest.approx(value)
    assert (found.size.low, found.size.high) == pytest.approx((ordered[9], ordered[-10]))
    assert found.always == np.mean(samples == 0) > 0
    assert found.never == np.mean(samples == INF) > 0
    assert 0 < found.always + found.never < 1


def test_the_interval_holds_the_true_crossing_and_is_as_wide_as_the_gap_is_unsure():
    found = crossing(_noisy(0, 0, 3), {s: v + 2 for s, v in _noisy(1, 1, 3).items()})
    assert (found.always, found.never) == (0, 0)
    assert found.size.low < 100 < found.size.high
    # The gap falls by 1 in a decade, so that its interval is that of log10 of the size.
    gap = bootstrap(_noisy(1, 1, 3)[100]).high - bootstrap(_noisy(1, 1, 3)[100]).low
    assert 0.02 < math.log10(found.size.high / found.size.low) < 2 * gap


def test_where_the_better_one_is_unknown_the_interval_has_no_ends():
    generator = np.random.default_rng(0)
    a = {size: generator.normal(0, 1, 200) for size in (10, 100, 1000)}
    b = {size: generator.permutation(values) for size, values in a.items()}
    found = crossing(a, b, resamples=2000)
    assert (found.size.low, found.size.high) == (0, INF)
    # Each of three sizes, and the last one, as if by the toss of a coin.
    assert found.always == pytest.approx(1 / 8, abs=0.03)
    assert found.never == pytest.approx(1 / 2, abs=0.04)


def test_it_is_the_same_for_a_seed():
    a, b = _noisy(0, 0, 2), _noisy(1, 0.1, 2)
    assert crossing(a, b, resamples=50) == crossing(a, b, resamples=50)
    assert crossing(a, b, resamples=50) != crossing(a, b, resamples=50, seed=1)


def test_where_nothing_counts_there_is_no_crossing():
    a = _curve({10: 1, 100: 1})
    b = {size: values * np.nan for size, values in a.items()}
    found = crossing(a, b, "nanmean", resamples=5)
    everything = (found.size.value, found.size.low, found.size.high, found.always, found.never)
    assert all(map(math.isnan, everything))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ({10: 1, 20: 1}, {10: 1, 30: 1}, r"same two or more sizes, not \[10, 20\] and \[10, 30\]"),
        ({10: 1}, {10: 1}, "two or more sizes"),
        ({0: 1, 1: 1}, {0: 1, 1: 1}, "two or more sizes"),
    ],
)
def test_curves_of_other_sizes(a, b, message):
    with pytest.raises(ValueError, match=message):
        _find(a, b)


def test_curves_of_other_pictures():
    with pytest.raises(ValueError, match="number of pictures differs: 1, 1, 2, 2"):
        crossing(_curve({10: 1, 20: 1}), _curve({10: 1, 20: 1}, pictures=2))
