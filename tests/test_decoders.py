"""Ways to read a point from a map, against plain loops and maps whose point is known."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from rectloc_tf.heads import decoders
from rectloc_tf.heads.decoders import DECODERS

HEIGHT, WIDTH = 20, 26


def gaussian(x, y, sigma=1.7, peak=200.0):
    """A map [HEIGHT, WIDTH] with a Gaussian around (x, y) in cells."""
    columns, rows = np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5
    squared = (columns - x) ** 2 + (rows[:, None] - y) ** 2
    return peak * np.exp(-squared / (2 * sigma**2))


def read(name, *maps):
    return DECODERS[name](tf.constant(np.stack(maps), tf.float32)).numpy()


@pytest.mark.parametrize(
    ("name", "bound"),
    [("argmax", 0.5), ("quarter shift", 0.26), ("DARK", 0.01), ("soft argmax", 0.12),
     ("centre of mass", 0.25)],
)  # fmt: skip
def test_a_gaussian_is_read_to_within_what_each_promises(name, bound):
    places = st.tuples(st.floats(6, WIDTH - 6, width=32), st.floats(6, HEIGHT - 6, width=32))

    @settings(deadline=None, max_examples=40, derandomize=True)
    @given(places)
    def check(place):
        (found,) = read(name, gaussian(*place))
        assert np.abs(found - place).max() <= bound + 1e-4

    check()


def test_the_finer_ones_are_finer():
    rng = np.random.default_rng(0)
    places = rng.uniform([6, 6], [WIDTH - 6, HEIGHT - 6], (200, 2))
    maps = [gaussian(*place) for place in places]
    errors = {n: np.linalg.norm(read(n, *maps) - places, axis=1).mean() for n in DECODERS}
    assert errors["DARK"] < errors["quarter shift"] / 5 < errors["argmax"] / 5
    # A cell's centre is so far from a point anywhere in it: (sqrt 2 + asinh 1) / 6.
    assert errors["argmax"] == pytest.approx((math.sqrt(2) + math.asinh(1)) / 6, rel=0.05)


def test_the_quarter_goes_to_the_brighter_neighbour():
    image = np.zeros((HEIGHT, WIDTH))
    image[7, 9], image[7, 10], image[7, 8], image[6, 9] = 9, 5, 4, 1
    assert read("quarter shift", image).tolist() == [[9.75, 7.25]]
    image[7, 8] = image[7, 10]
    assert read("quarter shift", image).tolist() == [[9.5, 7.25]]
    image[0, 0], image[0, 1] = 20, 15  # on the edge
    assert read("quarter shift", image).tolist() == [[0.5, 0.5]]


def test_dark_is_newtons_step_on_the_smoothed_logarithm():
    rng = np.random.default_rng(1)
    image = gaussian(12.2, 9.9, sigma=2.5) + 3 * rng.random((HEIGHT, WIDTH)) + 1
    smooth = gaussian_filter(image, decoders.BLUR, mode="reflect", truncate=3.0)
    i, j = np.unravel_index(smooth.argmax(), smooth.shape)
    logs = np.log(smooth)
    gradient = np.array(
        [(logs[i, j + 1] - logs[i, j - 1]) / 2, (logs[i + 1, j] - logs[i - 1, j]) / 2]
    )
    mixed = logs[i + 1, j + 1] - logs[i + 1, j - 1] - logs[i - 1, j + 1] + logs[i - 1, j - 1]
    hessian = np.array([
        [logs[i, j + 1] - 2 * logs[i, j] + logs[i, j - 1], mixed / 4],
        [mixed / 4, logs[i + 1, j] - 2 * logs[i, j] + logs[i - 1, j]],
    ])  # fmt: skip
    expected = np.array([j + 0.5, i + 0.5]) - np.linalg.solve(hessian, gradient)
    np.testing.assert_allclose(read("DARK", image)[0], expected, atol=1e-3)


def test_the_soft_argmax_is_an_expected_place():
    image = np.zeros((HEIGHT, WIDTH))
    image[4, 6], image[14, 20] = 10, 9
    weights = np.exp(decoders.SHARPNESS * image / 10)
    x = (weights * (np.arange(WIDTH) + 0.5)).sum() / weights.sum()
    y = (weights * (np.arange(HEIGHT) + 0.5)[:, None]).sum() / weights.sum()
    np.testing.assert_allclose(read("soft argmax", image)[0], [x, y], rtol=1e-4)


@pytest.mark.parametrize("name", DECODERS)
def test_a_map_does_not_depend_on_its_scale_or_on_the_others(name):
    maps = [gaussian(8.3, 11.1), gaussian(17.7, 6.2, peak=3), 0.01 * gaussian(10, 10)]
    together = read(name, *maps)
    for image, found in zip(maps, together, strict=True):
        np.testing.assert_allclose(read(name, image)[0], found, atol=1e-5)
        np.testing.assert_allclose(read(name, 50 * image)[0], found, atol=1e-3)


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("place", [(0.2, 0.4), (WIDTH - 0.1, 3.0), (13.0, HEIGHT - 0.3)])
def test_points_at_the_edge_and_maps_without_a_peak_stay_in_the_map(name, place):
    for image in (gaussian(*place), np.zeros((HEIGHT, WIDTH)), np.full((HEIGHT, WIDTH), 7.0)):
        (found,) = read(name, image)
        assert np.isfinite(found).all()
        assert (found >= 0).all()
        assert (found <= [WIDTH, HEIGHT]).all()
