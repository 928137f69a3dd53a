"""Pictures with the answer drawn on them: their looks and names, and what they never replace."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.results.drawing import add_key, key_height, keypoint_colors, show_scene
from rectloc_tf.results.output_files import SOFTWARE, atomic_path, fit_name, is_foreign

_DPI = 100
_WHOLE = 4000  # longest side in pixels that is drawn pixel for pixel


def overlay_paths(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The overlay of each picture, one to one.

    It is named as the picture with `.png` added, and lies in `folder` as the picture does below
    the folder that holds all of them: `in/x/a.jpg`, `in/y/a.jpg` -> `x/a.jpg.png`, `y/a.jpg.png`.

    Args:
        folder: the folder of the overlays.
        names: paths of pictures, or names of scenes.
    """
    places = {name: Path(os.path.abspath(name)) for name in names}
    common = os.path.commonpath([place.parent for place in places.values()])
    return {
        name: folder / place.relative_to(common).with_name(fit_name(f"{place.name}.png"))
        for name, place in places.items()
    }


def check_overlays(folder: Path, overlays: Iterable[Path], pictures: Iterable[Path]) -> None:
    """Refuses overlays that would lie among the pictures, or replace a file that is not ours.

    Raises:
        ConfigError: naming the flag.
    """
    overlays = list(overlays)
    taken = {os.path.realpath(picture.parent) for picture in pictures}
    if taken & {os.path.realpath(overlay.parent) for overlay in overlays}:
        raise ConfigError(f"--overlay_dir={folder}: holds the input images; choose another folder")
    for overlay in overlays:
        if is_foreign(overlay):
            message = f"{overlay} exists and was not written by predict; choose another folder"
            raise ConfigError(f"--overlay_dir={folder}: {message}")


def draw_overlay(
    image: np.ndarray,
    points: np.ndarray,
    heatmap: np.ndarray | None = None,
    truths: np.ndarray | None = None,
    names: Sequence[str] = (),
    square: np.ndarray | None = None,
) -> Figure:
    """One picture with the predicted points and, if given, the heatmap [S, S] laid over it.

    Args:
        image: uint8 [H, W] or [H, W, 3], any size.
        points: [K, 2], (x, y) in its pixels.
        heatmap: brightness 0-255, stretched over `square`.
        truths: the true points [T, 2], if known.
        names: of the keypoints, if they are named; each has its own colour, and a key below the
            picture says which.
        square: [2, 2], two corners in the picture's pixels, see `prediction.Prediction`; the whole
            picture if left out. It is clipped to the picture.
    """
    height, width = image.shape[:2]
    side = max(height, width)
    # Pixel for pixel where it fits on a screen, small ones larger, very large ones half as large.
    scale = max(4.0 / side, 1 / _DPI if side <= _WHOLE else 0.5 / _DPI)
    wide, tall = max(width * scale, 1), max(height * scale, 1)
    key = key_height(names, wide) if names else 0.0
    figure = Figure(figsize=(wide, tall + key))
    axis = figure.add_axes((0, key / (tall + key), 1, tall / (tall + key)))
    axis.set_axis_off()
    colors = keypoint_colors(len(names)) if names else None
    show_scene(axis, image, points, () if truths is None else truths, colors=colors)
    if names:
        add_key(figure, names, loc="lower center", has_truths=truths is not None)
    if heatmap is not None:
        (left, top), (right, bottom) = ((0, 0), (width, height)) if square is None else square
        extent = (left, right, bottom, top)
        alpha = np.clip(heatmap / max(float(heatmap.max()), 1.0), 0, 1) * 0.6
        axis.imshow(heatmap, cmap="inferno", alpha=alpha, extent=extent, aspect="auto")
    axis.set_aspect("auto")
    return figure


def write_overlay(
    path: Path,
    image: np.ndarray,
    points: np.ndarray,
    heatmap: np.ndarray | None = None,
    truths: np.ndarray | None = None,
    names: Sequence[str] = (),
    square: np.ndarray | None = None,
) -> None:
    """Writes a PNG; the arguments are those of `draw_overlay`.

    Raises:
        UserError: if it cannot be drawn or written, or would replace a file that is not ours.
    """
    if is_foreign(path):
        raise UserError(f"{path}: exists and was not written by predict")
    with atomic_path(path) as temporary:
        try:
            figure = draw_overlay(image, points, heatmap, truths, names, square)
            figure.savefig(temporary, dpi=_DPI, metadata={"Software": SOFTWARE})
        except (ValueError, MemoryError) as error:  # as of pictures of 1 x 60,000 pixels
            raise UserError(f"{path}: cannot be drawn ({error})") from error
