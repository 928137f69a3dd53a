"""Training that starts from another run's weights, `--init_from=RUN`, or from a pretrained
backbone, `--backbone_weights=FILE`.

The new run is identified by the digest of the weights, not by their path: a folder or file that is
moved, or recreated with the same weights, gives the same run.

A run on the same source gives all its weights. One on another source gives only its backbone, since
its head predicts something else.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from rectloc_tf.config import RunConfig
from rectloc_tf.config.digests import as_digest, is_digest
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.network.layout import variables
from rectloc_tf.network.pretrained import Backbone, read_backbone, require_kind
from rectloc_tf.registry import HEADS
from rectloc_tf.results.rundir import RunFolder

Weights = list[np.ndarray] | Backbone  # of a whole network, or of its backbone by name


def digest(weights: Sequence[np.ndarray] | Backbone) -> str:
    """`sha256:` and 32 hexadecimal digits of the arrays: their order, shapes, dtypes and values."""
    found = hashlib.sha256()
    for array in weights.values() if isinstance(weights, dict) else weights:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return as_digest(found)


def _is_path(value: str) -> bool:
    return bool(value) and not is_digest(value)


def check(run: RunConfig, which: str) -> None:
    """Refuses a folder or file that the run cannot start from, without loading anything.

    Args:
        run: a run, with a folder or a digest as its `init_from`, or neither, and a file or a
            digest as its `backbone_weights`, or neither.
        which: "best" or "final", the model of the folder to start from.

    Raises:
        UserError: if there is no such run or file, or no such model in its folder yet.
        ConfigError: if its network is another, naming the flag.
    """
    if _is_path(run.backbone_weights):
        if run.init_from:
            raise ConfigError(
                f"--backbone_weights={run.backbone_weights}: --init_from={run.init_from} gives the "
                "backbone's weights too; leave one out"
            )
        require_kind(run.backbone_weights)
    if not _is_path(run.init_from):
        return
    flag, folder = f"--init_from={run.init_from}", RunFolder(run.init_from)
    if folder.path.is_file():
        raise UserError(f"{flag}: is a file; name the run folder that it is in")
    if not folder.exists():
        raise UserError(f"{flag}: no run there (config.json is missing); name a run folder")
    _require_like(run, folder.run_config(), flag)
    path = folder.model_path(which)
    if not path.exists():
        raise UserError(f"{flag}: not trained yet ({path.name} is missing)")


def _require_like(run: RunConfig, other: RunConfig, flag: str) -> None:
    """Refuses another run whose network does not fit, as far as their settings tell."""
    if run.backbone_weights not in ("", other.backbone_weights):
        theirs = other.backbone_weights or "random weights"
        raise ConfigError(
            f"--backbone_weights={run.backbone_weights}: {flag} began from {theirs}; leave one out"
        )
    shaped_by = HEADS[run.arch].shaped_by if other.source == run.source else None
    for name in ("depth",) if shaped_by is None else ("arch", "depth", *shaped_by):
        if name == "num_keypoints" and "labels" in run.unused | other.unused:
            continue  # depends on the sources, see `require_fit`
        theirs, ours = getattr(other, name), getattr(run, name)
        if theirs == ours:
            continue
        if name == "num_keypoints":
            words = f"predicts {theirs} points, and this run {ours}"
            raise ConfigError(f"--labels={run.labels}: {flag} {words}")
        raise ConfigError(f"--{name}={ours}: {flag} was trained with --{name}={theirs}")


def resolve(run: RunConfig, which: str) -> tuple[RunConfig, Weights | None]:
    """Reads the weights that a run starts from: the run with their digest, and the weights.

    Loads TensorFlow if there is a run to read. A run that names a digest, or starts from random
    weights, is returned unchanged, with None. One that starts from a run with a pretrained backbone
    inherits its `backbone_weights`, since images must be normalised the same way.

    Raises:
        UserError: as `check` does, or if the model or the file is damaged.
        ConfigError: if the file is of another depth.
    """
    check(run, which)
    if _is_path(run.backbone_weights):
        backbone = read_backbone(run.backbone_weights, run.depth)
        return dataclasses.replace(run, backbone_weights=digest(backbone)), backbone
    if not _is_path(run.init_from):
        return run, None
    from rectloc_tf.models import load_model
    from rectloc_tf.network.backbones import get_backbone

    folder = RunFolder(run.init_from)
    model, other = load_model(folder.model_path(which)), folder.run_config()
    alike = other.source == run.source
    weights = model.get_weights() if alike else get_backbone(model, run.depth)
    digests = {"init_from": digest(weights), "backbone_weights": other.backbone_weights}
    return dataclasses.replace(run, **digests), weights


def put(model: Any, weights: Weights, depth: int) -> None:
    """Sets the initial weights of a new network."""
    from rectloc_tf.network.backbones import set_backbone

    if isinstance(weights, dict):
        set_backbone(model, weights, depth)
    else:
        model.set_weights(weights)


def require_fit(run: RunConfig, weights: Weights | None) -> None:
    """Refuses weights whose shapes differ from the run's network, as with other keypoints.

    Args:
        run: with the weights' digest and its precision resolved.
        weights: the initial ones, if any. A whole backbone fits every head.

    Raises:
        ConfigError: naming the first weights that differ.
    """
    part = isinstance(weights, dict)
    if weights is None or (part and len(weights) == len(variables(run.depth))):
        return
    from rectloc_tf.models import build_run_model, run_channels, run_head
    from rectloc_tf.network.backbones import backbone_variables

    model = build_run_model(run, run_head(run), run_channels(run))
    if part:
        lacking = [name for name in backbone_variables(model, run.depth) if name not in weights]
        if lacking:
            raise ConfigError(f"--init_from={run.init_from}: its network has no {lacking[0]}")
        return
    for ours, theirs in itertools.zip_longest(model.weights, weights):
        here, there = (None if w is None else tuple(w.shape) for w in (ours, theirs))
        if here != there:
            name = getattr(ours, "path", "the last")
            was, is_now = ("missing" if s is None else f"{s}" for s in (there, here))
            what = f"the shape of {name} is {was} in that run and {is_now} in this one"
            raise ConfigError(f"--init_from={run.init_from}: the networks differ; {what}")


def require(run: RunConfig, weights: Weights | None, folder: RunFolder) -> None:
    """Refuses a run that cannot start because only the digest of its initial weights is known.

    Raises:
        UserError: if there is no checkpoint to resume from either.
    """
    if weights is not None or folder.has_checkpoint():
        return
    why = f"{folder.path} has no checkpoint to resume from; give the"
    if run.init_from:
        raise UserError(
            f"--init_from={run.init_from}: {why} run folder that this digest is of, as in "
            "--init_from=RUN"
        )
    if run.backbone_weights:
        raise UserError(
            f"--backbone_weights={run.backbone_weights}: {why} file that this digest is of, as in "
            "--backbone_weights=FILE"
        )
