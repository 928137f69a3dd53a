"""Frames of a video that are worth labelling, as images and an empty label file."""

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import cv2
import numpy as np

from pipelines.labels.suggesting import choose_uncertain, choose_varied, fill_up
from pipelines.video_files import Video, read_frames
from rectloc_tf.errors import ConfigError, UserError, reason
from rectloc_tf.results.output_files import clear_leftovers, temporary_path
from rectloc_tf.serving.read_ahead import read_ahead, read_batches
from rectloc_tf.serving.tables import open_table

MOST = 3000  # frames that are looked at, evenly over the video
_WIDTH = 30  # pixels, of the small pictures that are compared
_FRAME = re.compile(r"(?:img|frame)(\d+)\.png")

Confidences = Callable[[np.ndarray], np.ndarray]  # uint8 [N, H, W, 3] -> [N]


@dataclass(frozen=True)
class Looks:
    """What was seen of a video.

    Attributes:
        numbers: of the frames, int [N], increasing.
        pictures: small and grey, float32 [N, D].
        confidences: [N]; None without a network.
    """

    numbers: np.ndarray
    pictures: np.ndarray
    confidences: np.ndarray | None


def look_at(
    video: Video,
    confidences: Confidences | None = None,
    on_frame: Callable[[int], None] = lambda number: None,
    without: Collection[int] = (),
    most: int = MOST,
) -> Looks:
    """Looks at frames evenly over a video, with a few batches in memory.

    Args:
        video: see `video_files.open_video`.
        confidences: returns a network's confidence for images.
        on_frame: called with the number of the last frame of each batch.
        without: numbers of frames that are left out.
        most: how many frames are looked at.

    Raises:
        UserError: if there is no frame to look at.
    """
    every = -(-video.count // most)
    frames = read_frames(video, lambda n: n % every == 0 and n not in without)
    numbers, pictures, known = [], [], []
    for batch, images in read_ahead(read_batches(frames), 3):
        numbers += batch
        pictures += [_small(image) for image in images]
        if confidences:
            known += [*confidences(images)]
        on_frame(batch[-1])
    if not numbers:
        raise UserError(f"{video.path}: no frame can be decoded, or all of them are labelled")
    same = [_fit(picture, pictures[0].size) for picture in pictures]
    return Looks(np.array(numbers), np.stack(same), np.array(known) if confidences else None)


def _small(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    size = (_WIDTH, max(round(_WIDTH * height / width), 1))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()


def _fit(picture: np.ndarray, size: int) -> np.ndarray:
    return np.resize(picture, size)  # where the frames of a video are not all of one size


def choose_frames(looks: Looks, count: int) -> list[int]:
    """The numbers of the frames to label: half by confidence, where it is known.

    The others look as different as can be; where fewer do, they are far apart in time.
    """
    uncertain = count // 2 if looks.confidences is not None else 0
    chosen = choose_varied(looks.pictures, count - uncertain)
    if looks.confidences is not None:
        chosen += choose_uncertain(looks.numbers, looks.confidences, uncertain, chosen)
    return looks.numbers[fill_up(looks.numbers, count, chosen)].tolist()


def frames_in(images: Iterable[str], video: str) -> set[int]:
    """The numbers of a video's frames among images.

    Args:
        images: paths, as `labeled-data/clip/img00012.png`, which DeepLabCut and `suggest_frames`
            write, `clip.mp4/frame000012.png`, which lies in the video, or `clip/frame000012.png`,
            which `convert_labels` writes.
        video: its file's name.
    """
    folders = {video, PurePath(video).stem}
    names = (image.split("/")[-2:] for image in images)
    found = (_FRAME.fullmatch(name[1]) for name in names if name[0] in folders)
    return {int(match[1]) for match in found if match}


def suggestion_folders(output_dir: Path, videos: Sequence[Path]) -> list[Path]:
    """The folder of each video, named after it.

    Raises:
        ConfigError: if two are the same, or one has files already: they may be labels.
    """
    folders = [output_dir / video.stem for video in videos]
    for number, (folder, video) in enumerate(zip(folders, videos, strict=True)):
        if folder in folders[:number]:
            other = videos[folders.index(folder)]
            raise ConfigError(
                f"--video: {other} and {video} have the same name; rename one of them"
            )
        if os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir())):
            message = f"{folder} already exists, and labels in it would be lost"
            raise ConfigError(f"--output_dir={output_dir}: {message}; choose another folder")
    return folders


def write_suggestions(
    folder: Path, video: Video, numbers: Sequence[int], keypoints: Sequence[str], scorer: str
) -> int:
    """Writes the frames as PNGs, and a label file of DeepLabCut without labels; all or nothing.

    Args:
        folder: which is not there, or empty.
        video: whose frames they are.
        numbers: of the frames.
        keypoints: their names.
        scorer: who will label them.

    Returns:
        How many frames were written.

    Raises:
        UserError: if something cannot be written.
    """
    temporary = temporary_path(folder)
    digits = max(len(str(video.count - 1)), 5)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(folder.parent)
        temporary.mkdir()
        names = []
        for number, image in _frames_of(video, numbers):
            names.append(f"img{number:0{digits}d}.png")
            done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
            if not done:
                raise UserError(f"{folder / names[-1]}: cannot be written")
            (temporary / names[-1]).write_bytes(data.tobytes())
        with open_table(
            temporary / f"CollectedData_{scorer}.csv", keypoints, scorer, ("x", "y")
        ) as write_row:
            for name in names:
                path = f"labeled-data/{folder.name}/{name}"
                write_row([path, *[""] * (2 * len(keypoints))])
        os.rename(temporary, folder)
        return len(names)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({reason(error)})") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _frames_of(video: Video, numbers: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    left = {*numbers}
    for number, image in read_frames(video, left.__contains__):
        yield number, image
        left.discard(number)
        if not left:
            return
