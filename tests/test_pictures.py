"""Choosing scenes to show."""

import numpy as np

from rectloc_tf.results.pictures import largest_errors


def test_the_largest_errors_come_worst_first():
    rectangles = np.array([[[0, 0, 4, 2], [9, 9, 9, 9]]] * 4)  # the centre is (2, 1)
    points = np.array([[2.0, 1.0], [2.0, 6.0], [5.0, 5.0], [7.0, 1.0]])  # off by 0, 5, 5, 5
    points[3] += 1e-3
    pictured = {"rectangles": rectangles, "points": points, "images": np.arange(4)}
    worst = largest_errors(pictured, 3)
    assert worst["images"].tolist() == [3, 1, 2]
    np.testing.assert_array_equal(worst["points"], points[[3, 1, 2]])
    assert worst["rectangles"].shape == (3, 2, 4)
