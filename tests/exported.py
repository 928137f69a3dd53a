"""A SavedModel as `export` writes it, unchecked."""

from pathlib import Path

import keras

from rectloc_tf.heads.head import Head
from rectloc_tf.serving.saved_model import save
from rectloc_tf.serving.served import Served
from rectloc_tf.serving.versions import new_version


def export_model(model: keras.Model, head: Head, export_dir: Path, place: str = "stretch") -> Path:
    """Writes the next version; returns its folder."""
    with new_version(export_dir) as (temporary, publish):
        save(Served(model, head, place), temporary)
        return publish()
