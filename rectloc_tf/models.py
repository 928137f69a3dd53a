"""Networks: a ResNet backbone with a head. Here source, head and network of a run come together.

Models take raw pixels, uint8 [B, S, S, C], and give their head's outputs, float32 under every
precision. Importing this module registers what `keras.saving.load_model` needs. Layers are given
their dtype policy and data format, so the user's Keras settings change no network.
"""

import dataclasses
import zipfile
import zlib
from pathlib import Path

import keras
from keras import layers

from pipelines.source import make_source
from rectloc_tf.config import HeadConfig, Keypoints, ModelConfig, RunConfig
from rectloc_tf.errors import ConfigError, UserError, reason
from rectloc_tf.heads.head import Head
from rectloc_tf.network.backbones import resnet_features
from rectloc_tf.network.layers import ImageNetNormalization
from rectloc_tf.registry import HEADS, SOURCES, load

# What Keras, h5py and zipfile raise at a damaged or foreign file; its config may hold anything.
_DAMAGE = (
    ValueError, TypeError, AttributeError, LookupError, OSError, RuntimeError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
# Keras stores weights as they are. Packed again by other tools they become a little smaller.
_SMALL, _MAX_RATIO = 64 * 2**20, 8


def make_head(config: HeadConfig, image_size: int, keypoints: Keypoints) -> Head:
    """The head of a config, for some keypoints at a working size.

    Raises:
        ConfigError: if it cannot answer points of this kind.
    """
    spec = HEADS[config.arch]
    if keypoints.kind not in spec.points:
        raise ConfigError(f"--arch={config.arch}: cannot predict {keypoints.kind} points")
    return load(spec.implementation)(config.head, image_size, keypoints)


def run_head(run: RunConfig) -> Head:
    """The head of a run, for the keypoints of its source; needs no files."""
    keypoints = SOURCES[run.source].keypoints
    return make_head(
        run, run.image_size, keypoints(run) if keypoints else make_source(run).keypoints
    )


def run_channels(run: RunConfig) -> int:
    """The channels of a run's images; needs no files."""
    return run.channels or make_source(run).channels


def build_model(config: ModelConfig, head: Head) -> keras.Model:
    """Builds a network, with fresh weights (Keras' global seed decides them).

    Returns:
        An uncompiled functional model: images uint8 [B, S, S, C] -> what `head.outputs` makes. The
        feature maps P2 ... P5 are the outputs of the last blocks of the backbone's four stacks,
        layers `stack<i>_block<j>_out`.
    """
    shape = (config.image_size, config.image_size, config.channels)
    images = keras.Input(shape, dtype="uint8", name="images")
    if config.pretrained:
        x = ImageNetNormalization(dtype=config.precision, name="normalize")(images)
    else:
        x = layers.Rescaling(1 / 255, dtype=config.precision, name="rescale")(images)
    outputs = head.outputs(resnet_features(x, config.depth, config.precision), config.precision)
    return keras.Model(images, outputs, name=_name(head.name, config.depth))


def _name(arch: str, depth: int) -> str:
    return f"{arch}_resnet{depth}"


def build_run_model(run: RunConfig, head: Head, channels: int) -> keras.Model:
    """Builds the network of a run, whose precision must have been resolved."""
    return build_model(dataclasses.replace(run.model, channels=channels), head)


def load_model(path: Path, run: RunConfig | None = None) -> keras.Model:
    """Loads a trained network, a `.keras` file, without running code that it may bring along.

    Args:
        path: the file.
        run: which the network must be of, if that is known.

    Raises:
        UserError: if it is missing (its run has not got that far), damaged, no network or another
            run's, or unpacks to far more than its size.
    """
    if not path.exists():
        raise UserError(f"{path}: no model here yet; train the run first")
    for spec in HEADS.values():  # registers the layers of their own
        load(spec.implementation)
    try:
        _check_archive(path)
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
        if not isinstance(model, keras.Model):
            raise ValueError(f"a {type(model).__name__}, not a network")
    except _DAMAGE as error:
        raise UserError(f"{path}: damaged, cannot be loaded ({reason(error)})") from error
    if run:
        _check_is_of(run, model, path)
    return model


def _check_is_of(run: RunConfig, model: keras.Model, path: Path) -> None:
    size = model.input_shape[1] if isinstance(model.input_shape, tuple) else None
    found, expected = (model.name, size), (_name(run.arch, run.depth), run.image_size)
    if found != expected:
        words = [f"{name} at {side} pixels" for name, side in (found, expected)]
        raise UserError(f"{path}: {words[0]}, but its config.json says {words[1]}")


def _check_archive(path: Path) -> None:
    """Refuses, before anything is unpacked, what would fill the memory or leave its folder.

    Raises:
        ValueError: saying why.
    """
    if not path.is_file():
        raise ValueError("not a file")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    unpacked, packed = sum(member.file_size for member in members), path.stat().st_size
    if unpacked > _SMALL + _MAX_RATIO * packed:
        raise ValueError(f"{packed:,} bytes that unpack to {unpacked:,}")
    for member in members:
        if member.filename.startswith("/") or ".." in member.filename.replace("\\", "/").split("/"):
            raise ValueError(f"it holds a file named {member.filename!r}")
