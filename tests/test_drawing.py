"""How scenes are drawn: what all pictures with marks on them share."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from rectloc_tf.results.drawing import (
    PREDICTED,
    TRUTH,
    add_legend,
    log_pixels,
    new_figure,
    show_scene,
    true_centers,
)
from rectloc_tf.results.plots import figure_to_rgb


@pytest.fixture
def axis():
    return new_figure(3, 2).subplots()


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_a_scene_is_shown_in_its_own_pixels(axis, shape):
    image = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    show_scene(axis, image, vmax=100.0)
    (shown,) = axis.images
    np.testing.assert_array_equal(shown.get_array(), image)
    assert tuple(shown.get_extent()) == (0, 30, 20, 0)
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, 30), (20, 0))
    assert len(axis.get_xticks()) == len(axis.get_yticks()) == 0
    assert shown.get_clim() == (0, 100)
    assert shown.get_interpolation() == "nearest"
    assert shown.get_cmap().name == "gray" or len(shape) == 3


def test_marks_lie_on_their_points_and_are_not_cut_at_the_border(axis):
    points, truths = [(1.5, 2.0), (40.0, 3.0)], [(0.0, 20.0), (7.0, 8.0)]
    show_scene(axis, np.zeros((20, 30)), points, truths)
    marked = [(line.get_marker(), *line.get_xydata()[0].tolist()) for line in axis.lines]
    cross, plus = PREDICTED["marker"], TRUTH["marker"]
    assert marked == [(plus, 0, 20), (plus, 7, 8), (cross, 1.5, 2), (cross, 40, 3)]
    assert not any(line.get_clip_on() for line in axis.lines)
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, 30), (20, 0))  # as of the picture


def seen(figure, mark):
    """Whether a picture has pixels of a mark's colour."""
    rgb = figure_to_rgb(figure) / 255
    return (np.abs(rgb - to_rgb(mark["color"])).max(axis=-1) < 0.1).any()


@pytest.mark.parametrize("mark", [TRUTH, PREDICTED])
def test_points_that_are_not_there_are_left_out(axis, mark):
    absent, there = np.full((2, 2), np.nan), np.array([[np.nan, np.nan], [15, 10]])
    name = "truths" if mark is TRUTH else "points"
    show_scene(axis, np.zeros((20, 30)), **{name: absent})
    assert not seen(axis.figure, mark)
    show_scene(axis, np.zeros((20, 30)), **{name: there})
    assert seen(axis.figure, mark)


def test_without_points_there_are_no_marks(axis):
    show_scene(axis, np.zeros((20, 30)), np.zeros((0, 2)), np.zeros((0, 2)))
    assert not axis.lines


def test_the_true_centre_is_the_largest_s():
    rectangles = [[[0, 0, 10, 20], [5, 5, 7, 7]], [[2, 2, 5, 6], [0, 0, 1, 1]]]
    np.testing.assert_array_equal(true_centers(rectangles), [[5, 10], [3.5, 4]])
    np.testing.assert_array_equal(true_centers(np.array(rectangles, np.int32)), [[5, 10], [3.5, 4]])


def test_the_legend_names_both_marks():
    figure = new_figure(3, 2)
    add_legend(figure)
    (legend,) = figure.legends
    marks = [handle.get_marker() for handle in legend.legend_handles]
    names = [text.get_text() for text in legend.get_texts()]
    assert dict(zip(names, marks, strict=True)) == {
        "true centre of the largest": TRUTH["marker"],
        "predicted": PREDICTED["marker"],
    }


def test_the_legend_says_what_the_truth_is():
    figure = new_figure(3, 2)
    add_legend(figure, "the nose")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["the nose", "predicted"]


def test_pixels_are_counted_in_plain_numbers(axis):
    axis.plot([0, 1], [0.4, 120])
    log_pixels(axis)
    axis.figure.draw_without_rendering()
    assert axis.get_yscale() == "log"
    labels = [label.get_text() for label in axis.get_yticklabels()]
    low, high = axis.get_ylim()
    shown = [text for text in labels if low <= float(text) <= high]
    assert shown == ["0.5", "1", "2", "5", "10", "20", "50", "100"]
