"""Predicts on image files or on images of a source."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from pipelines.image_decoding import PNG_START, decode_with_details, is_drawn_in_alpha
from pipelines.image_files import ImageFiles
from pipelines.resampling import Affine, Place, preprocess, stretch
from pipelines.source import Source
from rectloc_tf.errors import UserError, reason
from rectloc_tf.heads.head import Head
from rectloc_tf.results.pictures import predict_scenes
from rectloc_tf.results.rundir import DEFAULT_THRESHOLD
from rectloc_tf.serving.image_files import read_image_bytes
from rectloc_tf.serving.inference import in_image, make_answer_images

BATCH_SIZE = 32
MAX_GROUP_PIXELS = 16_000_000


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture.

    Attributes:
        name: the file's path, or the scene's name.
        points: (x, y) of each keypoint, or of all that is detected of one class, in the picture's
            own pixels, float32 [K, 2].
        confidences: float32 [K], 0-1; None for heads that have none.
        rows: how many of the points, from the first on, are rows of the CSV.
        image: uint8 [H, W] or [H, W, 3].
        heatmap: float32 [S, S] at working size, 0-255, the brightest of several maps; or None.
        square: float32 [2, 2], the heatmap's upper left and lower right corner (x, y) in the
            picture's pixels: outside the picture where that was letterboxed; None if the heatmap
            covers the picture.
        truths: true (x, y) [T, 2], or None where they are not known.
        orientation: the EXIF orientation by which the file's pixels were turned; 1: not at all.
    """

    name: str
    points: np.ndarray
    confidences: np.ndarray | None
    image: np.ndarray
    heatmap: np.ndarray | None = None
    truths: np.ndarray | None = None
    orientation: int = 1
    rows: int = 1
    square: np.ndarray | None = None

    def certain(self, least: float) -> np.ndarray:
        """The points, NaN where the confidence is less than `least`; all of heads without one."""
        if self.confidences is None:
            return self.points
        return np.where(self.confidences[:, None] >= least, self.points, np.nan)


def predict_files(
    model: keras.Model,
    head: Head,
    paths: list[Path],
    on_error: Callable[[str], None],
    on_warning: Callable[[str], None] = lambda message: None,
    ignore_exif: bool = False,
    threshold: float = DEFAULT_THRESHOLD,
    place: Place = stretch,
    truths: Mapping[Path, np.ndarray] | None = None,
) -> Iterator[Prediction]:
    """Answers for image files of any size, each in the pixels of its picture.

    Args:
        model: a network.
        head: its head.
        paths: the files.
        on_error: called with a line for each file that cannot be read; it has no answer.
        on_warning: called with a line for each file whose pixels may not be what was meant.
        ignore_exif: take the pixels as they are stored, not turned as EXIF says.
        threshold: least confidence of a detection, for points of one class.
        place: how the pictures lie in the working size, as in training.
        truths: of files whose points are known, [T, 2] in their pixels.
    """
    answer, size = make_answer_images(model, head), model.input_shape[1]
    corners = tf.constant([[0, 0], [size, size]], tf.float32)
    for group in _groups(_read_images(model, paths, on_error, on_warning, ignore_exif, place)):
        answers = answer_placed(answer, [r.prepared for r in group], [r.affine for r in group])
        for row, read in enumerate(group):
            truth = truths.get(read.path) if truths else None
            about = str(read.path), read.image, truth, read.orientation
            found = to_prediction(answers, row, threshold, *about)
            yield replace(found, square=read.affine.to_image(corners).numpy())


def make_prepare(model: keras.Model, place: Place, ignore_exif: bool = False) -> Callable:
    """A function of an encoded image: its `DecodedImage`, it at working size, and its affine."""
    _, size, _, channels = model.input_shape

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def prepare(data):
        decoded = decode_with_details(data, ignore_exif)
        images, affine = preprocess(decoded.image[None], size, channels, place)
        return decoded, images[0], affine

    return prepare


def answer_placed(
    answer: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    prepared: Sequence[tf.Tensor],
    affines: Sequence[Affine],
) -> dict[str, np.ndarray]:
    """Answers for images at working size, in the pixels of the pictures that they come from.

    Args:
        answer: see `inference.make_answer_images`.
        prepared: the images.
        affines: how each picture lies in its image.
    """
    placed = Affine(*(tf.stack(part) for part in zip(*affines, strict=True)))
    answers = in_image(answer(tf.stack(prepared)), placed)
    if "center_xy" in answers:
        answers["center_xy"] = answers["points_xy"][:, 0]
    return {name: value.numpy() for name, value in answers.items()}


class _Read(NamedTuple):
    path: Path
    image: np.ndarray
    orientation: int
    prepared: tf.Tensor  # at working size
    affine: Affine  # how the image lies in it


def _read_images(model, paths, on_error, on_warning, ignore_exif, place) -> Iterator[_Read]:
    prepare, files = make_prepare(model, place, ignore_exif), ImageFiles()
    for path in paths:
        try:
            data = read_image_bytes(path, files)
            decoded, prepared, affine = prepare(tf.constant(data))
            for warning in _warnings(data, int(decoded.bits)):
                on_warning(f"{path}: {warning}")
            image, orientation = decoded.image.numpy(), int(decoded.orientation)
            yield _Read(path, image, orientation, prepared, affine)
        except UserError as error:
            on_error(str(error))
        except (tf.errors.OpError, ValueError) as error:
            on_error(f"{path}: truncated or damaged image ({reason(error)})")


def _warnings(data: bytes, bits: int) -> Iterator[str]:
    if data.startswith(PNG_START) and data[24] == 16 and bits < 16:
        yield f"16-bit file with values below {2**bits} only; read as {bits}-bit"
    if is_drawn_in_alpha(data):
        yield "all drawn in the alpha channel, which is ignored; flatten it first"


def _groups(images: Iterator[_Read]) -> Iterator[list[_Read]]:
    """Batches of pictures, smaller where the pictures are large: they are held in memory."""
    group, pixels = [], 0
    for read in images:
        group.append(read)
        pixels += read.image.shape[0] * read.image.shape[1]
        if len(group) == BATCH_SIZE or pixels > MAX_GROUP_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group


def predict_source(
    model: keras.Model,
    head: Head,
    source: Source,
    indices: range,
    threshold: float = DEFAULT_THRESHOLD,
) -> Iterator[Prediction]:
    """Answers for images of a source; `threshold` as in `predict_files`."""
    answer = make_answer_images(model, head)
    for start in range(0, len(indices), BATCH_SIZE):
        numbers = indices[start : start + BATCH_SIZE]
        pictured = predict_scenes(answer, source, numbers)
        for row, number in enumerate(numbers):
            about = source.label(number), pictured["images"][row], pictured["truths"][row]
            yield to_prediction(pictured["answers"], row, threshold, *about)


def to_prediction(
    answers: Mapping[str, np.ndarray],
    row: int,
    threshold: float,
    name: str,
    image: np.ndarray,
    truths: np.ndarray | None = None,
    orientation: int = 1,
) -> Prediction:
    """One row of a batch's answers; the other arguments as in `predict_files` and `Prediction`."""
    heatmap = answers["heatmap"][row] if "heatmap" in answers else None
    if "maps" in answers:
        heatmap = answers["maps"][row].max(axis=-1)
    about = image, heatmap, truths, orientation
    if "detections_xy" in answers:
        kept = answers["detection_confidence"][row] >= threshold
        points = answers["detections_xy"][row][kept]
        confidences = answers["detection_confidence"][row][kept]
        return Prediction(name, points, confidences, *about, rows=len(points))
    confidences = answers["point_confidence"][row] if "point_confidence" in answers else None
    return Prediction(name, answers["points_xy"][row], confidences, *about)
