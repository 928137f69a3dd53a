"""What a head is: the last layers of a network, and all that belongs to their outputs.

What a head outputs is opaque to everyone else: only the head turns points into targets, compares
outputs with them, and reads points from outputs.
"""

import abc
import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import keras
import tensorflow as tf

from rectloc_tf.config import MAX_DOMAIN, HeadConfig, Keypoints
from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import frame_to_working
from rectloc_tf.heads.losses import mean_over_present
from rectloc_tf.heads.peaks import Peaks
from rectloc_tf.registry import HEADS, LOSSES, UNORDERED, load

MAX_DETECTIONS = MAX_DOMAIN  # of points of one class in an image
Outputs = Any  # a tensor, or a dict of tensors
Targets = dict[str, tf.Tensor]


class Points(NamedTuple):
    """An answer for each keypoint.

    Attributes:
        xy: float32 [B, K, 2], (x, y) in working pixels.
        confidence: float32 [B, K], 0-1; None if the head has none.
    """

    xy: tf.Tensor
    confidence: tf.Tensor | None


@dataclass(frozen=True)
class Head(abc.ABC):
    """A head for some keypoints at some size.

    N is the number of an image's points, K the number of keypoints that are answered, C the
    number of separate answers that the loss looks at (see `losses`). All tensors are float32
    under every precision. Functions of tensors are graph ops for any device.

    Attributes:
        config: its settings.
        image_size: working size S.
        keypoints: what is answered. Outputs may come from a network that answers more keypoints,
            of which these are the first.
        answers_any_number: whether its outputs are the same whatever the number of points.
        can_be_empty: whether its networks may answer nothing, as an all-black map does.
        answer_step: working pixels between neighbouring places that it chooses the best of, so
            that rounding may choose another; None where answers change as little as outputs do.
    """

    config: HeadConfig
    image_size: int
    keypoints: Keypoints
    can_be_empty: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Its name in `registry.HEADS`."""
        return self.config.arch

    @property
    def answers_any_number(self) -> bool:
        """Whether a network trained on one number of points can be measured on another."""
        return False

    @property
    def answer_step(self) -> float | None:
        """Spacing of the places that the head chooses from, working pixels; None if it does not."""
        return None

    def of(self, keypoints: Keypoints) -> "Head":
        """The same head for the outputs' first keypoints, or for another number of points.

        Raises:
            ConfigError: if a network with this head cannot predict them.
        """
        if keypoints.kind not in HEADS[self.name].points:
            raise ConfigError(f"--arch={self.name}: cannot predict {keypoints.kind} points")
        asked, ours = keypoints, self.keypoints
        other = dataclasses.replace(self, keypoints=keypoints)
        if asked.num_points == 1 or (self.answers_any_number and other.answers_any_number):
            return other
        if asked.kind != ours.kind:
            raise ConfigError(
                f"--labels: this model predicts {ours.kind} points, but the labels here are "
                f"{asked.kind}; use --labels=largest"
            )
        if asked.num_points != ours.num_points:
            raise ConfigError(
                f"--labels: this model predicts {ours.num_points} points, but {asked.num_points} "
                "are labelled here; use --labels=largest"
            )
        return other

    def to_working(self, length: float) -> float:
        """A length in px of 224, a share of the working side, in working pixels."""
        return frame_to_working(length, self.image_size)

    @property
    def loss_function(self):
        """The function that `config.loss` names; see `losses`."""
        return load(LOSSES[self.config.loss])

    @abc.abstractmethod
    def outputs(self, features: dict[str, keras.KerasTensor], dtype: str) -> Outputs:
        """The head's layers on the feature maps P2 ... P5 of a backbone; float32.

        Args:
            features: see `network.backbones.resnet_features`.
            dtype: dtype policy of the backbone, for layers that cost time.
        """

    @abc.abstractmethod
    def targets(self, points: tf.Tensor, present: tf.Tensor) -> Targets:
        """Training targets for the outputs.

        Args:
            points: float32 [B, N, 2], (x, y) in working pixels; anything finite where absent.
            present: bool [B, N], whether there is a label.

        Returns:
            Tensors by name; `mask`, float32 [B, C], is 1 where there is something to learn.
        """

    @abc.abstractmethod
    def losses(self, outputs: Outputs, targets: Targets) -> tf.Tensor:
        """Training losses of each separate output: float32 [B, C], 0 where masked."""

    def loss(self, outputs: Outputs, targets: Targets) -> tf.Tensor:
        """The mean of `losses` over what is present: float32 [B]; 0 if nothing is."""
        return mean_over_present(self.losses(outputs, targets), targets["mask"])

    def empty_losses(self, targets: Targets) -> tf.Tensor:
        """`losses` of empty maps: float32 [B, C], where `can_be_empty`."""
        raise NotImplementedError(f"{self.name} always predicts a point")

    def empty_loss(self, targets: Targets) -> tf.Tensor:
        """The mean of `empty_losses` over what is present: float32 [B]."""
        return mean_over_present(self.empty_losses(targets), targets["mask"])

    def statistics(self, outputs: Outputs, targets: Targets) -> dict[str, tf.Tensor] | None:
        """Sums from which MSE and R^2 of many examples are made, in a unit of the original's.

        Returns:
            errors, sums, squares: float32 [B, columns]: sums over `num_values` values of an example
            of (output - target)^2, target and target^2. None if this head has no such values.
        """
        return None

    @property
    def num_values(self) -> int:
        """How many values of an example a column of `statistics` sums up."""
        return 1

    @abc.abstractmethod
    def decode(self, outputs: Outputs) -> Points:
        """The answer for each keypoint."""

    def detections(self, outputs: Outputs, max_points: int) -> Peaks | None:
        """Every place where the network sees a keypoint, values in 0-255; None if it cannot."""
        return None

    def cell_maps(self, outputs: Outputs) -> tuple[tf.Tensor, int] | None:
        """Maps of where the keypoints are, as fine as the network makes them.

        Returns:
            float32 [B, H, W, M], 0-255, and the working pixels from cell to cell; None of heads
            without maps.
        """
        return None

    def maps(self, outputs: Outputs) -> tf.Tensor | None:
        """What pictures show: float32 [B, S, S, M], 0-255; None if there is nothing to show."""
        found = self.cell_maps(outputs)
        if found is None:
            return None
        maps, stride = found
        if stride > 1:
            maps = tf.repeat(tf.repeat(maps, stride, axis=1), stride, axis=2)
        return maps[:, : self.image_size, : self.image_size]

    def answers(self, outputs: Outputs) -> dict[str, tf.Tensor]:
        """What outputs say, by name.

        Returns:
            points_xy [B, K, 2] in working pixels; where the head has them, point_confidence [B, K]
            and maps [B, S, S, M]; and of points of one class all that is detected, detections_xy
            [B, MAX_DETECTIONS, 2] with detection_confidence, the most certain first and 0 where
            there are no more.
        """
        points, maps = self.decode(outputs), self.maps(outputs)
        answers = {"points_xy": points.xy}
        if points.confidence is not None:
            answers["point_confidence"] = points.confidence
        if maps is not None:
            answers["maps"] = maps
        one_class = self.keypoints.kind == UNORDERED
        peaks = self.detections(outputs, MAX_DETECTIONS) if one_class else None
        if peaks is not None:
            confidence = tf.clip_by_value(peaks.values / 255, 0, 1)
            answers["detections_xy"] = peaks.points
            answers["detection_confidence"] = tf.where(peaks.valid, confidence, 0.0)
        return answers
