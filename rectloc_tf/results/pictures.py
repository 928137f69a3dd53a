"""Predictions on synthetic scenes, as training's pictures and `predict` show them."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.streams import make_batch
from rectloc_tf.config import VALIDATION_START, RunConfig
from rectloc_tf.geometry import centers, frame_to_working
from rectloc_tf.results.evaluation import decode_centers


def snapshot_epochs(epochs: int) -> set[int]:
    """Epochs whose predictions are kept: 0, 1, 2, 3, 5, 8, 13, ... and the last."""
    chosen, a, b = {0, epochs}, 1, 2
    while a < epochs:
        chosen.add(a)
        a, b = b, a + b
    return chosen


def predict_scenes(
    model: keras.Model, run: RunConfig, number: int, first: int = VALIDATION_START
) -> dict[str, Any]:
    """A model's answers on synthetic scenes: the arguments of `plots.prediction_grid`.

    Returns:
        images uint8 [N, S, S]; rectangles int32 [N, n, 4]; points float32 [N, 2], in working
        pixels; and, for heatmap models, heatmaps float32 [N, S, S].
    """
    batch = make_batch(tf.range(first, first + number, dtype=tf.int64), run.scene, run.targets)
    outputs = model(batch["images"], training=False)
    points, _ = decode_centers(outputs, run.image_size)
    arrays = {
        "images": batch["images"][..., 0].numpy(),
        "rectangles": batch["rectangles"].numpy(),
        "points": frame_to_working(points.numpy(), run.image_size),
    }
    if run.targets.is_heatmap:
        arrays["heatmaps"] = outputs[..., 0].numpy()
    return arrays


def largest_errors(pictured: dict[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    """Of what `predict_scenes` returns, the scenes furthest from the truth, the worst first."""
    truth = centers(pictured["rectangles"][:, 0])
    errors = np.linalg.norm(pictured["points"] - truth, axis=1)
    worst = np.argsort(-errors, kind="stable")[:number]
    return {name: array[worst] for name, array in pictured.items()}
