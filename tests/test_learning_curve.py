"""The curve of errors against labelled images, its intervals and what it predicts."""

import itertools

import numpy as np
import pytest

from rectloc_tf.results.learning_curve import MeasuredErrors, fit_curve

SIZES = np.array([10, 20, 40, 80])


def errors_of(level, runs=4, images=60, keypoints=3, noise=0.0, seed=0, levels=0.0):
    """Errors whose mean is `level`(size), the tested images dealt to the trainings.

    `noise` and `levels` are the sigmas of factors: of each training and size, and of each training.
    """
    rng = np.random.default_rng(seed)
    values = np.full((runs, len(SIZES), images, keypoints), np.nan)
    hard = rng.gamma(4, 1 / 4, (images, keypoints))
    hard /= hard.mean()
    for run in range(runs):
        mine = slice(run, None, runs)
        own = np.exp(levels * rng.normal())
        for m, size in enumerate(SIZES):
            luck = own * np.exp(noise * rng.normal())
            values[run, m, mine] = level(size) * luck * hard[mine]
    return MeasuredErrors(SIZES, values)


def power_law(size):
    return 1.0 + 20 * size**-0.6


def test_means_are_over_all_labels_that_there_are():
    values = np.full((2, 1, 3, 2), np.nan)
    values[0, 0, :2] = [[1, 3], [5, np.nan]]
    values[1, 0, 2] = [np.nan, 11]
    measured = MeasuredErrors(np.array([7]), values)
    assert measured.means.tolist() == [5.0]
    assert measured.medians.tolist() == [4.0]
    assert measured.keypoint_means.tolist() == [[3.0, 7.0]]


def test_keypoint_that_is_nowhere_has_no_mean():
    values = np.array([[[[1.0, np.nan]]], [[[2.0, np.nan]]]])
    means = MeasuredErrors(np.array([7]), values).keypoint_means
    assert means[0, 0] == 1.5
    assert np.isnan(means[0, 1])


def test_resampled_means_are_those_of_the_images_drawn():
    measured = errors_of(power_law, images=5, runs=2)
    drawn = np.random.default_rng(3).multinomial(5, np.full(5, 0.2), 2)
    for row, counts in zip(measured.resampled_means(2, seed=3), drawn, strict=True):
        repeated = np.repeat(measured.values, counts, axis=2)
        np.testing.assert_allclose(row, np.nanmean(repeated, axis=(0, 2, 3)), rtol=1e-12)


def test_curve_goes_through_what_was_measured_exactly():
    measured = errors_of(power_law, images=4000)
    curve = fit_curve(measured)
    for size in SIZES:
        assert curve.at(size).value == pytest.approx(power_law(size), rel=0.02)
        assert curve.at(size).low < power_law(size) < curve.at(size).high


def without_floor(size):
    return 50 / size


@pytest.mark.parametrize(
    ("truth", "noise"),
    [
        (power_law, {"noise": 0.05}),
        (power_law, {"noise": 0.15}),
        (power_law, {"noise": 0.05, "levels": 0.15}),
        (without_floor, {"noise": 0.05}),
    ],
)
def test_intervals_hold_the_truth_about_as_often_as_they_say(truth, noise):
    held = []
    for seed in range(40):
        curve = fit_curve(errors_of(truth, images=120, seed=seed, **noise))
        found = [curve.at(size) for size in (80, 160, 320)]
        held.append(
            [i.low <= truth(s) <= i.high for s, i in zip((80, 160, 320), found, strict=True)]
        )
    # 40 draws at 95 % have fewer than 34 successes once in 500 times.
    assert np.sum(held, axis=0).min() >= 34


def test_intervals_widen_with_the_distance():
    curve = fit_curve(errors_of(power_law, noise=0.1))
    widths = [curve.at(size).high / curve.at(size).low for size in (80, 120, 160, 320)]
    assert widths == sorted(widths)
    assert np.log(widths[-1]) > 1.5 * np.log(widths[0])


def test_error_never_rises_with_more_labels():
    curve = fit_curve(errors_of(lambda size: 3 + size / 100, noise=0.05))
    found = [curve.at(size) for size in (80, 160, 320)]
    assert all(a.value >= b.value for a, b in itertools.pairwise(found))


def test_noise_from_run_to_run_widens_the_interval_of_a_size():
    still, noisy = (errors_of(power_law, noise=noise, runs=8) for noise in (0.0, 0.3))
    width = [np.log(m.interval(2).high / m.interval(2).low) for m in (still, noisy)]
    expected = np.hypot(width[0], 2 * 1.96 * 0.3 / np.sqrt(8))
    assert width[1] == pytest.approx(expected, rel=0.35)


def test_trainings_of_other_levels_widen_all_intervals():
    alike = np.ones((3, 4, 50, 2))
    apart = alike * np.array([0.5, 1, 2])[:, None, None, None]
    same, wide = (MeasuredErrors(SIZES, values).log_covariance() for values in (alike, apart))
    np.testing.assert_allclose(same, 0, atol=1e-12)
    np.testing.assert_allclose(wide, np.log(2) ** 2 / 3)  # the variance of -1, 0 and 1 is 1
    one = MeasuredErrors(SIZES[:1], apart[:, :1])
    assert one.interval(0).high > 1.5 * one.interval(0).value


def test_smaller_sets_alone_do_not_know_the_largest():
    measured = errors_of(power_law)
    half = measured.up_to(40)
    assert half.sizes.tolist() == [10, 20, 40]
    np.testing.assert_array_equal(half.values, measured.values[:, :3])
    assert fit_curve(half).largest == 40


@pytest.mark.parametrize(("runs", "sizes"), [(1, 4), (4, 2)])
def test_curve_needs_three_sizes_and_two_trainings(runs, sizes):
    measured = errors_of(power_law, runs=runs).up_to(SIZES[sizes - 1])
    with pytest.raises(ValueError, match="a curve needs at least 3 and 2"):
        fit_curve(measured)
