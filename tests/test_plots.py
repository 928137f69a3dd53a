"""Pictures of a run and overlays: what is drawn, and where."""

import math

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from rectloc_tf.registry import SOURCES
from rectloc_tf.results.drawing import PREDICTED, TRUTH
from rectloc_tf.results.plots import (
    MAX_STRIP,
    epoch_strip,
    figure_to_rgb,
    history_curves,
    prediction_grid,
)
from rectloc_tf.serving.overlays import draw_overlay

SIZE = 32
SCENES = SOURCES["scenes"].words
TRUTH_AT = [(11.0, 7.5), (20.5, 12.0), (8.0, 25.0)]
POINTS = np.array([[3.25, 4.5], [30.0, 1.0], [16.0, 31.5]], np.float32)


@pytest.fixture
def scenes():
    """Images of three scenes of two rectangles, and the centres of the largest, TRUTH_AT."""
    rectangles = np.array(
        [
            [[6, 4, 16, 11], [20, 20, 23, 23]],
            [[14, 8, 27, 16], [1, 1, 4, 3]],
            [[4, 20, 12, 30], [9, 2, 12, 6]],
        ],
        np.int32,
    )
    images = np.zeros((3, SIZE, SIZE), np.uint8)
    for image, boxes in zip(images, rectangles, strict=True):
        for x0, y0, x1, y1 in boxes:
            image[y0:y1, x0:x1] = 255
    return images, np.array(TRUTH_AT)[:, None]


@pytest.fixture
def pictured(scenes):
    """What `pictures.predict_scenes` returns."""
    images, truths = scenes
    return {"images": images, "truths": truths, "points": POINTS[:, None]}


def markers(axis, style):
    """Where an axis has markers of a style."""
    lines = [line for line in axis.lines if line.get_marker() == style["marker"]]
    return [(float(x), float(y)) for line in lines for x, y in line.get_xydata()]


def titles(figure):
    return [axis.get_title() for axis in figure.axes]


def assert_draws(figure):
    assert isinstance(figure, Figure)
    rgb = figure_to_rgb(figure)
    width, height = figure.get_size_inches() * figure.dpi
    assert rgb.shape == (int(height), int(width), 3)
    assert rgb.dtype == np.uint8
    assert rgb.std() > 0


def test_prediction_grid_marks_truth_and_prediction(scenes, pictured):
    figure = prediction_grid(pictured, columns=2)
    assert len(figure.axes) == 4
    for axis, image, point, truth in zip(figure.axes, scenes[0], POINTS, TRUTH_AT, strict=False):
        assert markers(axis, PREDICTED) == [tuple(point.tolist())]
        assert markers(axis, TRUTH) == [truth]
        (shown,) = axis.images
        np.testing.assert_array_equal(shown.get_array(), image)
        assert shown.get_clim() == (0, 255)
    assert not figure.axes[3].has_data()
    assert_draws(figure)


def test_prediction_grid_marks_all_points_that_are_there(pictured):
    nowhere = (np.nan, np.nan)
    truths = np.array([[t, (1.0, 2.0), nowhere] for t in TRUTH_AT])
    points = np.array([[p, nowhere] for p in POINTS])
    figure = prediction_grid(pictured | {"truths": truths, "points": points}, 2, SCENES)
    for axis, point, truth in zip(figure.axes, POINTS, TRUTH_AT, strict=False):
        found = {style["marker"]: [m for m in markers(axis, style) if np.isfinite(m).all()]
                 for style in (PREDICTED, TRUTH)}  # fmt: skip
        assert found[PREDICTED["marker"]] == [tuple(point.tolist())]
        assert found[TRUTH["marker"]] == [truth, (1, 2)]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["true centres", "predicted"]
    assert_draws(figure)


def test_prediction_grid_in_colour(scenes, pictured):
    colour = np.stack([scenes[0], scenes[0] // 2, 0 * scenes[0]], axis=-1)
    figure = prediction_grid(pictured | {"images": colour}, columns=2)
    for axis, image in zip(figure.axes, colour, strict=False):
        np.testing.assert_array_equal(axis.images[0].get_array(), image)
    assert_draws(figure)


def test_origin_is_the_corner_of_the_top_left_pixel(pictured):
    axis = prediction_grid(pictured).axes[0]
    assert tuple(axis.images[0].get_extent()) == (0, SIZE, SIZE, 0)
    assert axis.get_xlim() == (0, SIZE)
    assert axis.get_ylim() == (SIZE, 0)


def test_prediction_grid_has_heatmaps_below_their_scenes(pictured):
    heatmaps = np.stack([np.full((SIZE, SIZE), v, np.float32) for v in (0.25, 40.0, 200.0)])
    heatmaps[:, 0, 0] = -30
    figure = prediction_grid(pictured | {"heatmaps": heatmaps}, columns=2)
    assert len(figure.axes) == 8
    assert titles(figure)[2:4] == ["peak 0 of 255", "peak 40 of 255"]
    assert titles(figure)[6:] == ["peak 200 of 255", ""]
    for place, heatmap, vmax in zip((2, 3, 6), heatmaps, (1.0, 40.0, 200.0), strict=True):
        (shown,) = figure.axes[place].images
        np.testing.assert_array_equal(shown.get_array(), heatmap)
        assert shown.get_clim() == (0, vmax)
    for place, truth in zip((0, 1, 4), TRUTH_AT, strict=True):
        assert markers(figure.axes[place], TRUTH) == [truth]
    assert_draws(figure)


def test_legend_names_both_markers(pictured):
    (legend,) = prediction_grid(pictured, words=SCENES).legends
    entries = {
        text.get_text(): handle.get_marker()
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }
    assert entries == {
        "true centre of the largest": TRUTH["marker"],
        "predicted": PREDICTED["marker"],
    }


def snapshots_of(epochs, heatmaps=False):
    made = {}
    for epoch in epochs:
        made[epoch] = {"points": (POINTS + epoch / 100)[:, None]}
        if heatmaps:
            made[epoch]["heatmaps"] = np.full((3, SIZE, SIZE), epoch, np.uint8)
    return made


@pytest.mark.parametrize("number", [1, 2, MAX_STRIP, MAX_STRIP + 1, 20])
def test_epoch_strip_picks_few_epochs_with_the_first_and_the_last(scenes, number):
    epochs = [3 * i for i in range(number)]
    figure = epoch_strip(*scenes, snapshots_of(epochs), SCENES)
    columns = min(number, MAX_STRIP)
    assert len(figure.axes) == 3 * (columns + 1)
    head, *shown = titles(figure)[: columns + 1]
    assert head == "scene"
    chosen = [int(title.removeprefix("epoch ")) for title in shown]
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(epochs)
    assert chosen[0] == epochs[0]
    assert chosen[-1] == epochs[-1]


def test_epoch_strip_marks_each_epochs_points(scenes):
    figure = epoch_strip(*scenes, snapshots_of([0, 50]))
    rows = np.array(figure.axes).reshape(3, 3)
    for i, (scene, first, last) in enumerate(rows):
        assert markers(scene, PREDICTED) == []
        assert markers(first, PREDICTED) == [tuple(POINTS[i].tolist())]
        assert markers(last, PREDICTED) == [tuple((POINTS[i] + 0.5).tolist())]
        for axis in (scene, first, last):
            assert markers(axis, TRUTH) == [TRUTH_AT[i]]
            np.testing.assert_array_equal(axis.images[0].get_array(), scenes[0][i])
    assert_draws(figure)


def test_epoch_strip_marks_several_points_and_those_that_runs_once_kept(scenes):
    images, truths = scenes
    several = np.concatenate([truths, truths + 1], axis=1)
    snapshots = {0: {"points": POINTS}, 9: {"points": np.stack([POINTS, POINTS + 2], axis=1)}}
    figure = epoch_strip(images, several, snapshots, SCENES)
    for i, (scene, first, last) in enumerate(np.array(figure.axes).reshape(3, 3)):
        x, y = POINTS[i].tolist()
        assert markers(first, PREDICTED) == [(x, y)]
        assert markers(last, PREDICTED) == [(x, y), (x + 2, y + 2)]
        assert markers(scene, TRUTH) == [tuple(t) for t in several[i].tolist()]
    assert figure.legends[0].get_texts()[0].get_text() == "true centres"
    assert_draws(figure)


@pytest.mark.parametrize(("epochs", "vmax"), [([0, 50], 50), ([70, 20], 70), ([0], 1)])
def test_epoch_strip_shows_heatmaps_on_one_scale(scenes, epochs, vmax):
    figure = epoch_strip(*scenes, snapshots_of(epochs, heatmaps=True))
    rows = np.array(figure.axes).reshape(3, len(epochs) + 1)
    for i, (scene, *strip) in enumerate(rows):
        np.testing.assert_array_equal(scene.images[0].get_array(), scenes[0][i])
        assert scene.images[0].get_clim() == (0, 255)
        for axis, epoch in zip(strip, epochs, strict=True):
            assert (axis.images[0].get_array() == epoch).all()
            assert axis.images[0].get_clim() == (0, vmax)
    assert_draws(figure)


def history_rows(number, can_be_empty=True):
    names = (
        "train_loss", "val_loss", "val_zero_map_loss", "val_median_px", "val_mean_px",
        "val_p95_px", "val_right_rate", "val_wrong_rate", "val_nowhere_rate",
    )  # fmt: skip
    rows = [
        {"epoch": 2 * row, **{name: (i + 1) / (10 + row) for i, name in enumerate(names)}}
        for row in range(1, number + 1)
    ]
    return rows if can_be_empty else [row | {"val_zero_map_loss": math.nan} for row in rows]


def curves(axis):
    return {line.get_label(): line.get_ydata() for line in axis.lines}


@pytest.mark.parametrize("can_be_empty", [False, True])
def test_history_curves_hold_the_columns(can_be_empty):
    history = history_rows(5, can_be_empty)
    figure = history_curves(history, SCENES)
    loss, error, rates = figure.axes
    expected = {
        "training": (loss, "train_loss"),
        "validation": (loss, "val_loss"),
        "median": (error, "val_median_px"),
        "mean": (error, "val_mean_px"),
        "95th percentile": (error, "val_p95_px"),
        "right (within 16 px)": (rates, "val_right_rate"),
        "another rectangle": (rates, "val_wrong_rate"),
        "nowhere": (rates, "val_nowhere_rate"),
    }
    if can_be_empty:
        expected["empty map"] = (loss, "val_zero_map_loss")
    assert sum(len(axis.lines) for axis in figure.axes) == len(expected)
    for label, (axis, column) in expected.items():
        assert curves(axis)[label] == pytest.approx([row[column] for row in history])
        assert list(axis.lines[0].get_xdata()) == [2, 4, 6, 8, 10]
    scales = ["linear" if can_be_empty else "log", "log", "linear"]
    assert [axis.get_yscale() for axis in figure.axes] == scales
    assert_draws(figure)


def test_the_words_of_other_sources_are_not_about_rectangles(scenes, pictured):
    figures = [
        prediction_grid(pictured),
        epoch_strip(*scenes, snapshots_of([0, 50])),
        history_curves(history_rows(3)),
    ]
    texts = [text.get_text() for figure in figures for text in figure.findobj(Text)]
    assert {"true point", "another place", "Error, validation", "px"} <= {*texts}
    assert not [t for t in texts if any(w in t for w in ("entre", "rectangle", "scene", "224"))]


@pytest.mark.parametrize("number", [0, 1])
def test_history_curves_of_few_rows(number):
    assert_draws(history_curves(history_rows(number)))


@pytest.mark.parametrize("holes", [[1], [0, 1, 2, 3]])
def test_history_curves_with_numbers_that_do_not_exist(holes):
    history = history_rows(4)
    for i in holes:
        history[i] |= {name: math.nan for name in history[i] if name != "epoch"}
    figure = history_curves(history)
    assert np.isnan(curves(figure.axes[0])["validation"]).sum() == len(holes)
    assert_draws(figure)


def test_history_curves_with_a_perfect_answer():
    history = history_rows(3, can_be_empty=False)
    history[2] |= {"val_median_px": 0.0, "val_loss": 0.0}
    assert_draws(history_curves(history))


def find_color(rgb, color):
    """The mean place (x, y) of the pixels of a colour."""
    distance = np.abs(rgb / 255 - to_rgb(color)).max(axis=-1)
    rows, columns = np.nonzero(distance < 0.1)
    assert rows.size > 0
    return columns.mean() + 0.5, rows.mean() + 0.5


@pytest.mark.parametrize("colour", [False, True])
def test_overlay_draws_the_markers_on_their_pixels(colour):
    image = np.zeros((60, 100, 3) if colour else (60, 100), np.uint8)
    figure = draw_overlay(image, np.array([[75.0, 15.0]]), truths=np.array([[30.0, 40.0]]))
    (axis,) = figure.axes
    assert markers(axis, PREDICTED) == [(75, 15)]
    assert markers(axis, TRUTH) == [(30, 40)]
    rgb = figure_to_rgb(figure)
    scale = rgb.shape[1] / 100
    assert rgb.shape[0] / 60 == pytest.approx(scale, rel=0.01)
    assert find_color(rgb, PREDICTED["color"]) == pytest.approx((75 * scale, 15 * scale), abs=1)
    assert find_color(rgb, TRUTH["color"]) == pytest.approx((30 * scale, 40 * scale), abs=1)


def test_overlay_shows_the_whole_picture():
    image = np.full((60, 100), 255, np.uint8)
    rgb = figure_to_rgb(draw_overlay(image, np.array([[50.0, 30.0]])))
    assert (rgb[0] == 255).all()
    assert (rgb[-1] == 255).all()
    assert (rgb[:, 0] == 255).all()
    assert (rgb[:, -1] == 255).all()


def test_overlay_without_truth_has_no_truth():
    (axis,) = draw_overlay(np.zeros((60, 100), np.uint8), np.array([[75.0, 15.0]])).axes
    assert markers(axis, TRUTH) == []


@pytest.mark.parametrize("peak", [0.0, 200.0, -5.0])
def test_overlay_stretches_the_heatmap_over_the_picture(peak):
    heatmap = np.full((SIZE, SIZE), -10, np.float32)
    heatmap[8, 24] = peak
    figure = draw_overlay(np.zeros((60, 100), np.uint8), np.array([[75.0, 15.0]]), heatmap)
    (axis,) = figure.axes
    picture, laid_over = axis.images
    assert tuple(picture.get_extent()) == tuple(laid_over.get_extent()) == (0, 100, 60, 0)
    alpha = laid_over.get_alpha()
    assert alpha.shape == (SIZE, SIZE)
    assert alpha[8, 24] == pytest.approx(0.6 if peak > 0 else 0)
    assert alpha.sum() == pytest.approx(alpha[8, 24])
    assert_draws(figure)


def test_overlay_lays_the_heatmap_over_its_square_and_shows_the_picture_alone():
    heatmap, square = np.full((SIZE, SIZE), 200, np.float32), np.array([[0, -20], [100, 80]])
    picture = np.zeros((60, 100), np.uint8)
    (axis,) = draw_overlay(picture, np.array([[75.0, 15.0]]), heatmap, square=square).axes
    shown, laid_over = axis.images
    assert tuple(shown.get_extent()) == (0, 100, 60, 0)
    assert tuple(laid_over.get_extent()) == (0, 100, 80, -20)
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, 100), (60, 0))


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 5000), (5000, 2), (3, 20_000), (1, 200_000), (200_000, 1)]
)
def test_overlay_of_any_shape(height, width):
    image = np.full((height, width), 128, np.uint8)
    figure = draw_overlay(image, np.array([[width / 2, height / 2]]))
    rgb = figure_to_rgb(figure)
    assert min(rgb.shape[:2]) >= 100
    assert markers(figure.axes[0], PREDICTED) == [(width / 2, height / 2)]


def test_figures_do_not_touch_pyplot(pictured):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    assert_draws(prediction_grid(pictured))
    assert plt.get_fignums() == before
