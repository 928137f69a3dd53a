"""Batches for training and evaluation, each a pure function of its place in the run.

The batch of step t is a function of (seed, t), see `shuffling`: resuming at t is starting a range
at t. Batches have a fixed shape and run on across epoch boundaries.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from pipelines.shuffling import epochs_and_words, index_shuffle
from pipelines.source import Batch, Source
from rectloc_tf.config import RunConfig

PREFETCHED = 4  # batches


@dataclass(frozen=True)
class BatchSlices:
    """Which slices of every global batch one input pipeline makes.

    A global batch is cut into `num_slices` equal slices, one a replica; this pipeline makes
    `count` of them from number `first` on, one an element. The default makes whole batches.
    """

    num_slices: int = 1
    first: int = 0
    count: int = 1


def make_batch(source: Source, indices: tf.Tensor) -> Batch:
    """The images `indices` (int64 [B]): what `source.take` and `source.draw` return, in one."""
    batch = source.take(indices)
    return batch | source.draw(batch)


def _prepared(numbers: tf.data.Dataset, make: Callable) -> tf.data.Dataset:
    """Elements computed from numbers, on all cores and prefetched.

    The autotuner is off: when an iterator ends, its thread may sleep on for as long as it has
    run, up to a minute, and the end waits for it (TensorFlow 2.21). AUTOTUNE then means as many
    calls at a time as there are threads.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    parallel = numbers.map(make, num_parallel_calls=tf.data.AUTOTUNE)
    return parallel.prefetch(PREFETCHED).with_options(options)


def training_batches(
    run: RunConfig,
    source: Source,
    start_step: int = 0,
    slices: BatchSlices = BatchSlices(),
    drawn: bool = True,
) -> tf.data.Dataset:
    """The batches of steps start_step ... total_steps - 1 (see `make_batch`), prefetched.

    With `drawn=False` they are only taken from the source, for a step that draws.

    With `slices`, an element is one slice of a global batch, of shape
    [batch_size / num_slices, ...]; the global batches are the same however they are cut.
    """
    size, train = run.batch_size // slices.num_slices, source.indices("train")

    def batch(number):
        step, part = number // slices.count, slices.first + number % slices.count
        start = step * run.batch_size + part * size
        positions = start + tf.range(size, dtype=tf.int64)
        places, words = epochs_and_words(positions, run.num_train, run.seed)
        shuffled = index_shuffle(places, words[:, :3], run.num_train)
        batch = source.take(train.start + shuffled * train.step)
        if run.augment:
            batch = source.augment(batch, places, words[:, 3:], run.num_train)
        return batch | source.draw(batch) if drawn else batch

    numbers = tf.data.Dataset.range(start_step * slices.count, run.total_steps * slices.count)
    return _prepared(numbers, batch)


def evaluation_batches(source: Source, indices: range, batch_size: int) -> tf.data.Dataset:
    """All images of `indices` once, in order, in batches of one fixed shape.

    The last batch is filled up with its last image; `valid` (bool [B]) says which count.
    """

    def batch(start):
        numbers = start + tf.range(batch_size, dtype=tf.int64)
        valid = numbers < len(indices)
        numbers = tf.minimum(numbers, len(indices) - 1)
        made = make_batch(source, indices.start + numbers * indices.step)
        return {**made, "valid": valid}

    starts = tf.data.Dataset.range(0, len(indices), batch_size)
    return _prepared(starts, batch)
