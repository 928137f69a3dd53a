"""Targets: coordinates and heatmaps."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.scenes.sampling import scene_table
from pipelines.targets import (
    brightnesses,
    heatmap_targets,
    heatmap_targets_numpy,
    labelled_centers,
    make_targets,
    xy_targets,
)
from rectloc_tf.config import LABELS, SceneConfig, TargetConfig
from rectloc_tf.geometry import centers

# Centred on a cell, (8.5, 8.5), and on a corner of cells, (8, 8).
ON_CELL, ON_CORNER = [6, 7, 11, 10], [5, 6, 11, 10]


def _scenes(count, **scene):
    return scene_table(SceneConfig(**scene))[:count]


def _graph(rectangles, size, config):
    return heatmap_targets(tf.constant(rectangles), size, config).numpy()


def _assert_as_defined(rectangles, size, config):
    drawn = _graph(rectangles, size, config)
    defined = heatmap_targets_numpy(rectangles, size, config)
    assert drawn.shape == defined.shape == (len(rectangles), size, size, 1)
    assert drawn.dtype == defined.dtype == np.float32
    if config.kind == "disc":
        np.testing.assert_array_equal(drawn, defined)
    else:
        np.testing.assert_allclose(drawn, defined, rtol=1e-5, atol=1e-5)


def _single(rectangle, size=224, **config):
    """The map [S, S] of one rectangle, which is checked to be the same in both versions."""
    rectangles = np.array([[rectangle]], np.int32)
    config = TargetConfig(**config)
    _assert_as_defined(rectangles, size, config)
    return _graph(rectangles, size, config)[0, ..., 0]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("largest", [56, 28]),
        ("largest_and_smallest", [56, 28, 110.25, 115.5]),
        ("all", [56, 28, 176.75, 35, 110.25, 115.5]),
    ],
)
def test_xy_by_hand(labels, expected):
    # Working pixels of 64 are 3.5 px of the frame.
    scene = np.array([[[0, 0, 32, 16], [49, 3, 52, 17], [31, 30, 32, 36]]], np.int32)
    config = TargetConfig(kind="xy", labels=labels)
    targets = xy_targets(tf.constant(scene), 64, config)
    assert targets.dtype == tf.float32
    np.testing.assert_array_equal(targets, [expected])


@pytest.mark.parametrize("size", [64, 112, 224, 240, 448])
def test_xy_is_in_pixels_of_the_frame_whatever_the_size(size):
    scenes = _scenes(50, domain=3, image_size=size)
    config = TargetConfig(kind="xy", labels="all")
    targets = make_targets(tf.constant(scenes), size, config).numpy()
    assert targets.shape == (50, 6)
    expected = centers(scenes.astype(float)) * 224 / size
    np.testing.assert_allclose(targets.reshape(50, 3, 2), expected, rtol=1e-6)
    assert targets.min() > 0
    assert targets.max() < 224


@pytest.mark.parametrize("labels", LABELS)
def test_labelled_centres_are_working_pixels_by_rank(labels):
    scenes = _scenes(20, domain=4, image_size=112)
    config = TargetConfig(labels=labels)
    points = labelled_centers(tf.constant(scenes), config).numpy()
    every = centers(scenes.astype(float))
    np.testing.assert_array_equal(points, every[:, list(config.ranks(4))])


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [255]), (2, [255, 127.5]), (5, [255, 204, 153, 102, 51])]
)
def test_brightness_falls_in_equal_steps(count, expected):
    levels = brightnesses(count)
    assert levels.dtype == np.float32
    np.testing.assert_array_equal(levels, np.float32(expected))


@pytest.mark.parametrize("kind", ["disc", "gaussian"])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("size", [64, 112, 224])
def test_maps_are_as_defined(kind, labels, size):
    scenes = _scenes(8, domain=4, image_size=size)
    _assert_as_defined(scenes, size, TargetConfig(kind=kind, labels=labels))


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    st.sampled_from(["disc", "gaussian"]),
    st.sampled_from([64, 112, 224, 240]),
    st.floats(0.5, 112) | st.integers(5, 300).map(lambda tenths: tenths / 10),
    st.integers(0, 9990),
)
@example("disc", 224, 0.5, 0)
@example("disc", 224, 112, 0)
@example("gaussian", 224, 0.5, 0)
@example("gaussian", 64, 112, 0)
@example("disc", 224, 2**0.5, 3)
@example("disc", 224, 7.5, 3)
def test_maps_of_any_width_are_as_defined(kind, size, width, first):
    scenes = scene_table(SceneConfig(domain=2, image_size=size))[first : first + 4]
    config = TargetConfig(kind=kind, labels="all", radius=width, sigma=width)
    _assert_as_defined(scenes, size, config)


@pytest.mark.parametrize(
    ("kind", "size", "width"),
    [
        # Whole numbers of working pixels, but not to the last bit: 2.8 * (240 / 224) < 3.
        ("disc", 240, 2.8),
        ("disc", 272, 42),
        ("disc", 544, 21),
        # Likewise 4 or 5 sigma, where a map may end.
        ("gaussian", 240, 5.6),
        ("gaussian", 272, 8.4),
        ("gaussian", 544, 21),
    ],
)
def test_maps_whose_reach_rounds_below_a_whole_number_are_as_defined(kind, size, width):
    scenes = _scenes(12, image_size=size)
    sides = scenes[:, 0, 2:] - scenes[:, 0, :2]
    assert (sides % 2 == 1).all(axis=1).any()  # a centre on a cell is the hard case
    _assert_as_defined(scenes, size, TargetConfig(kind=kind, radius=width, sigma=width))


def test_default_disc_on_a_cell_has_149_pixels():
    disc = _single([100, 50, 105, 57])
    assert np.unique(disc).tolist() == [0, 255]
    assert (disc == 255).sum() == 149


@pytest.mark.parametrize(
    ("rectangle", "expected"), [(ON_CELL, [(8, 8)]), (ON_CORNER, [(7, 7), (7, 8), (8, 7), (8, 8)])]
)
def test_smallest_discs_by_hand(rectangle, expected):
    # 0.72 px: more than the half diagonal of a cell, less than the distance of two cells.
    disc = _single(rectangle, radius=0.72)
    assert [tuple(cell) for cell in np.argwhere(disc)] == expected


def test_disc_on_a_corner_of_cells_counts_its_cells():
    cells = np.arange(-20, 20) + 0.5
    inside = (cells**2 + cells[:, None] ** 2 <= 49).sum()
    assert (_single([100, 50, 106, 56]) == 255).sum() == inside


@pytest.mark.parametrize("kind", ["disc", "gaussian"])
def test_blobs_shrink_with_the_picture(kind):
    # The same picture at half the size: a quarter of the light, to within the border's cells.
    large = _single([100, 40, 160, 120], 448, kind=kind).sum()
    small = _single([50, 20, 80, 60], 224, kind=kind).sum()
    assert small == pytest.approx(large / 4, rel=0.03)


def test_gaussian_peaks_at_255_on_a_cell():
    gaussian = _single([100, 50, 105, 57], kind="gaussian")
    assert gaussian.max() == 255
    assert [tuple(cell) for cell in np.argwhere(gaussian == 255)] == [(53, 102)]


@pytest.mark.parametrize("rectangle", [ON_CELL, ON_CORNER, [60, 100, 90, 131]])
def test_gaussian_falls_with_the_distance(rectangle):
    gaussian = _single(rectangle, kind="gaussian").astype(float)
    center_x, center_y = centers(np.array(rectangle))
    cells = np.arange(224) + 0.5
    distance = np.hypot(cells - center_x, (cells - center_y)[:, None])
    order = np.argsort(distance, axis=None)
    values, distances = gaussian.flat[order], distance.flat[order]
    expected = 255 * np.exp(-(distances**2) / 50)
    near = distances < 20  # 4 sigma
    # Equal distances may differ in the last bit.
    assert (np.diff(values[near]) <= 1e-6 * values[near][:-1]).all()
    np.testing.assert_allclose(values[near], expected[near], rtol=1e-5)
    # A map may end beyond, where it has less than 0.1 left.
    missing = (expected - values)[~near]
    assert (missing >= -1e-5 * expected[~near]).all()
    assert missing.max() < 0.1


@pytest.mark.parametrize(
    ("size", "rectangle"), [(224, [60, 100, 90, 131]), (112, [50, 50, 57, 58])]
)
@pytest.mark.parametrize("kind", ["disc", "gaussian"])
def test_centroid_is_the_centre_of_an_interior_rectangle(kind, size, rectangle):
    heatmap = _single(rectangle, size, kind=kind).astype(float)
    cells = np.arange(size) + 0.5
    centroid = [heatmap.sum(axis=0) @ cells, heatmap.sum(axis=1) @ cells] / heatmap.sum()
    np.testing.assert_allclose(centroid, centers(np.array(rectangle)), atol=1e-4)


@pytest.mark.parametrize("kind", ["disc", "gaussian"])
def test_blobs_at_the_border_are_cut_not_moved(kind):
    # What a larger picture shows of the same blob at the same place.
    whole = _single([32, 32, 36, 34], 448, kind=kind, radius=14, sigma=10)
    cut = _single([0, 0, 4, 2], 448, kind=kind, radius=14, sigma=10)
    np.testing.assert_allclose(cut[:90, :90], whole[32:122, 32:122], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["disc", "gaussian"])
def test_the_brighter_wins_where_blobs_overlap(kind):
    rectangles = np.array([[[100, 100, 121, 121], [108, 104, 119, 117]]], np.int32)
    both = _graph(rectangles, 224, TargetConfig(kind=kind, labels="all"))[0, ..., 0]
    first, second = (_single(rectangle, kind=kind) for rectangle in rectangles[0])
    # atol: what underflows to 0 in one may be a denormal in the other
    np.testing.assert_allclose(both, np.maximum(first, second / 2), rtol=1e-6, atol=1e-30)
    assert ((first > 0) & (second > 0)).any()


def test_levels_in_a_map_are_those_of_the_labels():
    rectangles = np.array(
        [[[10, 10, 60, 60], [100, 100, 140, 140], [10, 150, 40, 180], [180, 10, 200, 30]]], np.int32
    )
    heatmap = _graph(rectangles, 224, TargetConfig(labels="all"))[0, ..., 0]
    assert np.unique(heatmap).tolist() == [0, 63.75, 127.5, 191.25, 255]
    for (x, y), level in zip(centers(rectangles[0]), [255, 191.25, 127.5, 63.75], strict=True):
        assert heatmap[int(y), int(x)] == level
    ends = _graph(rectangles, 224, TargetConfig(labels="largest_and_smallest"))[0, ..., 0]
    assert np.unique(ends).tolist() == [0, 127.5, 255]
    assert ends[20, 190] == 127.5
    largest = _graph(rectangles, 224, TargetConfig())[0, ..., 0]
    np.testing.assert_array_equal(largest, np.where(heatmap == 255, 255, 0))


@pytest.mark.parametrize("kind", ["disc", "gaussian"])
def test_largest_and_smallest_of_one_rectangle_is_one_blob(kind):
    scenes = _scenes(3, image_size=64)
    both = _graph(scenes, 64, TargetConfig(kind=kind, labels="largest_and_smallest"))
    np.testing.assert_array_equal(both, _graph(scenes, 64, TargetConfig(kind=kind)))


@pytest.mark.parametrize("kind", ["disc", "gaussian"])
def test_inside_a_dataset_with_an_unknown_batch_size(kind):
    scenes = _scenes(7, domain=3, image_size=64)
    config = TargetConfig(kind=kind, labels="all")
    dataset = tf.data.Dataset.from_tensor_slices(scenes).batch(4)
    dataset = dataset.map(lambda batch: make_targets(batch, 64, config))
    assert dataset.element_spec == tf.TensorSpec([None, 64, 64, 1], tf.float32)
    maps = np.concatenate([batch.numpy() for batch in dataset])
    expected = heatmap_targets_numpy(scenes, 64, config)
    np.testing.assert_allclose(maps, expected, rtol=1e-5, atol=1e-5)
