"""Batches as a function of their place in the run."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.scenes.render import render_opencv
from pipelines.scenes.sampling import scene_table
from pipelines.source import make_source
from pipelines.streams import BatchSlices, evaluation_batches, make_batch, training_batches
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import centers, working_to_frame
from rectloc_tf.models import build_model, run_head
from rectloc_tf.training.datasets import make_dataset
from tests.narrow import narrow

SIZE = 64
# 16 training images in batches of 12: the epochs end inside batches.
RUN = RunConfig(image_size=SIZE, domain=2, num_images=20, batch_size=12, epochs=3)
HEATMAP = RunConfig(
    arch="deconv", image_size=SIZE, domain=3, labels="largest_and_smallest", num_images=20,
    batch_size=4, epochs=1,
)  # fmt: skip


def _run(**fields):
    return RunConfig(**{"image_size": SIZE, **fields})


def _train(run, *args, renderer="graph", **options):
    return training_batches(run, make_source(run, renderer), *args, **options)


def _collect(dataset):
    return [{name: value.numpy() for name, value in batch.items()} for batch in dataset]


def _assert_equal(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("run", [RUN, HEATMAP])
def test_batches_have_a_fixed_shape(run):
    batches = _train(run)
    batch, labels = run.batch_size, run.scene_keypoints.num_points
    assert batches.element_spec == {
        "index": tf.TensorSpec([batch], tf.int64),
        "rectangles": tf.TensorSpec([batch, run.domain, 4], tf.int32),
        "images": tf.TensorSpec([batch, SIZE, SIZE, 1], tf.uint8),
        "points": tf.TensorSpec([batch, labels, 2], tf.float32),
        "present": tf.TensorSpec([batch, labels], tf.bool),
        "others": tf.TensorSpec([batch, run.domain - 1, 2], tf.float32),
        "pixel_size": tf.TensorSpec([batch], tf.float32),
    }
    assert int(batches.cardinality()) == run.total_steps == 4


@pytest.mark.parametrize("run", [RUN, HEATMAP])
def test_a_batch_holds_what_its_indices_say(run):
    for batch in _collect(_train(run)):
        rectangles = scene_table(run.scene)[batch["index"]]
        np.testing.assert_array_equal(batch["rectangles"], rectangles)
        np.testing.assert_array_equal(batch["images"], render_opencv(rectangles, SIZE))
        middles = centers(rectangles.astype(float))
        np.testing.assert_array_equal(batch["points"], middles[:, list(run.ranks)])
        np.testing.assert_array_equal(batch["others"], middles[:, 1:])


def test_batches_that_are_not_drawn_are_what_the_source_takes():
    batches = _train(RUN, drawn=False)
    assert set(batches.element_spec) == {"index", "rectangles"}
    for taken, drawn in zip(_collect(batches), _collect(_train(RUN)), strict=True):
        _assert_equal([taken], [{name: drawn[name] for name in taken}])


# Pinned: the batch of step 2, of indices, two of its scenes and the light of its pictures.
@pytest.mark.parametrize(
    ("augment", "scenes"),
    [
        (False, [[[10, 12, 39, 37], [23, 22, 46, 51]], [[19, 15, 46, 28], [14, 31, 25, 34]]]),
        (True, [[[27, 25, 52, 54], [13, 18, 42, 41]], [[36, 18, 49, 45], [30, 39, 33, 50]]]),
    ],
)
def test_pinned_batch(augment, scenes):
    run = _run(domain=2, num_images=20, batch_size=12, epochs=3, augment=augment)
    batch = _collect(_train(run, 2).take(1))[0]
    assert batch["index"].tolist() == [5, 6, 14, 11, 9, 7, 3, 8, 5, 13, 9, 11]
    assert batch["rectangles"][:2].tolist() == scenes
    assert batch["images"].sum(dtype=np.int64) == 482970


@pytest.mark.parametrize("start", [0, 1, 2, 3, 4])
def test_starting_at_a_step_equals_skipping_to_it(start):
    resumed = _collect(_train(RUN, start))
    _assert_equal(resumed, _collect(_train(RUN).skip(start)))
    assert len(resumed) == RUN.total_steps - start


def test_a_second_pass_gives_the_same_batches():
    batches = _train(RUN)
    _assert_equal(_collect(batches), _collect(batches))


@pytest.mark.parametrize("num_slices", [2, 4])
@pytest.mark.parametrize("pipelines", [1, 2])
@pytest.mark.parametrize("start", [0, 1])
def test_slices_make_up_the_batch(num_slices, pipelines, start):
    count = num_slices // pipelines
    streams = [
        iter(_collect(_train(RUN, start, BatchSlices(num_slices, first, count))))
        for first in range(0, num_slices, count)
    ]
    joined = []
    for _ in range(start, RUN.total_steps):
        parts = [part for stream in streams for part in itertools.islice(stream, count)]
        assert [len(part["index"]) for part in parts] == [12 // num_slices] * num_slices
        joined.append({name: np.concatenate([p[name] for p in parts]) for name in parts[0]})
    assert not any(list(stream) for stream in streams)
    _assert_equal(joined, _collect(_train(RUN, start)))


@pytest.mark.parametrize(
    ("num_images", "batch_size"),
    [
        (20, 8),  # 16 images: a multiple of the batch
        (20, 12),  # not a multiple
        (20, 7),
        (10, 50),  # several epochs in one batch
        (1, 3),  # the same image again and again
    ],
)
def test_every_epoch_is_a_permutation(num_images, batch_size):
    run = _run(num_images=num_images, batch_size=batch_size, epochs=13)
    stream = np.concatenate([batch["index"] for batch in _collect(_train(run))])
    seen = stream[: 13 * run.num_train].reshape(13, run.num_train)
    np.testing.assert_array_equal(np.sort(seen), np.tile(np.arange(run.num_train), (13, 1)))
    # What the last batch has beyond the last epoch comes from the next ones.
    assert len(stream) == run.total_steps * batch_size
    assert set(stream) == set(range(run.num_train))


def test_seed_changes_the_batches_but_not_the_scenes():
    stream = [_collect(_train(_run(num_images=20, epochs=1, seed=s))) for s in (0, 1)]
    first, second = (batches[0]["index"] for batches in stream)
    assert first.tolist() != second.tolist()
    other = _collect(_train(_run(num_images=20, epochs=1, data_seed=1)))
    np.testing.assert_array_equal(other[0]["index"], first)
    assert (other[0]["rectangles"] != stream[0][0]["rectangles"]).any()


@pytest.mark.parametrize(
    ("indices", "batch_size"),
    [
        (range(9000, 9023), 10),
        (range(8000, 8020), 10),
        (range(3), 10),
        (range(7, 60, 5), 4),
        (range(9999, 10_000), 1),
    ],
)
def test_evaluation_covers_every_index_once(indices, batch_size):
    run = _run()
    dataset = evaluation_batches(make_source(run), indices, batch_size)
    assert dataset.element_spec["images"].shape == [batch_size, SIZE, SIZE, 1]
    assert dataset.element_spec["valid"] == tf.TensorSpec([batch_size], tf.bool)
    batches = _collect(dataset)
    assert len(batches) == -(-len(indices) // batch_size)
    seen = np.concatenate([batch["index"][batch["valid"]] for batch in batches])
    assert seen.tolist() == list(indices)
    padding = np.concatenate([batch["index"][~batch["valid"]] for batch in batches])
    assert set(padding) <= {indices[-1]}
    for batch in batches:
        rectangles = scene_table(run.scene)[batch["index"]]
        np.testing.assert_array_equal(batch["images"], render_opencv(rectangles, SIZE))


@pytest.mark.parametrize("labels", ["largest", "all"])
@pytest.mark.parametrize("solid", [False, True])
def test_opencv_makes_the_same_batch(labels, solid):
    run = _run(arch="deconv", domain=3, solid=solid, labels=labels)
    indices = tf.range(100, 108, dtype=tf.int64)
    graph, opencv = (make_batch(make_source(run, name), indices) for name in ("graph", "opencv"))
    _assert_equal(_collect([graph]), _collect([opencv]))


@pytest.mark.parametrize("fields", [{"labels": "all"}, {"labels": "unordered"}, {"augment": True}])
def test_opencv_makes_the_same_stream(fields):
    run = _run(arch="deconv", domain=2, num_images=10, batch_size=5, epochs=2, **fields)
    graph, opencv = (_train(run, renderer=name) for name in ("graph", "opencv"))
    assert opencv.element_spec == graph.element_spec
    _assert_equal(_collect(graph), _collect(opencv))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_splits_are_seen_once(split):
    run = _run()
    source = make_source(run)
    batches = _collect(evaluation_batches(source, source.indices(split), 300))
    assert [batch["valid"].sum() for batch in batches] == [300, 300, 300, 100]
    scenes = scene_table(run.scene)[run.split_indices(split).start :][:1000, 0]
    found = {n: np.concatenate([b[n][b["valid"]] for b in batches]) for n in ("points", "images")}
    np.testing.assert_array_equal(found["points"][:, 0], centers(scenes.astype(float)))
    expected = render_opencv(scenes[[0, 999], None], SIZE)
    np.testing.assert_array_equal(found["images"][[0, 999]], expected)


def test_streams_feed_fit_and_evaluate():
    run = _run(num_images=1000, batch_size=100, epochs=2, solid=True)
    source = make_source(run)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.AveragePooling2D(8),
            keras.layers.Flatten(),
            keras.layers.Dense(2, bias_initializer=keras.initializers.Constant(112)),
        ]
    )

    def pair(batch):
        return batch["images"], working_to_frame(batch["points"][:, 0], SIZE)

    model.compile(keras.optimizers.Adam(0.3), "mse")
    validation = evaluation_batches(source, source.indices("validation"), 100).map(pair)
    before = model.evaluate(validation, verbose=0)
    history = model.fit(
        training_batches(run, source).map(pair), validation_data=validation, epochs=1,
        shuffle=False, verbose=0,
    )  # fmt: skip
    assert int(model.optimizer.iterations) == run.total_steps == 16
    assert history.history["val_loss"][-1] < 0.7 * before


def test_no_autotuner_delays_the_end_of_a_dataset():
    run = RunConfig(image_size=64, num_images=10, batch_size=4, epochs=1)
    source = make_source(run)
    datasets = [
        training_batches(run, source),
        training_batches(run, source, drawn=False),
        evaluation_batches(source, range(3), 2),
    ]
    assert [dataset.options().autotune.enabled for dataset in datasets] == [False] * 3


def test_keras_fits_only_heads_without_a_loss_of_their_own():
    for arch in ("xy", "deconv"):
        run = RunConfig(arch=arch, image_size=64, num_images=10, batch_size=3, epochs=1)
        images, targets = next(iter(make_dataset(run)))
        with narrow():
            output = build_model(run.changed(precision="float32").model, run_head(run)).output
        assert images.shape == (3, 64, 64, 1)
        assert targets.shape[1:] == output.shape[1:]
    for arch in ("score_map", "dsnt", "simcc"):
        with pytest.raises(ConfigError, match=f"--arch={arch}: has a loss of its own"):
            make_dataset(RunConfig(arch=arch, image_size=64, num_images=10))
