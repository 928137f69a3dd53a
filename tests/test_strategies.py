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


def train_on_two_replicas(folder, arch, losses, *more):
    """What `tests.mirrored` printed and found, once what holds of every head is checked.

    Args:
        folder: for its runs.
        arch: a head.
        losses: between which the last row's is to be: about what answering nothing scores.
        more: its last argument, perhaps.
    """
    module = ["tests.few_scenes", "tests.mirrored"]
    done = subprocess.run(
        [sys.executable, "-m", *module, str(folder), arch, *more],
        capture_output=True, text=True, cwd=ROOT, timeout=HANGS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    ((step, loss),) = report.pop("rows")
    assert step == 8
    low, high = losses
    assert low < loss < high
    assert report.pop("session") == "2 x CPU, XLA off"
    assert report.pop("replicas agree")
    return done.stdout, report


def test_two_replicas_train_validate_and_resume_bitwise(tmp_path):
    said, report = train_on_two_replicas(tmp_path, "deconv", (150, 250), "cut")
    assert "resuming after step 5," in said
    assert report == {
        "resumed is whole": True,
        "overflow skips the step": True,
        "overflow halves the scale": True,
        "same rows": True,
    }


def test_two_replicas_train_a_head_of_two_outputs(tmp_path):
    _, report = train_on_two_replicas(tmp_path, "score_map", (0.3, 1.5))
    assert report == {}


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
