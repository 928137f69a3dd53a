"""Training that starts from another run's weights: `--init_from=RUN`.

The weights are part of what the new run is, by their digest and not by their path: a folder
that is moved, or trained again to the same weights, gives the same run.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence

import numpy as np

from rectloc_tf.config import RunConfig
from rectloc_tf.digests import as_digest, is_digest
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.registry import HEADS
from rectloc_tf.results.rundir import RunFolder

Weights = list[np.ndarray]


def digest(weights: Sequence[np.ndarray]) -> str:
    """`sha256:` and 32 hexadecimal digits of the arrays: their order, shapes, dtypes and values."""
    found = hashlib.sha256()
    for array in weights:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return as_digest(found)


def check(run: RunConfig, which: str) -> None:
    """Refuses a folder whose weights the run cannot start from, without loading anything.

    Args:
        run: a run, with a folder or a digest as its `init_from`, or neither.
        which: "best" or "final", the model of the folder to start from.

    Raises:
        UserError: if there is no such run, or no such model in its folder yet.
        ConfigError: if its network is another, naming the flag.
    """
    if not run.init_from or is_digest(run.init_from):
        return
    flag, folder = f"--init_from={run.init_from}", RunFolder(run.init_from)
    if folder.path.is_file():
        raise UserError(f"{flag}: is a file; name the run folder that it is in")
    if not folder.exists():
        raise UserError(f"{flag}: no run there (config.json is missing); name a run folder")
    other = folder.run_config()
    for name in ("arch", "depth", *HEADS[run.arch].shaped_by):
        if name == "num_keypoints" and "labels" in run.unused | other.unused:
            continue  # the sources know, see `require_fit`
        theirs, ours = getattr(other, name), getattr(run, name)
        if theirs == ours:
            continue
        if name == "num_keypoints":
            words = f"answers {theirs} points, and this run {ours}"
            raise ConfigError(f"--labels={run.labels}: {flag} {words}")
        raise ConfigError(f"--{name}={ours}: {flag} is a run of --{name}={theirs}")
    path = folder.model_path(which)
    if not path.exists():
        raise UserError(f"{flag}: not trained yet ({path.name} is missing)")


def resolve(run: RunConfig, which: str) -> tuple[RunConfig, Weights | None]:
    """Reads the weights that a run starts from: the run with their digest, and the weights.

    Loads TensorFlow if there is something to read. A run that names a digest, or starts from
    new weights, is returned as it is, with None.

    Raises:
        UserError: as `check` does, or if the model is damaged.
    """
    check(run, which)
    if not run.init_from or is_digest(run.init_from):
        return run, None
    from rectloc_tf.models import load_model

    weights = load_model(RunFolder(run.init_from).model_path(which)).get_weights()
    return dataclasses.replace(run, init_from=digest(weights)), weights


def require_fit(run: RunConfig, weights: Weights | None) -> None:
    """Refuses weights of other shapes than the run's network has, as of other keypoints.

    Args:
        run: with the weights' digest and its precision resolved.
        weights: those to start from, if any.

    Raises:
        ConfigError: naming the first weights that differ.
    """
    if weights is None:
        return
    from rectloc_tf.models import build_run_model, run_channels, run_head

    model = build_run_model(run, run_head(run), run_channels(run))
    for ours, theirs in itertools.zip_longest(model.weights, weights):
        here, there = (None if w is None else tuple(w.shape) for w in (ours, theirs))
        if here != there:
            name = getattr(ours, "path", "the last")
            what = f"the weights {name} are {there} there and {here} here"
            raise ConfigError(f"--init_from={run.init_from}: another network; {what}")


def require(run: RunConfig, weights: Weights | None, folder: RunFolder) -> None:
    """Refuses a run that cannot start, since only the digest of its first weights is known.

    Raises:
        UserError: if there is no checkpoint to resume from either.
    """
    if run.init_from and weights is None and not folder.has_checkpoint():
        raise UserError(
            f"--init_from={run.init_from}: {folder.path} has no checkpoint to resume from; name "
            "the folder of the run whose weights these are, as --init_from=RUN"
        )
