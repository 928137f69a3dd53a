"""Images with targets for Keras' own `fit` and `evaluate`."""

import tensorflow as tf

from pipelines.source import Batch, Source, make_source
from pipelines.streams import make_batch, training_batches
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.models import run_head


def make_dataset(
    run: RunConfig, split: str = "train", source: Source | None = None
) -> tf.data.Dataset:
    """(images, targets) pairs, of heads whose outputs are compared with the targets as they are.

    `train` yields every batch of the whole run, `run.total_steps` of them, shuffled by
    (seed, epoch): fit it with `epochs=1` and `shuffle=False`. `validation` and `test` yield
    the split once; their last batch may be smaller. `source`: the run's, if already made.

    Raises:
        ConfigError: if the head has a loss of its own, which Keras does not know.
    """
    source, head = source or make_source(run), run_head(run)
    points = tf.zeros([1, head.keypoints.num_points, 2])
    if {*head.targets(points, tf.ones(points.shape[:2], bool))} != {"values", "mask"}:
        rule = "has a loss of its own, which Keras' fit does not know; use rectloc_tf.train"
        raise ConfigError(f"--arch={run.arch}: {rule}")

    def pair(batch: Batch):
        targets = head.targets(batch["points"], batch["present"])
        return batch["images"], targets["values"]

    if split == "train":
        return training_batches(run, source).map(pair)
    indices = source.indices(split)
    numbers = tf.data.Dataset.range(indices.start, indices.stop, indices.step).batch(run.batch_size)
    return numbers.map(lambda index: pair(make_batch(source, index))).prefetch(1)
