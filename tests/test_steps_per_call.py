"""Several training steps in one compiled call: as many as are due, and bitwise the same run."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config as tf_config  # what is enabled ends in no other way

from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.errors import Interrupted
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training import loop, rows
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.progress import ProgressLine
from rectloc_tf.training.runtime import make_runtime
from rectloc_tf.training.step import make_steps
from tests.few_scenes import split_indices
from tests.narrow import narrow
from tests.trainers import TIME_COLUMNS, StopAfter, make_trainer

IN_STEPS = RunConfig(
    arch="deconv", image_size=64, num_images=20, batch_size=4, steps=23, validate_steps=10,
    precision="float32",
)  # fmt: skip
IN_EPOCHS = dataclasses.replace(IN_STEPS, steps=0, validate_steps=0, epochs=6, batch_size=3)
HOW = ExecutionConfig(deterministic=True, render_on="host")


def walk(run, most):
    """The steps at which calls end, and those of the rows."""
    ends, due, step = [], [0], 0
    while step < run.total_steps:
        step += rows.steps_to_next(run, step, due[-1], most)
        ends.append(step)
        if rows.is_due(run, step, due[-1]):
            due.append(step)
    return ends, due[1:]


@pytest.mark.parametrize("most", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("run", "expected"),
    # Epochs of 16 images end inside of batches of 3.
    [(IN_STEPS, [10, 20, 23]), (IN_EPOCHS, [6, 11, 16, 22, 27, 32])],
    ids=["steps", "epochs"],
)
def test_a_call_ends_where_a_row_is_due(run, expected, most):
    ends, due = walk(run, most)
    assert due == expected
    assert ends[-1] == run.total_steps
    assert max(np.diff([0, *ends])) <= most
    assert len(ends) == sum(-(-gap // most) for gap in np.diff([0, *expected]))


def test_steps_take_batches_in_turn_and_are_compiled_once():
    traced = []

    def step(batch):
        traced.append(batch)
        number = tf.cast(batch, tf.float32)
        return number, 2 * number

    steps, batches = make_steps(step), iter(tf.data.Dataset.range(9))
    for numbers in ([0], [1, 2, 3, 4], [5, 6], [7]):
        losses = steps(batches, len(numbers))
        assert losses.dtype == np.float32
        np.testing.assert_array_equal(losses, [[n, 2 * n] for n in numbers])
    assert len(traced) == 1


def trained(path, stops):
    """What two sessions, or one, leave of IN_STEPS: weights, rows, and the steps of each call.

    Args:
        path: of the run's folder.
        stops: for each session, its steps a call and what stops it.
    """
    folder, calls = RunFolder(path), []
    folder.claim(IN_STEPS)

    def watched(step):
        steps = make_steps(step)

        def call(batches, count):
            calls.append(count)
            return steps(batches, count)

        return call

    with pytest.MonkeyPatch.context() as patch, narrow():
        patch.setattr(RunConfig, "split_indices", split_indices)
        patch.setattr(loop, "make_steps", watched)
        for steps_per_call, stop in stops:
            how = dataclasses.replace(HOW, steps_per_call=steps_per_call)
            runtime = make_runtime(how, IN_STEPS.batch_size)
            trainer = make_trainer(IN_STEPS, path, how, runtime, stop, ProgressLine())
            try:
                trainer.fit()
            except Interrupted:
                assert stop
    state = trainer.state
    variables = [*state.model.weights, *state.optimizer.variables]
    found = folder.read_history()
    history = [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in found]
    return [variable.numpy() for variable in variables], history, calls


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    tf.config.experimental.enable_op_determinism()
    yield trained(tmp_path_factory.mktemp("run"), [(1, StopRequest())])
    tf_config.disable_op_determinism()


@pytest.mark.parametrize(
    ("stops", "expected"),
    [
        ([(7, StopRequest())], [1, 7, 2, 7, 3, 3]),
        ([(7, StopAfter(2)), (3, StopRequest())], [1, 7, 1, 1, 3, 3, 3, 1, 3]),
    ],
    ids=["whole", "resumed with another number"],
)
def test_a_run_is_bitwise_the_same_however_many_steps_a_call_makes(
    one_by_one, tmp_path, stops, expected
):
    weights, history, calls = one_by_one
    assert calls == [1] * 23
    assert [row["step"] for row in history] == [10, 20, 23]
    found, found_history, found_calls = trained(tmp_path, stops)
    assert found_calls == expected
    for ours, theirs in zip(found, weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found_history == history
