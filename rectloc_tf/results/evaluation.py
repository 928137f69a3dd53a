"""Runs a model over a split and measures it: the numbers of `result.json`."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.streams import evaluation_batches
from rectloc_tf.config import RunConfig, SceneConfig, TargetConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import working_to_frame
from rectloc_tf.heads.losses import squared_error
from rectloc_tf.heads.peaks import decode_peaks
from rectloc_tf.results.metrics import center_metrics, location_metrics, value_metrics

# Brightness, of 255, from which a peak counts as an answer when all rectangles are looked for:
# several, as a network's peaks are the dimmer the less it is trained.
LOCATION_THRESHOLDS = (8, 16, 32, 64, 128)
EXTRA_PEAKS = 5
BATCH_SIZE = 50  # divides the validation and test splits, so that nothing is padded


def decode_centers(outputs: tf.Tensor, image_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The centre of the largest rectangle from a model's outputs, and a confidence.

    Args:
        outputs: float32 [B, 2k] (coordinates) or [B, S, S, 1] (heatmaps).
        image_size: working size S.

    Returns:
        Points float32 [B, 2], (x, y) in pixels of the 224 frame; and float32 [B], the peak's
        brightness as a share of 255, clipped to 0-1, or NaN for coordinates, which have none.
    """
    if len(outputs.shape) == 2:
        return outputs[:, :2], tf.fill(tf.shape(outputs)[:1], float("nan"))
    peaks = decode_peaks(outputs)
    points = working_to_frame(peaks.points[:, 0], image_size)
    return points, tf.clip_by_value(peaks.values[:, 0] / 255, 0, 1)


def statistics(outputs: tf.Tensor, targets: tf.Tensor) -> dict[str, tf.Tensor]:
    """Per-example sums of squared errors, targets and their squares: float32 [B, C].

    Coordinates keep their columns (C = 2k); a heatmap is summed over all pixels (C = 1).
    """
    values = {
        "errors": squared_error(outputs, targets),
        "sums": targets,
        "squares": tf.square(targets),
    }
    if len(targets.shape) == 2:
        return values
    return {name: tf.reduce_sum(value, axis=[1, 2]) for name, value in values.items()}


def match_outputs(model_outputs: int, targets: TargetConfig, scene: SceneConfig) -> int:
    """Number of an xy model's outputs that answer `targets`: all of them, or the first point.

    Raises:
        ConfigError: if the model does not answer these labels.
    """
    wanted = 2 * len(targets.ranks(scene.domain))
    if wanted != model_outputs and targets.labels != "largest":
        raise ConfigError(
            f"--labels={targets.labels}: this model answers {model_outputs // 2} points, but "
            f"domain {scene.domain} has {wanted // 2} labels; use --labels=largest"
        )
    return wanted


class Evaluator:
    """Evaluates one model, on one device or several; compiles its step once a shape.

    Args:
        model: a model of this package.
        strategy: the devices to use; the default strategy if None.
        jit: compile with XLA.
        renderer: as in `ExecutionConfig`.
        on_batch: called before each batch with the images done and their number; may raise
            to end a long evaluation early.
    """

    def __init__(
        self,
        model: keras.Model,
        strategy: tf.distribute.Strategy | None = None,
        jit: bool = False,
        renderer: str = "graph",
        on_batch: Callable[[int, int], None] = lambda done, total: None,
    ):
        self._model = model
        self._strategy = strategy or tf.distribute.get_strategy()
        self._renderer = renderer
        self._on_batch = on_batch
        self._predict = tf.function(self._predict_and_measure, jit_compile=jit or None)
        self._step = tf.function(lambda *args: self._strategy.run(self._predict, args))

    def _predict_and_measure(self, images, targets):
        outputs = self._model(images, training=False)
        points, _ = decode_centers(outputs, images.shape[1])
        if len(outputs.shape) == 2:
            outputs = outputs[:, : targets.shape[1]]
        return {"points": points, **statistics(outputs, targets)}

    def __call__(self, scene: SceneConfig, targets: TargetConfig, indices: range) -> dict[str, Any]:
        """Measures the scenes `indices`: an entry of `splits` in `result.json`.

        Raises:
            ConfigError: if an xy model does not answer the labels asked for.
        """
        if not targets.is_heatmap:
            match_outputs(self._model.output_shape[1], targets, scene)
        replicas = self._strategy.num_replicas_in_sync
        batch_size = -(-BATCH_SIZE // replicas) * replicas
        batches = evaluation_batches(scene, targets, indices, batch_size, self._renderer)
        collected = []
        distributed = self._strategy.experimental_distribute_dataset(batches)
        for number, batch in enumerate(distributed):
            self._on_batch(number * batch_size, len(indices))
            results = self._step(batch["images"], batch["targets"])
            results |= {"valid": batch["valid"], "rectangles": batch["rectangles"]}
            collected.append({name: self._gather(value) for name, value in results.items()})
        columns = {name: np.concatenate([c[name] for c in collected]) for name in collected[0]}
        valid = columns.pop("valid")
        columns = {name: value[valid].astype(np.float64) for name, value in columns.items()}
        count = scene.image_size**2 if targets.is_heatmap else 1
        rectangles = working_to_frame(columns["rectangles"], scene.image_size)
        return {
            "num_images": len(indices),
            **value_metrics(
                columns["errors"], columns["sums"], columns["squares"], count, targets.is_heatmap
            ),
            **center_metrics(columns["points"], rectangles),
        }

    def _gather(self, value) -> np.ndarray:
        parts = self._strategy.experimental_local_results(value)
        return np.concatenate([part.numpy() for part in parts])


def measure_locations(
    model: keras.Model,
    scene: SceneConfig,
    indices: range,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """How many of all the rectangles a heatmap model finds.

    A point is a peak of at least some threshold; at most EXTRA_PEAKS more than there are
    rectangles are looked for.

    Args:
        model: a heatmap model.
        scene: the scenes to look at.
        indices: which of them.
        on_batch: as in `Evaluator`.

    Returns:
        For each of LOCATION_THRESHOLDS the `threshold`, and what `metrics.location_metrics` says.
    """

    @tf.function
    def find(images):
        outputs = model(images, training=False)
        return decode_peaks(outputs, scene.domain + EXTRA_PEAKS)

    points, values, rectangles = [], [], []
    targets = TargetConfig(kind="xy")  # not used, and cheap
    for number, batch in enumerate(evaluation_batches(scene, targets, indices, BATCH_SIZE)):
        on_batch(number * BATCH_SIZE, len(indices))
        peaks, kept = find(batch["images"]), batch["valid"].numpy()
        points.append(working_to_frame(peaks.points.numpy()[kept], scene.image_size))
        values.append(peaks.values.numpy()[kept])
        rectangles.append(working_to_frame(batch["rectangles"].numpy()[kept], scene.image_size))
    points, values, rectangles = map(np.concatenate, (points, values, rectangles))
    measured = []
    for threshold in LOCATION_THRESHOLDS:
        bright = [p[v >= threshold] for p, v in zip(points, values, strict=True)]
        measured.append({"threshold": threshold, **location_metrics(bright, rectangles)})
    return measured


def make_report(
    run: RunConfig, splits: dict[str, dict[str, Any]], progress: dict[str, Any]
) -> dict[str, Any]:
    """The schema that `train` and `evaluate` share.

    Args:
        run: what was trained.
        splits: split -> domain (a string) -> metrics.
        progress: weights and labels that were measured; epochs, seconds and images_per_second
            of the training.
    """
    return {"schema": 1, "config": run.to_json(), "splits": splits, **progress}
