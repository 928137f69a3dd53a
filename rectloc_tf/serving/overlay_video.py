"""A video with the answers drawn on it. Imports no TensorFlow."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.colors import to_rgb

from pipelines.video_files import Video, quiet
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.results.drawing import PREDICTED, keypoint_colors
from rectloc_tf.results.output_files import (
    SOFTWARE,
    atomic_path,
    check_not_input,
    check_writable,
    is_special,
)

SUFFIX, _CODEC = ".mp4", "mp4v"
# A part of the file that players leave out, at its end, so that we know our own.
_MARK = (8 + len(SOFTWARE)).to_bytes(4, "big") + b"free" + SOFTWARE.encode()
_MAX_RATE = 1000.0  # frames a second; the codec has a limit
_FINE = 4  # bits of a pixel's fraction, in drawing

Draw = Callable[[int, np.ndarray, np.ndarray], None]


def check_overlay_video(path: Path, video: Video, output: Path) -> None:
    """Refuses an overlay that is not an MP4, or would replace an input, the CSV or a foreign file.

    Raises:
        UserError: naming the flag.
    """
    if path.suffix.lower() != SUFFIX:
        raise ConfigError(f"--overlay_video={path}: is written as MP4; name it *{SUFFIX}")
    check_not_input("overlay_video", path, [video.path])
    if os.path.realpath(path) == os.path.realpath(output):
        raise ConfigError(f"--overlay_video={path}: --output is the same file; name another")
    check_writable("overlay_video", path)
    if _is_foreign(path):
        message = "exists and was not written by predict; choose another file"
        raise ConfigError(f"--overlay_video={path}: {message}")


def _is_foreign(path: Path) -> bool:
    if is_special(path) or not path.exists():
        return False
    with open(path, "rb") as handle:
        handle.seek(max(handle.seek(0, 2) - len(_MARK), 0))
        return handle.read() != _MARK


@contextlib.contextmanager
def overlay_writer(path: Path, video: Video, names: Sequence[str] = ()) -> Iterator[Draw]:
    """Yields a function that adds a frame with its points; the file appears at the end.

    The function takes the frame's number, its image, RGB uint8 [H, W, 3], and points [K, 2] in
    its pixels, of which those that are NaN are not drawn. Frames that are lost show the one
    before, so that numbers and times stay. The rate is constant, `video.rate`. Sizes are even: odd
    ones get a row or column more. Sound is left out.

    Args:
        path: an MP4 file.
        video: what is drawn on.
        names: of the keypoints, if they are named; each then has its own colour.

    Raises:
        UserError: if it cannot be written.
    """
    width, height = video.width + video.width % 2, video.height + video.height % 2
    rate = float(np.clip(video.rate, 1 / _MAX_RATE, _MAX_RATE))
    with atomic_path(path) as temporary, quiet():
        code = cv2.VideoWriter.fourcc(*_CODEC)
        writer = cv2.VideoWriter(str(temporary), cv2.CAP_FFMPEG, code, rate, (width, height))
        if not writer.isOpened():
            raise UserError(f"{path}: cannot be written (OpenCV has no encoder for it)")
        last, written = None, 0

        def draw(number: int, image: np.ndarray, points: np.ndarray) -> None:
            nonlocal last, written
            drawn = draw_points(_fit(image, width, height), points, names)
            drawn = cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR)
            for _ in range(written, number):
                writer.write(drawn if last is None else last)
            writer.write(drawn)
            last, written = drawn, number + 1

        try:
            yield draw
        finally:
            writer.release()
        if not temporary.exists() or _count(temporary) != written:  # OpenCV says nothing
            raise UserError(f"{path}: cannot be written completely (is the disk full?)")
        with open(temporary, "ab") as handle:
            handle.write(_MARK)


def _count(path: Path) -> int:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count


def _fit(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """An image in the corner of one of this size; its last row and column fill what is more."""
    image = image[:height, :width]
    more = ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0))
    return np.pad(image, more, mode="edge")


def draw_points(image: np.ndarray, points: np.ndarray, names: Sequence[str] = ()) -> np.ndarray:
    """A copy of an image with a dot on each point.

    Args:
        image: RGB, uint8 [H, W, 3].
        points: (x, y) in its pixels from its top-left corner [K, 2]; NaN where there is none.
        names: of the keypoints, if they are named; each then has its own colour.
    """
    image = np.ascontiguousarray(image).copy()
    colors = keypoint_colors(len(names))[:, :3] if names else None
    radius = max(2.0, max(image.shape[:2]) / 150)
    for number, point in enumerate(points):
        if np.isfinite(point).all():
            share = to_rgb(PREDICTED["color"]) if colors is None else colors[number]
            color = tuple(round(255 * float(value)) for value in share)
            # OpenCV counts from the centre of the first pixel.
            x, y = (round((float(value) - 0.5) * 2**_FINE) for value in point)
            for size, paint in ((radius + 1, (255, 255, 255)), (radius, color)):
                about = round(size * 2**_FINE), paint, cv2.FILLED, cv2.LINE_AA, _FINE
                cv2.circle(image, (x, y), *about)
    return image
