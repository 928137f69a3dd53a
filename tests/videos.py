"""Small videos for tests: written by OpenCV, then damaged or turned by hand."""

import struct
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from pipelines.video_files import quiet

WIDTH, HEIGHT = 64, 48


def spot_frames(count: int, width: int = WIDTH, height: int = HEIGHT) -> list[np.ndarray]:
    """RGB frames, uint8 [height, width, 3]: a coloured spot that moves on a darker slope."""
    y, x = np.mgrid[:height, :width]
    frames = []
    for number in range(count):
        spot = np.exp(-((x - 8 - 3 * number) ** 2 + (y - height / 2 - number) ** 2) / 18)
        colors = np.array([230, 140, 60]) - 30 * (number % 3)
        frame = spot[..., None] * colors + (x / width * 25)[..., None]
        frames.append(np.clip(frame, 0, 255).round().astype(np.uint8))
    return frames


def write_video(path: Path, frames: Iterable[np.ndarray], rate: float = 25.0) -> Path:
    """Writes RGB frames: Motion JPEG into an AVI, MPEG-4 into an MP4."""
    frames = list(frames)
    height, width = frames[0].shape[:2] if frames else (HEIGHT, WIDTH)
    # OpenCV writes odd sizes with its own encoder only.
    backend, name = {".avi": (cv2.CAP_OPENCV_MJPEG, "MJPG"), ".mp4": (cv2.CAP_FFMPEG, "mp4v")}[
        path.suffix
    ]
    with quiet():
        code = cv2.VideoWriter.fourcc(*name)
        writer = cv2.VideoWriter(str(path), backend, code, rate, (width, height))
    assert writer.isOpened()
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def _pictures(data: bytes, suffix: str) -> list[tuple[int, int]]:
    """Start and end of each picture's bytes."""
    mark = {".avi": b"00dc", ".mp4": b"\x00\x00\x01\xb6"}[suffix]
    limit = data.rfind({".avi": b"idx1", ".mp4": b"moov"}[suffix])
    starts, place = [], data.find(mark, data.find({".avi": b"movi", ".mp4": b"mdat"}[suffix]))
    while 0 <= place < limit:
        starts.append(place + (8 if suffix == ".avi" else 0))
        place = data.find(mark, place + 4)
    ends = [start - (8 if suffix == ".avi" else 0) for start in starts[1:]]
    return list(zip(starts, [*ends, limit - 8], strict=True))


def damage(path: Path, numbers: Iterable[int]) -> Path:
    """Overwrites some frames of a video of `write_video` with zeros."""
    data = bytearray(path.read_bytes())
    places = _pictures(bytes(data), path.suffix)
    for number in numbers:
        start, end = places[number]
        data[start:end] = bytes(end - start)
    path.write_bytes(data)
    return path


def turn(path: Path) -> Path:
    """Sets an MP4's flag: to be shown turned by 90 degrees, clockwise."""
    data = bytearray(path.read_bytes())
    start = data.find(b"tkhd") + 4
    assert data[start] == 0  # the version, whose matrix begins after 40 bytes
    matrix = (0, 1 << 16, 0, -1 << 16, 0, 0, HEIGHT << 16, 0, 1 << 30)
    struct.pack_into(">9i", data, start + 40, *matrix)
    path.write_bytes(data)
    return path


def read_with_opencv(path: Path) -> list[np.ndarray]:
    """All frames as OpenCV reads them, RGB."""
    with quiet():
        capture, frames = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), []
    while True:
        done, frame = capture.read()
        if not done:
            return frames
        frames.append(frame[..., ::-1])
