"""From heatmaps to points, whatever network made them."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rectloc_tf.heads.peaks import WINDOW, argmax_points, decode_peaks, refine_points

SIGMA, RADIUS = 5.0, 7.0  # of the default targets, in pixels of 224


def _blob(kind, point, shape=(224, 224), peak=255.0, scale=1.0):
    """A blob of the default width at any sub-pixel point (x, y), float32 [H, W]."""
    x, y = np.arange(shape[1]) + 0.5, np.arange(shape[0])[:, None] + 0.5
    d2 = (x - point[0]) ** 2 + (y - point[1]) ** 2
    if kind == "disc":
        blob = d2 <= (RADIUS * scale) ** 2
    else:
        blob = np.exp(-d2 / (2 * (SIGMA * scale) ** 2))
    return (peak * blob).astype(np.float32)


def _decode(*maps, **options):
    peaks = decode_peaks(tf.constant(np.stack(maps)), **options)
    return tuple(value.numpy() for value in peaks)


def _random_points(count, low, high, seed=0):
    return np.random.default_rng(seed).uniform(low, high, (count, 2))


def _gaps(points):
    """Distances of all pairs of points [..., P, 2]."""
    first, second = np.triu_indices(points.shape[-2], 1)
    return np.linalg.norm(points[..., first, :] - points[..., second, :], axis=-1)


def test_argmax_is_the_centre_of_the_brightest_cell():
    maps = np.zeros((3, 4, 6), np.float32)
    maps[0, 1, 5] = 3
    maps[1] = -5
    maps[1, 3, 0] = -1
    maps[2, 0, 2] = 255
    points, values = argmax_points(tf.constant(maps))
    np.testing.assert_array_equal(points, [[5.5, 1.5], [0.5, 3.5], [2.5, 0.5]])
    np.testing.assert_array_equal(values, [3, -1, 255])


def test_argmax_takes_the_first_of_equal_cells_in_reading_order():
    maps = np.zeros((2, 4, 6), np.float32)
    maps[0, 2, 1] = maps[0, 1, 4] = maps[0, 3, 0] = 7
    points, values = argmax_points(tf.constant(maps))
    np.testing.assert_array_equal(points, [[4.5, 1.5], [0.5, 0.5]])
    np.testing.assert_array_equal(values, [7, 0])


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.floats(25, 199), st.floats(25, 199), st.floats(20, 255))
def test_gaussian_away_from_the_border_within_a_twentieth_of_a_pixel(x, y, peak):
    points, values, _ = _decode(_blob("gaussian", (x, y), peak=peak))
    assert np.hypot(*(points[0, 0] - (x, y))) < 0.05
    assert 0.95 * peak < values[0, 0] <= peak * 1.0001


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.floats(25, 199), st.floats(25, 199), st.floats(20, 255))
def test_disc_away_from_the_border_within_a_fifth_of_a_pixel(x, y, peak):
    # A disc off the grid has no exact centre of mass: its edge is on or off.
    points, values, _ = _decode(_blob("disc", (x, y), peak=peak))
    assert np.hypot(*(points[0, 0] - (x, y))) < 0.2
    assert values[0, 0] == np.float32(peak)


@pytest.mark.parametrize(("kind", "bound"), [("gaussian", 0.15), ("disc", 0.15)])
@pytest.mark.parametrize("noise", [0, 5, 15])
def test_refinement_beats_the_argmax(kind, bound, noise):
    truth = _random_points(200, 30, 194)
    rng = np.random.default_rng(1)
    maps = np.stack([_blob(kind, point) for point in truth])
    maps += noise * rng.standard_normal(maps.shape, np.float32)
    refined, plain = (
        np.linalg.norm(_decode(*maps, refine=refine)[0][:, 0] - truth, axis=-1)
        for refine in (True, False)
    )
    assert np.median(refined) < bound
    assert np.median(refined) < 0.25 * np.median(plain)
    assert refined.max() < plain.max()


@pytest.mark.parametrize("size", [64, 112, 448])
@pytest.mark.parametrize("kind", ["gaussian", "disc"])
def test_windows_follow_the_size_of_the_map(kind, size):
    scale = size / 224
    truth = _random_points(50, 30, 194) * scale
    maps = [_blob(kind, point, (size, size), scale=scale) for point in truth]
    points = _decode(*maps)[0][:, 0]
    errors = np.linalg.norm(points - truth, axis=-1)
    # Working pixels: a small disc off the grid is coarse, but no worse than its cells.
    assert np.median(errors) < 0.2
    assert errors.max() < 0.5


def test_blobs_are_found_in_the_order_of_their_brightness():
    points = [(40.3, 50.2), (180.6, 40.1), (60.0, 170.7), (150.4, 150.9)]
    levels = [127.5, 255, 63.75, 191.25]
    for kind in ("gaussian", "disc"):
        heatmap = np.max(
            [_blob(kind, p, peak=level) for p, level in zip(points, levels, strict=True)], axis=0
        )
        found, values, valid = _decode(heatmap, max_peaks=4, threshold=20.0)
        order = np.argsort(levels)[::-1]
        np.testing.assert_allclose(found[0], np.array(points)[order], atol=0.2)
        np.testing.assert_allclose(values[0], np.sort(levels)[::-1], rtol=0.03)
        assert valid.tolist() == [[True] * 4]


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.permutations([255.0, 180.0, 120.0, 60.0]), st.integers(0, 1000))
def test_blobs_on_a_jittered_grid_are_all_found(levels, seed):
    grid = np.array([[35, 35], [95, 35], [35, 80], [95, 80]]) + _random_points(4, -8, 8, seed)
    maps = [
        _blob("gaussian", p, (112, 128), peak=level) for p, level in zip(grid, levels, strict=True)
    ]
    # The windows of a map this size are half as wide as those of 224.
    found, values, _ = _decode(np.max(maps, axis=0), max_peaks=4, min_distance=21 / 128)
    order = np.argsort(levels)[::-1]
    np.testing.assert_allclose(found[0], grid[order], atol=0.1)
    assert (np.diff(values[0]) < 0).all()


def test_threshold_decides_which_peaks_are_valid():
    heatmap = np.zeros((1, 64, 64), np.float32)
    heatmap[0, 10, 10], heatmap[0, 10, 50], heatmap[0, 50, 10] = 200, 100, 99
    options = {"max_peaks": 4, "refine": False}
    values, valid = _decode(*heatmap, threshold=100.0, **options)[1:]
    assert values.tolist() == [[200, 100, 99, 0]]
    assert valid.tolist() == [[True, True, False, False]]
    assert _decode(*heatmap, threshold=0.0, **options)[2].tolist() == [[True] * 4]


@pytest.mark.parametrize("level", [-10.0, 0.0, 5.0])
def test_the_first_peak_is_always_valid(level):
    valid = _decode(np.full((16, 16), level, np.float32), max_peaks=3, threshold=100.0)[2]
    assert valid.tolist() == [[True, False, False]]


@pytest.mark.parametrize("level", [-50.0, 0.0, 255.0, 1e30])
@pytest.mark.parametrize("refine", [False, True])
def test_constant_maps_stay_finite(level, refine):
    constant = np.full((48, 64), level, np.float32)
    points, values, _ = _decode(constant, max_peaks=3, refine=refine)
    assert np.isfinite(points).all()
    assert np.isfinite(values).all()
    assert (points >= 0).all()
    assert (points <= (64, 48)).all()
    assert values[0, 0] == np.float32(level)


@pytest.mark.parametrize("level", [-50.0, 0.0])
def test_a_map_without_light_keeps_its_first_cell(level):
    points = _decode(np.full((48, 64), level, np.float32))[0]
    assert points.tolist() == [[[0.5, 0.5]]]


def test_a_peak_without_light_is_not_drawn_to_the_light_beside_it():
    heatmap = np.zeros((224, 224), np.float32)
    heatmap[5, 5] = 255
    points, values, _ = _decode(heatmap, max_peaks=2, min_distance=3 / 224)
    assert points.tolist() == [[[5.5, 5.5], [0.5, 0.5]]]
    assert values.tolist() == [[255, 0]]


def test_more_peaks_than_places_stay_finite_and_are_not_valid():
    heatmap = np.random.default_rng(0).uniform(1, 255, (64, 64)).astype(np.float32)
    points, values, valid = _decode(heatmap, max_peaks=5, min_distance=2.0)
    assert np.isfinite(points).all()
    assert np.isfinite(values).all()
    assert valid.tolist() == [[True, False, False, False, False]]


@pytest.mark.parametrize("min_distance", [0.05, 2 * WINDOW, 0.3])
def test_cells_keep_their_distance(min_distance):
    maps = np.random.default_rng(0).uniform(0, 255, (50, 60, 80)).astype(np.float32)
    points, values, valid = _decode(*maps, max_peaks=5, min_distance=min_distance, refine=False)
    assert valid.all()
    assert _gaps(points).min() >= min_distance * 80
    assert (np.diff(values, axis=1) <= 0).all()


def test_suppression_reaches_no_further_than_the_distance():
    heatmap = np.zeros((100, 100), np.float32)
    heatmap[50, 50], heatmap[50, 59], heatmap[50, 40] = 255, 200, 100
    points = _decode(heatmap, max_peaks=2, min_distance=0.1, refine=False)[0]
    # 9 cells away is too near, 10 cells away is not.
    assert points.tolist() == [[[50.5, 50.5], [40.5, 50.5]]]


def test_a_blob_wider_than_the_window_is_one_peak():
    # Its flanks lie beyond the least distance, but are no local maxima.
    wide = _blob("gaussian", (112, 112), scale=4)
    points, values, valid = _decode(wide, max_peaks=4)
    assert valid.tolist() == [[True, False, False, False]]
    # To a cell only: the window sees but the summit of so wide a blob.
    np.testing.assert_allclose(points[0, 0], (112, 112), atol=0.5)
    assert values[0, 0] > 250


@pytest.mark.parametrize("shape", [(64, 160), (160, 64)])
@pytest.mark.parametrize("channel", [False, True])
def test_maps_that_are_not_square(shape, channel):
    height, width = shape
    truth = [(0.25 * width, 0.75 * height), (0.7 * width, 0.3 * height)]
    levels = (255, 128)
    blobs = [_blob("gaussian", p, shape, q, 0.5) for p, q in zip(truth, levels, strict=True)]
    maps = np.stack([np.maximum(*blobs), np.maximum(*blobs)[::-1]])
    if channel:
        maps = maps[..., None]
    # Windows are shares of both sides, distances of the width: wide enough for either shape.
    points = _decode(*maps, max_peaks=2, min_distance=20 / width)[0]
    assert points.shape == (2, 2, 2)
    np.testing.assert_allclose(points[0], truth, atol=0.1)
    flipped = [(x, height - y) for x, y in truth]
    np.testing.assert_allclose(points[1], flipped, atol=0.1)


@pytest.mark.parametrize("kind", ["gaussian", "disc"])
@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_peaks_in_corners_stay_near_them_and_inside(kind, corner):
    truth = np.array(corner) * 223 + 0.5
    points = _decode(_blob(kind, truth))[0][0, 0]
    # Half a blob is missing, so the centre of mass is off by a few pixels, inwards.
    assert ((points > 0) & (points < 224)).all()
    assert np.abs(points - truth).max() < RADIUS


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_corner_cells_can_be_the_brightest(corner):
    truth = np.array(corner) * (159, 63) + 0.5
    points = _decode(_blob("gaussian", truth, (64, 160)), refine=False)[0]
    np.testing.assert_array_equal(points, [[truth]])


@pytest.mark.parametrize("transform", ["flip", "transpose"])
def test_decoding_commutes_with_the_symmetries_of_a_picture(transform):
    maps = np.stack([_blob("gaussian", p) for p in _random_points(20, 5, 219, 3)])
    points = _decode(*maps)[0][:, 0]
    if transform == "flip":
        moved, expected = maps[:, :, ::-1], points * (-1, 1) + (224, 0)
    else:
        moved, expected = maps.transpose(0, 2, 1), points[:, ::-1]
    np.testing.assert_allclose(_decode(*moved)[0][:, 0], expected, atol=1e-3)


def test_maps_of_a_batch_are_independent():
    maps = [_blob("gaussian", p, peak=q) for p, q in [((50, 60), 9), ((150, 30), 255)]]
    together = _decode(*maps, np.zeros((224, 224), np.float32), max_peaks=2)
    for number, alone in enumerate([_decode(m, max_peaks=2) for m in maps]):
        for batch, single in zip(together, alone, strict=True):
            np.testing.assert_allclose(batch[number], single[0], rtol=1e-5)


def test_refining_leaves_other_blobs_out():
    # The second blob, brighter and outside the window, must not pull.
    heatmap = np.maximum(_blob("disc", (60, 60), peak=100), _blob("disc", (90, 60)))
    point = refine_points(
        tf.constant(heatmap[None]), tf.constant([[57.5, 62.5]]), tf.constant([100.0])
    )
    np.testing.assert_allclose(point, [[60, 60]], atol=1e-3)


@pytest.mark.parametrize(
    ("step", "moved"), [((0, 9), (0, 4.5)), ((0, 10), (0, 0)), ((2, 0), (0, 0))]
)
def test_the_window_is_a_share_of_each_side(step, moved):
    # 200 rows by 40 columns: the window reaches 9.4 rows and 1.9 columns.
    heatmap = np.zeros((1, 200, 40), np.float32)
    heatmap[0, 100, 20] = heatmap[0, 100 + step[1], 20 + step[0]] = 255
    point = refine_points(tf.constant(heatmap), tf.constant([[20.5, 100.5]]), tf.constant([255.0]))
    np.testing.assert_allclose(point, [np.add((20.5, 100.5), moved)], atol=1e-3)


def test_in_a_graph_with_an_unknown_batch_size():
    spec = tf.TensorSpec([None, 224, 224, 1], tf.float32)
    decode = tf.function(lambda maps: decode_peaks(maps, 2), input_signature=[spec])
    truth = _random_points(3, 40, 180)
    maps = np.stack([_blob("gaussian", point) for point in truth])[..., None]
    peaks = decode(tf.constant(maps))
    assert decode.get_concrete_function().structured_outputs.points.shape.as_list() == [None, 2, 2]
    np.testing.assert_allclose(peaks.points[:, 0], truth, atol=0.05)
