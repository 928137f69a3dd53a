"""What a format of exported networks is. Imports no TensorFlow."""

import abc
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from rectloc_tf.serving.served import Served

Answer = Callable[[np.ndarray], dict[str, np.ndarray]]

STAGES = 4  # of the backbone; nearly all weights are in the last two


def backbone(first: int = 1) -> str:
    """A pattern of the names of the backbone's convolutions, see `network.backbones`.

    They are what int8 computes in 8 bits: nearly all of the time, and nothing whose steps would be
    seen in an answer.

    Args:
        first: the stage from which on they are; 1 includes the first convolution of all.
    """
    stem = "conv1|" if first == 1 else ""
    return rf"(^|[/;])({stem}stack[{first - 1}-{STAGES - 1}]_block\d+_\d)_conv(_\d+)?/"


BACKBONE = backbone()


def is_in_backbone(name: str, convolutions: str = BACKBONE) -> bool:
    """Whether the name of an op, or of what it makes, is that of one of these convolutions."""
    return bool(re.search(convolutions, name))


class Format(abc.ABC):
    """Writes a network in a format, and runs it with the format's runtime, as a user would."""

    @abc.abstractmethod
    def write(
        self,
        served: "Served",
        folder: Path,
        metadata: Mapping[str, Any],
        quantize: str = "none",
        calibration: Iterable[np.ndarray] = (),
        convolutions: str = BACKBONE,
    ) -> None:
        """Writes the files of a network.

        Args:
            served: the network.
            folder: exists and is empty.
            metadata: JSON values by name; becomes part of the format's own metadata.
            quantize: "none", "float16" or "int8", one of those in `registry.FORMATS`.
            calibration: training images, uint8 [S, S, C] each, for int8.
            convolutions: a pattern of the names of those that int8 computes in 8 bits.

        Raises:
            Exception: whatever the converter raises.
        """

    @abc.abstractmethod
    def load(self, folder: Path) -> Answer:
        """The function that answers images, by the format's runtime; imports no TensorFlow of ours.

        Returns:
            A function of uint8 [N, H, W, C], N = 0 too -> answers by name, float32.
        """


def as_texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Metadata for formats that keep texts only: strings as they are, other values as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in metadata.items()
    }
