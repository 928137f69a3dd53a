"""Video files, frame by frame, by OpenCV's FFmpeg. Imports no TensorFlow.

A frame is known by its number: its place in the order in which it is shown, from 0. Decoders
leave damaged frames out without a word, so numbers come from the times that the file gives its
packets; where it gives none that can be used, frames are counted.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from rectloc_tf.errors import UserError, reason

DEFAULT_RATE = 30.0  # frames a second, where a file does not say
_PATIENCE = 100  # failures in a row, at least, before the end is taken to be reached
_MOST_FAILURES = 100_000
_REORDERED = 8  # frames by which the order of decoding may differ from the order of showing
_SAME = 0.01  # ms: times that differ by less are one time
_NO_TIMES = b"VP80"  # has packets without a picture of their own
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg is silent; read once, by OpenCV
# Outermost parts of MP4 and MOV files.
_BOXES = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"meta", b"moof", b"mfra"}
_BOXES |= {b"sidx", b"styp", b"pnot", b"udta"}


@dataclass(frozen=True)
class Video:
    """What is known of a video before its frames are decoded.

    Attributes:
        path: the file.
        width, height: in pixels, of the frames as people see them.
        rate: frames a second; their mean where it varies.
        count: the frames in the file, those included that turn out damaged; 0 if unknown.
        times: of each frame in milliseconds, float64 [count], increasing; None if unknown.
        rotation: by how many degrees the file says that its frames are to be turned, which they
            are: 0, 90, 180 or 270.
        is_cut: whether the file ends earlier than it says itself.
    """

    path: Path
    width: int
    height: int
    rate: float
    count: int
    times: np.ndarray | None
    rotation: int
    is_cut: bool


def open_video(path: Path) -> Video:
    """Looks at a video: reads its packets once, and decodes none.

    Raises:
        UserError: if it is missing, empty, or no video with pictures; names --video.
    """
    try:
        return look_at(path)
    except ValueError as error:
        raise UserError(f"--video={path}: {error}") from error


def look_at(path: Path) -> Video:
    """As `open_video`.

    Raises:
        ValueError: saying what is wrong.
    """
    try:
        if path.is_dir():
            raise ValueError("a folder; name one video file")
        with open(path, "rb") as handle:
            if not handle.read(1):
                raise ValueError("empty file")
    except OSError as error:
        raise ValueError(f"cannot be read ({reason(error)})") from error
    capture = _capture(path)
    if capture is None:
        raise ValueError(
            "not a video that can be decoded, or cut off before the list of its frames"
        )
    width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    rate, said = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
    rotation = int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360
    capture.release()
    rate = float(rate) if np.isfinite(rate) and rate > 0 else DEFAULT_RATE
    packets = _packet_times(path)
    times = None
    if codec != _NO_TIMES and not _is_riff(path):  # AVI has no times of showing
        times = frame_times(packets)
    if times is not None and len(times) > 1 and times[-1] > times[0]:
        rate = float(1000 * (len(times) - 1) / (times[-1] - times[0]))
    count = len(packets) or int(np.clip(said, 0, _MOST_FAILURES))
    if not count:
        raise ValueError("has no frames")
    is_cut = is_cut_off(path) or (_is_steady(times) and said > 1.02 * count + 1)
    return Video(path, width, height, rate, count, times, rotation, is_cut)


def _capture(path: Path, *parameters: int) -> cv2.VideoCapture | None:
    """Opens a file; None if it cannot be decoded."""
    with quiet():
        try:
            # By its whole path, which FFmpeg cannot take for an address or a device.
            capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG, [*parameters])
        except cv2.error:
            return None
    capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
    return capture if capture.isOpened() else None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leaves out what OpenCV says on stderr: we say it ourselves."""
    level = cv2.utils.logging.setLogLevel(0)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _packet_times(path: Path) -> list[float | None]:
    """The time of each packet in ms, in the order of decoding; None for one that is damaged."""
    capture = _capture(path, cv2.CAP_PROP_FORMAT, -1)
    if capture is None:
        return []
    times: list[float | None] = []
    failures = 0
    while failures < _PATIENCE:
        if capture.grab():
            times += [None] * failures
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
            failures = 0
        else:
            failures += 1
    capture.release()
    return times


def frame_times(packets: list[float | None]) -> np.ndarray | None:
    """The times of all frames, from those of the packets that are not damaged.

    A damaged packet gets a time within the longest pause near its place. Packets come in the
    order of decoding, so its place says only roughly which frame it was; the pause says it well.

    Args:
        packets: times in ms in the order of decoding, None where damaged.

    Returns:
        float64 [N], strictly increasing; None if two are the same, or none is known.
    """
    known = [time for time in packets if time is not None]
    if not known or len({*known}) < len(known):
        return None
    times = sorted(known)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    times.insert(0, min(times[0], 0.0) - step)  # the pause before a first frame at 0
    for place in (number for number, time in enumerate(packets) if time is None):
        first = min(max(place - _REORDERED, 0), len(times) - 2)
        pauses = np.diff(times[first : place + _REORDERED + 2])
        before = first + int(np.argmax(pauses))
        times.insert(before + 1, (times[before] + times[before + 1]) / 2)
    return np.array(times[1:])


def _is_steady(times: np.ndarray | None) -> bool:
    """Whether the frames are evenly spaced: headers may then be believed about their number."""
    steps = np.diff(times if times is not None else [])
    return len(steps) > 0 and bool(np.all(steps < 1.5 * np.median(steps)))


def number_frames(
    grabbed: Iterable[float | None], times: np.ndarray | None
) -> Iterator[int | None]:
    """Numbers the frames that a decoder gives.

    Args:
        grabbed: the time in ms of each frame that the decoder gives, None where it fails.
        times: of all frames, see `Video`. Once they disagree with what is decoded, frames are
            counted instead, a failure as a frame.

    Yields:
        For each of `grabbed` the number of the frame, larger than those before; None for None.
    """
    following = failures = 0
    for time in grabbed:
        if time is None:
            failures += 1
            yield None
            continue
        number = None if times is None else _find(times, time)
        if number is None or number < following:
            number, times = following + failures, None
        yield number
        following, failures = number + 1, 0


def _find(times: np.ndarray, time: float) -> int | None:
    """The index of a time among increasing ones; None if it is none of them."""
    index = int(np.searchsorted(times, time - _SAME))
    return index if index < len(times) and times[index] <= time + _SAME else None


def read_frames(
    video: Video, is_wanted: Callable[[int], bool] = lambda number: True
) -> Iterator[tuple[int, np.ndarray]]:
    """Decodes a video from its start to its end.

    Args:
        video: see `open_video`.
        is_wanted: whether the frame of some number is to be given; others cost less.

    Yields:
        (number, image) of each frame that can be decoded; RGB, uint8 [H, W, 3]. A number that is
        left out is a frame that is lost; `video.count` tells of those behind the last.
    """
    capture = _capture(video.path)
    if capture is None:
        raise UserError(f"{video.path}: can no longer be read")
    try:
        for number in number_frames(_grab(capture, video.count), video.times):
            if number is not None and is_wanted(number):
                decoded, image = capture.retrieve()
                if decoded:
                    yield number, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


class FrameReader:
    """Gives frames of a video by their numbers: in ascending order in one pass over it.

    Players jump to key frames and guess the number; here each is counted from the beginning.
    """

    _read_frames = staticmethod(read_frames)

    def __init__(self, path: str):
        """Looks at it.

        Raises:
            ValueError: as `look_at`.
        """
        self.path = path
        self._video = look_at(Path(path))
        self._start()

    def _start(self) -> None:
        self._wanted = wanted = [0]  # a list, so that the frames know it and not this reader:
        self._ahead = None  # the video is closed as soon as the reader is let go
        self._frames = self._read_frames(self._video, lambda number: number >= wanted[0])

    def size(self, number: int) -> tuple[int, int]:
        """Width and height, if the file has a frame of this number.

        Raises:
            ValueError: if it does not.
        """
        if number >= self._video.count:
            raise ValueError(f"no frame {number}; the video has {self._video.count}")
        return self._video.width, self._video.height

    def read(self, number: int) -> np.ndarray:
        """A frame, RGB, uint8 [H, W, 3].

        Raises:
            ValueError: if there is none of this number, or it cannot be decoded.
        """
        self.size(number)
        if number < self._wanted[0]:
            self._start()
        self._wanted[0] = number
        if self._ahead is None or self._ahead[0] < number:
            self._ahead = next(self._frames, None)
        if self._ahead is None or self._ahead[0] != number:
            raise ValueError(f"frame {number} of the video cannot be decoded")
        return self._ahead[1]


def _grab(capture: cv2.VideoCapture, count: int) -> Iterator[float | None]:
    """Decodes frame after frame: the time of each in ms, None where that fails.

    A single failure may be a damaged frame or the end; it is the end if only failures follow.
    """
    done = failures = 0
    while failures < max(_PATIENCE, min(count - done, _MOST_FAILURES)):
        if capture.grab():
            yield capture.get(cv2.CAP_PROP_POS_MSEC)
            done, failures = done + 1, 0
        else:
            yield None
            failures += 1


def _is_riff(path: Path) -> bool:
    with open(path, "rb") as handle:
        return handle.read(4) == b"RIFF"


def is_cut_off(path: Path) -> bool:
    """Whether an MP4, MOV or AVI file ends before one of its outermost parts does."""
    length = path.stat().st_size
    with open(path, "rb") as handle:
        place, riff = 0, _is_riff(path)
        while place + 16 <= length:
            handle.seek(place)
            head = handle.read(16)
            if riff:
                size = 8 + int.from_bytes(head[4:8], "little")
            else:
                size = int.from_bytes(head[:4], "big")
                size = int.from_bytes(head[8:], "big") if size == 1 else size
            named = head[:4] == b"RIFF" if riff else head[4:8] in _BOXES
            if not named or size < 8:  # another kind of file, or a part that has no length
                return False
            place += size + size % 2 * riff
    return place > length
