"""Batches for training and evaluation, each a pure function of its place in the run.

The batch of step t is a function of (seed, t): position p of the endless stream of
training images is image `index_shuffle(p mod n)` of epoch p // n, shuffled with a hash of
(seed, epoch). No shuffle buffer, no iterator state; resuming at t is starting a range at t.
Batches have a fixed shape and run on across epoch boundaries.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from pipelines.scenes.render import render_graph, render_opencv
from pipelines.scenes.sampling import scene_table
from pipelines.scenes.symmetries import NUM_SYMMETRIES, transform_rectangles
from pipelines.targets import heatmap_targets_numpy, make_targets
from rectloc_tf.config import RunConfig, SceneConfig, TargetConfig

Batch = dict[str, tf.Tensor]
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


def take_scenes(indices: tf.Tensor, scene: SceneConfig) -> Batch:
    """The scenes `indices` (int64 [B]), not drawn yet.

    Returns a dict:
        index: int64 [B];
        rectangles: int32 [B, n, 4], (x0, y0, x1, y1) in working pixels, largest first.
    """
    rectangles = tf.gather(tf.constant(scene_table(scene)), indices)
    return {"index": indices, "rectangles": rectangles}


def draw(
    rectangles: tf.Tensor, scene: SceneConfig, targets: TargetConfig, renderer: str = "graph"
) -> Batch:
    """Pictures and targets of rectangles [B, n, 4]; runs on any device, compiled or not.

    Returns a dict:
        images: uint8 [B, S, S, 1];
        targets: float32, [B, 2k] in pixels of the 224 frame or [B, S, S, 1] in 0-255.
    """
    if renderer == "opencv":
        images, target = _make_opencv(rectangles, scene, targets)
    else:
        images = render_graph(rectangles, scene.image_size, scene.solid)
        target = make_targets(rectangles, scene.image_size, targets)
    return {"images": images, "targets": target}


def make_batch(
    indices: tf.Tensor, scene: SceneConfig, targets: TargetConfig, renderer: str = "graph"
) -> Batch:
    """The scenes `indices` (int64 [B]) drawn: what `take_scenes` and `draw` return, in one."""
    batch = take_scenes(indices, scene)
    return batch | draw(batch["rectangles"], scene, targets, renderer)


def _make_opencv(rectangles: tf.Tensor, scene: SceneConfig, targets: TargetConfig):
    """Pictures by OpenCV and maps by NumPy, through `tf.numpy_function`: for comparison."""
    size = scene.image_size

    def draw(boxes):
        images = render_opencv(boxes, size, scene.solid)
        if not targets.is_heatmap:
            return [images]
        return [images, heatmap_targets_numpy(boxes, size, targets)]

    types = [tf.uint8, tf.float32] if targets.is_heatmap else [tf.uint8]
    drawn = tf.nest.flatten(tf.numpy_function(draw, [rectangles], types))
    for tensor in drawn:
        tensor.set_shape([rectangles.shape[0], size, size, 1])
    return (*drawn, make_targets(rectangles, size, targets))[:2]


def _epochs_and_keys(positions: tf.Tensor, num_train: int, seed: int):
    """For each position, its place in its epoch, and the epoch's six random words.

    The words are a Philox draw keyed by (seed, epoch): index_shuffle, which they are for, is
    biased for small raw seeds.
    """
    epochs = positions // num_train
    max_epochs = (positions.shape[0] - 1) // num_train + 2  # that one batch can touch
    words = tf.map_fn(
        lambda epoch: tf.random.stateless_uniform(
            [6], tf.stack([tf.constant(seed, tf.int64), epoch]), None, None, tf.uint32, alg="philox"
        ),
        epochs[0] + tf.range(max_epochs, dtype=tf.int64),
        fn_output_signature=tf.TensorSpec([6], tf.uint32),
    )
    return positions % num_train, tf.gather(words, epochs - epochs[0])


def _index_shuffle(index: tf.Tensor, keys: tf.Tensor, size: int) -> tf.Tensor:
    # The raw op takes a key per element, which the public wrapper does not.
    max_index = tf.constant(size - 1, tf.int64)
    return tf.raw_ops.RandomIndexShuffle(index=index, seed=keys, max_index=max_index)


def training_indices(positions: tf.Tensor, num_train: int, seed: int) -> tf.Tensor:
    """Scene indices at consecutive `positions` (int64 [B], B static) of the training stream."""
    places, words = _epochs_and_keys(positions, num_train, seed)
    return _index_shuffle(places, words[:, :3], num_train)


def training_symmetries(positions: tf.Tensor, num_train: int, seed: int) -> tf.Tensor:
    """Symmetries (int64 [B], 0-7) at the same positions, for `augmentation`.

    They are drawn without replacement from eight equal piles, so about as many images of an
    epoch get each, and differ from epoch to epoch.
    """
    places, words = _epochs_and_keys(positions, num_train, seed)
    return _index_shuffle(places, words[:, 3:], NUM_SYMMETRIES * num_train) % NUM_SYMMETRIES


def _prepared(numbers: tf.data.Dataset, make: Callable) -> tf.data.Dataset:
    """Elements made of numbers, on all cores and ahead of their use.

    The autotuner is off: when an iterator ends, its thread may sleep on for as long as it has
    run, up to a minute, and the end waits for it (TensorFlow 2.21). AUTOTUNE then means as many
    calls at a time as there are threads.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    parallel = numbers.map(make, num_parallel_calls=tf.data.AUTOTUNE)
    return parallel.prefetch(PREFETCHED).with_options(options)


def training_batches(
    config: RunConfig,
    start_step: int = 0,
    slices: BatchSlices = BatchSlices(),
    renderer: str = "graph",
    drawn: bool = True,
) -> tf.data.Dataset:
    """The batches of steps start_step ... total_steps - 1 (see `make_batch`), prefetched.

    With `drawn=False` they are scenes only (see `take_scenes`), for a step that draws.

    With `slices`, an element is one slice of a global batch, of shape
    [batch_size / num_slices, ...]; the global batches are the same however they are cut.
    """
    size = config.batch_size // slices.num_slices

    def batch(number):
        step, part = number // slices.count, slices.first + number % slices.count
        start = step * config.batch_size + part * size
        positions = start + tf.range(size, dtype=tf.int64)
        order = (positions, config.num_train, config.seed)
        batch = take_scenes(training_indices(*order), config.scene)
        if config.augment:
            batch["rectangles"] = transform_rectangles(
                batch["rectangles"], training_symmetries(*order), config.image_size
            )
        if drawn:
            batch |= draw(batch["rectangles"], config.scene, config.targets, renderer)
        return batch

    numbers = tf.data.Dataset.range(start_step * slices.count, config.total_steps * slices.count)
    return _prepared(numbers, batch)


def evaluation_batches(
    scene: SceneConfig,
    targets: TargetConfig,
    indices: range,
    batch_size: int,
    renderer: str = "graph",
) -> tf.data.Dataset:
    """All scenes of `indices` once, in order, in batches of one fixed shape.

    The last batch is filled up with its last scene; `valid` (bool [B]) tells which count.
    """

    def batch(start):
        numbers = start + tf.range(batch_size, dtype=tf.int64)
        valid = numbers < len(indices)
        numbers = tf.minimum(numbers, len(indices) - 1)
        made = make_batch(indices.start + numbers * indices.step, scene, targets, renderer)
        return {**made, "valid": valid}

    starts = tf.data.Dataset.range(0, len(indices), batch_size)
    return _prepared(starts, batch)


def make_dataset(config: RunConfig, split: str = "train") -> tf.data.Dataset:
    """(images, targets) pairs for `model.fit` and `model.evaluate`.

    `train` yields every batch of the whole run, `config.total_steps` of them, shuffled by
    (seed, epoch): fit it with `epochs=1` and `shuffle=False`. `validation` and `test` yield
    the split once; their last batch may be smaller.
    """
    if split == "train":
        batches = training_batches(config)
        return batches.map(_as_pair)
    indices = config.split_indices(split)
    numbers = tf.data.Dataset.range(indices.start, indices.stop).batch(config.batch_size)
    return _prepared(
        numbers, lambda index: _as_pair(make_batch(index, config.scene, config.targets))
    )


def _as_pair(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
    return batch["images"], batch["targets"]
