"""The served network in OpenVINO: a peer of the exported SavedModel.

A worker for `rectloc_tf.benchmarking.turns`. It has the same network and decoding, but no resizing
(unlike our own `openvino` export, which is measured too): it gets pictures of the working size.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino

from rectloc_tf.benchmarking.exports import pictures, served_model
from rectloc_tf.benchmarking.turns import Measurement, serve
from rectloc_tf.benchmarking.workers import answer_times


def prepare(task: dict[str, Any]) -> Callable[[], Measurement]:
    """Converts the network with its decoding; precision and threads are OpenVINO's choice."""
    import tensorflow as tf

    (model, head), size = served_model(task), task["image_size"]

    def answer(images):
        return head.answers(model(images, training=False))

    spec = tf.TensorSpec([None, size, size, 1], tf.uint8, name="images")
    converted = openvino.convert_model(tf.function(answer).get_concrete_function(spec))
    # One call at a time, on all cores.
    options = {"PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(converted, "CPU", options)
    images = pictures(task)
    return answer_times(lambda: np.array(compiled(images)["points_xy"]), task)


if __name__ == "__main__":
    serve(prepare)
