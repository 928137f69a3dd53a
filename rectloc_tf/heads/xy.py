"""Coordinates: global average pooling, Dense(2K)."""

import tensorflow as tf
from keras import layers

from rectloc_tf.geometry import FRAME, frame_to_working, working_to_frame
from rectloc_tf.heads.head import Head, Points
from rectloc_tf.network.layers import LAYOUT
from rectloc_tf.registry import NAMED


class XY(Head):
    """Outputs [B, 2K]: x0, y0, x1, y1, ... in pixels of the 224 frame, whatever S.

    With `units="centred"` the last layer's numbers are quarters of the side from the middle of the
    image, so that a network starts with the middle instead of a corner, and numbers of about 1
    are all it has to learn. A fixed layer turns them into pixels; the loss is the same.
    """

    def outputs(self, features, dtype):
        """Float32 throughout: it costs nothing and keeps coordinates exact."""
        average = layers.GlobalAveragePooling2D(data_format=LAYOUT, dtype="float32", name="average")
        units = 2 * len(self.keypoints.names)
        numbers = layers.Dense(units, dtype="float32", name="xy")(average(features["P5"]))
        if self.config.units == "pixels":
            return numbers
        return layers.Rescaling(FRAME / 4, FRAME / 2, dtype="float32", name="pixels")(numbers)

    def targets(self, points, present):
        """`values` [B, 2N] in pixels of the 224 frame."""
        values = working_to_frame(points, self.image_size)
        mask = tf.cast(present, tf.float32)
        return {"values": tf.reshape(values, [-1, 2 * points.shape[1]]), "mask": mask}

    def losses(self, outputs, targets):
        """The mean over x and y of each point."""
        values, mask = targets["values"], targets["mask"]
        both = tf.repeat(mask, 2, axis=1)
        errors = self.loss_function(self._asked(outputs), values, both)
        return tf.reduce_mean(tf.reshape(errors, [-1, values.shape[1] // 2, 2]), axis=2)

    def statistics(self, outputs, targets):
        """A column for each coordinate."""
        if self.keypoints.kind == NAMED:
            return None
        values = targets["values"]
        errors = tf.math.squared_difference(self._asked(outputs), values)
        return {"errors": errors, "sums": values, "squares": tf.square(values)}

    def decode(self, outputs):
        """The coordinates themselves, which have no confidence."""
        points = tf.reshape(self._asked(outputs), [-1, len(self.keypoints.names), 2])
        return Points(frame_to_working(points, self.image_size), None)

    def _asked(self, outputs):
        """The columns of the requested keypoints, which come first."""
        columns = 2 * len(self.keypoints.names)
        return outputs if outputs.shape[1] == columns else outputs[:, :columns]
