"""Trained networks as a SavedModel for TensorFlow Serving."""

from pathlib import Path

import keras
import tensorflow as tf

from rectloc_tf.heads.head import Head
from rectloc_tf.serving.served import Served
from rectloc_tf.serving.versions import new_version


def export_model(model: keras.Model, head: Head, export_dir: Path, place: str = "stretch") -> Path:
    """Writes a SavedModel into the next numeric version folder, whole or not at all, unchecked.

    Returns:
        The folder written, `export_dir/<version>`.

    Raises:
        UserError: if it cannot be written; earlier versions are untouched.
    """
    with new_version(export_dir) as (temporary, target):
        save(Served(model, head, place), temporary)
    return target


def save(served: Served, folder: Path) -> None:
    """Writes a SavedModel.

    Signatures: `serving_default` (images) and `encoded` (image_bytes), see `inference`; and
    `keypoints`, which takes nothing and returns the keypoints' `names`, string [K].
    """
    module = tf.Module()
    module.images, module.encoded = served.answers()
    names = tf.constant(served.head.keypoints.names)
    module.keypoints = tf.function(lambda: {"names": names}, input_signature=[])
    signatures = {"serving_default": module.images, "encoded": module.encoded}
    signatures["keypoints"] = module.keypoints.get_concrete_function()
    tf.saved_model.save(module, str(folder), signatures=signatures)
