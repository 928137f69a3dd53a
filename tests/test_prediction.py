"""Predictions: scenes and their truth, files, and the CSV."""

import csv

import keras
import numpy as np
import pytest
from keras import ops

from pipelines.resampling import letterbox, stretch
from pipelines.scenes.render import render_opencv
from pipelines.scenes.sampling import scene_table
from pipelines.source import make_source
from rectloc_tf.config import RunConfig
from rectloc_tf.models import run_head
from rectloc_tf.serving.answer_files import write_answers
from rectloc_tf.serving.prediction import (
    BATCH_SIZE,
    predict_files,
    predict_source,
)
from tests.test_image_decoding import encode, png_with, tiff
from tests.training import small_head

SIZE = 64
SCENES = make_source(RunConfig(domain=3, image_size=SIZE))
XY, DECONV = small_head("xy"), small_head("deconv")


def fake_model(answer):
    images = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    return keras.Model(images, answer(ops.cast(images, "float32")))


# Scenes.


def test_scenes_have_their_pictures_names_and_truth():
    model = fake_model(lambda x: 0 * ops.mean(x, (1, 2)) + np.array([56, 168], np.float32))
    indices = range(9000, 9000 + BATCH_SIZE + 3)
    answers = list(predict_source(model, XY, SCENES, indices))
    assert [a.name for a in answers] == [f"domain3_{i:05d}" for i in indices]
    assert answers[0].name == "domain3_09000"
    rectangles = scene_table(SCENES.config)[indices.start : indices.stop]
    largest = rectangles[:, 0]
    middles = (largest[:, None, :2] + largest[:, None, 2:]) / 2
    np.testing.assert_array_equal([a.truths for a in answers], middles)
    np.testing.assert_array_equal(
        [a.image for a in answers], render_opencv(rectangles, SIZE)[..., 0]
    )
    # 56 and 168 of 224, in the picture's own 64 pixels.
    expected = [[[16, 48]]] * len(indices)
    np.testing.assert_allclose([a.points for a in answers], expected, rtol=1e-6)
    assert all(a.confidences is None for a in answers)
    assert all(a.heatmap is None for a in answers)


def test_scenes_of_a_heatmap_model_have_heatmaps():
    model = fake_model(lambda x: x / 2)
    answers = list(predict_source(model, DECONV, SCENES, range(3)))
    for answer in answers:
        np.testing.assert_array_equal(answer.heatmap, answer.image / np.float32(2))
        np.testing.assert_allclose(answer.confidences, [0.5], rtol=1e-6)


def test_each_of_several_points_is_answered_and_true():
    source = make_source(RunConfig(domain=3, image_size=SIZE, labels="all"))
    corners = np.array([56, 168, 224, 0, 112, 112], np.float32)  # of 224
    model = fake_model(lambda x: 0 * ops.mean(x, (1, 2)) + corners)
    head = small_head("xy", domain=3, labels="all")
    answers = list(predict_source(model, head, source, range(4)))
    rectangles = scene_table(source.config)[:4]
    expected = [[[16, 48], [64, 0], [32, 32]]] * 4
    np.testing.assert_allclose([a.points for a in answers], expected, rtol=1e-6)
    middles = (rectangles[..., :2] + rectangles[..., 2:]) / 2
    np.testing.assert_array_equal([a.truths for a in answers], middles)


def test_no_scenes_no_answers():
    assert list(predict_source(fake_model(lambda x: x), DECONV, SCENES, range(5, 5))) == []


# Files: as EXIF says, deep ones, and what is only in the transparency.


def left_half_bright(height=40, width=80):
    image = np.zeros((height, width), np.uint8)
    image[:, : width // 2] = 200
    return image


def brightness_model():
    """Answers (mean of the left half, mean of the upper half), in px of 224."""

    def answer(x):
        means = ops.stack([ops.mean(x[:, :, : SIZE // 2]), ops.mean(x[:, : SIZE // 2])])
        return 0 * ops.mean(x, (1, 2)) + means

    return fake_model(answer)


@pytest.mark.parametrize(
    ("ignore_exif", "point", "shape"),
    [(False, (100 * 40 / 224, 200 * 80 / 224), (80, 40)),
     (True, (200 * 80 / 224, 100 * 40 / 224), (40, 80))],
)  # fmt: skip
def test_answers_are_in_the_picture_as_people_see_it(tmp_path, ignore_exif, point, shape):
    path = tmp_path / "a.png"
    path.write_bytes(png_with(encode(left_half_bright(), ".png"), tiff(6)))
    (answer,) = predict_files(brightness_model(), XY, [path], pytest.fail, pytest.fail, ignore_exif)
    np.testing.assert_allclose(answer.points, [point], rtol=0.02)
    assert answer.image.shape[:2] == shape
    assert answer.orientation == (1 if ignore_exif else 6)


@pytest.mark.parametrize(
    ("place", "square"),
    [(stretch, [[0, 0], [96, 48]]), (letterbox, [[0, -24], [96, 72]])],
)
def test_the_heatmap_lies_where_the_network_saw_the_picture(tmp_path, place, square):
    image = np.zeros((48, 96), np.uint8)
    image[4:13, 60:69] = 255
    path = tmp_path / "a.png"
    path.write_bytes(encode(image, ".png"))
    (answer,) = predict_files(fake_model(lambda x: x), DECONV, [path], pytest.fail, place=place)
    np.testing.assert_allclose(answer.square, square, atol=1e-4)
    # The middle of what is bright, from pixels of the map to those of the picture.
    y, x = np.argwhere(answer.heatmap > 127).mean(axis=0) + 0.5
    (left, top), (right, bottom) = answer.square
    found = left + x / SIZE * (right - left), top + y / SIZE * (bottom - top)
    np.testing.assert_allclose(found, (64.5, 8.5), atol=1)


def test_files_of_several_shapes_in_a_batch_keep_theirs(tmp_path):
    model = fake_model(lambda x: 0 * ops.mean(x, (1, 2)) + np.array([56, 168], np.float32))
    shapes = [(64, 64), (30, 90), (200, 10)]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, shape in zip(paths, shapes, strict=True):
        path.write_bytes(encode(np.zeros(shape, np.uint8), ".png"))
    answers = predict_files(model, XY, paths, pytest.fail)
    expected = [[(width / 4, height * 3 / 4)] for height, width in shapes]
    np.testing.assert_allclose([answer.points for answer in answers], expected, rtol=1e-6)


def test_suspicious_images_are_warned_of_once(tmp_path):
    deep, alpha = np.full((4, 4), 4000, np.uint16), np.zeros((4, 4, 4), np.uint8)
    alpha[1:3, 1:3, 3] = 255
    contents = {"deep": deep, "full": deep * 16, "alpha": alpha, "plain": left_half_bright()}
    paths = [tmp_path / f"{name}.png" for name in contents]
    for path, image in zip(paths, contents.values(), strict=True):
        path.write_bytes(encode(image, ".png"))
    said = []
    model = fake_model(lambda x: ops.mean(x, (1, 2)) * np.ones(2, np.float32))
    answers = list(predict_files(model, XY, paths, pytest.fail, said.append))
    assert said == [
        f"{paths[0]}: 16-bit file with values below 4096 only; read as 12-bit",
        f"{paths[2]}: all drawn in the alpha channel, which is ignored; flatten it first",
    ]
    # 4000 of 4095 is as bright as 64000 of 65535.
    np.testing.assert_allclose(answers[0].points, answers[1].points, rtol=0.01)


# Points of one class.


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.5, [(40.5, 12.5), (30.5, 50.5)]), (0.2, [(40.5, 12.5), (30.5, 50.5), (10.5, 10.5)]),
     (1.0, [(40.5, 12.5)])],
)  # fmt: skip
def test_each_detection_of_points_of_one_class_is_a_row(tmp_path, threshold, expected):
    run = RunConfig(arch="deconv", domain=3, image_size=SIZE, labels="unordered")
    spots = np.zeros((1, SIZE, SIZE, 1), np.float32)
    for (x, y), level in {(10, 10): 60, (40, 12): 255, (30, 50): 130}.items():
        spots[0, y, x] = level
    model = fake_model(lambda x: 0 * x + spots)
    source = make_source(run)
    answers = list(predict_source(model, run_head(run), source, range(9000, 9002), threshold))
    for answer in answers:
        np.testing.assert_allclose(answer.points, expected)
    written = write_answers(answers, tmp_path / "p.csv", {}, pytest.fail)
    assert written == (2, 2 * len(expected), 0)
    with open(tmp_path / "p.csv", newline="") as handle:
        rows = [(r["file"], float(r["x"]), float(r["y"])) for r in csv.DictReader(handle)]
    assert rows == [(f"domain3_0900{n}", *point) for n in (0, 1) for point in expected]


@pytest.mark.parametrize(("threshold", "number"), [(0.3, 2), (0.5, 1), (0.9, 0)])
def test_detections_in_a_file_are_in_its_own_pixels(tmp_path, threshold, number):
    heatmap = np.zeros((SIZE, SIZE, 1), np.float32)
    heatmap[8, 16], heatmap[40, 48] = 200, 100
    path = tmp_path / "a.png"
    path.write_bytes(encode(np.zeros((32, 128), np.uint8), ".png"))
    model, head = fake_model(lambda x: 0 * x + heatmap), small_head("deconv", labels="unordered")
    (answer,) = predict_files(model, head, [path], pytest.fail, threshold=threshold)
    expected = np.array([(33, 4.25), (97, 20.25)])[:number]
    np.testing.assert_allclose(answer.points, expected, atol=1e-3)
    np.testing.assert_allclose(answer.confidences, [200 / 255, 100 / 255][:number])
    assert answer.rows == number


def test_an_image_without_a_detection_has_no_row(tmp_path):
    run = RunConfig(arch="deconv", domain=3, image_size=SIZE, labels="unordered")
    black = fake_model(lambda x: 0 * x)
    answers = predict_source(black, run_head(run), make_source(run), range(9000, 9003))
    assert write_answers(answers, tmp_path / "p.csv", {}, pytest.fail) == (3, 0, 0)
