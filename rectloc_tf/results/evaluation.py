"""Runs a model over a split and measures it: the numbers of `result.json`."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.source import DRAWN, Source
from pipelines.streams import evaluation_batches
from rectloc_tf.config import Keypoints, RunConfig
from rectloc_tf.geometry import centers, working_to_frame
from rectloc_tf.heads.head import Head
from rectloc_tf.results.answers import Answers
from rectloc_tf.results.metrics import (
    best_threshold,
    detection_metrics,
    location_metrics,
    loss_metrics,
    value_metrics,
)
from rectloc_tf.results.point_metrics import point_metrics

# Brightness, of 255, from which a peak counts as an answer when all rectangles are looked for:
# several, as a network's peaks are the dimmer the less it is trained.
LOCATION_THRESHOLDS = (8, 16, 32, 64, 128)
EXTRA_PEAKS = 5
BATCH_SIZE = 50  # divides the validation and test splits, so that nothing is padded
SCHEMA = 2  # of result.json: splits[split][set], where 1 had splits[split][domain]

_TRUTH = ("points", "present", "others", "pixel_size")  # what answers are measured by

OnBatch = Callable[[int, int], None]
Detected = tuple[np.ndarray, np.ndarray, np.ndarray]  # what `detect` returns


class Evaluator:
    """Evaluates one model, on one device or several; compiles its step once for some keypoints.

    Args:
        model: a network.
        head: its head.
        strategy: the devices to use; the default strategy if None.
        jit: compile with XLA.
        on_batch: called before each batch with the images done and their number; may raise
            to end a long evaluation early.
    """

    def __init__(
        self,
        model: keras.Model,
        head: Head,
        strategy: tf.distribute.Strategy | None = None,
        jit: bool = False,
        on_batch: OnBatch = lambda done, total: None,
    ):
        self._model, self._head = model, head
        self._strategy = strategy or tf.distribute.get_strategy()
        self._jit = jit
        self._on_batch = on_batch
        self._steps: dict[Keypoints, Callable] = {}
        self._batches: dict[tuple[Source, range], tf.data.Dataset] = {}

    def _step(self, head: Head) -> Callable:
        """A batch -> what is known of its images, over all replicas."""

        def measure(batch):
            outputs = self._model(batch["images"], training=False)
            targets = head.targets(batch["points"], batch["present"])
            points = head.decode(outputs)
            found = {"points_xy": points.xy, "mask": targets["mask"]}
            if points.confidence is not None:
                found["confidence"] = points.confidence
            found["losses"] = head.losses(outputs, targets)
            if head.can_be_empty:
                found["empty_losses"] = head.empty_losses(targets)
            return found | (head.statistics(outputs, targets) or {})

        compiled = tf.function(measure, jit_compile=self._jit or None)
        return tf.function(lambda batch: self._strategy.run(compiled, (batch,)))

    def __call__(self, source: Source, indices: range) -> dict[str, Any]:
        """Measures the images `indices` of a source: an entry of `splits` in `result.json`.

        Raises:
            ConfigError: if the model does not answer the source's keypoints.
        """
        return self.measure(source, indices)[0]

    def measure(
        self, source: Source, indices: range, intervals: bool = False
    ) -> tuple[dict[str, Any], Answers]:
        """As a call, with intervals if asked for; and what was answered for each image."""
        head = self._head.of(source.keypoints)
        step = self._steps.setdefault(head.keypoints, self._step(head))
        found = self._collect(source, indices, step)
        # A head without such values has none.
        metrics: dict[str, Any] = {"num_images": len(indices), "mse": None, "ln_mse": None}
        metrics["r2"] = None
        if "errors" in found:
            sums = found["errors"], found["sums"], found["squares"]
            metrics |= value_metrics(*sums, head.num_values, head.can_be_empty)
        metrics |= loss_metrics(found["losses"], found["mask"], found.get("empty_losses"))
        scale = found["pixel_size"][:, None, None]
        answers = Answers(found["points_xy"] * scale, found.get("confidence"))
        metrics |= point_metrics(
            source.keypoints,
            answers.points,
            found["points"] * scale,
            found["present"].astype(bool),
            found["others"] * scale,
            found["pixel_size"] * source.image_size,
            intervals,
        )
        return metrics, answers

    def _collect(self, source: Source, indices: range, step: Callable) -> dict[str, np.ndarray]:
        """What the step and the source know of each image, float64 [N, ...]."""
        replicas = self._strategy.num_replicas_in_sync
        batch_size = -(-BATCH_SIZE // replicas) * replicas
        if (source, indices) not in self._batches:  # made once: that traces how they are drawn
            batches = evaluation_batches(source, indices, batch_size)
            distribute = self._strategy.experimental_distribute_dataset
            self._batches[source, indices] = distribute(batches)
        collected = []
        for number, batch in enumerate(self._batches[source, indices]):
            self._on_batch(number * batch_size, len(indices))
            results = step({name: batch[name] for name in DRAWN})
            results |= {name: batch[name] for name in ("valid", *_TRUTH)}
            collected.append({name: self._gather(value) for name, value in results.items()})
        columns = {name: np.concatenate([c[name] for c in collected]) for name in collected[0]}
        valid = columns.pop("valid")
        return {name: value[valid].astype(np.float64) for name, value in columns.items()}

    def _gather(self, value) -> np.ndarray:
        parts = self._strategy.experimental_local_results(value)
        return np.concatenate([part.numpy() for part in parts])


def measure_locations(
    model: keras.Model,
    head: Head,
    source: Source,
    indices: range,
    on_batch: OnBatch = lambda done, total: None,
) -> list[dict[str, Any]]:
    """How many of all the rectangles of scenes a model finds.

    A point is a detection of at least some threshold; at most EXTRA_PEAKS more than there are
    rectangles are looked for.

    Args:
        model: a network.
        head: its head, one that has detections.
        source: the scenes to look at.
        indices: which of them.
        on_batch: as in `Evaluator`.

    Returns:
        For each of LOCATION_THRESHOLDS the `threshold`, and what `metrics.location_metrics` says.
    """
    points, values, rectangles = detect(model, head, source, indices, on_batch)
    measured = []
    for threshold in LOCATION_THRESHOLDS:
        bright = [p[v >= threshold] for p, v in zip(points, values, strict=True)]
        measured.append({"threshold": threshold, **location_metrics(bright, rectangles)})
    return measured


def measure_detections(found: Detected, threshold: float) -> dict[str, Any]:
    """How well all points of one class were found, counting detections from a confidence on.

    Args:
        found: what `detect` returns.
        threshold: minimum confidence, 0-1.

    Returns:
        `threshold`, and what `metrics.detection_metrics` says.
    """
    return {"threshold": threshold, **count_detections(found, 255 * threshold)}


def count_detections(found: Detected, least: float) -> dict[str, float]:
    """As `measure_detections`, from a value of 0-255 on."""
    points, values, rectangles = found
    kept = [p[v >= least] for p, v in zip(points, values, strict=True)]
    return detection_metrics(kept, centers(rectangles))


def choose_threshold(found: Detected) -> float:
    """The minimum confidence of a detection, 0.001-1 in thousandths, that suits a model.

    Of those that `metrics.best_threshold` tries, the one with the greatest F1, rounded down.

    Args:
        found: what `detect` returns for the validation images.
    """
    points, values, rectangles = found
    best = best_threshold(points, values, centers(rectangles))
    return min(max(math.floor(1000 * best / 255), 1), 1000) / 1000


def detect(
    model: keras.Model,
    head: Head,
    source: Source,
    indices: range,
    on_batch: OnBatch = lambda done, total: None,
) -> Detected:
    """All places where a model sees a keypoint in scenes; arguments as `measure_locations`.

    Returns:
        points float [N, P, 2] in px of 224, their values float32 [N, P] in 0-255, and the
        rectangles float [N, n, 4] in px of 224.
    """

    @tf.function
    def find(images, rectangles):
        outputs = model(images, training=False)
        return head.detections(outputs, rectangles.shape[1] + EXTRA_PEAKS)

    found = []
    for number, batch in enumerate(evaluation_batches(source, indices, BATCH_SIZE)):
        on_batch(number * BATCH_SIZE, len(indices))
        peaks, kept = find(batch["images"], batch["rectangles"]), batch["valid"].numpy()
        values = peaks.points, peaks.values, batch["rectangles"]
        found.append([value.numpy()[kept] for value in values])
    points, values, rectangles = map(np.concatenate, zip(*found, strict=True))
    size = source.image_size
    return working_to_frame(points, size), values, working_to_frame(rectangles, size)


def make_report(
    run: RunConfig, splits: dict[str, dict[str, Any]], progress: dict[str, Any]
) -> dict[str, Any]:
    """The schema that `train` and `evaluate` share.

    Args:
        run: what was trained.
        splits: split -> set of images (the domain, for scenes) -> metrics.
        progress: weights and labels that were measured; epochs (None if its length is in
            steps), steps, seconds and images_per_second of the training.
    """
    return {"schema": SCHEMA, "config": run.to_json(), "splits": splits, **progress}
