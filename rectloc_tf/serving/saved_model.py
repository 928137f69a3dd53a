"""Trained networks as a SavedModel for TensorFlow Serving."""

import contextlib
import os
import shutil
from pathlib import Path

import keras
import tensorflow as tf

from pipelines.resampling import Place, stretch
from rectloc_tf.errors import UserError, reason
from rectloc_tf.heads.head import Head
from rectloc_tf.results.output_files import temporary_path
from rectloc_tf.serving.inference import make_answers


def export_model(model: keras.Model, head: Head, export_dir: Path, place: Place = stretch) -> Path:
    """Writes a SavedModel into the next numeric version folder, whole or not at all.

    Signatures: `serving_default` (images) and `encoded` (image_bytes), see `inference`; and
    `keypoints`, which takes nothing and returns the keypoints' `names`, string [K]. `place` says
    how images lie in the working size, as in training.

    Returns:
        The folder written, `export_dir/<version>`.

    Raises:
        UserError: if it cannot be written; earlier versions are untouched.
    """
    try:
        export_dir.mkdir(parents=True, exist_ok=True)
        versions = [int(p.name) for p in export_dir.iterdir() if p.name.isdecimal()]
        target = export_dir / str(max(versions, default=0) + 1)
        temporary = temporary_path(target)
    except OSError as error:
        message = f"--export_dir={export_dir}: cannot be written ({reason(error)})"
        raise UserError(message) from error
    module = tf.Module()
    module.images, module.encoded = make_answers(model, head, place)
    names = tf.constant(head.keypoints.names)
    module.keypoints = tf.function(lambda: {"names": names}, input_signature=[])
    signatures = {"serving_default": module.images, "encoded": module.encoded}
    signatures["keypoints"] = module.keypoints.get_concrete_function()
    try:
        tf.saved_model.save(module, str(temporary), signatures=signatures)
        os.rename(temporary, target)
    except (OSError, tf.errors.OpError) as error:
        message = f"--export_dir={export_dir}: cannot be written ({reason(error)})"
        raise UserError(message) from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary, ignore_errors=True)
    return target
