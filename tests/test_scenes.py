"""Scenes of rectangles as a source of images."""

import numpy as np
import pytest
import tensorflow as tf

from pipelines.scenes.render import render_opencv
from pipelines.scenes.sampling import scene_table
from pipelines.scenes.source import Scenes
from pipelines.source import make_source
from pipelines.streams import make_batch
from rectloc_tf.config import LABELS, SPLITS, RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import centers
from rectloc_tf.registry import RANKED, UNORDERED

INDICES = tf.constant([7, 9000, 3], tf.int64)


def _run(**fields):
    return RunConfig(**{"arch": "deconv", "image_size": 64, "domain": 4, **fields})


def _batch(run, renderer="graph"):
    return make_batch(make_source(run, renderer), INDICES)


@pytest.mark.parametrize(
    ("labels", "ranks"),
    [
        ("largest", [0]),
        ("largest_and_smallest", [0, 3]),
        ("all", [0, 1, 2, 3]),
        ("unordered", [0, 1, 2, 3]),
    ],
)
@pytest.mark.parametrize("size", [64, 112])
def test_points_are_labelled_centres_in_working_pixels(labels, ranks, size):
    run = _run(labels=labels, image_size=size)
    batch = _batch(run)
    middles = centers(scene_table(run.scene)[INDICES.numpy()].astype(float))
    np.testing.assert_array_equal(batch["points"], middles[:, ranks])
    assert batch["present"].shape == (3, len(ranks))
    assert batch["present"].numpy().all()
    np.testing.assert_array_equal(batch["others"], middles[:, 1:])
    np.testing.assert_allclose(batch["pixel_size"], [224 / size] * 3, rtol=1e-6)


def test_one_rectangle_has_no_others():
    batch = _batch(_run(domain=1))
    assert batch["others"].shape == (3, 0, 2)


@pytest.mark.parametrize("labels", LABELS)
def test_keypoints_say_what_the_points_are(labels):
    keypoints, batch = make_source(_run(labels=labels)).keypoints, _batch(_run(labels=labels))
    assert keypoints.num_points == batch["points"].shape[1]
    assert keypoints.kind == (UNORDERED if labels == "unordered" else RANKED)
    assert len(keypoints.names) == (1 if labels == "unordered" else keypoints.num_points)


@pytest.mark.parametrize("renderer", ["graph", "opencv"])
@pytest.mark.parametrize("solid", [False, True])
def test_images_are_the_rectangles_drawn(renderer, solid):
    run = _run(solid=solid)
    batch, source = _batch(run, renderer), make_source(run, renderer)
    rectangles = scene_table(run.scene)[INDICES.numpy()]
    np.testing.assert_array_equal(batch["rectangles"], rectangles)
    np.testing.assert_array_equal(batch["images"], render_opencv(rectangles, 64, solid))
    assert batch["images"].dtype == tf.uint8
    assert source.channels == 1
    assert source.can_draw_on_device == (renderer == "graph")


def test_drawing_makes_all_of_what_was_taken():
    source = make_source(_run())
    taken = source.take(INDICES)
    assert taken.keys() == {"index", "rectangles"}
    np.testing.assert_array_equal(taken["index"], INDICES)
    both = _batch(_run())
    for name, value in source.draw(taken).items():
        np.testing.assert_array_equal(value, both[name], err_msg=name)


def test_opencv_keeps_a_fixed_shape_inside_a_dataset():
    source = make_source(_run(), "opencv")
    dataset = tf.data.Dataset.from_tensors(INDICES).map(lambda i: make_batch(source, i))
    assert dataset.element_spec["images"] == tf.TensorSpec([3, 64, 64, 1], tf.uint8)


@pytest.mark.parametrize("num_images", [10, 10_000])
def test_splits_are_the_runs(num_images):
    run = _run(num_images=num_images)
    source = make_source(run)
    assert {s: source.indices(s) for s in SPLITS} == {s: run.split_indices(s) for s in SPLITS}


def test_what_scenes_are_called():
    source = make_source(_run(domain=3))
    assert isinstance(source, Scenes)
    assert source.set_name == "3"
    assert source.label(9000) == "domain3_09000"
    assert source.label(7) == "domain3_00007"


def test_a_range_that_cannot_be_drawn_from_is_refused_at_once():
    make_source(_run()).check()
    narrow = make_source(_run(image_size=224, domain=10, min_side=10, max_side=13))
    with pytest.raises(ConfigError, match="--min_side=10 --max_side=13: 10 rectangles "):
        narrow.check()


def test_a_quarter_that_is_withheld_is_in_tests_alone():
    """Training and validation images with their label there are turned; all others are the same."""
    size = 64
    plain, source = (make_source(_run(withheld=withheld)) for withheld in (False, True))
    for split in SPLITS:
        indices = tf.constant([*source.indices(split)][:400], tf.int64)
        before, after = (s.draw(s.take(indices)) for s in (plain, source))
        there = (before["points"].numpy()[:, 0] > size / 2).all(axis=-1)
        assert 0.15 < there.mean() < 0.35
        images, turned = before["images"].numpy(), after["images"].numpy()
        if split == "test":
            np.testing.assert_array_equal(turned, images)
            continue
        assert not (after["points"].numpy()[:, 0] > size / 2).all(axis=-1).any()
        np.testing.assert_array_equal(turned[~there], images[~there])
        np.testing.assert_array_equal(turned[there], images[there][:, ::-1, ::-1])
        np.testing.assert_allclose(after["points"].numpy()[there], size - before["points"][there])


def test_what_is_withheld_is_not_shown_by_augmentation():
    with pytest.raises(ConfigError, match="--withheld: --augment would show what is withheld"):
        _run(withheld=True, augment=True)
