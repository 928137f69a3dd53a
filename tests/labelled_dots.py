"""A small project of labelled images that a network can learn: a bright and a dim dot."""

from pathlib import Path

import numpy as np

from tests.label_files import header, write_csv, write_picture

COUNT, WIDTH, HEIGHT = 24, 80, 60
DIM_MISSING = {f"dots/img{number:02d}.png" for number in range(0, COUNT, 3)}


def dot_image(places, levels, width=WIDTH, height=HEIGHT) -> np.ndarray:
    """Gaussians of sigma 2 px on dark grey: uint8 [height, width, 1]; (x, y) from the corner."""
    y, x = np.mgrid[:height, :width] + 0.5
    image = np.full((height, width), 30.0)
    for (at_x, at_y), level in zip(places, levels, strict=True):
        image += level * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / 8)
    return np.clip(image, 0, 255).round().astype(np.uint8)[..., None]


def write_dots(folder: Path, shift: float = 0.0, count: int = COUNT) -> Path:
    """Writes `count` images with their label file, and returns the file.

    The dim dot is not labelled in the images of DIM_MISSING.

    Args:
        folder: of the project.
        shift: added to the x of the first label.
        count: of images.
    """
    rng = np.random.default_rng(7)
    rows = header(("bright", "dim"))
    for number in range(count):
        places = rng.uniform([10, 10], [WIDTH - 10, HEIGHT - 10], (2, 2))
        while np.linalg.norm(places[0] - places[1]) < 15:
            places = rng.uniform([10, 10], [WIDTH - 10, HEIGHT - 10], (2, 2))
        name = f"labeled-data/dots/img{number:02d}.png"
        write_picture(folder / name, dot_image(places, (220, 110)))
        places[0, 0] += shift * (number == 0)
        cells = [f"{value - 0.5:.4f}" for value in places.ravel()]
        if f"dots/img{number:02d}.png" in DIM_MISSING:
            cells[2:] = ["", ""]
        rows.append([name, *cells])
    return write_csv(folder / "labeled-data" / "dots" / "CollectedData_me.csv", rows)
