"""The compiled training step, which joins a run's source, head and network."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from pipelines.source import DRAWN, Batch, Source
from pipelines.streams import BatchSlices, training_batches
from rectloc_tf.config import RunConfig
from rectloc_tf.heads.head import Head, Outputs, Targets
from rectloc_tf.network.layers import average_statistics
from rectloc_tf.training.runtime import Runtime
from rectloc_tf.training.state import TrainState

Step = Callable[[Batch], tuple[tf.Tensor, ...]]


def share_overflow(gradients: list[tf.Tensor]) -> list[tf.Tensor]:
    """Makes gradients non-finite on all replicas if they are on one.

    Keras' loss scaling checks each replica's own gradients before it sums them, and must decide
    the same everywhere.
    """
    zero_or_nan = tf.add_n([0.0 * tf.reduce_sum(gradient) for gradient in gradients])
    shared = tf.distribute.get_replica_context().all_reduce("SUM", zero_or_nan)
    return [gradients[0] + shared, *gradients[1:]]


def mean_losses(
    run: RunConfig, head: Head, outputs: Outputs, targets: Targets
) -> tuple[tf.Tensor, ...]:
    """The loss of some examples and, if the head can be empty, that of an empty map.

    Each is the examples' share of the mean over a global batch, a float32 scalar.
    """
    losses = [head.loss(outputs, targets)]
    if head.can_be_empty:
        losses.append(head.empty_loss(targets))
    return tuple(tf.reduce_sum(loss) / run.batch_size for loss in losses)


def make_train_step(
    run: RunConfig,
    source: Source,
    head: Head,
    state: TrainState,
    strategy: tf.distribute.Strategy,
    jit: bool,
) -> Step:
    """The compiled step: a batch -> its loss and, if the head can be empty, that of an empty map,
    over all replicas.

    A batch that is not drawn yet is drawn inside the step, on its device. The loss is the mean
    over the global batch; each replica contributes its examples' share, and the optimiser sums
    the gradients.
    """
    model, optimizer = state.model, state.optimizer

    def replica_step(batch):
        batch = batch if "images" in batch else source.draw(batch)
        targets = head.targets(batch["points"], batch["present"])
        with tf.GradientTape() as tape:
            outputs = model(batch["images"], training=True)
            losses = mean_losses(run, head, outputs, targets)
            scaled = optimizer.scale_loss(losses[0])
        average_statistics(model)
        gradients = tape.gradient(scaled, model.trainable_variables)
        if run.precision == "mixed_float16" and strategy.num_replicas_in_sync > 1:
            gradients = share_overflow(gradients)
        optimizer.apply(gradients, model.trainable_variables)
        return losses

    @tf.function(jit_compile=jit or None)
    def step(batch):
        losses = strategy.run(replica_step, (batch,))
        return tuple(strategy.reduce("SUM", loss, axis=None) for loss in losses)

    return lambda batch: step(step_inputs(batch))


def make_steps(step: Step) -> Callable[[Iterator[Batch], int], np.ndarray]:
    """Several steps in one compiled call, which synchronises with the device only at its end.

    Args:
        step: see `make_train_step`.

    Returns:
        A function that runs `count` steps with the next batches of an iterator over
        `distributed_batches` and returns their losses, float32 [count, L].
    """

    @tf.function
    def steps(batches, count):
        losses = tf.TensorArray(tf.float32, count)
        for number in tf.range(count):
            losses = losses.write(number, tf.stack(step(next(batches))))
        return losses.stack()

    # As a tensor, since each Python number would be compiled anew.
    return lambda batches, count: steps(batches, tf.constant(count)).numpy()


def step_inputs(batch: Batch) -> Batch:
    """The part of a batch that has to be moved to the device."""
    if "images" in batch:
        return {name: batch[name] for name in DRAWN}
    return {name: value for name, value in batch.items() if name != "index"}


def distributed_batches(
    run: RunConfig, source: Source, runtime: Runtime, start_step: int, drawn: bool = True
):
    """The training batches from `start_step` on, spread over the strategy's replicas.

    With several replicas they never end: take as many as there are steps left.
    """
    strategy = runtime.strategy
    if strategy.num_replicas_in_sync == 1:
        return training_batches(run, source, start_step, drawn=drawn)

    def make(context):
        count = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * count
        slices = BatchSlices(context.num_replicas_in_sync, first, count)
        # With finite datasets, workers synchronise before each batch on whether there is another.
        return training_batches(run, source, start_step, slices, drawn).repeat()

    return strategy.distribute_datasets_from_function(make)
