"""Pictures from rectangles: white on black, one-pixel outlines or solid.

`render_graph` is what training uses; `render_opencv` draws the same pixels one picture
at a time (tests hold the two together).
"""

import cv2
import numpy as np
import tensorflow as tf

WHITE = 255


def _inside_and_edge(cells, start, stop):
    """Masks of the cells in [start, stop), and of the first and last of them (broadcasting)."""
    inside = tf.logical_and(cells >= start, cells < stop)
    edge = tf.logical_or(tf.equal(cells, start), tf.equal(cells, stop - 1))
    return inside, edge


def render_graph(rectangles: tf.Tensor, image_size: int, solid: bool = False) -> tf.Tensor:
    """Draws a batch of scenes in graph ops.

    An outline is separable: (inside_row and edge_col) or (edge_row and inside_col). And most
    rows of a picture are copies of each other: they only change where an edge begins or ends.
    So just the 4n + 1 rows at such places are drawn, and then every row of the picture is
    fetched from among them, which costs little more than writing the bytes.

    Args:
        rectangles: int32 [B, n, 4] = (x0, y0, x1, y1) in working pixels.
        image_size: height and width S of the pictures.
        solid: fill the rectangles.

    Returns:
        uint8 [B, S, S, 1], 0 or 255.
    """
    x0, y0, x1, y1 = tf.unstack(rectangles, axis=-1)
    cells = tf.range(image_size)
    changes = tf.concat([tf.zeros_like(y0[:, :1]), y0, y0 + 1, y1 - 1, y1], axis=1)
    changes = tf.sort(changes, axis=1)  # [B, 4n + 1]
    rows, columns = changes[:, :, None], cells[None, None, :]
    drawn = False
    for k in range(rectangles.shape[1]):
        inside_row, edge_row = _inside_and_edge(rows, y0[:, k, None, None], y1[:, k, None, None])
        inside_col, edge_col = _inside_and_edge(columns, x0[:, k, None, None], x1[:, k, None, None])
        if solid:
            drawn |= inside_row & inside_col
        else:
            drawn |= (inside_row & edge_col) | (edge_row & inside_col)
    drawn = tf.cast(drawn, tf.uint8) * WHITE  # [B, 4n + 1, S]
    every_row = tf.broadcast_to(cells, [tf.shape(rectangles)[0], image_size])
    last_change = tf.searchsorted(changes, every_row, side="right") - 1
    return tf.gather(drawn, last_change, batch_dims=1)[..., None]


def render_opencv(rectangles: np.ndarray, image_size: int, solid: bool = False) -> np.ndarray:
    """The same pictures drawn by OpenCV, one after the other; arguments as `render_graph`."""
    images = np.zeros([len(rectangles), image_size, image_size, 1], np.uint8)
    for image, scene in zip(images, rectangles, strict=True):
        for x0, y0, x1, y1 in scene.tolist():
            cv2.rectangle(image, (x0, y0), (x1 - 1, y1 - 1), WHITE, -1 if solid else 1)
    return images
