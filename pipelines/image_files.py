"""Images of users: files of their own, images in a package of SLEAP, or frames of a video.

What lies inside another file has a path below it: `labels.pkg.slp/video0/frame000012.png` or
`clip.mp4/frame000012.png`. Its bytes are a PNG with exactly its pixels. No TensorFlow.
"""

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from pipelines.embedded_images import embedded_png, embedded_size, encode_png
from pipelines.image_headers import MAX_PIXELS, is_whole, read_orientation, read_size
from pipelines.video_files import FrameReader
from rectloc_tf.errors import reason

Result = TypeVar("Result")

_HDF5 = {".slp", ".h5", ".hdf5", ".mat"}
_FRAME = re.compile(r"frame(\d{6,18})\.png", re.ASCII)


class Frame(NamedTuple):
    """Where an image inside another file is: in a package (`dataset` says where), or a video."""

    container: str
    dataset: str
    number: int


def frame_path(container: str, dataset: str, number: int) -> str:
    """The path of an image inside another file, with slashes; `dataset` is empty for a video."""
    return "/".join(part for part in (container, dataset, f"frame{number:06}.png") if part)


def split_frame(path: str) -> Frame | None:
    """The inverse of `frame_path`, by the names alone; None for an ordinary path."""
    *folders, name = PurePosixPath(path).parts
    match = _FRAME.fullmatch(name) if folders else None
    if not match:
        return None
    packages = [n for n, part in enumerate(folders) if PurePosixPath(part).suffix.lower() in _HDF5]
    inside = (packages[-1] if packages else len(folders) - 1) + 1
    if not PurePosixPath(folders[inside - 1]).suffix:
        return None
    container = str(PurePosixPath(*folders[:inside]))
    return Frame(container, "/".join(folders[inside:]), int(match[1]))


class ImageFiles:
    """Reads images. A video stays open, so frames in ascending order cost one pass over it."""

    def __init__(self):
        self._video: FrameReader | None = None

    def read(self, path: Path) -> bytes:
        """The bytes of an image file, or a PNG of an image inside another file.

        Raises:
            OSError: if there is no such file, or it cannot be read.
            ValueError: saying what is wrong with what is inside a file.
        """
        frame = _inside(path)
        if frame is None:
            return path.read_bytes()
        if frame.dataset:
            return embedded_png(Path(frame.container), frame.dataset, frame.number)
        return encode_png(self._open(frame.container).read(frame.number)[..., ::-1])

    def size(self, path: Path) -> tuple[int, int]:
        """Width and height of an image as people see it, from headers.

        Raises:
            ValueError: saying why it cannot be read.
        """
        frame = _inside(path)
        try:
            if frame is None:
                width, height = _size_of_file(path)
            elif frame.dataset:
                width, height = embedded_size(Path(frame.container), frame.dataset, frame.number)
            else:
                width, height = self._open(frame.container).size(frame.number)
        except OSError as error:
            raise ValueError(reason(error)) from error
        if not 0 < width * height <= MAX_PIXELS:
            raise ValueError(f"{width} x {height} pixels; the limit is {MAX_PIXELS:,}")
        return width, height

    def _open(self, path: str) -> FrameReader:
        if self._video is None or self._video.path != path:
            self._video = FrameReader(path)
        return self._video


def each_image(
    function: Callable[[int, ImageFiles], Result], paths: Sequence[Path]
) -> list[Result]:
    """Calls `function(index, files)` for each path, on all cores; each video is read in one pass.

    Args:
        function: reads its image, `files.read(paths[index])`.
        paths: the images.

    Returns:
        What it returned, in the order of `paths`.
    """
    videos: dict[str, list[tuple[int, int]]] = {}
    jobs: list[list[int]] = []
    for index, path in enumerate(paths):
        frame = _inside(path)
        if frame and not frame.dataset:
            videos.setdefault(frame.container, []).append((frame.number, index))
        else:
            jobs.append([index])
    # The longest first, so that no core ends with them.
    jobs = [[index for _, index in sorted(video)] for video in videos.values()] + jobs

    def run(job: list[int]) -> list[tuple[int, Result]]:
        files = ImageFiles()
        return [(index, function(index, files)) for index in job]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = {index: result for done in pool.map(run, jobs) for index, result in done}
    return [results[index] for index in range(len(paths))]


def is_inside(path: Path) -> bool:
    """Whether an image is inside another file."""
    return _inside(path) is not None


def _inside(path: Path) -> Frame | None:
    frame = split_frame(path.as_posix())
    return frame if frame and os.path.isfile(frame.container) else None


def _size_of_file(path: Path) -> tuple[int, int]:
    with open(path, "rb") as file:
        width, height = read_size(file)
        if not is_whole(file):
            raise ValueError("cut off before its end")
        return (height, width) if read_orientation(file) >= 5 else (width, height)
