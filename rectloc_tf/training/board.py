"""TensorBoard summaries of a run."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from rectloc_tf.errors import UserError, reason


class Board:
    """Writes numbers and pictures for TensorBoard into a folder, at once.

    Each method raises UserError if the disk is full or the folder cannot be written. Without a
    folder nothing is written.
    """

    def __init__(self, folder: Path | None):
        self._folder = folder
        self._writer = tf.summary.create_noop_writer()
        if folder:
            with self._writing():
                self._writer = tf.summary.create_file_writer(str(folder))

    def add_numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Shows numbers by name; those that are not finite are left out."""
        with self._writing(), self._writer.as_default(step=step):
            for name, value in numbers.items():
                if np.isfinite(value):
                    tf.summary.scalar(name, value)
            self._writer.flush()

    def add_picture(self, step: int, name: str, image: np.ndarray) -> None:
        """Shows a picture, uint8 [H, W, 3]."""
        with self._writing(), self._writer.as_default(step=step):
            tf.summary.image(name, image[None])
            self._writer.flush()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (tf.errors.OpError, OSError) as error:
            raise UserError(f"{self._folder}: cannot be written ({reason(error)})") from error
