"""Predicts on the frames of a video, in memory that does not grow with its length."""

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import keras
import numpy as np
import tensorflow as tf

from pipelines.resampling import PLACES, Place, stretch
from pipelines.video_files import Video, read_frames
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.heads.head import Head
from rectloc_tf.models import load_model, run_head
from rectloc_tf.registry import NAMED, SOURCES
from rectloc_tf.results.rundir import DEFAULT_THRESHOLD, RunFolder
from rectloc_tf.serving.answer_files import write_answers
from rectloc_tf.serving.inference import DRAWN, make_answer_images
from rectloc_tf.serving.overlay_video import overlay_writer
from rectloc_tf.serving.prediction import Prediction, to_prediction
from rectloc_tf.serving.read_ahead import read_ahead, read_batches
from rectloc_tf.serving.video_progress import VideoProgress
from rectloc_tf.training.progress import ProgressLine

_BATCHES = 3  # in memory: one with the network, and those decoded ahead
_NAMED = 20  # damaged frames that are named one by one


@dataclass(frozen=True)
class VideoRun:
    """What answers, and how.

    Attributes:
        model: a network.
        head: its head.
        place: how frames lie in the working size, as in training.
        name: of the run, which a table of named keypoints says.
        threshold: least confidence of a detection, for points of one class.
        min_confidence: points that are less certain are not drawn.
    """

    model: keras.Model
    head: Head
    place: Place = stretch
    name: str = ""
    threshold: float = DEFAULT_THRESHOLD
    min_confidence: float = 0.0


def write_video_answers(
    run: VideoRun, video: Video, output: Path, overlay: Path | None, messages: TextIO
) -> tuple[list[str], bool]:
    """Answers a video's frames: writes the CSV, and a video with the points drawn on it.

    Args:
        run: what answers.
        video: see `video_files.open_video`.
        output: the CSV; its first column is the number of the frame.
        overlay: an MP4 file, or None.
        messages: where progress, and frames that cannot be decoded, are shown.

    Returns:
        Lines on what was done, and whether every frame was answered.

    Raises:
        UserError: if no frame can be decoded, or a file cannot be written.
    """
    line = ProgressLine(messages)
    failed: list[str] = []

    def report(message: str) -> None:
        failed.append(message)
        line.print(f"error: {message}")

    names = run.head.keypoints.names if run.head.keypoints.kind == NAMED else ()
    drawing = overlay_writer(overlay, video, names) if overlay else contextlib.nullcontext()
    answers = predict_video(run, video, report, line.warn)
    with contextlib.closing(answers), drawing as draw:
        shown = _show(answers, run, video, draw, line)
        about = names, run.name, run.min_confidence, "frame"
        count, rows, _ = write_answers(shown, output, {}, report, *about)
    text = f"{output}: {rows} predictions" + (f" in {count} frames" if rows != count else "")
    lines = [text + (f"; drawn in {overlay}" if overlay else "")]
    if video.rotation:
        turned = f"rotated by {video.rotation} degrees, as the video's metadata says"
        lines.append(f"{turned}: x and y are in the rotated frames")
    return lines, not failed


def _show(answers: Iterator[Prediction], run: VideoRun, video: Video, draw, line: ProgressLine):
    """Draws each answer, shows how far they are, and hands them on."""
    progress = VideoProgress(video, line)
    for answer in answers:
        number = int(answer.name)
        if draw is not None:
            draw(number, answer.image, answer.certain(run.min_confidence))
        yield answer
        progress(number)
    line.clear()


def predict_video(
    run: VideoRun,
    video: Video,
    on_error: Callable[[str], None],
    on_warning: Callable[[str], None],
) -> Generator[Prediction, None, None]:
    """Answers for the frames of a video, each named by its number, in its own pixels.

    Args:
        run: what answers.
        video: see `video_files.open_video`.
        on_error: called with a line for each frame that is lost; it has no answer.
        on_warning: called with a line for what may be no loss.

    Raises:
        UserError: if no frame can be decoded.
    """
    answer = _without_maps(make_answer_images(run.model, run.head, run.place))
    following = lost = 0
    for numbers, images in read_ahead(read_batches(read_frames(video)), _BATCHES):
        answers = {name: value.numpy() for name, value in answer(tf.constant(images)).items()}
        for row, number in enumerate(numbers):
            lost = _report_lost(video, range(following, number), lost, on_error)
            yield to_prediction(answers, row, run.threshold, str(number), images[row])
            following = number + 1
    if not following:
        raise UserError(f"{video.path}: no frame can be decoded")
    _report_end(video, range(following, video.count), lost, on_error, on_warning)


def _without_maps(answer: Callable) -> Callable:
    """The same without maps, which are large and not used."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    def answer_points(images):
        answers = answer(images)
        return {name: answers[name] for name in answers.keys() - DRAWN}

    return answer_points


def _report_lost(video: Video, numbers: range, before: int, on_error: Callable) -> int:
    """Names frames that are lost, the first few each; returns how many are, with `before`."""
    for count, number in enumerate(numbers, start=before + 1):
        if count <= _NAMED:
            on_error(f"{video.path} frame {number}: cannot be decoded")
        elif count == _NAMED + 1:
            on_error(f"{video.path}: further undecodable frames are left out of the CSV silently")
    return before + len(numbers)


def _report_end(video: Video, rest: range, lost: int, on_error: Callable, on_warning: Callable):
    """Reports what is missing after the last decoded frame."""
    if video.is_cut:
        on_error(f"{video.path}: cut off or damaged, ends early after frame {rest.start - 1}")
    elif rest:
        frames = f"{video.path} frames {rest[0]} to {rest[-1]}"
        frames = frames if len(rest) > 1 else f"{video.path} frame {rest[0]}"
        if lost:
            on_error(f"{frames}: cannot be decoded")
        else:  # editing programs leave in the file what they cut away
            on_warning(f"{frames}: in the file but not shown: cut away by an edit, or damaged")


def make_confidences(
    folder: RunFolder, run: RunConfig, weights: str
) -> tuple[list[str], Callable[[np.ndarray], np.ndarray]]:
    """The names of a run's keypoints, and a function that says how certain it is of images.

    The function: uint8 [N, H, W, 3] -> the mean confidence over the keypoints, float32 [N].

    Raises:
        ConfigError: if its keypoints have no names, or its head no confidence.
    """
    head = run_head(run)
    if head.keypoints.kind != NAMED:
        raise ConfigError(f"--run_dir={folder.path}: its points are not named keypoints")
    place = PLACES[SOURCES[run.source].place]
    model = load_model(folder.model_path(weights), run)
    answer = _without_maps(make_answer_images(model, head, place))
    if "point_confidence" not in answer(tf.zeros([1, 8, 8, 3], tf.uint8)):
        message = "its head gives no confidence; leave the flag out and give --keypoints"
        raise ConfigError(f"--run_dir={folder.path}: {message}")
    names = [*head.keypoints.names]
    return names, lambda images: answer(tf.constant(images))["point_confidence"].numpy().mean(1)
