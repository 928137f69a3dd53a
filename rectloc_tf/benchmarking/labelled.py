"""A project of labelled images to measure on: noise, with keypoints anywhere."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480
KEYPOINTS = ("snout", "left ear", "right ear", "tail base")


def write_project(folder: Path, count: int) -> Path:
    """Writes grey PNGs of WIDTH x HEIGHT and their labels, as DeepLabCut does; returns the file.

    Args:
        folder: where; it must exist.
        count: how many images.
    """
    rng = np.random.default_rng(0)
    axes = [(name, axis) for name in KEYPOINTS for axis in "xy"]
    header = [
        ["scorer", *["us"] * len(axes)],
        ["bodyparts", *(name for name, _ in axes)],
        ["coords", *(axis for _, axis in axes)],
    ]
    rows = []
    for number in range(count):
        name = f"img{number:04d}.png"
        coarse = rng.integers(256, size=(HEIGHT // 8, WIDTH // 8), dtype=np.uint8)
        cv2.imwrite(str(folder / name), cv2.resize(coarse, (WIDTH, HEIGHT)))
        places = rng.uniform(0, [WIDTH - 1, HEIGHT - 1], (len(KEYPOINTS), 2))
        rows.append([name, *(f"{value:.1f}" for value in places.ravel())])
    path = folder / "CollectedData.csv"
    path.write_text("\n".join(map(",".join, [*header, *rows])) + "\n")
    return path


def open_project(folder: Path, count: int, **fields: Any):
    """A run on such a project, with its labels read, and its source.

    Args:
        folder: where to write it.
        count: how many images.
        fields: of the run.
    """
    from pipelines.source import make_source, read_files
    from rectloc_tf.config import RunConfig

    data = str(write_project(folder, count))
    run, files = read_files(RunConfig(source="images", data=data, **fields))
    source = make_source(run, files=files)
    source.check()
    return run, source
