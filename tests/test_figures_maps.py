"""Peaks, blobs and targets of stored maps; many intervals at once."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from figures import maps
from figures.resampled import mean_intervals
from rectloc_tf.config import RunConfig
from rectloc_tf.results.intervals import bootstrap, paired_difference


def _blobs(size, *peaks):
    y, x = np.mgrid[:size, :size]
    tile = sum(v * np.exp(-((x - c) ** 2 + (y - r) ** 2) / 8) for c, r, v in peaks)
    return np.asarray(tile).round().astype(np.uint8)


def test_peaks_are_bright_and_apart():
    tile = _blobs(56, (10, 20, 200), (40, 30, 60), (16, 20, 90), (30, 5, 10))
    found = maps.find_peaks(tile, 16, 40.0)  # 10 working px: the third is too near the first
    assert [peak[:2] for peak in found] == [(10.5, 20.5), (40.5, 30.5)]
    assert found[0].value == pytest.approx(202, abs=2)
    assert len(maps.find_peaks(tile, 16, 20.0)) == 3
    assert len(maps.find_peaks(tile, 8, 20.0)) == 4
    assert maps.find_peaks(np.zeros((8, 8), np.uint8), 0, 10.0) == []


def test_a_plateau_is_one_peak():
    tile = np.zeros((56, 56), np.uint8)
    tile[20:24, 30:34] = 100
    assert len(maps.find_peaks(tile, 16, 20.0)) == 1


def test_a_blob_is_as_wide_as_a_square():
    tile = np.zeros((56, 56), np.uint8)
    tile[10:14, 20:24] = 200
    tile[30, 30] = 100  # half the peak is not more than half
    assert maps.blob_width(tile) == 4 * 224 / 56
    assert maps.blob_width(np.zeros((8, 8), np.uint8)) == 0


@pytest.mark.parametrize("number", [1, 2])
def test_targets_are_those_of_the_head(number):
    from rectloc_tf.models import run_head

    labels = "largest" if number == 1 else "largest_and_smallest"
    run = RunConfig(arch="deconv", image_size=112, domain=2, labels=labels)
    points = np.array([[[30.2, 41.7], [33.9, 44.1]]], np.float32)[:, :number]  # they overlap
    head = run_head(run)
    expected = head.targets(points, np.ones((1, number), bool))["values"][0, ..., 0]
    values = [255 * (number - rank) / number for rank in range(number)]
    found = maps.discs(points[0], 112, run.radius, values)
    np.testing.assert_allclose(found, expected)
    assert set(np.unique(found)) == {0, *values}


def test_places_are_marked_by_what_they_are_on():
    axis = Figure().subplots()
    boxes = [[10, 10, 30, 30], [60, 60, 80, 90]]
    peaks = [maps.Peak(22, 21, 90.0), maps.Peak(100, 20, 30.0)]
    maps.show_places(axis, np.zeros((112, 112), np.uint8), boxes, peaks, 64)
    assert [line.get_marker() for line in axis.lines] == ["o", "x"]
    assert [patch.get_linestyle() == "-" for patch in axis.patches] == [True, False]
    assert [text.get_text() for text in axis.texts] == ["90", "30"]


def test_intervals_are_those_of_one_at_a_time():
    rng = np.random.default_rng(0)
    values = rng.random((4, 3, 40))
    found = mean_intervals(list(values), 300)
    for each, interval in zip(values, found, strict=True):
        expected = bootstrap(each, resamples=300)
        for name in ("value", "low", "high"):
            assert getattr(interval, name) == pytest.approx(getattr(expected, name), abs=1e-12)
    difference = paired_difference(values[0], values[1], paired_seeds=True, resamples=300)
    (paired,) = mean_intervals([values[0] - values[1]], 300)
    assert (paired.low, paired.high) == pytest.approx((difference.low, difference.high))
    (single,) = mean_intervals([values[0, :1]], 300)
    alone = bootstrap(values[0, 0], resamples=300)
    assert (single.low, single.high) == pytest.approx((alone.low, alone.high))
