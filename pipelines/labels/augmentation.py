"""Labelled images changed at random, each by one affine and one change of its light."""

import math

import tensorflow as tf

from rectloc_tf.config import ImagesConfig

_NUMBERS = 8  # random ones for each image
_GREY = 127.5


def draw_uniforms(places: tf.Tensor, words: tf.Tensor) -> tf.Tensor:
    """Independent numbers in [0, 1) for each image, float32 [B, 8].

    They are a Philox draw keyed by the epoch's words and the image's place in it. (One shuffle of
    whole numbers, as `index_shuffle` makes it, leaves neighbours correlated.)

    Args:
        places: int64 [B], the images' places in their epoch.
        words: uint32 [B, 3], the epoch's random words.
    """
    first, second, third = tf.unstack(tf.cast(words, tf.int64), axis=1)
    keys = tf.stack([first * 2**31 + second, third * 2**31 + places], axis=1)
    return tf.map_fn(
        lambda key: tf.random.stateless_uniform([_NUMBERS], key, alg="philox"),
        keys,
        fn_output_signature=tf.TensorSpec([_NUMBERS], tf.float32),
    )


def draw_affines(config: ImagesConfig, uniforms: tf.Tensor, size: int) -> tuple[tf.Tensor, ...]:
    """How each image is moved: a point p goes to matrix @ p + offset, in working pixels.

    Args:
        config: `rotate`, `zoom`, `shift` and `swap`.
        uniforms: float32 [B, 8], of `draw_uniforms`.
        size: working size S; images are turned and zoomed about their middle.

    Returns:
        matrices float32 [B, 2, 2], offsets float32 [B, 2], the factors by which images grow
        float32 [B], and whether they are mirrored, bool [B].
    """
    spread = 2 * uniforms - 1
    angle = math.radians(config.rotate) * spread[:, 0]
    zoom = tf.exp(math.log1p(config.zoom) * spread[:, 1])
    shift = config.shift * size * spread[:, 2:4]
    mirrored = (uniforms[:, 4] < 0.5) & bool(config.swap)
    sign = tf.where(mirrored, -1.0, 1.0)
    cosine, sine = zoom * tf.cos(angle), zoom * tf.sin(angle)
    rows = [[sign * cosine, -sine], [sign * sine, cosine]]
    matrices = tf.stack([tf.stack(row, axis=-1) for row in rows], axis=1)
    middle = tf.fill([2], size / 2)
    offsets = middle + shift - tf.linalg.matvec(matrices, middle)
    return matrices, offsets, zoom, mirrored


def change_light(config: ImagesConfig, uniforms: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Contrast about the middle grey, then brightness: float32 [B, S, S, C], 0-255."""
    spread = (2 * uniforms - 1)[:, None, None, None]
    contrast = tf.exp(math.log1p(config.contrast) * spread[..., 5])
    light = _GREY + 2 * _GREY * config.brightness * spread[..., 6]
    return tf.clip_by_value((tf.cast(images, tf.float32) - _GREY) * contrast + light, 0, 255)


def move_images(images: tf.Tensor, matrices: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Images float32 [B, S, S, C] moved as `draw_affines` says, bilinear; black from outside."""
    # The op asks where each pixel comes from, and counts from the centre of the first pixel.
    back = tf.linalg.inv(matrices)
    half = tf.fill([2], 0.5)
    start = tf.linalg.matvec(back, half - offsets) - half
    zeros = tf.zeros_like(start)
    rows = tf.concat([back, start[..., None]], axis=-1)  # [B, 2, 3]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.concat([tf.reshape(rows, [-1, 6]), zeros], axis=1),
        output_shape=images.shape[1:3].as_list(),
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )


def move_points(points: tf.Tensor, matrices: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Points [B, K, 2] moved as `draw_affines` says."""
    return tf.linalg.matvec(matrices[:, None], points) + offsets[:, None]
