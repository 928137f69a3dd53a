"""Trains a narrow network on two replicas: `python -m tests.mirrored FOLDER ARCH [cut]`.

With `cut`, also one that is stopped and resumed, and a step that overflows on one replica.

Two logical CPUs must be set up before TensorFlow starts, hence a process of its own. The last line
of its output is what it found, as JSON.
"""

import contextlib
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipelines.source import make_source
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.errors import Interrupted
from rectloc_tf.models import run_head
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.progress import ProgressLine
from rectloc_tf.training.runtime import make_runtime
from rectloc_tf.training.state import TrainState
from rectloc_tf.training.step import share_overflow
from tests.narrow import narrow
from tests.trainers import StopAfter, make_trainer


def make_strategy():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def trained(run, path, session, stops, render_on):
    """A trainer that has trained a run, stopped and begun again as `stops` ask."""
    how = ExecutionConfig(deterministic=True, render_on=render_on)
    folder = RunFolder(path)
    folder.path.mkdir()
    folder.claim(run)
    for stop in stops:
        trainer = make_trainer(run, path, how, session, stop, ProgressLine())
        with contextlib.suppress(Interrupted):
            trainer.fit()
    return trainer


def overflow(run, strategy):
    """What an overflow on the second replica only does: it must skip the step on both."""
    half = dataclasses.replace(run, precision="mixed_float16")
    state = TrainState(half, run_head(run), make_source(run).channels, strategy)
    variables = state.model.trainable_variables

    def step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        bad = tf.where(replica == 1, np.float32("inf"), 0.0)
        gradients = [tf.ones_like(v.value) for v in variables]
        state.optimizer.apply(share_overflow([gradients[0] + bad, *gradients[1:]]), variables)

    def scale():
        return float(tf.convert_to_tensor(state.optimizer.dynamic_scale.value))

    weights, whole = state.model.get_weights(), scale()
    tf.function(lambda: strategy.run(step))()
    pairs = zip(weights, state.model.get_weights(), strict=True)
    return {
        "overflow skips the step": all(np.array_equal(*pair) for pair in pairs),
        "overflow halves the scale": scale() == whole / 2,
    }


def weights_of(trainer, strategy):
    """Each weight as the two replicas have it."""
    parts = [strategy.experimental_local_results(w.value) for w in trainer.state.model.weights]
    return [[part.numpy() for part in pair] for pair in parts]


def resumed(run, root, session, whole):
    """Whether a run that is stopped, and drawn elsewhere, ends as the whole one."""
    # Where the pictures are drawn must not matter either, nor how many steps a call makes.
    # The stop is after step 5, in mid-epoch: the first step is a call of its own.
    by_four = dataclasses.replace(session, steps_per_call=4)
    cut = trained(run, root / "cut", by_four, [StopAfter(2), StopRequest()], "device")
    pairs = zip(*(weights_of(t, session.strategy) for t in (whole, cut)), strict=True)
    return {
        "resumed is whole": all(np.array_equal(*pair) for pair in pairs),
        "same rows": whole.history[0]["val_loss"] == cut.history[0]["val_loss"],
    }


def main(root, arch, *more):
    strategy = make_strategy()
    run = RunConfig(
        arch=arch, domain=2, image_size=64, num_images=40, batch_size=8, epochs=2,
        validate_every=2, precision="float32",
    )  # fmt: skip
    session = make_runtime(ExecutionConfig(deterministic=True), run.batch_size, strategy)
    tf.config.experimental.enable_op_determinism()
    whole = trained(run, root / "whole", session, [StopRequest()], "host")
    report = {
        "session": session.description,
        "replicas agree": all(np.array_equal(*pair) for pair in weights_of(whole, strategy)),
        "rows": [[row["step"], row["val_loss"]] for row in whole.history],
    }
    if more == ("cut",):
        report |= resumed(run, root, session, whole) | overflow(run, strategy)
    print(json.dumps(report))


if __name__ == "__main__":
    with narrow():
        main(Path(sys.argv[1]), *sys.argv[2:])
