"""Images to the working size, in plain ops that every converter and every device knows.

The result is that of `tf.image.resize(..., antialias=True)`: a triangle filter, widened when an
image shrinks. Here it is two matrix products, one for the rows and one for the columns.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Affine(NamedTuple):
    """The affine map of an image into the working image: working = scale * image + offset.

    Both are float32 [..., 2] = (x, y), in working pixels (per pixel of the image). A stretch has
    no offset; a letterbox has one scale for both axes and an offset that centres the image.
    """

    scale: tf.Tensor
    offset: tf.Tensor

    def to_working(self, points: tf.Tensor) -> tf.Tensor:
        """Points [..., K, 2] from pixels of the image to working pixels."""
        return points * tf.expand_dims(self.scale, -2) + tf.expand_dims(self.offset, -2)

    def to_image(self, points: tf.Tensor) -> tf.Tensor:
        """Points [..., K, 2] from working pixels to pixels of the image."""
        return (points - tf.expand_dims(self.offset, -2)) / tf.expand_dims(self.scale, -2)


Place = Callable[[tf.Tensor, tf.Tensor, int], Affine]  # height, width and S of an image


def stretch(height: tf.Tensor, width: tf.Tensor, size: int) -> Affine:
    """The affine that stretches an image of `height` x `width` over `size` x `size` pixels."""
    image = tf.cast(tf.stack([width, height]), tf.float32)
    return Affine(size / image, tf.zeros([2]))


def letterbox(height: tf.Tensor, width: tf.Tensor, size: int) -> Affine:
    """The affine that fits an image into the middle of `size` x `size` pixels, its shape kept."""
    image = tf.cast(tf.stack([width, height]), tf.float32)
    scale = tf.fill([2], size / tf.reduce_max(image))
    return Affine(scale, (size - scale * image) / 2)


PLACES: dict[str, Place] = {"stretch": stretch, "letterbox": letterbox}


def triangle_weights(length: tf.Tensor, size: int, scale: tf.Tensor, offset: tf.Tensor):
    """What each of `length` pixels in a row contributes to each of `size` working pixels.

    The filter is max(0, 1 - |d| / r), d the distance of the two centres in pixels of the image
    and r = max(1, 1 / scale); the weights of a working pixel add up to 1. They are all 0 where
    its centre lies outside the image.

    Args:
        length: scalar, integer.
        size: number of working pixels.
        scale, offset: scalars, as in `Affine`.

    Returns:
        float32 [size, length].
    """
    length = tf.cast(length, tf.float32)
    at = (tf.range(size, dtype=tf.float32) + 0.5 - offset) / scale
    distance = tf.abs(at[:, None] - (tf.range(length) + 0.5))
    weights = tf.nn.relu(1 - distance / tf.maximum(1 / scale, 1))
    inside = tf.cast((at >= 0) & (at <= length), tf.float32)[:, None]
    total = tf.reduce_sum(weights, axis=1, keepdims=True)  # at least 0.5 inside
    return inside * weights / tf.maximum(total, 0.1)


def resample(images: tf.Tensor, size: int, affine: Affine) -> tf.Tensor:
    """Draws images into working images of `size` x `size`, with antialiasing.

    Args:
        images: any numeric type, [N, H, W, C]; N, H and W may be unknown when traced.
        size: working size S.
        affine: where the images lie, scale and offset [2]; black where none does.

    Returns:
        float32 [N, S, S, C].
    """
    count, height, width, _ = tf.unstack(tf.shape(images))
    channels = images.shape[-1]
    by_row = triangle_weights(height, size, affine.scale[1], affine.offset[1])
    by_column = triangle_weights(width, size, affine.scale[0], affine.offset[0])
    rows = tf.reshape(tf.cast(images, tf.float32), [count, height, width * channels])
    rows = tf.reshape(tf.matmul(by_row, rows), [count, size, width, channels])
    if channels == 1:
        columns = tf.matmul(rows[..., 0], by_column, transpose_b=True)[..., None]
    else:
        columns = tf.matmul(tf.transpose(rows, [0, 3, 1, 2]), by_column, transpose_b=True)
        columns = tf.transpose(columns, [0, 2, 3, 1])
    return tf.ensure_shape(columns, [None, size, size, channels])


def to_pixels(images: tf.Tensor) -> tf.Tensor:
    """Float32 of `resample` to uint8 of the same shape, rounded."""
    # Halves are common, and go up whatever the last bits of the products say.
    return tf.cast(tf.minimum(tf.floor(images + 0.501), 255.0), tf.uint8)


def _to_channels(images: tf.Tensor, channels: int) -> tf.Tensor:
    """Grey to colour or back: uint8 [..., 1 or 3] -> uint8 [..., channels]."""
    leading = [None] * (len(images.shape) - 1)

    def from_grey():
        grey = tf.ensure_shape(images, [*leading, 1])
        return grey if channels == 1 else tf.image.grayscale_to_rgb(grey)

    def from_colour():
        colour = tf.ensure_shape(images, [*leading, 3])
        return colour if channels == 3 else tf.image.rgb_to_grayscale(colour)

    if images.shape[-1] is not None:
        return from_grey() if images.shape[-1] == 1 else from_colour()
    return tf.cond(tf.equal(tf.shape(images)[-1], 1), from_grey, from_colour)


def preprocess(
    images: tf.Tensor, size: int, channels: int, place: Place = stretch
) -> tuple[tf.Tensor, Affine]:
    """Images at the working size, with antialiasing.

    Args:
        images: uint8 [N, H, W, C], any H and W, C = 1 or 3 (may be unknown when traced).
        size: working size S.
        channels: the model's, 1 or 3.
        place: where an image lies, `stretch` or `letterbox`.

    Returns:
        uint8 [N, S, S, channels], the pixels themselves if H = W = S; and how they were placed.
    """
    images = _to_channels(images, channels)
    height, width = tf.unstack(tf.shape(images)[1:3])
    affine = place(height, width, size)

    def resize():
        return to_pixels(resample(images, size, affine))

    has_size = tf.equal(height, size) & tf.equal(width, size)
    prepared = tf.cond(has_size, lambda: images, resize)
    return tf.ensure_shape(prepared, [None, size, size, channels]), affine
