"""Small label files and images, as DeepLabCut and Lightning Pose write them."""

import csv
from pathlib import Path

import cv2
import numpy as np


def picture(width=40, height=30, seed=0, channels=3):
    """Random blobs: no two seeds look alike."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, channels), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def write_picture(path: Path, image=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(path.suffix, picture() if image is None else image)
    assert done
    path.write_bytes(data.tobytes())
    return path


def header(names, scorer="me", coords=("x", "y"), index=1):
    """The rows scorer, bodyparts and coords, with `index` cells for the image."""
    blank = [""] * (index - 1)
    count = len(names) * len(coords)
    return [
        ["scorer", *blank, *[scorer] * count],
        ["bodyparts", *blank, *(name for name in names for _ in coords)],
        ["coords", *blank, *coords * len(names)],
    ]


def write_csv(path: Path, rows, end="\n", start="", encoding="utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding=encoding) as file:
        file.write(start)
        csv.writer(file, lineterminator=end).writerows(rows)
    return path


def write_project(folder: Path, labels, names=("nose", "tail"), video="v", size=(40, 30)) -> Path:
    """A DeepLabCut project with one video, an image for each row of coordinates.

    Args:
        folder: of the project.
        labels: for each image x and y of each keypoint, as they stand in the file.
    """
    rows = header(names)
    for number, row in enumerate(labels):
        name = f"labeled-data/{video}/img{number}.png"
        seed = sum(video.encode()) * 1000 + number
        write_picture(folder / name, picture(*size, seed=seed))
        rows.append([name, *row])
    return write_csv(folder / "labeled-data" / video / "CollectedData_me.csv", rows)
