"""The heatmap head: its targets, its geometry, its losses and its answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.scenes.sampling import scene_table
from rectloc_tf.config import LABELS, HeadConfig, Keypoints, SceneConfig
from rectloc_tf.geometry import centers
from rectloc_tf.heads.deconv import COARSE_SIZE, MIN_DISTANCE, brightnesses, deconv_geometry
from rectloc_tf.models import make_head
from rectloc_tf.registry import NAMED, RANKED, UNORDERED
from rectloc_tf.results.metrics import r2_scores
from tests.oracles import heatmap_targets_numpy, undecided_cells

# Centred on a cell, (8.5, 8.5), and on a corner of cells, (8, 8).
ON_CELL, ON_CORNER = [6, 7, 11, 10], [5, 6, 11, 10]
KINDS = [RANKED, NAMED, UNORDERED]


def make(size=224, kind=RANKED, number=1, **config):
    """The head for `number` points."""
    names = ("point",) if kind == UNORDERED else tuple(f"point_{n}" for n in range(number))
    return make_head(HeadConfig(arch="deconv", **config), size, Keypoints(names, kind, number))


def scene_points(count, first=0, **scene):
    """The labelled points of scenes [count, N, 2], and what they are."""
    config = SceneConfig(**scene)
    points = centers(scene_table(config)[first : first + count].astype(np.float32))
    return points[:, list(config.ranks)], config.scene_keypoints


def graph(head, points, present=None):
    """The targets' maps [B, S, S, M]."""
    points = np.asarray(points, np.float32)
    present = np.ones(points.shape[:2], bool) if present is None else present
    return head.targets(tf.constant(points), tf.constant(present))["values"].numpy()


def assert_as_defined(head, points, present=None, undecided=False):
    """Compares with the definition; `undecided` leaves out what rounding may decide."""
    points = np.asarray(points, np.float32)
    present = np.ones(points.shape[:2], bool) if present is None else present
    size, kind = head.image_size, head.keypoints.kind
    drawn = graph(head, points, present)
    defined = heatmap_targets_numpy(points, present, size, head.config, kind)
    maps = points.shape[1] if kind == NAMED else 1
    assert drawn.shape == defined.shape == (len(points), size, size, maps)
    assert drawn.dtype == defined.dtype == np.float32
    if undecided:
        left_out = undecided_cells(points, size, head.config)[..., None]
        drawn, defined = (np.where(left_out, 0, values) for values in (drawn, defined))
    if head.config.target == "disc":
        np.testing.assert_array_equal(drawn, defined)
    else:
        np.testing.assert_allclose(drawn, defined, rtol=1e-5, atol=1e-5)


def single(rectangle, size=224, **config):
    """The map [S, S] of one rectangle's centre, which is checked to be as defined."""
    points = centers(np.array([[rectangle]], np.float32))
    head = make(size, **config)
    assert_as_defined(head, points)
    return graph(head, points)[0, ..., 0]


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [255]), (2, [255, 127.5]), (5, [255, 204, 153, 102, 51])]
)
def test_brightness_falls_in_equal_steps(count, expected):
    levels = brightnesses(count)
    assert levels.dtype == np.float32
    np.testing.assert_array_equal(levels, np.float32(expected))


@pytest.mark.parametrize("target", ["disc", "gaussian"])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("size", [64, 112, 224])
def test_maps_are_as_defined(target, labels, size):
    points, keypoints = scene_points(8, domain=4, image_size=size, labels=labels)
    assert_as_defined(make(size, keypoints.kind, keypoints.num_points, target=target), points)


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
def test_maps_of_any_width_are_as_defined(target, size, width, first):
    points, _ = scene_points(4, first, domain=2, image_size=size, labels="all")
    assert_as_defined(make(size, number=2, target=target, radius=width, sigma=width), points)


@pytest.mark.parametrize(
    ("target", "size", "width"),
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
def test_maps_whose_reach_rounds_below_a_whole_number_are_as_defined(target, size, width):
    points, _ = scene_points(12, image_size=size)
    on_a_cell = points[:, 0] % 1 == 0.5
    assert on_a_cell.all(axis=1).any()  # a centre on a cell is the hard case
    assert_as_defined(make(size, target=target, radius=width, sigma=width), points)


@st.composite
def labelled_points(draw):
    """A kind, and points [B, N, 2] anywhere within 1.5 sizes, some absent: B, N = 2, 3."""
    kind, size = draw(st.sampled_from(KINDS)), draw(st.sampled_from([64, 80]))
    places = st.floats(-0.25 * size, 1.25 * size, width=32)
    points = draw(st.lists(places, min_size=12, max_size=12))
    present = draw(st.lists(st.booleans(), min_size=6, max_size=6))
    return kind, size, np.reshape(np.float32(points), (2, 3, 2)), np.reshape(present, (2, 3))


@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.sampled_from(["disc", "gaussian"]), st.floats(0.5, 80), labelled_points())
@example("disc", 7.0, (RANKED, 64, np.full((2, 3, 2), -1e6, np.float32), np.eye(2, 3) > 0))
@example("gaussian", 5.0, (NAMED, 64, np.full((2, 3, 2), 1e6, np.float32), np.eye(2, 3) > 0))
@example("disc", 7.0, (NAMED, 64, np.full((2, 3, 2), 64, np.float32), np.eye(2, 3) < 1))
def test_points_anywhere_are_as_defined(target, width, labelled):
    kind, size, points, present = labelled
    head = make(size, kind, 3, target=target, radius=width, sigma=width)
    assert_as_defined(head, points, present, undecided=True)


@pytest.mark.parametrize("target", ["disc", "gaussian"])
def test_a_point_that_is_not_present_is_not_painted(target):
    points = np.array([[[20.3, 30.1], [50.7, 12.2], [40.1, 50.5]]] * 2, np.float32)
    present = np.array([[True, False, True], [False, False, False]])
    for kind in KINDS:
        head = make(64, kind, 3, target=target)
        painted = graph(head, points, present)
        assert painted[0, 12, 50].max() == 0
        assert painted[0, 30, 20].max() > 0
        assert painted[0, 50, 40].max() > 0
        assert not painted[1].any()
        # Where an absent point is said to be does not matter.
        elsewhere = np.where(present[..., None], points, -77.7)
        np.testing.assert_array_equal(graph(head, elsewhere, present), painted)


def test_what_there_is_to_learn():
    points = tf.zeros([2, 3, 2])
    present = tf.constant([[True, False, True], [False, False, False]])
    masks = {kind: make(64, kind, 3).targets(points, present)["mask"] for kind in KINDS}
    assert {mask.dtype for mask in masks.values()} == {tf.float32}
    np.testing.assert_array_equal(masks[NAMED], [[1, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(masks[RANKED], [[1], [0]])
    np.testing.assert_array_equal(masks[UNORDERED], [[1], [0]])


@pytest.mark.parametrize("target", ["disc", "gaussian"])
def test_named_keypoints_have_a_map_each_and_all_are_equally_bright(target):
    points = np.array([[[20.5, 30.5], [21.5, 30.5], [40.5, 50.5]]], np.float32)
    maps = graph(make(64, NAMED, 3, target=target), points)
    assert maps.shape == (1, 64, 64, 3)
    for n in range(3):
        alone = graph(make(64, target=target), points[:, n : n + 1])
        np.testing.assert_array_equal(maps[..., n], alone[..., 0])
        assert maps[..., n].max() == 255


@pytest.mark.parametrize("target", ["disc", "gaussian"])
def test_points_of_one_class_share_a_map_in_which_all_are_equally_bright(target):
    points = np.array([[[20.5, 30.5], [22.5, 30.5], [40.5, 50.5]]], np.float32)
    together = graph(make(64, UNORDERED, 3, target=target), points)
    each = graph(make(64, NAMED, 3, target=target), points)
    np.testing.assert_array_equal(together[..., 0], each.max(axis=-1))
    assert [together[0, y, x, 0] for x, y in points[0].astype(int)] == [255] * 3
    np.testing.assert_array_equal(
        together, graph(make(64, UNORDERED, 3, target=target), points[:, ::-1])
    )


def test_default_disc_on_a_cell_has_149_pixels():
    disc = single([100, 50, 105, 57])
    assert np.unique(disc).tolist() == [0, 255]
    assert (disc == 255).sum() == 149


@pytest.mark.parametrize(
    ("rectangle", "expected"), [(ON_CELL, [(8, 8)]), (ON_CORNER, [(7, 7), (7, 8), (8, 7), (8, 8)])]
)
def test_smallest_discs_by_hand(rectangle, expected):
    # 0.72 px: more than the half diagonal of a cell, less than the distance of two cells.
    disc = single(rectangle, radius=0.72)
    assert [tuple(cell) for cell in np.argwhere(disc)] == expected


def test_disc_on_a_corner_of_cells_counts_its_cells():
    cells = np.arange(-20, 20) + 0.5
    inside = (cells**2 + cells[:, None] ** 2 <= 49).sum()
    assert (single([100, 50, 106, 56]) == 255).sum() == inside


@pytest.mark.parametrize("target", ["disc", "gaussian"])
def test_blobs_shrink_with_the_picture(target):
    # The same picture at half the size: a quarter of the light, to within the border's cells.
    large = single([100, 40, 160, 120], 448, target=target).sum()
    small = single([50, 20, 80, 60], 224, target=target).sum()
    assert small == pytest.approx(large / 4, rel=0.03)


def test_gaussian_peaks_at_255_on_a_cell():
    gaussian = single([100, 50, 105, 57], target="gaussian")
    assert gaussian.max() == 255
    assert [tuple(cell) for cell in np.argwhere(gaussian == 255)] == [(53, 102)]


@pytest.mark.parametrize("rectangle", [ON_CELL, ON_CORNER, [60, 100, 90, 131]])
def test_gaussian_falls_with_the_distance(rectangle):
    gaussian = single(rectangle, target="gaussian").astype(float)
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
@pytest.mark.parametrize("target", ["disc", "gaussian"])
def test_centroid_is_the_centre_of_an_interior_rectangle(target, size, rectangle):
    heatmap = single(rectangle, size, target=target).astype(float)
    cells = np.arange(size) + 0.5
    centroid = [heatmap.sum(axis=0) @ cells, heatmap.sum(axis=1) @ cells] / heatmap.sum()
    np.testing.assert_allclose(centroid, centers(np.array(rectangle)), atol=1e-4)


@pytest.mark.parametrize("target", ["disc", "gaussian"])
def test_blobs_at_the_border_are_cut_not_moved(target):
    # What a larger picture shows of the same blob at the same place.
    whole = single([32, 32, 36, 34], 448, target=target, radius=14, sigma=10)
    cut = single([0, 0, 4, 2], 448, target=target, radius=14, sigma=10)
    np.testing.assert_allclose(cut[:90, :90], whole[32:122, 32:122], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", ["disc", "gaussian"])
def test_the_brighter_wins_where_blobs_overlap(target):
    rectangles = np.array([[[100, 100, 121, 121], [108, 104, 119, 117]]], np.int32)
    both = graph(make(number=2, target=target), centers(rectangles))[0, ..., 0]
    first, second = (single(rectangle, target=target) for rectangle in rectangles[0])
    # atol: what underflows to 0 in one may be a denormal in the other
    np.testing.assert_allclose(both, np.maximum(first, second / 2), rtol=1e-6, atol=1e-30)
    assert ((first > 0) & (second > 0)).any()


def test_levels_in_a_map_are_those_of_the_labels():
    rectangles = [[10, 10, 60, 60], [100, 100, 140, 140], [10, 150, 40, 180], [180, 10, 200, 30]]
    points = centers(np.array([rectangles], np.float32))
    heatmap = graph(make(number=4), points)[0, ..., 0]
    assert np.unique(heatmap).tolist() == [0, 63.75, 127.5, 191.25, 255]
    for (x, y), level in zip(points[0], [255, 191.25, 127.5, 63.75], strict=True):
        assert heatmap[int(y), int(x)] == level
    ends = graph(make(number=2), points[:, [0, 3]])[0, ..., 0]
    assert np.unique(ends).tolist() == [0, 127.5, 255]
    assert ends[20, 190] == 127.5
    largest = graph(make(), points[:, :1])[0, ..., 0]
    np.testing.assert_array_equal(largest, np.where(heatmap == 255, 255, 0))


@pytest.mark.parametrize("target", ["disc", "gaussian"])
def test_largest_and_smallest_of_one_rectangle_is_one_blob(target):
    points, keypoints = scene_points(3, image_size=64, labels="largest_and_smallest")
    assert keypoints.num_points == 2
    both = graph(make(64, number=2, target=target), points)
    np.testing.assert_array_equal(both, graph(make(64, target=target), points[:, :1]))


@pytest.mark.parametrize("target", ["disc", "gaussian"])
def test_inside_a_dataset_with_an_unknown_batch_size(target):
    points, _ = scene_points(7, domain=3, image_size=64, labels="all")
    head, present = make(64, number=3, target=target), np.ones((7, 3), bool)
    dataset = tf.data.Dataset.from_tensor_slices((points, present)).batch(4)
    dataset = dataset.map(lambda *batch: head.targets(*batch)["values"])
    assert dataset.element_spec == tf.TensorSpec([None, 64, 64, 1], tf.float32)
    maps = np.concatenate([batch.numpy() for batch in dataset])
    expected = heatmap_targets_numpy(points, present, 64, head.config)
    np.testing.assert_allclose(maps, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", range(64, 1025, 16))
def test_deconv_geometry_hits_every_size_without_holes(size):
    stride, kernel = deconv_geometry(size)
    assert (COARSE_SIZE - 1) * stride + kernel == size
    assert kernel >= stride >= 1


def test_deconv_geometry_of_the_original():
    assert deconv_geometry(224) == (4, 28)
    assert deconv_geometry(112) == (2, 14)


def layers_of(head):
    """The head's own layers, behind small feature maps."""
    features = {"P5": keras.Input((2, 2, 3), name="P5")}
    return keras.Model(features, head.outputs(features, "float32"))


@pytest.mark.parametrize("size", [64, 112, 160])
def test_a_coarse_cell_paints_its_own_square_and_nothing_else(size):
    head = layers_of(make(size)).get_layer("heatmap")
    stride, kernel = deconv_geometry(size)
    weights = np.arange(1, kernel**2 + 1, dtype=np.float32).reshape(kernel, kernel, 1, 1)
    head.kernel.assign(weights)
    head.bias.assign([0])
    cells = [(0, 0), (49, 49), (7, 31), (49, 0)]
    coarse = np.zeros((len(cells), COARSE_SIZE, COARSE_SIZE, 1), np.float32)
    for map_, cell in zip(coarse, cells, strict=True):
        map_[cell] = 2
    painted = head(coarse).numpy()
    assert painted.shape == (len(cells), size, size, 1)
    for map_, (i, j) in zip(painted, cells, strict=True):
        expected = np.zeros((size, size), np.float32)
        square = slice(i * stride, i * stride + kernel), slice(j * stride, j * stride + kernel)
        expected[square] = 2 * weights[..., 0, 0]
        np.testing.assert_array_equal(map_[..., 0], expected)
    assert (head(np.ones_like(coarse[:1])).numpy() > 0).all()


@pytest.mark.parametrize(("kind", "maps"), [(RANKED, 1), (NAMED, 3), (UNORDERED, 1)])
def test_layers_paint_as_many_maps_as_there_are_targets(kind, maps):
    head = make(80, kind, 3)
    model = layers_of(head)
    assert model.output_shape == (None, 80, 80, maps)
    assert model.get_layer("coarse").units == 2500 * maps
    targets = head.targets(tf.zeros([1, 3, 2]), tf.ones([1, 3], tf.bool))
    assert targets["values"].shape == (1, 80, 80, maps)


def test_losses_are_the_mean_of_each_map():
    head = make(64, NAMED, 3)
    rng = np.random.default_rng(0)
    outputs, values = (rng.uniform(0, 255, (2, 64, 64, 3)).astype(np.float32) for _ in range(2))
    mask = np.array([[1, 0, 1], [1, 1, 1]], np.float32)
    targets = {"values": tf.constant(values), "mask": tf.constant(mask)}
    expected = ((outputs - values).astype(float) ** 2).mean(axis=(1, 2)) * mask
    np.testing.assert_allclose(head.losses(tf.constant(outputs), targets), expected, rtol=1e-5)
    empty = (values.astype(float) ** 2).mean(axis=(1, 2)) * mask
    np.testing.assert_allclose(head.empty_losses(targets), empty, rtol=1e-5)
    loss = [(expected[0, 0] + expected[0, 2]) / 2, expected[1].mean()]
    np.testing.assert_allclose(head.loss(tf.constant(outputs), targets), loss, rtol=1e-5)


@pytest.mark.parametrize("kind", [RANKED, UNORDERED])
def test_statistics_equal_numpy(kind):
    head = make(64, kind)
    rng = np.random.default_rng(0)
    outputs, targets = (rng.uniform(0, 224, (3, 64, 64, 1)).astype(np.float32) for _ in range(2))
    result = head.statistics(tf.constant(outputs), {"values": tf.constant(targets)})
    expected = {"errors": (outputs - targets) ** 2, "sums": targets, "squares": targets**2}
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        value = value.astype(float).sum(axis=(1, 2))
        assert result[name].dtype == tf.float32
        assert result[name].shape == value.shape == (3, 1)
        np.testing.assert_allclose(result[name], value, rtol=1e-5)
    assert head.num_values == 64 * 64


def test_statistics_of_a_full_size_map_keep_enough_digits():
    # R^2 subtracts sums of 50,176 float32 values from each other.
    rng = np.random.default_rng(0)
    targets = rng.uniform(0, 255, (2, 224, 224, 1)).astype("float32")
    outputs = targets + rng.normal(0, 5, targets.shape).astype("float32")
    head = make(224)
    result = head.statistics(tf.constant(outputs), {"values": tf.constant(targets)})
    columns = [result[name].numpy().astype(float) for name in ("errors", "sums", "squares")]
    score = r2_scores(*columns, head.num_values)
    difference = outputs.astype(float) - targets
    spread = targets.astype(float) - targets.astype(float).mean()
    np.testing.assert_allclose(1 - score, (difference**2).sum() / (spread**2).sum(), rtol=1e-4)


def test_maps_of_another_shape_are_refused():
    targets = {"values": tf.zeros([4, 64, 64, 1]), "mask": tf.ones([4, 1])}
    for shape in ([4, 64, 32, 1], [4, 32, 64, 1], [1, 64, 64, 1]):
        with pytest.raises(ValueError, match="differ in shape"):
            make(64).losses(tf.zeros(shape), targets)


def test_named_maps_have_no_statistics():
    zeros = tf.zeros([2, 64, 64, 3])
    assert make(64, NAMED, 3).statistics(zeros, {"values": zeros}) is None


@pytest.mark.parametrize("target", ["disc", "gaussian"])
@pytest.mark.parametrize("size", [64, 112, 224])
def test_targets_decode_to_the_centres_they_were_made_from(target, size):
    truth, _ = scene_points(100, image_size=size)
    head = make(size, target=target)
    points, confidence = head.decode(tf.constant(graph(head, truth)))
    assert points.shape == (100, 1, 2)
    truth, points = truth[:, 0] * 224 / size, points[:, 0].numpy() * 224 / size
    inside = (np.abs(truth - 112) < 112 - 12).all(axis=-1)
    assert inside.sum() > 50
    # Blobs centred on cells or between them are symmetric about their centre.
    errors = np.linalg.norm(points - truth, axis=-1)[inside]
    assert errors.max() < 0.02
    assert confidence.shape == (100, 1)
    assert confidence.numpy().min() > 0.8
    assert confidence.numpy().max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_in_working_pixels_with_a_clipped_confidence(kind):
    maps = np.zeros((4, 64, 64, 1), np.float32)
    for heatmap, level in zip(maps, (51, 255, 400, -3), strict=True):
        heatmap[...] = min(level, 0)
        heatmap[19:22, 39:42] = level
    points, confidence = make(64, kind).decode(tf.constant(maps))
    np.testing.assert_allclose(points[:3], [[[40.5, 20.5]]] * 3, rtol=1e-6)
    np.testing.assert_allclose(confidence, [[0.2], [1], [1], [0]], rtol=1e-6)


def squares(levels, kind):
    """A batch of one with squares of some brightness, and their centres, in the order given."""
    places = [(10, 10), (40, 12), (30, 50), (10, 40)][: len(levels)]
    maps = np.zeros((1, 64, 64, len(levels) if kind == NAMED else 1), np.float32)
    for n, ((x, y), level) in enumerate(zip(places, levels, strict=True)):
        maps[0, y - 1 : y + 2, x - 1 : x + 2, n if kind == NAMED else 0] = level
    return tf.constant(maps), np.array(places) + 0.5


def test_ranked_points_are_answered_by_falling_brightness():
    maps, places = squares([60, 255, 150], RANKED)
    points, confidence = make(64, RANKED, 3).decode(maps)
    np.testing.assert_allclose(points[0], places[[1, 2, 0]], atol=1e-4)
    # Each as a share of the brightness that its rank should have: 255, 170, 85.
    np.testing.assert_allclose(confidence[0], [1, 150 / 170, 60 / 85], rtol=1e-6)


def test_named_keypoints_are_answered_from_their_own_maps():
    maps, places = squares([60, 255, 150], NAMED)
    points, confidence = make(64, NAMED, 3).decode(maps)
    np.testing.assert_allclose(points[0], places, atol=1e-4)
    np.testing.assert_allclose(confidence[0], np.array([60, 255, 150]) / 255, rtol=1e-6)


@pytest.mark.parametrize("kind", [RANKED, UNORDERED])
def test_detections_are_all_blobs_brightest_first(kind):
    maps, places = squares([60, 255, 150, 200], kind)
    peaks = make(64, kind, 4).detections(maps, 6)
    assert peaks.points.shape == (1, 6, 2)
    np.testing.assert_allclose(peaks.points[0, :4], places[[1, 3, 2, 0]], atol=1e-4)
    np.testing.assert_array_equal(peaks.values[0], [255, 200, 150, 60, 0, 0])


def test_named_maps_have_no_detections():
    assert make(64, NAMED, 3).detections(tf.zeros([1, 64, 64, 3]), 5) is None


def test_points_of_one_class_may_be_nearer_to_each_other_than_ranked_ones():
    apart = MIN_DISTANCE + 4  # beyond the windows of one class, within those of ranks
    maps = np.zeros((1, 224, 224, 1), np.float32)
    maps[0, 99:102, 99:102] = 255
    maps[0, 99:102, 99 + int(apart) : 102 + int(apart)] = 200
    near = [100.5 + apart, 100.5]
    found = make(224, UNORDERED, 2).detections(tf.constant(maps), 2)
    np.testing.assert_allclose(found.points[0], [[100.5, 100.5], near], atol=1e-4)
    ranked = make(224, RANKED, 2).detections(tf.constant(maps), 2)
    assert np.linalg.norm(ranked.points[0, 1] - near) > 10


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_show_the_outputs(kind):
    outputs = tf.random.stateless_uniform([2, 64, 64, 3 if kind == NAMED else 1], [1, 2])
    np.testing.assert_array_equal(make(64, kind, 3).maps(outputs), outputs)
