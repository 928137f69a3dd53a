"""Trained networks as a SavedModel for TensorFlow Serving."""

from pathlib import Path

import tensorflow as tf

from rectloc_tf.serving.served import Served


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
