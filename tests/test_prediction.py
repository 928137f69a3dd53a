"""Predictions: scenes and their truth, the CSV and the pictures."""

import csv

import cv2
import keras
import numpy as np
import pytest
from keras import ops

from pipelines.render import render_opencv
from pipelines.sampling import scene_table
from rectloc_tf.config import SceneConfig
from rectloc_tf.errors import UserError
from rectloc_tf.prediction import (
    BATCH_SIZE,
    OverlayWriter,
    Prediction,
    csv_writer,
    predict_scenes,
)

SIZE = 64
SCENE = SceneConfig(domain=3, image_size=SIZE)


def fake_model(answer):
    images = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    return keras.Model(images, answer(ops.cast(images, "float32")))


def prediction(name="a.png", point=(12.34567, 8.0), confidence=0.98765, **fields):
    point = np.array(point, np.float32)
    return Prediction(name, point, confidence, np.zeros((30, 50), np.uint8), **fields)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# Scenes.


def test_scenes_have_their_pictures_names_and_truth():
    model = fake_model(lambda x: 0 * ops.mean(x, (1, 2)) + np.array([56, 168], np.float32))
    indices = range(9000, 9000 + BATCH_SIZE + 3)
    answers = list(predict_scenes(model, SCENE, indices))
    assert [a.name for a in answers] == [f"domain3_{i:05d}" for i in indices]
    assert answers[0].name == "domain3_09000"
    rectangles = scene_table(SCENE)[indices.start : indices.stop]
    largest = rectangles[:, 0]
    np.testing.assert_array_equal([a.truth for a in answers], (largest[:, :2] + largest[:, 2:]) / 2)
    np.testing.assert_array_equal(
        [a.image for a in answers], render_opencv(rectangles, SIZE)[..., 0]
    )
    # 56 and 168 of 224, in the picture's own 64 pixels.
    np.testing.assert_allclose([a.point for a in answers], [[16, 48]] * len(indices), rtol=1e-6)
    assert all(a.confidence is None for a in answers)
    assert all(a.heatmap is None for a in answers)


def test_scenes_of_a_heatmap_model_have_heatmaps():
    model = fake_model(lambda x: x / 2)
    answers = list(predict_scenes(model, SCENE, range(3)))
    for answer in answers:
        np.testing.assert_array_equal(answer.heatmap, answer.image / np.float32(2))
        assert answer.confidence == pytest.approx(0.5)


def test_no_scenes_no_answers():
    assert list(predict_scenes(fake_model(lambda x: x), SCENE, range(5, 5))) == []


# CSV.


def test_csv_has_a_row_a_prediction(tmp_path):
    path = tmp_path / "out" / "predictions.csv"
    with csv_writer(path) as write:
        write(prediction("dir/a.png"))
        write(prediction("b, with comma.png", (0, 1234.5), None))
        write(prediction('c "quoted".png', (-3.0005, 2), 0.0))
        assert not path.exists()
    assert path.read_text().splitlines()[:2] == [
        "file,x,y,confidence",
        "dir/a.png,12.346,8.000,0.9877",
    ]
    with open(path, newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["file"] for row in rows] == [
        "dir/a.png", "b, with comma.png", 'c "quoted".png',
    ]  # fmt: skip
    assert [row["confidence"] for row in rows] == ["0.9877", "", "0.0000"]
    assert [float(row["y"]) for row in rows] == [8, 1234.5, 2]
    assert names_in(path.parent) == ["predictions.csv"]


def test_csv_keeps_names_that_are_no_text(tmp_path):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    with csv_writer(tmp_path / "a.csv") as write:
        write(prediction(name))
    assert b"caf\xe9.png,12.346" in (tmp_path / "a.csv").read_bytes()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, UserError])
def test_no_csv_if_the_block_raises(tmp_path, error):
    with pytest.raises(error), csv_writer(tmp_path / "a.csv") as write:
        write(prediction())
        raise error
    assert names_in(tmp_path) == []


def test_an_older_csv_survives_an_error(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), csv_writer(path) as write:
        write(prediction())
        raise RuntimeError
    assert path.read_text() == "old"


def test_a_csv_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    path = tmp_path / "taken" / "a.csv"
    with pytest.raises(UserError, match="cannot be written") as caught, csv_writer(path):
        pytest.fail("the block must not run")
    assert str(path) in str(caught.value)


# Pictures.


def test_overlay_is_a_picture_with_both_markers(tmp_path):
    draw = OverlayWriter(tmp_path / "out")
    draw(prediction("dir/scene.png", (25, 15), truth=np.array([10.0, 20.0])))
    assert names_in(tmp_path / "out") == ["scene.png"]
    drawn = cv2.imread(str(tmp_path / "out" / "scene.png"))
    height, width, _ = drawn.shape
    assert width / height == pytest.approx(50 / 30, rel=0.02)
    blue, green, red = (drawn.astype(int)[..., channel] for channel in range(3))
    scale = width / 50
    for mask, (x, y) in (
        ((red > 200) & (blue > 100), (25, 15)),
        ((green > 150) & (red < 50), (10, 20)),
    ):
        rows, columns = np.nonzero(mask)
        assert columns.mean() + 0.5 == pytest.approx(x * scale, abs=1)
        assert rows.mean() + 0.5 == pytest.approx(y * scale, abs=1)


def test_overlay_shows_the_heatmap(tmp_path):
    heatmap = np.zeros((SIZE, SIZE), np.float32)
    heatmap[:32, 32:] = 200
    OverlayWriter(tmp_path)(prediction("a.png", (5, 25), heatmap=heatmap))
    drawn = cv2.imread(str(tmp_path / "a.png")).max(axis=-1)
    height, width = drawn.shape
    bright = drawn[5 : height // 2 - 5, width // 2 + 5 : -5]
    assert bright.min() > 100
    assert drawn[5 : height // 2 - 5, 5 : width // 2 - 5].max() < 20


def test_equal_names_are_numbered(tmp_path):
    draw = OverlayWriter(tmp_path)
    for name in ("x/a.png", "y/a.png", "a.jpg", "b.png"):
        draw(prediction(name))
    assert names_in(tmp_path) == ["a-2.png", "a-3.png", "a.png", "b.png"]


@pytest.mark.parametrize(
    "names", [("x/a.png", "y/a.png", "a-2.png"), ("a-2.png", "x/a.png", "y/a.png")]
)
def test_numbering_does_not_run_over_another_file(tmp_path, names):
    draw = OverlayWriter(tmp_path)
    for name in names:
        draw(prediction(name))
    assert len(names_in(tmp_path)) == 3


def test_overlays_of_domains_do_not_collide(tmp_path):
    draw = OverlayWriter(tmp_path)
    model = fake_model(lambda x: x)
    for domain in (1, 2):
        scene = SceneConfig(domain=domain, image_size=SIZE)
        for answer in predict_scenes(model, scene, range(2)):
            draw(answer)
    assert names_in(tmp_path) == [
        "domain1_00000.png", "domain1_00001.png", "domain2_00000.png", "domain2_00001.png",
    ]  # fmt: skip


def test_a_picture_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError) as caught:
        OverlayWriter(tmp_path / "taken")(prediction("a.png"))
    assert str(tmp_path / "taken" / "a.png") in str(caught.value)
