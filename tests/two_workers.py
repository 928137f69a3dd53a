"""What two workers of a cluster do in tests/test_multi_worker.py, each in its own process.

    TF_CONFIG=... python -m tests.two_workers FOLDER

Prints a line of JSON: what it saw. The second worker is killed at the end.
"""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipelines.source import make_source
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.errors import Interrupted, UserError
from rectloc_tf.models import run_head
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training.cluster import read_cluster
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.loop import Trainer
from rectloc_tf.training.progress import WarningsOnly
from rectloc_tf.training.runtime import Runtime, make_runtime
from rectloc_tf.training.state import TrainState
from rectloc_tf.training.step import distributed_batches, make_train_step
from rectloc_tf.training.team import Team, make_team
from tests.few_scenes import split_indices
from tests.narrow import narrow
from tests.trainers import StopAfter, make_trainer

FLAGS = {
    "arch": "xy", "domain": 2, "image_size": 64, "num_images": 40, "batch_size": 8, "epochs": 2,
    "validate_every": 2, "precision": "float32",
}  # fmt: skip
HOW = ExecutionConfig(deterministic=True)
STEPS_PER_CALL = 4  # of the run that is stopped
STOPPED_AFTER = 5  # steps, in mid-epoch: the first alone, and a call
FROZEN_STEPS = 4


@narrow()
def train_without_batch_statistics(runtime: Runtime) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The weights before and after FROZEN_STEPS steps whose batch normalisations are frozen.

    They are a narrow network's. Adam makes of a gradient near zero, which is mostly rounding, some
    part of the learning rate: hence a low one.
    """
    run = RunConfig(**FLAGS, learning_rate=1e-4)
    keras.utils.set_random_seed(run.seed)
    source, head = make_source(run), run_head(run)
    state = TrainState(run, head, source.channels, runtime.strategy)
    for layer in state.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    step = make_train_step(run, source, head, state, runtime.strategy, runtime.jit)
    batches = iter(distributed_batches(run, source, runtime, 0))
    start = state.model.get_weights()
    for _ in range(FROZEN_STEPS):
        step(next(batches))
    return start, state.model.get_weights()


def begin(run: RunConfig, path: Path, runtime: Runtime, stop: StopRequest) -> Trainer:
    """A trainer of a run that starts."""
    if runtime.team.is_chief:
        path.mkdir()
        RunFolder(path).claim(run)
    return make_trainer(run, path, HOW, runtime, stop, WarningsOnly())


def count_collectives(run: RunConfig, runtime: Runtime, state: TrainState) -> int:
    """Reductions in the graph of a training step."""
    source, head = make_source(run), run_head(run)
    step = make_train_step(run, source, head, state, runtime.strategy, runtime.jit)
    batch = next(iter(distributed_batches(run, source, runtime, 0)))
    graph = tf.function(step).get_concrete_function(batch).graph.as_graph_def()
    nodes = [node for function in graph.library.function for node in function.node_def]
    return sum(node.op.startswith("CollectiveReduce") for node in nodes)


def failure(work) -> str:
    """What a user's mistake says."""
    try:
        work()
    except UserError as error:
        return str(error)
    return ""


@narrow()
def train_both(path: Path, team: Team) -> dict:
    """Trains a narrow network whole and one that is stopped; keeps what both workers have."""
    run = RunConfig(**FLAGS)
    runtime = make_runtime(HOW, run.batch_size, team=team)
    tf.config.experimental.enable_op_determinism()
    _, frozen = train_without_batch_statistics(runtime)
    whole = begin(run, path / "whole", runtime, StopRequest())
    whole.fit()
    # One of them is asked to stop, and it is not the chief.
    stop = StopRequest() if team.is_chief else StopAfter(2)
    by_four = dataclasses.replace(runtime, steps_per_call=STEPS_PER_CALL)
    cut = begin(run, path / "cut", by_four, stop)
    try:
        cut.fit()
    except Interrupted as interrupted:
        code = interrupted.exit_code
    me = "chief" if team.is_chief else "other"
    np.savez(path / f"{me}_frozen.npz", *frozen)
    np.savez(path / f"{me}_whole.npz", *whole.state.model.get_weights())
    if team.is_chief:  # where a checkpoint is to be written, there is a file
        whole.checkpointer._folder = path / "full"
        (path / "full").touch()
    return {
        "session": runtime.description,
        "collectives": count_collectives(run, runtime, whole.state),
        "stopped": [int(cut.state.step), code],
        "rows": [row["step"] for row in whole.history],
        "agreed": [team.agree([mine, not mine, False]) for mine in [team.is_chief]],
        "full disk": failure(whole.save),
        "other flags": failure(lambda: team.require_same({"seed": 3 + team.is_chief, "depth": 18})),
    }


if __name__ == "__main__":
    RunConfig.split_indices = split_indices
    workers = make_team(read_cluster(os.environ))
    seen = train_both(Path(sys.argv[1]), workers)

    def lose_the_other() -> None:
        with workers.watched():
            workers.agree([False])

    if not workers.is_chief:
        print(json.dumps(seen), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    print(json.dumps(seen | {"gone": failure(lose_the_other)}))
