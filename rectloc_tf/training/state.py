"""Training state: the network, its optimiser, and the running sums of a history row."""

import contextlib
import functools
import operator
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from rectloc_tf.config import RunConfig
from rectloc_tf.heads.head import Head
from rectloc_tf.models import build_run_model
from rectloc_tf.training.optimizers import FusedAdam


def make_optimizer(run: RunConfig) -> keras.optimizers.Optimizer:
    """Adam with the run's schedule, scaling the loss under mixed_float16."""
    rate = run.learning_rate
    if run.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, run.total_steps)
    with _float32_by_default():
        optimizer = FusedAdam(rate)
        if run.precision == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


@contextlib.contextmanager
def _float32_by_default() -> Iterator[None]:
    """Keras' default dtype for the block, whatever the user has set.

    An optimiser's learning rate is a variable of that dtype, which no argument changes.
    """
    users = keras.config.floatx()
    keras.config.set_floatx("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(users)


class TrainState:
    """Everything that changes during training, and so all that a checkpoint holds.

    Attributes:
        model, optimizer: with their variables built.
        step: steps done.
        loss_sum, row_steps: sums over the steps since the last history row; of heads that can
            be empty also zero_map_sum, of the loss of an empty map.
        timed_steps, step_seconds: steps since the last row, without the first of a session
            (which compiles), and the time they took; seconds: all time spent on the run.
    """

    def __init__(self, run: RunConfig, head: Head, channels: int, strategy: tf.distribute.Strategy):
        """The initial state of a run on images with `channels` channels."""
        with strategy.scope():
            self.model = build_run_model(run, head, channels)
            self.optimizer = make_optimizer(run)
            self.optimizer.build(self.model.trainable_variables)
        self.step = tf.Variable(0, dtype=tf.int64)
        self.row_steps = tf.Variable(0, dtype=tf.int64)
        self.timed_steps = tf.Variable(0, dtype=tf.int64)
        self.loss_sum, self.step_seconds, self.seconds = (
            tf.Variable(0.0, dtype=tf.float64) for _ in range(3)
        )
        if head.can_be_empty:
            self.zero_map_sum = tf.Variable(0.0, dtype=tf.float64)

    @property
    def _sums(self) -> list[tf.Variable]:
        """The sums, in the order of the losses that a step returns."""
        return [self.loss_sum, *([self.zero_map_sum] if hasattr(self, "zero_map_sum") else [])]

    def add_steps(self, losses: np.ndarray, seconds: float | None) -> None:
        """Counts steps with the losses they returned.

        Args:
            losses: float [n, L], of n steps, in the order of `_sums`.
            seconds: that they took together; None if they are not to be timed.
        """
        count = len(losses)
        self.step.assign_add(count)
        self.row_steps.assign_add(count)
        # One by one, so that sums are bitwise the same however steps are grouped into calls.
        # Python's own sum() rounds differently.
        for variable, column in zip(self._sums, losses.T.tolist(), strict=True):
            variable.assign(functools.reduce(operator.add, column, float(variable)))
        if seconds is not None:
            self.timed_steps.assign_add(count)
            self.step_seconds.assign_add(seconds)

    def start_row(self) -> None:
        """Resets the sums after a history row."""
        for variable in (self.row_steps, self.timed_steps):
            variable.assign(0)
        for variable in (*self._sums, self.step_seconds):
            variable.assign(0.0)

    def mean_losses(self) -> list[float]:
        """Means since the last row: of the loss and, if known, that of an empty map."""
        return [float(total) / int(self.row_steps) for total in self._sums]

    def images_per_second(self, batch_size: int) -> float:
        """Training speed since the last row; NaN if no step was timed."""
        steps = int(self.timed_steps)
        return steps * batch_size / float(self.step_seconds) if steps else float("nan")
