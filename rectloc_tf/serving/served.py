"""A network with all that its exports depend on."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from pipelines.resampling import PLACES
from rectloc_tf import __version__
from rectloc_tf.heads.head import Head
from rectloc_tf.registry import UNORDERED
from rectloc_tf.results.rundir import DEFAULT_THRESHOLD
from rectloc_tf.serving.inference import (
    Answers,
    as_float32,
    make_answer_images,
    make_answer_points,
    make_answers,
)


@dataclass(frozen=True)
class Served:
    """A trained network as it is exported.

    Attributes:
        model: the network.
        head: its head.
        place: how images lie in the working size, a name in `pipelines.resampling.PLACES`.
        threshold: minimum confidence of a detection, for points of one class.
    """

    model: keras.Model
    head: Head
    place: str = "stretch"
    threshold: float = DEFAULT_THRESHOLD

    @property
    def size(self) -> int:
        """The working size S."""
        return self.model.input_shape[1]

    @property
    def channels(self) -> int:
        """C of the images, 1 or 3."""
        return self.model.input_shape[3]

    def in_float32(self) -> "Served":
        """The same network computing in float32, which every runtime can."""
        return dataclasses.replace(self, model=as_float32(self.model))

    def answer_images(self) -> Callable[[tf.Tensor], Answers]:
        """See `inference.make_answer_images`: what every export is compared with."""
        return make_answer_images(self.model, self.head, PLACES[self.place])

    def answers(self) -> tuple[Callable[[tf.Tensor], Answers], ...]:
        """See `inference.make_answers`."""
        return make_answers(self.model, self.head, PLACES[self.place])

    def answer_points(self) -> Any:
        """See `inference.make_answer_points`."""
        return make_answer_points(self.model, self.head, PLACES[self.place])

    def save_points(self, folder: str) -> None:
        """Writes `answer_points` as a SavedModel, which converters read with all its names."""
        module = tf.Module()
        module.answer = self.answer_points()
        tf.saved_model.save(module, folder, signatures=module.answer)

    def metadata(self) -> dict[str, Any]:
        """JSON values by name: all that a user of an export must know."""
        about = {
            "software": "rectloc_tf",
            "version": __version__,
            "head": self.head.name,
            "keypoints": list(self.head.keypoints.names),
            "points": self.head.keypoints.kind,
            "image_size": self.size,
            "channels": self.channels,
            "place": self.place,
            "input": "images: uint8 [N, H, W, C], 0-255, rows from the top, colours as RGB",
            "unit": "px of the input, x to the right and y down; the top-left corner is (0, 0)",
            "confidence": "0-1",
        }
        if self.head.keypoints.kind == UNORDERED:
            about["threshold"] = self.threshold  # of detection_confidence
        return about
