"""The coordinate convention."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rectloc_tf.geometry import (
    FRAME,
    areas,
    cell_centers,
    centers,
    frame_to_working,
    working_to_frame,
)

SIZES = st.integers(4, 64).map(lambda k: 16 * k)
LENGTHS = st.floats(-1e4, 1e4)


def test_frame_is_the_original_picture_size():
    assert FRAME == 224


def test_pixel_centre_is_half_a_pixel_in():
    np.testing.assert_array_equal(cell_centers(4), [0.5, 1.5, 2.5, 3.5])
    # The one-pixel rectangle of (row 0, column 1) has the centre drawn in the docstring.
    np.testing.assert_array_equal(centers(np.array([1, 0, 2, 1])), [1.5, 0.5])


def test_cell_centers_are_float32():
    assert cell_centers(3).dtype == np.float32


@pytest.mark.parametrize(
    ("size", "stride", "expected"),
    [
        (3, 4, [2, 6, 10]),
        (2, 32.0, [16, 48]),
        (5, 0.5, [0.25, 0.75, 1.25, 1.75, 2.25]),
        (0, 8, []),
    ],
)
def test_cell_centers_scale_with_the_stride(size, stride, expected):
    np.testing.assert_array_equal(cell_centers(size, stride), np.float32(expected))


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(1, 300), st.integers(1, 32))
def test_cells_of_a_stride_are_centred_on_the_pixels_they_cover(size, stride):
    pixels = cell_centers(size * stride).reshape(size, stride)
    np.testing.assert_allclose(cell_centers(size, stride), pixels.mean(axis=1), rtol=1e-6)


def test_rectangle_centre_is_the_mean_of_its_pixels():
    x0, y0, x1, y1 = rectangle = np.array([2, 5, 9, 7])
    columns, rows = np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5
    np.testing.assert_array_equal(centers(rectangle), [columns.mean(), rows.mean()])


def test_centres_keep_leading_axes_and_half_pixels():
    rectangles = np.array([[[0, 0, 3, 2], [1, 2, 3, 7]]])
    np.testing.assert_array_equal(centers(rectangles), [[[1.5, 1.0], [2.0, 4.5]]])


def test_centres_of_tensors_equal_those_of_arrays():
    rectangles = np.random.default_rng(0).uniform(0, 224, (2, 3, 4)).astype("float32")
    np.testing.assert_array_equal(centers(tf.constant(rectangles)), centers(rectangles))


def test_area_counts_the_pixels():
    rectangles = np.array([[0, 0, 3, 2], [4, 1, 5, 8]], np.int32)
    grid = np.zeros((2, 10, 10), int)
    for picture, (x0, y0, x1, y1) in zip(grid, rectangles, strict=True):
        picture[y0:y1, x0:x1] = 1
    np.testing.assert_array_equal(areas(rectangles), grid.sum(axis=(1, 2)))


def test_largest_possible_area_fits_the_type_of_the_tables():
    assert areas(np.array([0, 0, 1024, 1024], np.int32)) == 1024**2


@pytest.mark.parametrize(("size", "expected"), [(224, 7), (112, 3.5), (448, 14), (64, 2)])
def test_seven_pixels_of_the_frame_in_working_pixels(size, expected):
    assert frame_to_working(7, size) == expected
    assert working_to_frame(expected, size) == 7


@settings(deadline=None, max_examples=100, derandomize=True)
@given(LENGTHS, SIZES)
def test_frame_and_working_pixels_round_trip(length, size):
    there = frame_to_working(length, size)
    assert working_to_frame(there, size) == pytest.approx(length, rel=1e-12)
    assert there * FRAME == pytest.approx(length * size, rel=1e-12)


@settings(deadline=None, max_examples=20, derandomize=True)
@given(SIZES)
def test_picture_corners_map_to_picture_corners(size):
    corners = np.array([[0.0, 0.0], [size, size]])
    np.testing.assert_allclose(working_to_frame(corners, size), [[0, 0], [224, 224]], rtol=1e-12)
    np.testing.assert_allclose(frame_to_working(np.float64(224), size), size, rtol=1e-12)
