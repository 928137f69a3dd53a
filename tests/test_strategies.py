"""Several replicas, and the three precisions, through the one training step."""

import json
import subprocess
import sys

import numpy as np
import pytest

from pipelines.streams import training_batches
from rectloc_tf.config import RunConfig
from tests.conftest import HANGS, ROOT
from tests.training import start_training

# Two logical CPUs must be set up before TensorFlow starts, hence a process of its own.
MIRRORED = """
import dataclasses, json, sys
import keras
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import numpy as np
from pipelines.source import make_source
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.models import run_head
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.progress import ProgressLine
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training.runtime import make_runtime
from rectloc_tf.errors import Interrupted
from rectloc_tf.training.state import TrainState
from rectloc_tf.training.step import share_overflow
from rectloc_tf.training.loop import Trainer
from tests.few_scenes import split_indices

RunConfig.split_indices = split_indices

class Stopping(StopRequest):  # asks for a stop after step 5, in mid-epoch
    polls = 0
    def __bool__(self):
        Stopping.polls += 1
        if Stopping.polls == 5:
            self.exit_code = 143
        return super().__bool__()

run = RunConfig(arch=sys.argv[2], domain=2, image_size=64, num_images=40, batch_size=8, epochs=2,
                validate_every=2, precision="float32")
source, head = make_source(run), run_head(run)
how = ExecutionConfig(deterministic=True)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
session = make_runtime(how, run.batch_size, strategy)
tf.config.experimental.enable_op_determinism()
finished = []
for name, stops in (("whole", [StopRequest()]), ("cut", [Stopping(), StopRequest()])):
    # Where the pictures are drawn must not matter either.
    how = dataclasses.replace(how, render_on="host" if name == "whole" else "device")
    folder = RunFolder(f"{sys.argv[1]}/{name}")
    folder.path.mkdir()
    folder.claim(run)
    for stop in stops:
        keras.utils.set_random_seed(run.seed)
        trainer = Trainer(run, source, head, how, folder, session, stop, ProgressLine())
        trainer.restore()
        try:
            trainer.fit()
        except Interrupted:
            pass
    finished.append(trainer)

# An overflow on the second replica only must skip the step on both.
half = dataclasses.replace(run, precision="mixed_float16")
state = TrainState(half, head, source.channels, strategy)
variables = state.model.trainable_variables

def overflow():
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    bad = tf.where(replica == 1, np.float32("inf"), 0.0)
    gradients = [tf.ones_like(v.value) for v in variables]
    state.optimizer.apply(share_overflow([gradients[0] + bad, *gradients[1:]]), variables)

before = state.model.get_weights()
scale = float(tf.convert_to_tensor(state.optimizer.dynamic_scale.value))
tf.function(lambda: strategy.run(overflow))()
skipped = all(np.array_equal(a, b) for a, b in zip(before, state.model.get_weights(), strict=True))
halved = float(tf.convert_to_tensor(state.optimizer.dynamic_scale.value)) == scale / 2

values = []
for trainer in finished:
    parts = [strategy.experimental_local_results(w.value) for w in trainer.state.model.weights]
    values.append([[part.numpy() for part in pair] for pair in parts])
print(json.dumps({
    "session": session.description,
    "replicas agree": all(np.array_equal(*pair) for pair in values[0]),
    "resumed is whole": all(np.array_equal(a, b) for a, b in zip(*values, strict=True)),
    "rows": [[row["step"], row["val_loss"]] for row in finished[0].history],
    "overflow skips the step": skipped,
    "overflow halves the scale": halved,
    "same rows": finished[0].history[0]["val_loss"] == finished[1].history[0]["val_loss"],
}))
"""


@pytest.mark.parametrize(("arch", "losses"), [("deconv", (150, 250)), ("score_map", (0.3, 1.5))])
def test_two_replicas_train_validate_and_resume_bitwise(tmp_path, arch, losses):
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED, str(tmp_path), arch],
        capture_output=True, text=True, cwd=ROOT, timeout=HANGS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "resuming after step 5," in done.stdout
    report = json.loads(done.stdout.splitlines()[-1])
    ((step, loss),) = report.pop("rows")
    assert step == 8
    low, high = losses  # about what answering nothing scores, after eight steps
    assert low < loss < high
    assert report == {
        "session": "2 x CPU, XLA off",
        "replicas agree": True,
        "resumed is whole": True,
        "overflow skips the step": True,
        "overflow halves the scale": True,
        "same rows": True,
    }


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_the_loss_falls_under_every_precision(precision):
    run = RunConfig(
        arch="xy",
        image_size=64,
        num_images=5,
        batch_size=4,
        epochs=30,
        learning_rate=0.01,
        precision=precision,
    )
    source, _, state, step = start_training(run)
    losses = [float(step(batch)[0]) for batch in training_batches(run, source)]
    assert np.isfinite(losses).all()
    assert losses[0] > 5000  # the network starts near (0, 0), far from any centre
    assert np.mean(losses[-3:]) < 0.5 * losses[0]
    assert {v.dtype for v in state.model.trainable_variables} == {"float32"}


@pytest.mark.parametrize("arch", ["xy", "deconv"])
def test_the_step_is_gradient_descent_on_the_mean_squared_error(arch):
    run = RunConfig(arch=arch, image_size=64, batch_size=4, precision="float32")
    source, head, state, step = start_training(run)
    batch = next(iter(training_batches(run, source)))
    outputs = state.model(batch["images"], training=True).numpy()
    targets = head.targets(batch["points"], batch["present"])["values"].numpy()
    expected = [np.square(outputs - targets).mean()]
    if arch == "deconv":
        expected.append(np.square(targets).mean())  # of an all-black map
    losses = step(batch)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert int(state.optimizer.iterations) == 1
