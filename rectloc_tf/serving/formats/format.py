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

# Names of the backbone's convolutions in a graph, see `network.backbones`. They are what int8
# computes in 8 bits: nearly all of the time, and nothing whose steps would be seen in an answer.
BACKBONE = r"(^|[/;])(conv1|stack\d+_block\d+_\d)_conv(_\d+)?/"


def is_in_backbone(name: str) -> bool:
    """Whether the name of an op, or of what it makes, is that of a backbone's convolution."""
    return bool(re.search(BACKBONE, name))


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
    ) -> None:
        """Writes the files of a network.

        Args:
            served: the network.
            folder: exists and is empty.
            metadata: JSON values by name; becomes part of the format's own metadata.
            quantize: "none", "float16" or "int8", one of those in `registry.FORMATS`.
            calibration: training images, uint8 [S, S, C] each, for int8.

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
