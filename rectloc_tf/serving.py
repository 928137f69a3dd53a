"""Trained models as a service: any picture in, points in that picture's own pixels out.

`predict` runs these functions, and `export_model` writes them into a SavedModel, so both
give the same answers.
"""

import contextlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from rectloc_tf.errors import UserError, reason
from rectloc_tf.evaluation import decode_centers
from rectloc_tf.geometry import FRAME
from rectloc_tf.models import is_heatmap_model
from rectloc_tf.rundir import RunFolder

Answers = dict[str, tf.Tensor]


def load_model(folder: RunFolder, weights: str = "best") -> keras.Model:
    """Loads a run's `best` or `final` model.

    Raises:
        UserError: if it is missing (the run has not got that far) or damaged.
    """
    path = folder.model_path(weights)
    if not path.exists():
        raise UserError(f"{path}: no model here yet; train the run first")
    try:
        return keras.saving.load_model(path, compile=False)
    except (ValueError, OSError, LookupError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged, cannot be loaded ({reason(error)})") from error


def _to_channels(images: tf.Tensor, channels: int) -> tf.Tensor:
    """Grey to colour or back: uint8 [..., 1 or 3] -> uint8 [..., channels]."""
    leading = [None] * (len(images.shape) - 1)

    def from_grey():
        grey = tf.ensure_shape(images, [*leading, 1])
        return grey if channels == 1 else tf.image.grayscale_to_rgb(grey)

    def from_colour():
        colour = tf.ensure_shape(images, [*leading, 3])
        return colour if channels == 3 else tf.image.rgb_to_grayscale(colour)

    if images.shape[-1] is not None:
        return from_grey() if images.shape[-1] == 1 else from_colour()
    return tf.cond(tf.equal(tf.shape(images)[-1], 1), from_grey, from_colour)


def preprocess(images: tf.Tensor, image_size: int, channels: int) -> tf.Tensor:
    """Stretches pictures to the working size, with antialiasing.

    Args:
        images: uint8 [N, H, W, C] or [H, W, C], any H and W, C = 1 or 3 (may be unknown when
            traced).
        image_size: working size S.
        channels: the model's, 1 or 3.

    Returns:
        uint8 [N, S, S, channels] or [S, S, channels]; the pixels themselves if H = W = S.
    """
    images = _to_channels(images, channels)

    def resize():
        resized = tf.image.resize(images, [image_size, image_size], antialias=True)
        return tf.saturate_cast(tf.round(resized), tf.uint8)

    has_size = tf.reduce_all(tf.equal(tf.shape(images)[-3:-1], image_size))
    prepared = tf.cond(has_size, lambda: images, resize)  # a tenth of the time, for nothing
    return tf.ensure_shape(prepared, [*images.shape[:-3], image_size, image_size, channels])


def decode_image(image_bytes: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG or JPEG (scalar string): uint8 [H, W, 3]; EXIF orientation is ignored."""
    image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])


def _answer(model: keras.Model, images: tf.Tensor, sizes: tf.Tensor) -> Answers:
    """Answers for uint8 images [N, S, S, C] whose originals had `sizes` (W, H), float32 [N, 2]."""
    outputs = model(images, training=False)
    points, confidence = decode_centers(outputs, model.input_shape[1])
    answers = {"center_xy": points * sizes / FRAME, "confidence": confidence}
    if is_heatmap_model(model):
        answers["heatmap"] = outputs[..., 0]
    return answers


def make_answer_images(model: keras.Model) -> Callable[[tf.Tensor], Answers]:
    """The function behind `serving_default`: images uint8 [N, H, W, C] -> answers.

    Answers: center_xy float32 [N, 2] in input pixels; confidence float32 [N] (NaN for
    coordinate models); and, for heatmap models, heatmap float32 [N, S, S] at working size.
    """
    _, size, _, channels = model.input_shape

    def answer_images(images):
        original = tf.cast(tf.shape(images)[1:3][::-1], tf.float32)
        return _answer(model, preprocess(images, size, channels), original)

    return tf.function(
        answer_images,
        input_signature=[tf.TensorSpec([None, None, None, None], tf.uint8, name="images")],
    )


def make_answer_encoded(model: keras.Model) -> Callable[[tf.Tensor], Answers]:
    """The function behind `encoded`: image_bytes string [N], PNG or JPEG of any size each."""
    _, size, _, channels = model.input_shape

    def prepare(image_bytes):
        image = decode_image(image_bytes)
        original = tf.cast(tf.shape(image)[:2][::-1], tf.float32)
        return preprocess(image, size, channels), original

    def answer_encoded(image_bytes):
        images, sizes = tf.map_fn(
            prepare,
            image_bytes,
            fn_output_signature=(
                tf.TensorSpec([size, size, channels], tf.uint8),
                tf.TensorSpec([2], tf.float32),
            ),
        )
        return _answer(model, images, sizes)

    return tf.function(
        answer_encoded, input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")]
    )


def export_model(model: keras.Model, export_dir: Path) -> Path:
    """Writes a SavedModel into the next numeric version folder, whole or not at all.

    Signatures: `serving_default` (images) and `encoded` (image_bytes), see above.

    Returns:
        The folder written, `export_dir/<version>`.

    Raises:
        UserError: if it cannot be written; earlier versions are untouched.
    """
    try:
        export_dir.mkdir(parents=True, exist_ok=True)
        versions = [int(p.name) for p in export_dir.iterdir() if p.name.isdecimal()]
        target = export_dir / str(max(versions, default=0) + 1)
        temporary = export_dir / f".tmp-{os.getpid()}-{target.name}"
    except OSError as error:
        message = f"--export_dir={export_dir}: cannot be written ({reason(error)})"
        raise UserError(message) from error
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", make_answer_images(model))
    archive.add_endpoint("encoded", make_answer_encoded(model))
    try:
        archive.write_out(str(temporary), verbose=False)
        os.rename(temporary, target)
    except (OSError, tf.errors.OpError) as error:
        message = f"--export_dir={export_dir}: cannot be written ({reason(error)})"
        raise UserError(message) from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary, ignore_errors=True)
    return target
