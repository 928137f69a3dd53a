"""Resampling as two matrix products, against TensorFlow's own resize."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.resampling import Affine, resample, stretch, triangle_weights


def noise(height, width, channels, count=2):
    shape = (count, height, width, channels)
    return np.random.default_rng(height * width).integers(0, 256, shape, np.uint8)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 90), st.sampled_from([1, 3]))
def test_a_stretch_is_the_antialiased_resize(height, width, size, channels):
    images = tf.constant(noise(height, width, channels))
    resized = tf.image.resize(images, [size, size], antialias=True)
    ours = resample(images, size, stretch(height, width, size))
    assert ours.dtype == tf.float32
    np.testing.assert_allclose(ours, resized, atol=0.01)  # grey levels of 255


def test_one_graph_takes_images_of_any_size():
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    def resize(images):
        height, width = tf.unstack(tf.shape(images)[1:3])
        return resample(images, 48, stretch(height, width, 48))

    for height, width, count in ((48, 48, 2), (31, 77, 1), (640, 201, 3), (5, 9, 0)):
        images = noise(height, width, 3, count)
        resized = tf.image.resize(images, [48, 48], antialias=True) if count else resize(images)
        np.testing.assert_allclose(resize(images), resized, atol=0.01)
        assert resize(images).shape == (count, 48, 48, 3)


def test_plain_ops_only():
    """No op that converters or GPUs lack (ScaleAndTranslate is what tf.image.resize makes)."""
    signature = tf.TensorSpec([None, None, None, 3], tf.uint8)

    @tf.function(input_signature=[signature])
    def resize(images):
        height, width = tf.unstack(tf.shape(images)[1:3])
        return resample(images, 48, stretch(height, width, 48))

    used = {op.type for op in resize.get_concrete_function().graph.get_operations()}
    assert "BatchMatMulV2" in used
    assert not {name for name in used if "Resize" in name or "Scale" in name or "Image" in name}


@pytest.mark.parametrize(("height", "width"), [(30, 90), (120, 50), (200, 200)])
def test_an_affine_places_an_image_and_takes_points_back(height, width):
    """A letterbox is only another affine: one scale, and an offset that centres."""
    size = 64
    scale = size / max(height, width)
    offset = (size - scale * np.array([width, height])) / 2
    affine = Affine(tf.fill([2], np.float32(scale)), tf.constant(offset, tf.float32))
    drawn = resample(tf.fill([1, height, width, 1], 200), size, affine).numpy()[0, ..., 0]
    cells = np.arange(size) + 0.5
    inside = [(cells > o) & (cells < size - o) for o in offset]
    np.testing.assert_allclose(drawn, 200 * np.outer(inside[1], inside[0]), atol=1e-3)
    # A spot lands where the affine says, and its centre of mass is taken back to where it was.
    image = np.zeros((1, height, width, 1), np.float32)
    image[0, 16:20, 31:35] = 1
    spot = resample(tf.constant(image), size, affine).numpy()[0, ..., 0]
    center = np.array([(spot.sum(0) * cells).sum(), (spot.sum(1) * cells).sum()]) / spot.sum()
    back = affine.to_image(tf.constant(center[None], tf.float32))
    np.testing.assert_allclose(back, [[33, 18]], atol=0.3)


def test_every_image_of_a_batch_has_its_own_way_back():
    """Points [N, K, 2] with affines [N, 2], as `predict` stacks them."""
    scale, offset = np.array([[2, 4], [0.5, 1]]), np.array([[0, 0], [3, -1]])
    points = np.array([[[6, 8], [1, 2], [0, 0]], [[4, 1], [3, -1], [5, 9]]])
    placed = Affine(tf.constant(scale, tf.float32), tf.constant(offset, tf.float32))
    expected = [[[3, 2], [0.5, 0.5], [0, 0]], [[2, 2], [0, 0], [4, 10]]]
    np.testing.assert_allclose(placed.to_image(tf.constant(points, tf.float32)), expected)


@pytest.mark.parametrize(("length", "size"), [(7, 7), (300, 11), (4, 33)])
def test_weights_add_up_to_one(length, size):
    weights = triangle_weights(length, size, size / length, 0.0).numpy()
    assert weights.shape == (size, length)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    if length == size:
        np.testing.assert_array_equal(weights, np.eye(size))
