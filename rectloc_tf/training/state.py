"""What changes during training, and the compiled step that changes it."""

import contextlib
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from pipelines.streams import Batch, BatchSlices, draw, training_batches
from rectloc_tf.config import RunConfig
from rectloc_tf.heads.losses import mse_per_example
from rectloc_tf.models import build_model
from rectloc_tf.training.optimizers import FusedAdam
from rectloc_tf.training.runtime import Runtime


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
        loss_sum, zero_map_sum, row_steps: sums over the steps since the last history row.
        timed_steps, step_seconds: steps since the last row, without the first of a session
            (which compiles), and the time they took; seconds: all time spent on the run.
    """

    def __init__(self, run: RunConfig, strategy: tf.distribute.Strategy):
        with strategy.scope():
            self.model = build_model(run.model)
            self.optimizer = make_optimizer(run)
            self.optimizer.build(self.model.trainable_variables)
        self.step = tf.Variable(0, dtype=tf.int64)
        self.row_steps = tf.Variable(0, dtype=tf.int64)
        self.timed_steps = tf.Variable(0, dtype=tf.int64)
        self.loss_sum, self.zero_map_sum, self.step_seconds, self.seconds = (
            tf.Variable(0.0, dtype=tf.float64) for _ in range(4)
        )

    def add_step(self, loss: float, zero_map_loss: float, seconds: float | None) -> None:
        """Counts a step; `seconds` is None if it is not to be timed."""
        self.step.assign_add(1)
        self.row_steps.assign_add(1)
        self.loss_sum.assign_add(loss)
        self.zero_map_sum.assign_add(zero_map_loss)
        if seconds is not None:
            self.timed_steps.assign_add(1)
            self.step_seconds.assign_add(seconds)

    def start_row(self) -> None:
        """Forgets the sums: a history row has been made of them."""
        for variable in (self.row_steps, self.timed_steps):
            variable.assign(0)
        for variable in (self.loss_sum, self.zero_map_sum, self.step_seconds):
            variable.assign(0.0)

    def images_per_second(self, batch_size: int) -> float:
        """Training speed since the last row; NaN if no step was timed."""
        steps = int(self.timed_steps)
        return steps * batch_size / float(self.step_seconds) if steps else float("nan")


def share_overflow(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """Makes gradients that are not finite on one replica so on all of them.

    Keras' loss scaling looks at its own replica only before it adds the gradients up, and
    must come to the same decision everywhere.
    """
    zero_or_nan = tf.add_n([0.0 * tf.reduce_sum(gradient) for gradient in gradients])
    shared = tf.distribute.get_replica_context().all_reduce("SUM", zero_or_nan)
    return [gradients[0] + shared, *gradients[1:]]


def make_train_step(
    run: RunConfig, state: TrainState, strategy: tf.distribute.Strategy, jit: bool
) -> Callable[[Batch], tuple[tf.Tensor, tf.Tensor]]:
    """The compiled step: a batch -> (loss, the zero map's loss), over all replicas.

    A batch of scenes that are not drawn yet is drawn inside the step, on its device. The loss
    is the mean over the global batch; each replica contributes its examples' share, and the
    optimiser adds the gradients up.
    """
    model, optimizer = state.model, state.optimizer

    def replica_step(batch):
        if "images" not in batch:
            batch = draw(batch["rectangles"], run.scene, run.targets)
        images, targets = batch["images"], batch["targets"]
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = tf.reduce_sum(mse_per_example(outputs, targets)) / run.batch_size
            scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_variables)
        if run.precision == "mixed_float16" and strategy.num_replicas_in_sync > 1:
            gradients = share_overflow(gradients)
        optimizer.apply(gradients, model.trainable_variables)
        zero_map = mse_per_example(tf.zeros_like(targets), targets)
        return loss, tf.reduce_sum(zero_map) / run.batch_size

    @tf.function(jit_compile=jit or None)
    def step(batch):
        losses = strategy.run(replica_step, (batch,))
        return tuple(strategy.reduce("SUM", loss, axis=None) for loss in losses)

    return lambda batch: step(step_inputs(batch))


def step_inputs(batch: Batch) -> Batch:
    """The part of a batch that has to be moved to the device."""
    names = ("images", "targets") if "images" in batch else ("rectangles",)
    return {name: batch[name] for name in names}


def distributed_batches(
    run: RunConfig, runtime: Runtime, renderer: str, start_step: int, drawn: bool = True
):
    """The training batches from `start_step` on, spread over the strategy's replicas."""
    strategy = runtime.strategy
    if strategy.num_replicas_in_sync == 1:
        return training_batches(run, start_step, renderer=renderer, drawn=drawn)

    def make(context):
        count = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * count
        slices = BatchSlices(context.num_replicas_in_sync, first, count)
        return training_batches(run, start_step, slices, renderer, drawn)

    return strategy.distribute_datasets_from_function(make)
