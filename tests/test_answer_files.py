"""What `predict` writes: the CSV, as DeepLabCut reads it too, and the overlays beside it."""

import csv

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.labels.label_files import read_label_file
from rectloc_tf.errors import UserError
from rectloc_tf.serving.answer_files import csv_writer, keypoint_writer, write_answers
from rectloc_tf.serving.overlays import overlay_paths
from rectloc_tf.serving.prediction import Prediction

NAMES = ("snout", "left ear", "tail,base")


def prediction(name="a.png", point=(12.34567, 8.0), confidence=0.98768, **fields):
    points = np.array([point], np.float32)
    confidences = None if confidence is None else np.array([confidence], np.float32)
    return Prediction(name, points, confidences, np.zeros((30, 50), np.uint8), **fields)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def keypoints(name="a.png", confidences=(0.9, 0.2, 0.55), **fields):
    points = np.array([(0.5, 8), (12.34567, 1234.5), (33, 20.25)], np.float32)
    known = None if confidences is None else np.array(confidences, np.float32)
    return Prediction(name, points, known, np.zeros((30, 50), np.uint8), **fields)


# A row a prediction.


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


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
@example("\r")
@example("a\rb\n.png")
def test_any_name_survives_the_csv(tmp_path_factory, name):
    path = tmp_path_factory.getbasetemp() / "names.csv"
    with csv_writer(path) as write:
        write(prediction(name))
        write(prediction("next.png"))
    with open(path, newline="", encoding="utf-8") as handle:
        rows = list(csv.reader(handle))
    assert [row[0] for row in rows] == ["file", name, "next.png"]
    assert all(len(row) == 4 for row in rows)


# A table as DeepLabCut's.


def test_named_keypoints_make_a_table_as_deeplabcut_writes_it(tmp_path):
    path = tmp_path / "p.csv"
    with keypoint_writer(path, NAMES, "score_map-images-1a2b3c4d") as write:
        write(keypoints("video/img 1.png"))
        write(keypoints("b.png", None))
    # As pandas writes a table with three header rows and an index without a name.
    assert path.read_text() == (
        "scorer,score_map-images-1a2b3c4d" + 8 * ",score_map-images-1a2b3c4d" + "\n"
        'bodyparts,snout,snout,snout,left ear,left ear,left ear,"tail,base","tail,base",'
        '"tail,base"\n'
        "coords,x,y,likelihood,x,y,likelihood,x,y,likelihood\n"
        "video/img 1.png,0.000,7.500,0.9000,11.846,1234.000,0.2000,32.500,19.750,0.5500\n"
        "b.png,0.000,7.500,,11.846,1234.000,,32.500,19.750,\n"
    )


def test_the_table_is_read_back_as_labels(tmp_path):
    answer = keypoints("video/img001.png")
    with keypoint_writer(tmp_path / "p.csv", NAMES, "run") as write:
        write(answer)
    read = read_label_file(tmp_path / "p.csv")
    assert read.names == NAMES
    assert read.images == ("video/img001.png",)
    np.testing.assert_allclose(read.points[0], answer.points, atol=6e-4)
    assert read.has_likelihood


def test_a_name_with_a_line_break_stays_one_cell(tmp_path):
    with keypoint_writer(tmp_path / "p.csv", NAMES, "run") as write:
        write(keypoints("a\rb.png"))
    with open(tmp_path / "p.csv", newline="") as handle:
        rows = list(csv.reader(handle))
    assert rows[3][0] == "a\rb.png"
    assert {len(row) for row in rows} == {10}


# The CSV and the overlays together.


def test_an_overlay_that_fails_is_named_and_the_rest_is_kept(tmp_path):
    names = ["a.png", "b.png", "c.png"]
    overlays = overlay_paths(tmp_path / "out", names)
    overlays["b.png"].mkdir(parents=True)
    errors = []
    answers = [prediction("a.png", orientation=6), prediction("b.png"), prediction("c.png")]
    count = write_answers(answers, tmp_path / "p.csv", overlays, errors.append)
    assert count == (3, 3, 1)
    assert [error.split(":")[0] for error in errors] == [str(overlays["b.png"])]
    with open(tmp_path / "p.csv", newline="") as handle:
        assert [row["file"] for row in csv.DictReader(handle)] == names
    assert names_in(tmp_path / "out") == ["a.png.png", "b.png.png", "c.png.png"]


def test_without_overlays_there_is_a_csv_only(tmp_path):
    assert write_answers([prediction()], tmp_path / "p.csv", {}, pytest.fail) == (1, 1, 0)
    assert names_in(tmp_path) == ["p.csv"]


def test_no_answers_no_csv(tmp_path):
    with pytest.raises(UserError, match="none of the files can be read"):
        write_answers([], tmp_path / "p.csv", {}, pytest.fail)
    assert names_in(tmp_path) == []


def test_an_uncertain_keypoint_is_in_the_table_but_not_drawn(tmp_path):
    drawn = {}
    for least in (0.0, 0.5, 1.0):
        folder = tmp_path / str(least)
        overlays = overlay_paths(folder, ["a.png"])
        about = NAMES, "run", least
        written = write_answers([keypoints()], tmp_path / "p.csv", overlays, pytest.fail, *about)
        assert written == (1, 1, 0)
        assert "11.846,1234.000,0.2000" in (tmp_path / "p.csv").read_text()
        drawn[least] = cv2.imread(str(folder / "a.png.png"))
    picture = drawn[1.0].shape[1] * 30 // 50  # the key below it is the same
    lit = {least: int((image[:picture] > 0).any(axis=-1).sum()) for least, image in drawn.items()}
    assert lit[0.0] >= lit[0.5] > lit[1.0]


@pytest.mark.parametrize(
    ("confidences", "least", "kept"),
    [
        ((0.9, 0.2, 0.55), 0.55, [True, False, True]),
        ((0.9, 0.2, 0.55), 0.0, [True] * 3),
        (None, 1.0, [True] * 3),
    ],
)
def test_points_that_are_certain_enough(confidences, least, kept):
    answer = keypoints(confidences=confidences)
    certain = answer.certain(least)
    np.testing.assert_array_equal(~np.isnan(certain).any(axis=1), kept)
    np.testing.assert_array_equal(certain[kept], answer.points[kept])
