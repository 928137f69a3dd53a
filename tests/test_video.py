"""Videos: frames by number, answers as of the same frame in a file, and the overlay."""

import csv
import io
from dataclasses import replace

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from pipelines.resampling import letterbox
from pipelines.video_files import (
    frame_times,
    is_cut_off,
    number_frames,
    open_video,
    read_frames,
)
from rectloc_tf.config import Keypoints, RunConfig
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.models import make_head
from rectloc_tf.serving import overlay_video, video_prediction
from rectloc_tf.serving.overlay_video import check_overlay_video, draw_points, overlay_writer
from rectloc_tf.serving.prediction import predict_files
from rectloc_tf.serving.read_ahead import read_ahead, read_batches
from rectloc_tf.serving.video_prediction import (
    VideoRun,
    predict_video,
    write_video_answers,
)
from rectloc_tf.serving.video_progress import progress_text
from tests.conftest import run_ok, run_without_tensorflow
from tests.test_image_decoding import encode
from tests.training import small_head
from tests.videos import (
    HEIGHT,
    WIDTH,
    damage,
    read_with_opencv,
    spot_frames,
    turn,
    write_video,
)

SIZE = 64
DECONV = small_head("deconv")
SUFFIXES = pytest.mark.parametrize("suffix", [".avi", ".mp4"])


def brightest_model(channels=1):
    """A heatmap that is the picture: grey, or colours that do not weigh alike."""
    images = keras.Input((SIZE, SIZE, channels), dtype="uint8")
    weights = np.array([1.0, 0.1, 0.01], np.float32)[:channels]
    return keras.Model(images, ops.sum(ops.cast(images, "float32") * weights, -1, keepdims=True))


def answer_brightest(model, head, place):
    """In the place of a network: the middle of the brightest pixel, for each keypoint."""

    def answer(images):
        grey = tf.reduce_sum(tf.cast(images, tf.int64), -1)
        count, _, width = tf.unstack(tf.shape(grey, tf.int64))
        place = tf.argmax(tf.reshape(grey, [count, -1]), 1)
        points = tf.cast(tf.stack([place % width, place // width], -1), tf.float32) + 0.5
        number = len(head.keypoints.names)
        points = tf.repeat(points[:, None], number, 1)
        return {"points_xy": points, "point_confidence": 0 * points[..., 0] + 0.75}

    return answer


@pytest.fixture
def quick(monkeypatch):
    """Answers without a network, whose graph would take seconds to make."""
    monkeypatch.setattr(video_prediction, "make_answer_images", answer_brightest)


QUICK = pytest.mark.usefixtures("quick")
SPOT = VideoRun(None, DECONV)
NAMED = make_head(
    RunConfig(arch="xy", image_size=SIZE), SIZE, Keypoints(("nose", "tail"), "named", 2)
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A clip of 12 frames of each kind; read only."""
    folder = tmp_path_factory.mktemp("clips")
    return {s: write_video(folder / f"clip{s}", spot_frames(12)) for s in (".avi", ".mp4")}


def copied(path, folder):
    return (folder / path.name).write_bytes(path.read_bytes()) and folder / path.name


def read_csv(path):
    with open(path, newline="") as handle:
        return list(csv.reader(handle))


# What is known before decoding.


@SUFFIXES
def test_facts_of_a_video(clips, suffix):
    video = open_video(clips[suffix])
    assert (video.width, video.height, video.count) == (WIDTH, HEIGHT, 12)
    assert video.rate == pytest.approx(25)
    assert (video.rotation, video.is_cut) == (0, False)
    if suffix == ".mp4":
        np.testing.assert_allclose(video.times, np.arange(12) * 40)


def broken_videos(folder, clips):
    """Paths that are no video, with a part of what is to be said of each."""
    whole = clips[".mp4"].read_bytes()
    contents = {"text.mp4": b"not a video\n" * 50, "empty.mp4": b"", "half.mp4": whole[:-700]}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    write_video(folder / "none.avi", [])
    return {
        folder / "text.mp4": "not a video that can be decoded",
        folder / "empty.mp4": "empty file",
        folder / "half.mp4": "not a video that can be decoded, or cut off",
        folder / "missing.mp4": "cannot be read (No such file or directory)",
        folder / "none.avi": "no",
        folder: "a folder",
    }


def test_what_is_no_video_is_one_line(clips, tmp_path, capfd):
    for path, words in broken_videos(tmp_path, clips).items():
        with pytest.raises(UserError) as caught:
            open_video(path)
        assert str(caught.value).startswith(f"--video={path}: ")
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""  # OpenCV and FFmpeg are silent


# Numbers of frames.


@pytest.mark.parametrize(
    ("packets", "times"),
    [
        ([0, 40, 80], [0, 40, 80]),
        ([0, 120, 40, 80], [0, 40, 80, 120]),  # decoded in another order than shown
        ([0, 33, 150, 170], [0, 33, 150, 170]),  # a varying rate
        ([0, 40, None, 120], [0, 40, 80, 120]),
        ([None, 40, 80], [0, 40, 80]),
        # Damaged is what comes third, and is shown second.
        ([0, 160, None, 80, 120], [0, 40, 80, 120, 160]),
        ([0, 40, None, None, None, 200, 240], [0, 40, 80, 120, 160, 200, 240]),
        ([0, 40, 40], None),
        ([None], None),
        ([], None),
    ],
)
def test_times_of_frames(packets, times):
    found = frame_times(packets)
    if times is None:
        assert found is None
    else:
        assert len(found) == len(packets)
        assert (np.diff(found) > 0).all()
        # Where a damaged frame lies between the others counts, not exactly when.
        known = [time for time in packets if time is not None]
        places = [times.index(time) for time in known]
        np.testing.assert_array_equal(found[places], known)


TIMES = np.arange(6) * 40.0


@pytest.mark.parametrize(
    ("grabbed", "times", "numbers"),
    [
        ([0, 40, 80], TIMES, [0, 1, 2]),
        # A decoder that is ahead fails before it gives the frames that come before.
        ([0, None, 40, 120, 160], TIMES, [0, None, 1, 3, 4]),
        ([0, 120], TIMES, [0, 3]),  # left out without a word
        ([80, 200], TIMES, [2, 5]),
        ([0, None, 80], None, [0, None, 2]),
        # Times that are not those of the packets: frames are counted from there.
        ([0, 40, 81, None, 160], TIMES, [0, 1, 2, None, 4]),
        ([0, 40, 40, 80], TIMES, [0, 1, 2, 3]),
        ([], TIMES, []),
    ],
)
def test_numbers_of_frames(grabbed, times, numbers):
    assert list(number_frames(grabbed, times)) == numbers


@SUFFIXES
def test_frames_are_those_that_opencv_reads(clips, suffix):
    expected = read_with_opencv(clips[suffix])
    frames = list(read_frames(open_video(clips[suffix])))
    assert [number for number, _ in frames] == list(range(12))
    np.testing.assert_array_equal([image for _, image in frames], expected)
    some = list(read_frames(open_video(clips[suffix]), lambda number: number % 5 == 1))
    assert [number for number, _ in some] == [1, 6, 11]
    np.testing.assert_array_equal(some[1][1], expected[6])


@SUFFIXES
@pytest.mark.parametrize("lost", [(4,), (0,), (2, 3, 9)])
def test_damaged_frames_are_left_out_and_the_others_keep_their_numbers(
    clips, tmp_path, suffix, lost
):
    if suffix == ".mp4" and 0 in lost:
        lost = (1,)  # without the first, none after it can be decoded
    path = damage(copied(clips[suffix], tmp_path), lost)
    video = open_video(path)
    assert video.count == 12
    numbers = [number for number, _ in read_frames(video)]
    assert numbers == [number for number in range(12) if number not in lost]
    if suffix == ".avi":  # each frame of its own
        whole = read_with_opencv(clips[suffix])
        for number, image in read_frames(video):
            np.testing.assert_array_equal(image, whole[number])


def test_a_file_that_is_cut_off(clips, tmp_path):
    for path in clips.values():
        assert not is_cut_off(path)
        cut = tmp_path / path.name
        cut.write_bytes(path.read_bytes()[:-200])
        assert is_cut_off(cut)
    cut = tmp_path / "cut.avi"
    data = clips[".avi"].read_bytes()
    cut.write_bytes(data[: data.find(b"movi") + (len(data) - data.find(b"movi")) // 2])
    video = open_video(cut)
    assert video.is_cut
    assert 3 <= video.count <= 8


# Bounded memory.


def test_read_ahead_is_limited():
    made, taken = [], []

    def items():
        for number in range(50):
            made.append(number)
            assert len(made) - len(taken) <= 3  # the caller has done with those in `taken`
            yield number

    for number in read_ahead(items(), 3):
        taken.append(number)
    assert taken == made == list(range(50))


def test_a_reader_that_is_left_is_closed():
    closed = []

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    ahead = read_ahead(items(), 2)
    assert next(ahead) == 1
    ahead.close()
    assert closed == [True]


def test_an_error_of_the_reader_reaches_the_caller():
    def items():
        yield 1
        raise UserError("lost")

    ahead = read_ahead(items(), 2)
    assert next(ahead) == 1
    with pytest.raises(UserError, match="lost"):
        next(ahead)


def test_batches_are_small_of_one_shape_and_in_order():
    frames = [(n, np.full((4, 5 if n < 7 else 6, 3), n, np.uint8)) for n in (0, 1, 2, 4, 5, 7, 8)]
    batches = list(read_batches(iter(frames), size=3))
    assert [numbers for numbers, _ in batches] == [[0, 1, 2], [4, 5], [7, 8]]
    assert [images.shape for _, images in batches] == [(3, 4, 5, 3), (2, 4, 5, 3), (2, 4, 6, 3)]
    assert batches[1][1][:, 0, 0, 0].tolist() == [4, 5]
    # By their pixels: two of twenty.
    batches = list(read_batches(iter(frames[:5]), max_pixels=50))
    assert [numbers for numbers, _ in batches] == [[0, 1], [2, 4], [5]]
    batches = list(read_batches(iter(frames[:3]), max_pixels=1))
    assert [numbers for numbers, _ in batches] == [[0], [1], [2]]


# Answers.


def as_files(path, folder):
    """Each frame as OpenCV reads it, as a PNG."""
    paths = []
    for number, image in enumerate(read_with_opencv(path)):
        paths.append(folder / f"{number}.png")
        paths[-1].write_bytes(encode(np.ascontiguousarray(image[..., ::-1]), ".png"))
    return paths


@pytest.mark.parametrize(("channels", "size"), [(1, (63, 47)), (3, (130, 50))])
def test_a_frame_is_answered_as_the_same_frame_in_a_file(tmp_path, channels, size):
    path = write_video(tmp_path / "clip.avi", spot_frames(5, *size))
    run = VideoRun(brightest_model(channels), DECONV, letterbox)
    answers = list(predict_video(run, open_video(path), pytest.fail, pytest.fail))
    files = as_files(path, tmp_path)
    theirs = predict_files(run.model, DECONV, files, pytest.fail, pytest.fail, place=letterbox)
    assert [answer.name for answer in answers] == [str(number) for number in range(5)]
    for answer, expected in zip(answers, theirs, strict=True):
        np.testing.assert_array_equal(answer.image, expected.image)
        np.testing.assert_allclose(answer.points, expected.points, atol=1e-4)
        np.testing.assert_allclose(answer.confidences, expected.confidences, atol=1e-6)
    moved = np.diff([answer.points[0] for answer in answers], axis=0)
    np.testing.assert_allclose(moved, [[3, 1]] * 4, atol=2.5)


def answered(path, output, overlay=None, run=SPOT):
    """Answers a file: the lines on it, whether all is well, and what was said meanwhile."""
    said = io.StringIO()
    lines, whole = write_video_answers(run, open_video(path), output, overlay, said)
    return lines, whole, said.getvalue().splitlines()


@QUICK
def test_the_csv_has_the_number_of_the_frame_first(clips, tmp_path):
    output = tmp_path / "p.csv"
    assert answered(clips[".avi"], output) == ([f"{output}: 12 predictions"], True, [])
    header, *rows = read_csv(output)
    assert header == ["frame", "x", "y", "confidence"]
    assert [row[0] for row in rows] == [str(number) for number in range(12)]
    expected = [[8.5 + 3 * number, 24.5 + number] for number in range(12)]
    np.testing.assert_allclose([[float(row[1]), float(row[2])] for row in rows], expected, atol=1.1)
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


@QUICK
def test_named_keypoints_make_a_table_as_deeplabcut_writes_it_of_a_video(clips, tmp_path):
    output = tmp_path / "p.csv"
    answered(clips[".avi"], output, run=VideoRun(None, NAMED, name="run_7"))
    rows = read_csv(output)
    assert rows[0] == ["scorer", *["run_7"] * 6]
    assert rows[1] == ["bodyparts", *["nose"] * 3, *["tail"] * 3]
    assert rows[2] == ["coords", *["x", "y", "likelihood"] * 2]
    assert [row[0] for row in rows[3:]] == [str(number) for number in range(12)]
    # From the centre of the first pixel.
    np.testing.assert_allclose([float(cell) for cell in rows[3][1:3]], [8, 24], atol=1.1)
    assert rows[3][1:4] == rows[3][4:]
    assert rows[3][3] == "0.7500"


@QUICK
def test_a_damaged_frame_is_named_and_the_others_are_answered(clips, tmp_path):
    path = damage(copied(clips[".avi"], tmp_path), [4, 7])
    output, overlay = tmp_path / "p.csv", tmp_path / "o.mp4"
    _, whole, said = answered(path, output, overlay)
    assert not whole
    assert said == [f"error: {path} frame {number}: cannot be decoded" for number in (4, 7)]
    numbers = [int(row[0]) for row in read_csv(output)[1:]]
    assert numbers == [0, 1, 2, 3, 5, 6, 8, 9, 10, 11]
    drawn = np.array(read_with_opencv(overlay), int)
    assert len(drawn) == 12  # frames stay where they are
    away = np.abs(np.diff(drawn, axis=0)).mean((1, 2, 3))
    assert away[[3, 6]].max() < 0.2 * away[[0, 1, 2, 4, 5, 7, 8]].min()


@QUICK
def test_of_many_damaged_frames_the_first_are_named(tmp_path):
    path = damage(write_video(tmp_path / "clip.avi", spot_frames(45)), range(5, 40))
    _, _, said = answered(path, tmp_path / "p.csv")
    assert len(said) == 21
    assert said[19] == f"error: {path} frame 24: cannot be decoded"
    assert "further undecodable frames are left out" in said[20]


@QUICK
def test_a_video_that_is_cut_off_is_answered_as_far_as_it_goes(clips, tmp_path):
    path, data = tmp_path / "cut.avi", clips[".avi"].read_bytes()
    path.write_bytes(data[: data.find(b"movi") + (len(data) - data.find(b"movi")) // 2])
    output = tmp_path / "p.csv"
    _, whole, said = answered(path, output)
    last = int(read_csv(output)[-1][0])
    assert 2 <= last <= 7
    assert not whole
    assert said == [f"error: {path}: cut off or damaged, ends early after frame {last}"]


@QUICK
def test_frames_behind_the_end_of_an_edit_are_a_warning(clips):
    video = replace(open_video(clips[".avi"]), count=15)
    warnings = []
    assert len(list(predict_video(SPOT, video, pytest.fail, warnings.append))) == 12
    (line,) = warnings
    assert line.startswith(f"{video.path} frames 12 to 14: in the file but not shown")


@QUICK
def test_no_frame_at_all_is_an_error_and_leaves_nothing(clips, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    path = damage(copied(clips[".avi"], folder), range(12))
    with pytest.raises(UserError, match="no frame can be decoded"):
        answered(path, tmp_path / "p.csv", tmp_path / "o.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@QUICK
def test_a_rotation_flag_is_applied_and_reported(clips, tmp_path):
    path = turn(copied(clips[".mp4"], tmp_path))
    video = open_video(path)
    assert (video.width, video.height, video.rotation) == (HEIGHT, WIDTH, 90)
    _, turned = next(iter(read_frames(video)))
    _, straight = next(iter(read_frames(open_video(clips[".mp4"]))))
    np.testing.assert_array_equal(turned, np.rot90(straight, -1))
    output, overlay = tmp_path / "p.csv", tmp_path / "o.mp4"
    lines, _, _ = answered(path, output, overlay)
    assert lines[1].startswith("rotated by 90 degrees")
    row = read_csv(output)[1]
    # The spot of the first frame, (8.5, 24.5), where a quarter turn brings it.
    np.testing.assert_allclose([float(row[1]), float(row[2])], [HEIGHT - 24.5, 8.5], atol=1.1)
    assert read_with_opencv(overlay)[0].shape == (WIDTH, HEIGHT, 3)


# The overlay.


def test_dots_lie_on_their_points():
    image = np.zeros((60, 80, 3), np.uint8)
    points = np.array([[20.5, 10.5], [np.nan, 3], [60.5, 40.5]])
    drawn = draw_points(image, points, ("a", "b", "c"))
    assert image.max() == 0
    np.testing.assert_array_equal(drawn[10, 20], [255, 0, 0])  # the first colour is red
    assert drawn[40, 60].argmax() == 2  # and the last blue
    lit = drawn.max(-1) > 100
    for x, y in ((20, 10), (60, 40)):
        rows, columns = np.nonzero(lit[y - 6 : y + 7, x - 6 : x + 7])
        assert rows.mean() == pytest.approx(6, abs=0.1)
        assert columns.mean() == pytest.approx(6, abs=0.1)
        lit[y - 6 : y + 7, x - 6 : x + 7] = False
    assert not lit.any()
    np.testing.assert_array_equal(draw_points(image, points[:1])[10, 20], [255, 79, 163])


@QUICK
@pytest.mark.parametrize(("least", "is_drawn"), [(0.7, True), (0.8, False)])
def test_uncertain_points_are_not_drawn(clips, tmp_path, least, is_drawn):
    overlay = tmp_path / "o.mp4"
    answered(clips[".avi"], tmp_path / "p.csv", overlay, replace(SPOT, min_confidence=least))
    bare = write_video(tmp_path / "bare.mp4", read_with_opencv(clips[".avi"]))
    away = np.array(read_with_opencv(overlay), int) - read_with_opencv(bare)
    assert (np.abs(away).max() > 100) == is_drawn
    assert (np.abs(away).max() == 0) == (not is_drawn)


@pytest.mark.parametrize("size", [(63, 47), (64, 47), (63, 48)])
def test_overlays_of_odd_sizes_get_one_more(tmp_path, size):
    frames = spot_frames(3, *size)
    video = open_video(write_video(tmp_path / "clip.avi", frames, rate=20))
    assert (video.width, video.height) == size
    overlay = tmp_path / "o.mp4"
    with overlay_writer(overlay, video) as draw:
        for number, frame in enumerate(frames):
            draw(number, frame, np.zeros((0, 2)))
    written = open_video(overlay)
    assert (written.width, written.height) == (64, 48)
    assert (written.count, written.rate) == (3, pytest.approx(20))
    for drawn, frame in zip(read_with_opencv(overlay), frames, strict=True):
        away = np.abs(drawn[: size[1], : size[0]].astype(int) - frame)
        assert away.mean() < 8


@QUICK
def test_our_own_overlay_is_replaced_and_no_other(clips, tmp_path):
    video, output = open_video(clips[".mp4"]), tmp_path / "p.csv"
    refused = {
        copied(clips[".mp4"], tmp_path): "exists and was not written by predict",
        tmp_path / "o.mov": "is written as MP4; name it *.mp4",
        video.path: "this is one of the inputs",
        tmp_path / "x" / ".." / "p.mp4": "--output is the same file",
    }
    for path, words in refused.items():
        with pytest.raises(ConfigError) as caught:
            check_overlay_video(path, video, tmp_path / "p.mp4")
        assert str(caught.value).startswith(f"--overlay_video={path}: {words}")
    ours = tmp_path / "o.mp4"
    answered(clips[".avi"], output, ours)
    check_overlay_video(ours, video, output)
    assert open_video(ours).count == 12  # the mark at its end does no harm


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("full")], ids=repr)
def test_what_is_stopped_leaves_nothing(clips, tmp_path, monkeypatch, quick, error):
    answer = video_prediction.to_prediction

    def stop(answers, row, threshold, name, image):
        if name == "5":
            raise error
        return answer(answers, row, threshold, name, image)

    monkeypatch.setattr(video_prediction, "to_prediction", stop)
    with pytest.raises(type(error)):
        answered(clips[".avi"], tmp_path / "p.csv", tmp_path / "o.mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_overlay_that_lacks_frames_is_an_error(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(overlay_video, "_count", lambda path: 1)  # as on a full disk
    with (
        pytest.raises(UserError, match="cannot be written completely"),
        overlay_writer(tmp_path / "o.mp4", open_video(clips[".avi"])) as draw,
    ):
        for number, frame in enumerate(spot_frames(2)):
            draw(number, frame, np.zeros((0, 2)))
    assert list(tmp_path.iterdir()) == []


def test_progress_says_how_long_the_rest_will_take(clips):
    video = replace(open_video(clips[".avi"]), count=9940)
    text = "clip.avi: 1,000 of 9,940 frames, 50 frames/s, 2:59 left"
    assert progress_text(video, 1000, 20.0) == text
    assert progress_text(video, 9950, 10.0).endswith("0:00 left")


# The command.


NO_EFFECT = "has no effect with --video; leave it out"
BAD_FLAGS = {
    ("--video=no.mp4",): (1, "--video=no.mp4: cannot be read (No such file or directory)"),
    ("--overlay_video=o.mp4",): (
        2, "--overlay_video: works with --video; name the video to draw on",
    ),
    ("--video=a.mp4", "--images=a.png"): (2, f"--images: {NO_EFFECT}"),
    ("--video=a.mp4", "--num=3"): (2, f"--num: {NO_EFFECT}"),
    ("--video=a.mp4", "--overlay_dir=o"): (2, f"--overlay_dir: {NO_EFFECT}"),
}  # fmt: skip


@pytest.mark.parametrize("flags", BAD_FLAGS, ids=" ".join)
def test_bad_flags_are_one_line_before_tensorflow_loads(flags):
    code, words = BAD_FLAGS[flags]
    done = run_without_tensorflow("rectloc_tf.predict", *flags)
    assert (done.returncode, done.stderr) == (code, f"error: {words}\n")


def test_predict_answers_a_video(xy_run, clips, tmp_path):
    output, overlay = tmp_path / "p.csv", tmp_path / "o.mp4"
    flags = (f"--run_dir={xy_run}", f"--video={clips['.mp4']}", f"--output={output}")
    out = run_ok("predict", *flags, f"--overlay_video={overlay}")
    assert out == f"{output}: 12 predictions; drawn in {overlay}\n"
    rows = read_csv(output)
    assert rows[0] == ["frame", "x", "y", "confidence"]
    assert [row[0] for row in rows[1:]] == [str(number) for number in range(12)]
    assert int(cv2.VideoCapture(str(overlay)).get(cv2.CAP_PROP_FRAME_COUNT)) == 12
