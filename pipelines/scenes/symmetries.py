"""Augmentation by the symmetries of the square, applied to scenes before they are drawn.

A picture of rectangles, mirrored or transposed, is a picture of rectangles: so it is enough to
move the corners, and pictures and targets follow without any resampling.
"""

import tensorflow as tf

from pipelines.shuffling import index_shuffle

NUM_SYMMETRIES = 8
HALF_TURN = 3  # mirrored along both axes


def draw_symmetries(places: tf.Tensor, words: tf.Tensor, count: int) -> tf.Tensor:
    """A symmetry for each image of an epoch: int64 [B], 0-7, for `transform_rectangles`.

    They are drawn without replacement from eight equal piles, so about as many images of an
    epoch get each, and differ from epoch to epoch.

    Args:
        places: int64 [B], the images' places in their epoch.
        words: uint32 [B, 3], the epoch's random words.
        count: images of an epoch.
    """
    return index_shuffle(places, words, NUM_SYMMETRIES * count) % NUM_SYMMETRIES


def transform_rectangles(
    rectangles: tf.Tensor, symmetries: tf.Tensor, image_size: int
) -> tf.Tensor:
    """Moves the rectangles of each scene by one of the eight symmetries of the square.

    Args:
        rectangles: int32 [B, n, 4] = (x0, y0, x1, y1) in working pixels.
        symmetries: integer [B], 0-7: bit 0 mirrors x, bit 1 mirrors y, and then bit 2 swaps x
            and y; 0 leaves a scene as it is.
        image_size: side S of the square, in working pixels.

    Returns:
        int32 [B, n, 4], in the same order: areas do not change.
    """
    x0, y0, x1, y1 = tf.unstack(rectangles, axis=-1)
    flip_x, flip_y, swap = (
        tf.not_equal(tf.bitwise.bitwise_and(symmetries, bit), 0)[:, None]
        for bit in tf.unstack(tf.constant([1, 2, 4], symmetries.dtype))
    )
    x0, x1 = tf.where(flip_x, image_size - x1, x0), tf.where(flip_x, image_size - x0, x1)
    y0, y1 = tf.where(flip_y, image_size - y1, y0), tf.where(flip_y, image_size - y0, y1)
    as_is, swapped = tf.stack([x0, y0, x1, y1], axis=-1), tf.stack([y0, x0, y1, x1], axis=-1)
    return tf.where(swap[..., None], swapped, as_is)
