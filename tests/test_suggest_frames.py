"""Frames to label next: how they are chosen, and what is written."""

import csv
import os

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines.labels.csv_labels import read_csv_file
from pipelines.labels.read import read_labels
from pipelines.labels.suggesting import choose_uncertain, choose_varied, fill_up
from pipelines.resampling import letterbox
from pipelines.video_files import open_video
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving import video_prediction
from rectloc_tf.serving.suggestions import (
    Looks,
    choose_frames,
    frames_in,
    look_at,
    suggestion_folders,
    write_suggestions,
)
from tests.conftest import run_without_tensorflow, succeeded
from tests.videos import damage, read_with_opencv, write_video

SCENES = (range(5), range(5, 15), range(15, 18))  # numbers of the frames of each
NAMES = ("nose", "tail")


def scene_frames():
    """18 frames of three scenes that differ a lot, with a little noise."""
    rng = np.random.default_rng(3)
    scenes = [np.repeat(np.repeat(rng.integers(0, 220, (3, 4)), 16, 0), 16, 1) for _ in SCENES]
    frames = []
    for scene, numbers in zip(scenes, SCENES, strict=True):
        for _ in numbers:
            noise = rng.integers(0, 6, (48, 64, 3))
            frames.append((scene[..., None] + noise).astype(np.uint8))
    return frames


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("clip") / "clip.avi", scene_frames())


def read_csv(path):
    with open(path, newline="") as handle:
        return list(csv.reader(handle))


# Choosing.


def test_one_frame_of_each_scene(clip):
    looks = look_at(open_video(clip))
    assert looks.numbers.tolist() == list(range(18))
    assert looks.pictures.shape == (18, 30 * 22)
    assert looks.confidences is None
    chosen = choose_frames(looks, 3)
    assert [[n in scene for n in chosen].count(True) for scene in SCENES] == [1, 1, 1]
    assert choose_frames(look_at(open_video(clip)), 3) == chosen


@pytest.mark.parametrize("seed", range(5))
def test_clusters_give_their_middles(seed):
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0], [100, 0], [0, 100], [100, 100]], float)
    counts = (3, 9, 5, 7)
    looks = np.repeat(centres, counts, 0) + rng.uniform(-5, 5, (sum(counts), 2))
    chosen = choose_varied(looks, 4, seed)
    expected, start = [], 0
    for count in counts:
        part = looks[start : start + count]
        expected.append(start + int(np.linalg.norm(part - part.mean(0), axis=1).argmin()))
        start += count
    assert chosen == expected


def test_fewer_pictures_than_are_wanted():
    looks = np.repeat(np.array([[0.0, 1], [9, 9]]), 5, 0)
    assert len(choose_varied(looks, 4)) == 2
    assert choose_varied(looks[:1], 4) == [0]
    assert choose_varied(looks, 0) == choose_varied(looks[:0], 3) == []


def test_the_least_confident_that_are_no_neighbours():
    numbers = np.arange(0, 100)
    confidences = np.full(100, 0.9)
    confidences[[40, 41, 42, 43]] = [0.1, 0.05, 0.06, 0.07]
    confidences[[80, 10]] = 0.3, 0.2
    assert choose_uncertain(numbers, confidences, 3, []) == [10, 41, 80]
    # What is taken keeps others away.
    assert choose_uncertain(numbers, confidences, 2, [42]) == [10, 80]
    confidences[7] = np.nan
    assert choose_uncertain(numbers, confidences, 1, []) == [7]


def test_neighbours_where_there_is_nothing_else():
    confidences = np.array([0.3, 0.2, 0.1])
    assert choose_uncertain(np.arange(3), confidences, 5, [1]) == [0, 2]
    assert choose_uncertain(np.arange(3), confidences, 3, []) == [0, 1, 2]
    assert choose_uncertain(np.arange(0), confidences[:0], 3, []) == []


@pytest.mark.parametrize(
    ("count", "taken", "filled"),
    [(2, [0], [0, 10]), (3, [0], [0, 5, 10]), (1, [4], [4]), (99, [2], list(range(11)))],
)
def test_filling_up_is_far_in_time(count, taken, filled):
    assert fill_up(np.arange(11), count, taken) == filled


def test_half_of_the_frames_are_uncertain_ones():
    numbers = np.arange(0, 300, 3)
    pictures = np.repeat(np.eye(2, 4) * 100, 50, 0)
    confidences = np.full(100, 0.8)
    confidences[[20, 70]] = 0.1, 0.2
    chosen = choose_frames(Looks(numbers, pictures, confidences), 4)
    assert len(chosen) == 4
    assert {60, 210} <= {*chosen}
    assert any(n < 150 and n != 60 for n in chosen)  # and one of each look
    assert any(n >= 150 and n != 210 for n in chosen)


def test_long_videos_are_looked_at_evenly_and_known_frames_are_left_out(clip):
    video, seen = open_video(clip), []
    means = lambda images: images.mean((1, 2, 3))  # noqa: E731
    looks = look_at(video, means, seen.append, without={6, 7}, most=6)
    assert looks.numbers.tolist() == [0, 3, 9, 12, 15]
    whole = read_with_opencv(clip)
    np.testing.assert_allclose(looks.confidences, [whole[n].mean() for n in looks.numbers])
    assert seen == [15]
    with pytest.raises(UserError, match="all of them are labelled"):
        look_at(video, without=range(18))


def test_frames_that_are_labelled_are_known_by_their_names():
    images = ["labeled-data/clip/img00012.png", "clip/img7.png", "clip/other.png"]
    images += ["b/img3.png", "img4.png", "clip/img5.jpg"]
    assert frames_in(images, "clip.mp4") == {12, 7}


def test_frames_of_sleap_and_of_convert_labels_are_known_too():
    images = ["clip.mp4/frame000012.png", "D:/films/clip.mp4/frame1234567.png"]
    images += ["labeled-data/clip/frame000034.png", "clip/img00056.png"]
    images += ["b.mp4/frame000001.png", "clip.avi/frame000002.png", "clip.mp4/frame000003.jpg"]
    assert frames_in(images, "clip.mp4") == {12, 1234567, 34, 56}


LABELLED = {"source": "images", "data": "sha256:0", "keypoints": "nose,tail", "image_size": 64}


def test_confidence_of_a_frame_is_the_mean_over_its_keypoints(clip, tmp_path, monkeypatch):
    """Without a network, whose graph would take long to make."""
    levels = [1.0, 0.5]

    def answer_levels(model, head, place):
        assert place is letterbox

        def answer(images):
            light = tf.reduce_mean(images / 255, (1, 2, 3))[:, None]
            points = {"points_xy": tf.zeros([tf.shape(images)[0], 2, 2])}
            return {**points, "point_confidence": light * levels} if levels else points

        return answer

    monkeypatch.setattr(video_prediction, "load_model", lambda path, run: path)
    monkeypatch.setattr(video_prediction, "make_answer_images", answer_levels)
    folder, run = RunFolder(tmp_path), RunConfig(arch="score_map", **LABELLED)
    names, confidences = video_prediction.make_confidences(folder, run, "best")
    assert names == [*NAMES]
    expected = [0.75 * frame.mean() / 255 for frame in read_with_opencv(clip)]
    found = look_at(open_video(clip), confidences).confidences
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    levels.clear()
    with pytest.raises(ConfigError, match="its head gives no confidence"):
        video_prediction.make_confidences(folder, run, "best")
    scenes = RunConfig(arch="score_map", image_size=64)
    with pytest.raises(ConfigError, match="its points are not named"):
        video_prediction.make_confidences(folder, scenes, "best")


# Writing.


def test_frames_and_an_empty_label_file(clip, tmp_path):
    folder = tmp_path / "labeled-data" / "clip"
    assert write_suggestions(folder, open_video(clip), [2, 7, 17], NAMES, "me") == 3
    names = ["img00002.png", "img00007.png", "img00017.png"]
    assert sorted(os.listdir(folder)) == ["CollectedData_me.csv", *names]
    assert os.listdir(folder.parent) == ["clip"]
    whole = read_with_opencv(clip)
    for name, number in zip(names, (2, 7, 17), strict=True):
        np.testing.assert_array_equal(cv2.imread(str(folder / name))[..., ::-1], whole[number])
    assert read_csv(folder / "CollectedData_me.csv") == [
        ["scorer", "me", "me", "me", "me"],
        ["bodyparts", "nose", "nose", "tail", "tail"],
        ["coords", "x", "y", "x", "y"],
        *([f"labeled-data/clip/{name}", "", "", "", ""] for name in names),
    ]
    labels = read_csv_file(folder / "CollectedData_me.csv")
    assert labels.names == NAMES
    assert np.isnan(labels.points).all()
    data, ledger = read_labels(str(tmp_path / "labeled-data"))
    assert len(data) == 0
    assert any("no label" in line for line in ledger.lines())


def test_labels_that_are_filled_in_belong_to_the_frames(clip, tmp_path):
    folder = tmp_path / "labeled-data" / "clip"
    write_suggestions(folder, open_video(clip), [2, 7], NAMES, "me")
    path = folder / "CollectedData_me.csv"
    rows = read_csv(path)
    rows[3][1:] = ["3", "4", "", ""]
    with open(path, "w", newline="") as handle:
        csv.writer(handle).writerows(rows)
    data, _ = read_labels(str(tmp_path / "labeled-data"))
    assert [image.name for image in data.paths] == ["img00002.png"]
    np.testing.assert_allclose(data.points[0, 0], [3.5, 4.5])


def test_files_that_are_there_are_never_touched(clip, tmp_path):
    taken, other = tmp_path / "clip", tmp_path / "clip2"
    assert suggestion_folders(tmp_path, [clip]) == [taken]
    taken.mkdir()
    assert suggestion_folders(tmp_path, [clip]) == [taken]  # empty
    assert write_suggestions(taken, open_video(clip), [1], NAMES, "me") == 1
    for path in (taken, other):
        other.write_text("a file")
        with pytest.raises(ConfigError) as caught:
            suggestion_folders(tmp_path, [path.with_suffix(".avi")])
        assert str(caught.value).startswith(f"--output_dir={tmp_path}: {path} already exists")
    with pytest.raises(ConfigError, match="have the same name"):
        suggestion_folders(tmp_path / "new", [clip, tmp_path / "clip.mp4"])


def test_what_fails_half_way_leaves_nothing(clip, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("rectloc_tf.serving.suggestions.open_table", stop)
    with pytest.raises(KeyboardInterrupt):
        write_suggestions(tmp_path / "clip", open_video(clip), [1, 2], NAMES, "me")
    assert list(tmp_path.iterdir()) == []


# The command.


def test_the_command_needs_no_tensorflow_and_no_network(clip, tmp_path):
    second = tmp_path / "second.avi"
    second.write_bytes(clip.read_bytes())
    damage(second, [0])
    out = tmp_path / "labeled-data"
    flags = (f"--output_dir={out}", "--num=3", "--keypoints=nose,tail", "--scorer=me")
    done = run_without_tensorflow("rectloc_tf.suggest_frames", f"--video={clip},{second}", *flags)
    lines = succeeded(done).splitlines()
    assert lines[0] == f"{out}/clip: 3 frames of {clip}"
    assert lines[1] == f"{out}/second: 3 frames of {second}"
    assert lines[2].startswith("6 frames to label, in DeepLabCut")
    assert lines[2].endswith(f"`python -m rectloc_tf.check_labels --data={out}`")
    assert len(lines) == 3
    for name in ("clip", "second"):
        numbers = sorted(int(path.stem[3:]) for path in (out / name).glob("*.png"))
        assert [[n in scene for n in numbers].count(True) for scene in SCENES] == [1, 1, 1]
    done = run_without_tensorflow("rectloc_tf.suggest_frames", f"--video={clip}", *flags)
    assert done.returncode == 2
    assert f"{out}/clip already exists" in done.stderr


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        ((), 2, "--output_dir: missing; give a folder, such as the project's labeled-data"),
        (("--output_dir=o",), 2, "--video: missing; give a video, or several separated by commas"),
        (
            ("--output_dir=o", "--video=no.mp4"),
            1,
            "--video=no.mp4: cannot be read (No such file or directory)",
        ),
        (
            ("--output_dir=o", "--scorer=a/b"),
            2,
            "--scorer=a/b: must be usable in a file name",
        ),
    ],
)
def test_mistakes_are_one_line(flags, code, words):
    done = run_without_tensorflow("rectloc_tf.suggest_frames", *flags)
    assert (done.returncode, done.stderr) == (code, f"error: {words}\n")


def test_keypoints_must_be_named(clip, tmp_path):
    flags = (f"--video={clip}", f"--output_dir={tmp_path / 'o'}")
    done = run_without_tensorflow("rectloc_tf.suggest_frames", *flags)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --keypoints: missing; list them, as in --keypoints=")
    assert not (tmp_path / "o").exists()
