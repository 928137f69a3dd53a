"""Choosing scenes to show, and what is shown of them."""

import keras
import numpy as np
import pytest
from keras import ops

from pipelines.scenes.sampling import scene_table
from pipelines.source import Source, make_source
from rectloc_tf.config import HeadConfig, Keypoints, RunConfig
from rectloc_tf.geometry import centers
from rectloc_tf.heads.head import MAX_DETECTIONS
from rectloc_tf.models import make_head, run_head
from rectloc_tf.registry import NAMED
from rectloc_tf.results.pictures import (
    AT_ONCE,
    answer_with,
    image_errors,
    keypoint_errors,
    largest_errors,
    predict_scenes,
    snapshot_epochs,
)

SIZE, INDICES = 64, range(8000, 8005)


def run_of(arch, **fields):
    return RunConfig(arch=arch, image_size=SIZE, **fields)


def make_model(answer, channels=1):
    images = keras.Input((SIZE, SIZE, channels), dtype="uint8")
    return keras.Model(images, answer(ops.cast(images, "float32")))


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [(1, {0, 1}), (2, {0, 1, 2}), (9, {0, 1, 2, 3, 5, 8, 9}), (13, {0, 1, 2, 3, 5, 8, 13})],
)
def test_snapshots_become_rarer_and_include_the_first_and_the_last(epochs, expected):
    assert snapshot_epochs(epochs) == expected


def test_coordinates_of_scenes():
    run = run_of("xy", domain=3, labels="all")
    answered = np.arange(6, dtype=np.float32) * 10
    model = make_model(lambda x: 0 * ops.mean(x, (1, 2)) + answered)
    pictured = predict_scenes(answer_with(model, run_head(run)), make_source(run), INDICES)
    assert pictured.keys() == {"images", "truths", "points", "rectangles", "answers"}
    rectangles = scene_table(run.scene)[list(INDICES)]
    np.testing.assert_array_equal(pictured["rectangles"], rectangles)
    np.testing.assert_array_equal(pictured["truths"], centers(rectangles.astype(float)))
    expected = np.broadcast_to(answered.reshape(3, 2) * SIZE / 224, (5, 3, 2))
    np.testing.assert_allclose(pictured["points"], expected, rtol=1e-6)
    assert pictured["images"].shape == (5, SIZE, SIZE)
    assert pictured["images"].dtype == np.uint8
    assert pictured["answers"].keys() == {"points_xy"}


def test_maps_of_scenes_are_shown_as_one():
    run = run_of("deconv", domain=2, solid=True)
    head = make_head(run.head, SIZE, Keypoints(("a", "b"), NAMED, 2))
    # Two maps: the picture, and half of it upside down.
    model = make_model(lambda x: ops.concatenate([x, ops.flip(x, 1) / 2], axis=-1))
    pictured = predict_scenes(answer_with(model, head), make_source(run), INDICES)
    images = pictured["images"].astype(np.float32)
    np.testing.assert_allclose(pictured["heatmaps"], np.maximum(images, images[:, ::-1] / 2))
    assert pictured["points"].shape == (5, 2, 2)
    assert pictured["answers"].keys() == {"points_xy", "point_confidence", "maps"}
    np.testing.assert_array_equal(pictured["answers"]["points_xy"], pictured["points"])


def test_of_points_of_one_class_all_that_are_bright_are_shown():
    run = run_of("deconv", domain=3, labels="unordered")
    spots = np.zeros((1, SIZE, SIZE, 1), np.float32)
    for (x, y), level in {(10, 10): 120, (40, 12): 255, (30, 50): 130}.items():
        spots[0, y, x] = level
    answer = answer_with(make_model(lambda x: 0 * x + spots), run_head(run))
    pictured = predict_scenes(answer, make_source(run), INDICES)
    assert pictured["truths"].shape == (5, 3, 2)
    assert pictured["points"].shape == (5, MAX_DETECTIONS, 2)
    np.testing.assert_allclose(pictured["points"][:, :2], [[[40.5, 12.5], [30.5, 50.5]]] * 5)
    assert np.isnan(pictured["points"][:, 2:]).all()


def test_the_first_detection_is_shown_however_dim():
    run = run_of("deconv", domain=3, labels="unordered")
    answer = answer_with(make_model(lambda x: 0 * x), run_head(run))
    points = predict_scenes(answer, make_source(run), INDICES)["points"]
    assert np.isfinite(points[:, 0]).all()
    assert np.isnan(points[:, 1:]).all()


class Colours(Source):
    """Pictures in colour, of which every second has no label."""

    image_size, channels, set_name, can_draw_on_device = SIZE, 3, "colours", True
    keypoints = Keypoints(("nose",), NAMED, 1)

    def check(self):
        pass

    def indices(self, split):
        return range(10)

    def label(self, index):
        return str(index)

    def take(self, indices):
        return {"index": indices}

    def augment(self, batch, places, words, count):
        return batch

    def draw(self, batch):
        index = batch["index"].numpy()
        return {
            "images": ops.convert_to_tensor(
                np.tile(index[:, None, None, None].astype(np.uint8), (1, SIZE, SIZE, 3))
            ),
            "points": ops.convert_to_tensor(np.stack([index, index], 1)[:, None].astype("f")),
            "present": ops.convert_to_tensor(index[:, None] % 2 == 0),
            "pixel_size": ops.convert_to_tensor(np.full(len(index), 2, "f")),
        }


def test_colours_are_kept_and_what_is_absent_is_not_a_number():
    head = make_head(HeadConfig(arch="xy"), SIZE, Colours.keypoints)
    model = make_model(lambda x: ops.mean(x, (1, 2))[:, :2], channels=3)
    pictured = predict_scenes(answer_with(model, head), Colours(), range(2, 6))
    assert pictured.keys() == {"images", "truths", "points", "answers"}
    assert pictured["images"].shape == (4, SIZE, SIZE, 3)
    assert pictured["images"][:, 0, 0, 0].tolist() == [2, 3, 4, 5]
    nan = np.nan
    np.testing.assert_array_equal(
        pictured["truths"][:, 0], [[2, 2], [nan, nan], [4, 4], [nan, nan]]
    )


def test_errors_are_in_the_pixels_of_the_metrics_and_each_image_has_its_own():
    indices = range(3, 3 + AT_ONCE + 5)  # more than are looked at together
    answers = np.zeros((len(indices), 1, 2))
    answers[:, 0, 0] = [2 * index + 7 for index in indices]  # right in y: 2 px a working pixel
    answers[:, 0, 1] = [2 * index for index in indices]
    expected = [[7.0] if index % 2 == 0 else [np.nan] for index in indices]
    found = keypoint_errors(Colours(), indices, answers)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_allclose(image_errors(Colours(), indices, answers), np.ravel(found))
    assert keypoint_errors(Colours(), range(0), answers[:0]).shape == (0, 1)


def test_the_largest_errors_come_worst_first():
    truths = np.array([[[2.0, 1.0]]] * 4)
    points = np.array([[[2.0, 1.0]], [[2.0, 6.0]], [[5.0, 5.0]], [[7.0, 1.0]]])  # off by 0, 5, 5, 5
    points[3] += 1e-3
    rectangles = np.array([[[0, 0, 4, 2], [9, 9, 9, 9]]] * 4)
    pictured = {"rectangles": rectangles, "truths": truths, "points": points}
    pictured |= {"images": np.arange(4), "answers": {}}
    worst = largest_errors(pictured, 3)
    assert worst.keys() == {"rectangles", "truths", "points", "images"}
    assert worst["images"].tolist() == [3, 1, 2]
    np.testing.assert_array_equal(worst["points"], points[[3, 1, 2]])
    assert worst["rectangles"].shape == (3, 2, 4)


def test_of_several_points_the_first_is_the_one_that_errs():
    truths = np.array([[[2.0, 1.0], [0.0, 0.0]]] * 3)
    points = truths.copy()
    points[:, 1] += np.array([[90], [0], [0]])
    points[1, 0] += 3
    worst = largest_errors({"truths": truths, "points": points, "images": np.arange(3)}, 1)
    assert worst["images"].tolist() == [1]


def test_images_without_a_label_are_never_the_worst():
    truths = np.array([[[2.0, 1.0]], [[np.nan, np.nan]], [[5.0, 5.0]]])
    points = np.array([[[2.0, 1.0]], [[50.0, 50.0]], [[5.0, 6.0]]])
    worst = largest_errors({"truths": truths, "points": points, "images": np.arange(3)}, 2)
    assert worst["images"].tolist() == [2, 0]
