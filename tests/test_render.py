"""Pictures of rectangles."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.scenes.render import render_graph, render_opencv
from pipelines.scenes.sampling import scene_table
from rectloc_tf.config import SceneConfig

SIZE = 16

OUTLINED = """
    ............
    .######.....
    .#....#.....
    .#..#######.
    .#..#.#...#.
    .######...#.
    ....#.....#.
    ....#######.
    ............
    ##..........
    ##..........
    ............
"""
FILLED = """
    ............
    .######.....
    .######.....
    .##########.
    .##########.
    .##########.
    ....#######.
    ....#######.
    ............
    ##..........
    ##..........
    ............
"""
DRAWN = np.array([[[1, 1, 7, 6], [4, 3, 11, 8], [0, 9, 2, 11]]], np.int32)


def _picture(text):
    return np.array([[255 * (c == "#") for c in line] for line in text.split()], np.uint8)


def _graph(rectangles, size=SIZE, solid=False):
    return render_graph(tf.constant(rectangles), size, solid).numpy()


def _oracle(rectangles, size, solid):
    images = np.zeros((len(rectangles), size, size, 1), np.uint8)
    for image, scene in zip(images, rectangles, strict=True):
        for x0, y0, x1, y1 in scene:
            for row in range(y0, y1):
                for column in range(x0, x1):
                    if solid or row in (y0, y1 - 1) or column in (x0, x1 - 1):
                        image[row, column] = 255
    return images


@st.composite
def batches(draw):
    """Rectangles [B, n, 4] of any sides from 1 pixel to the whole picture, borders included."""
    count, n = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    corner = st.integers(0, SIZE - 1)

    def rectangle():
        x0, y0 = draw(corner), draw(corner)
        return [x0, y0, draw(st.integers(x0 + 1, SIZE)), draw(st.integers(y0 + 1, SIZE))]

    return np.array([[rectangle() for _ in range(n)] for _ in range(count)], np.int32)


@pytest.mark.parametrize("solid", [False, True])
def test_thousand_scenes_equal_opencv(solid):
    rectangles = scene_table(SceneConfig(domain=3))[:1000]
    for part in np.split(rectangles, 4):
        drawn = _graph(part, 224, solid)
        np.testing.assert_array_equal(drawn, render_opencv(part, 224, solid))


@pytest.mark.parametrize("solid", [False, True])
@pytest.mark.parametrize(
    ("domain", "size"), [(1, 224), (2, 64), (5, 112), (20, 224), (20, 64), (3, 448)]
)
def test_other_domains_and_sizes_equal_opencv(domain, size, solid):
    rectangles = scene_table(SceneConfig(domain=domain, image_size=size))[500:540]
    drawn = _graph(rectangles, size, solid)
    np.testing.assert_array_equal(drawn, render_opencv(rectangles, size, solid))


@pytest.mark.parametrize("solid", [False, True])
@pytest.mark.parametrize("render", [_graph, render_opencv])
def test_shape_type_and_values(render, solid):
    rectangles = scene_table(SceneConfig(domain=3, image_size=64))[:5]
    images = render(rectangles, 64, solid)
    assert images.shape == (5, 64, 64, 1)
    assert images.dtype == np.uint8
    assert np.unique(images).tolist() == [0, 255]


@pytest.mark.parametrize(("solid", "text"), [(False, OUTLINED), (True, FILLED)])
@pytest.mark.parametrize("render", [_graph, render_opencv])
def test_picture_drawn_by_hand(render, solid, text):
    np.testing.assert_array_equal(render(DRAWN, 12, solid)[0, ..., 0], _picture(text))


@settings(deadline=None, max_examples=60, derandomize=True)
@given(batches(), st.booleans())
@example(np.array([[[0, 0, SIZE, SIZE]]], np.int32), False)
@example(np.array([[[0, 0, SIZE, SIZE], [1, 1, SIZE - 1, SIZE - 1]]], np.int32), False)  # nested
@example(np.array([[[3, 4, 9, 7], [3, 4, 9, 7]]], np.int32), False)  # identical
@example(np.array([[[3, 4, 9, 7], [9, 4, 12, 7]]], np.int32), False)  # side by side
@example(np.array([[[14, 14, 16, 16], [0, 14, 2, 16]]], np.int32), True)  # in corners
def test_every_pixel_is_as_defined(rectangles, solid):
    expected = _oracle(rectangles.tolist(), SIZE, solid)
    np.testing.assert_array_equal(_graph(rectangles, SIZE, solid), expected)
    np.testing.assert_array_equal(render_opencv(rectangles, SIZE, solid), expected)


def test_order_of_rectangles_does_not_matter():
    rectangles = scene_table(SceneConfig(domain=5, image_size=64))[:10]
    np.testing.assert_array_equal(_graph(rectangles, 64), _graph(rectangles[:, ::-1], 64))


def test_pictures_of_a_batch_are_independent():
    rectangles = scene_table(SceneConfig(domain=4, image_size=64))[:6]
    together = _graph(rectangles, 64)
    alone = np.concatenate([_graph(scene[None], 64) for scene in rectangles])
    np.testing.assert_array_equal(together, alone)


def test_inside_a_dataset_with_an_unknown_batch_size():
    rectangles = scene_table(SceneConfig(domain=3, image_size=64))[:7]
    dataset = tf.data.Dataset.from_tensor_slices(rectangles).batch(4)
    dataset = dataset.map(lambda batch: render_graph(batch, 64))
    assert dataset.element_spec == tf.TensorSpec([None, 64, 64, 1], tf.uint8)
    images = np.concatenate([batch.numpy() for batch in dataset])
    np.testing.assert_array_equal(images, render_opencv(rectangles, 64))


def test_static_shape_inside_a_function():
    rectangles = tf.constant(scene_table(SceneConfig(domain=3, image_size=64))[:7])
    concrete = tf.function(lambda x: render_graph(x, 64, True)).get_concrete_function(rectangles)
    assert concrete.structured_outputs.shape == [7, 64, 64, 1]
    expected = render_opencv(rectangles.numpy(), 64, True)
    np.testing.assert_array_equal(concrete(rectangles), expected)
