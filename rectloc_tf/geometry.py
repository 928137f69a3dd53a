"""The coordinate convention, in one place.

Coordinates are pixels in the order (x, y). The origin is the top-left corner of
the top-left pixel, so pixel (row i, column j) has its centre at (j + 0.5, i + 0.5):

      0     1     2     3   x
    0 +-----+-----+-----+
      | 0,0 | 0,1 | 0,2 |      the centre of pixel (row 0, column 1)
    1 +-----+-----+-----+      is (x, y) = (1.5, 0.5)
      | 1,0 | 1,1 | 1,2 |
    2 +-----+-----+-----+
    y

A rectangle (x0, y0, x1, y1) covers the columns [x0, x1) and the rows [y0, y1).
Whatever the size at which pictures are drawn, lengths that people read or set
(sides, radii, errors) are pixels of the 224 x 224 *frame* that the original used.
"""

import numpy as np

FRAME = 224


def frame_to_working(length, image_size: int):
    """Converts lengths or coordinates from pixels of the 224 frame to working pixels."""
    return length * (image_size / FRAME)


def working_to_frame(length, image_size: int):
    """Converts lengths or coordinates from working pixels to pixels of the 224 frame."""
    return length * (FRAME / image_size)


def centers(rectangles):
    """Centres (x, y) of rectangles [..., 4] = (x0, y0, x1, y1); any array type, same frame."""
    return (rectangles[..., :2] + rectangles[..., 2:]) / 2


def areas(rectangles: np.ndarray) -> np.ndarray:
    """Areas [...] of rectangles [..., 4], in square pixels of their own frame."""
    sides = rectangles[..., 2:] - rectangles[..., :2]
    return sides[..., 0] * sides[..., 1]


def cell_centers(size: int, stride: float = 1.0) -> np.ndarray:
    """Coordinates of the centres of `size` cells in a row: (j + 0.5) * stride, float32 [size]."""
    return ((np.arange(size) + 0.5) * stride).astype(np.float32)
