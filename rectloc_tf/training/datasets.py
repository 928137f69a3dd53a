"""Images with targets for Keras' own `fit` and `evaluate`."""

import tensorflow as tf

from pipelines.source import Batch, Source, make_source
from pipelines.streams import make_batch, training_batches
from rectloc_tf.config import RunConfig
from rectloc_tf.models import run_head


def make_dataset(
    run: RunConfig, split: str = "train", source: Source | None = None
) -> tf.data.Dataset:
    """(images, targets) pairs; targets are a dict if the head's outputs are, else a tensor.

    `train` yields every batch of the whole run, `run.total_steps` of them, shuffled by
    (seed, epoch): fit it with `epochs=1` and `shuffle=False`. `validation` and `test` yield
    the split once; their last batch may be smaller. `source`: the run's, if already made.
    """
    source, head = source or make_source(run), run_head(run)

    def pair(batch: Batch):
        targets = head.targets(batch["points"], batch["present"])
        values = [value for name, value in targets.items() if name != "mask"]
        named = {name: value for name, value in targets.items() if name != "mask"}
        return batch["images"], values[0] if len(values) == 1 else named

    if split == "train":
        return training_batches(run, source).map(pair)
    indices = source.indices(split)
    numbers = tf.data.Dataset.range(indices.start, indices.stop, indices.step).batch(run.batch_size)
    return numbers.map(lambda index: pair(make_batch(source, index))).prefetch(1)
