"""Predictions on images of a source, as training's pictures, experiments and `predict` use them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.source import Source
from pipelines.streams import make_batch
from rectloc_tf.heads.head import Head
from rectloc_tf.results.rundir import DEFAULT_THRESHOLD

Answer = Callable[[tf.Tensor], dict[str, tf.Tensor]]
AT_ONCE = 50  # images


def snapshot_epochs(epochs: int) -> set[int]:
    """Epochs whose predictions are kept: 0, 1, 2, 3, 5, 8, 13, ... and the last."""
    chosen, a, b = {0, epochs}, 1, 2
    while a < epochs:
        chosen.add(a)
        a, b = b, a + b
    return chosen


def answer_with(model: keras.Model, head: Head) -> Answer:
    """A network as it is trained: images uint8 [N, S, S, C] -> what `head.answers` returns."""
    return lambda images: head.answers(model(images, training=False))


def keypoint_errors(source: Source, indices: range, answers: np.ndarray) -> np.ndarray:
    """The error of each keypoint of each image, in the pixels of the metrics.

    Args:
        source: of named keypoints.
        indices: of its images.
        answers: [N, K, 2], see `answers.Answers`.

    Returns:
        [N, K], NaN where a keypoint is not labelled.
    """
    errors = np.full(answers.shape[:2], np.nan)
    for start in range(0, len(indices), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        batch = make_batch(source, tf.constant([*indices[some]], tf.int64))
        truths = batch["pixel_size"][:, None, None] * batch["points"]
        away = np.linalg.norm(answers[some] - truths, axis=-1)
        errors[some] = np.where(batch["present"], away, np.nan)
    return errors


def image_errors(source: Source, indices: range, answers: np.ndarray) -> np.ndarray:
    """The mean of `keypoint_errors` of each image, [N]; NaN where no keypoint is labelled."""
    errors = keypoint_errors(source, indices, answers)
    count = np.isfinite(errors).sum(axis=1)
    total = np.nansum(errors, axis=1)
    return np.divide(total, count, out=np.full(len(errors), np.nan), where=count > 0)


def predict_scenes(
    answer: Answer, source: Source, indices: Sequence[int], threshold: float = DEFAULT_THRESHOLD
) -> dict[str, Any]:
    """Images of a source with a network's answers.

    Args:
        answer: images of the working size -> at least points_xy and, if there are maps, maps.
        source: where they come from.
        indices: which of them.
        threshold: minimum confidence of a detection, for points of one class.

    Returns:
        images uint8 [N, S, S] or [N, S, S, 3]; truths float [N, T, 2], the labelled points, NaN
        where absent; points float32 [N, P, 2], the answers or, of points of one class, what is
        detected, NaN beyond; both in working pixels; for heads with maps
        heatmaps float32 [N, S, S], the brightest of an image's maps; all that `answer` returns as
        answers; and, of scenes, rectangles int32 [N, n, 4].
    """
    batch = make_batch(source, tf.constant(list(indices), tf.int64))
    answers = {name: value.numpy() for name, value in answer(batch["images"]).items()}
    images, present = batch["images"].numpy(), batch["present"].numpy()[..., None]
    arrays = {
        "images": images[..., 0] if source.channels == 1 else images,
        "truths": np.where(present, batch["points"].numpy(), np.nan),
        "points": answers["points_xy"],
    }
    if "detections_xy" in answers:
        shown = answers["detection_confidence"] >= threshold
        shown[:, 0] = True  # the first, however uncertain
        arrays["points"] = np.where(shown[..., None], answers["detections_xy"], np.nan)
    if "maps" in answers:
        arrays["heatmaps"] = answers["maps"].max(axis=-1)
    if "rectangles" in batch:
        arrays["rectangles"] = batch["rectangles"].numpy()
    return arrays | {"answers": answers}


def largest_errors(pictured: dict[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    """Of what `predict_scenes` returns, those whose first point is furthest from its truth, the
    worst first.
    """
    errors = np.linalg.norm(pictured["points"][:, 0] - pictured["truths"][:, 0], axis=1)
    worst = np.argsort(-errors, kind="stable")[:number]
    return {name: pictured[name][worst] for name in pictured if name != "answers"}
