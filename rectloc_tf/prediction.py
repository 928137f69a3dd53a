"""Predicts on image files or synthetic scenes, and writes CSV and overlays."""

import contextlib
import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.datasets import make_batch
from rectloc_tf import plots
from rectloc_tf.config import SceneConfig, TargetConfig
from rectloc_tf.errors import UserError, reason
from rectloc_tf.geometry import centers
from rectloc_tf.image_files import read_image_bytes
from rectloc_tf.rundir import atomic_path
from rectloc_tf.serving import decode_image, make_answer_encoded, make_answer_images

BATCH_SIZE = 32
MAX_GROUP_PIXELS = 16_000_000


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture.

    Attributes:
        name: the file's path, or the scene's name.
        point: (x, y) in the picture's own pixels, float32 [2].
        confidence: 0-1, or NaN for models that answer with coordinates.
        image: uint8 [H, W] or [H, W, 3].
        heatmap: float32 [S, S] at working size, 0-255, or None.
        truth: true centre (x, y), or None where it is not known.
    """

    name: str
    point: np.ndarray
    confidence: float
    image: np.ndarray
    heatmap: np.ndarray | None = None
    truth: np.ndarray | None = None


def predict_files(
    model: keras.Model, paths: list[Path], on_error: Callable[[str], None]
) -> Iterator[Prediction]:
    """Answers for image files of any size; `on_error` is told of each that cannot be read."""
    answer = make_answer_encoded(model)
    for group in _groups(_read_images(paths, on_error)):
        answers = answer(tf.constant([data for _, data, _ in group]))
        for row, (path, _, image) in enumerate(group):
            yield _prediction(str(path), answers, row, image)


_Read = tuple[Path, bytes, np.ndarray]


def _read_images(paths: list[Path], on_error: Callable[[str], None]) -> Iterator[_Read]:
    for path in paths:
        try:
            data = read_image_bytes(path)
            image = decode_image(tf.constant(data)).numpy()
        except UserError as error:
            on_error(str(error))
        except (tf.errors.OpError, ValueError) as error:
            on_error(f"{path}: truncated or damaged image ({reason(error)})")
        else:
            yield path, data, image


def _groups(images: Iterator[_Read]) -> Iterator[list[_Read]]:
    """Batches of pictures, smaller where the pictures are large: they are held in memory."""
    group, pixels = [], 0
    for read in images:
        group.append(read)
        pixels += read[2].shape[0] * read[2].shape[1]
        if len(group) == BATCH_SIZE or pixels > MAX_GROUP_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group


def predict_scenes(model: keras.Model, scene: SceneConfig, indices: range) -> Iterator[Prediction]:
    """Answers for synthetic scenes."""
    answer = make_answer_images(model)
    for start in range(indices.start, indices.stop, BATCH_SIZE):
        numbers = range(start, min(start + BATCH_SIZE, indices.stop))
        batch = make_batch(tf.constant(numbers, tf.int64), scene, TargetConfig(kind="xy"))
        answers = answer(batch["images"])
        truths = centers(batch["rectangles"][:, 0].numpy().astype(np.float64))
        for row, number in enumerate(numbers):
            name = f"domain{scene.domain}_{number:05d}"
            image = batch["images"][row, ..., 0].numpy()
            yield _prediction(name, answers, row, image, truths[row])


def _prediction(name, answers, row, image, truth=None) -> Prediction:
    heatmap = answers["heatmap"][row].numpy() if "heatmap" in answers else None
    point, confidence = answers["center_xy"][row].numpy(), float(answers["confidence"][row])
    return Prediction(name, point, confidence, image, heatmap, truth)


@contextlib.contextmanager
def csv_writer(path: Path) -> Iterator[Callable[[Prediction], None]]:
    """Yields a function that adds a row `file,x,y,confidence`; the file appears at the end.

    x and y are in the picture's own pixels; confidence is empty where there is none.
    """
    # Names of files need not be text: they come out as the bytes they are.
    how: dict[str, Any] = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}
    with atomic_path(path) as temporary, open(temporary, "w", **how) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["file", "x", "y", "confidence"])

        def write(prediction: Prediction) -> None:
            x, y = (f"{value:.3f}" for value in prediction.point)
            known = math.isfinite(prediction.confidence)
            writer.writerow(
                [prediction.name, x, y, f"{prediction.confidence:.4f}" if known else ""]
            )

        yield write


class OverlayWriter:
    """Writes a picture with the answer drawn on it for each prediction, as `<name>.png`."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._names: set[str] = set()

    def __call__(self, prediction: Prediction) -> None:
        """Draws one; pictures of the same name are numbered."""
        stem = name = Path(prediction.name).stem
        number = 1
        while name in self._names:
            number += 1
            name = f"{stem}-{number}"
        self._names.add(name)
        figure = plots.overlay(
            prediction.image, prediction.point, prediction.heatmap, prediction.truth
        )
        with atomic_path(self._folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=100)
