"""A picture of labelled images with their keypoints, the suspicious ones first."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from pipelines.image_files import ImageFiles, each_image
from pipelines.labels.labelled import OCCLUDED, LabelledImages
from rectloc_tf.errors import UserError, reason
from rectloc_tf.results.drawing import add_key, key_height, keypoint_colors
from rectloc_tf.results.output_files import SOFTWARE, atomic_path, check_foreign

MOST = 24
_COLUMNS, _DPI = 6, 120  # pictures in a row; pixels an inch
_SIDE, _TITLE = 2.4, 0.25  # inches: a picture's width, its title
_SUSPICIOUS = "#c00000"


def choose_images(count: int, suspicious: Sequence[int], most: int = MOST) -> list[int]:
    """Indices of images to show: the suspicious first, then others from everywhere.

    Args:
        count: N images there are.
        suspicious: indices, the worst first; some may be there twice.
    """
    chosen = [*dict.fromkeys(suspicious)][:most]
    others = [index for index in range(count) if index not in chosen]
    number = min(most - len(chosen), len(others))
    return chosen + [others[place * len(others) // number] for place in range(number)]


def draw_sheet(
    data: LabelledImages, shown: Sequence[int], suspicious: Mapping[int, Sequence[str]]
) -> Figure:
    """The images `shown`, six in a row, and a key of the keypoints' colours below.

    Args:
        data: labels; of `shown`, each image can be decoded.
        shown: indices, at least one.
        suspicious: index -> the keypoints that are named beside their points.
    """
    columns = min(_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    width, height = np.median(data.sizes[list(shown)], axis=0)
    tall = _SIDE * min(height / width, 1.5) + _TITLE
    wide = max(columns, 3) * _SIDE
    key = key_height(data.names, wide)
    figure = Figure(figsize=(wide, rows * tall + key + _TITLE))
    grid = figure.add_gridspec(rows, columns)
    bottom, top = key / figure.get_figheight(), 1 - _TITLE / figure.get_figheight()
    grid.update(left=0.01, right=0.99, top=top, bottom=bottom, wspace=0.04, hspace=_TITLE / tall)
    colors = keypoint_colors(len(data.names))
    windows = [_window(data, index, index in suspicious) for index in shown]
    paths = [data.paths[index] for index in shown]

    def read_small(place: int, files: ImageFiles) -> np.ndarray:
        return _shrink(read_picture(paths[place], files), windows[place])

    for place, image in enumerate(each_image(read_small, paths)):
        axis = figure.add_subplot(grid[place // columns, place % columns])
        index = shown[place]
        _draw_image(axis, image, windows[place], data, index, colors, suspicious.get(index))
    add_key(figure, data.names, loc="lower center", has_truths=False)
    return figure


def write_sheet(
    path: Path,
    data: LabelledImages,
    shown: Sequence[int],
    suspicious: Mapping[int, Sequence[str]],
) -> None:
    """Writes a PNG; the arguments are those of `draw_sheet`.

    Raises:
        UserError: if it cannot be written, or would replace a file that we did not draw.
    """
    check_foreign("output", path)
    figure = draw_sheet(data, shown, suspicious)
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name that the font has no letters for
        figure.savefig(temporary, format="png", dpi=_DPI, metadata={"Software": SOFTWARE})


def _window(data: LabelledImages, index: int, is_suspicious: bool) -> tuple[int, int, int, int]:
    return window_of(data, index) if is_suspicious else (0, 0, *data.sizes[index].tolist())


def _shrink(image: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    left, top, right, bottom = window
    image = image[top:bottom, left:right]
    scale = _SIDE * _DPI / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(round(side * scale), 1) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _draw_image(axis, image, window, data: LabelledImages, index: int, colors, named):
    left, top, right, bottom = window
    axis.imshow(image, extent=(left, right, bottom, top))
    for k, (x, y) in enumerate(data.points[index]):
        hollow = data.visibility[index, k] == OCCLUDED
        face = "none" if hollow else colors[k]
        axis.plot(x, y, "o", color=colors[k], markerfacecolor=face, markersize=3.5)
        if named is not None and (data.names[k] in named) and not np.isnan(x):
            text = {"color": "white", "fontsize": 6, "parse_math": False}
            axis.annotate(data.names[k], (x, y), (3, 3), textcoords="offset points", **text)
    axis.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    several = len({row.file for row in data.rows}) > 1
    name = data.keys[index] if several else data.paths[index].name
    row = data.rows[index]
    title = f"{row.unit} {row.number} {name}"
    color = "black" if named is None else _SUSPICIOUS
    axis.set_title(_shorten(title), fontsize=7, color=color, parse_math=False, pad=2)


def window_of(data: LabelledImages, index: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of the part of an image that its points are in, with a margin.

    It has the shape of the image, and at least a third of its width.
    """
    size, points = data.sizes[index], data.points[index]
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    share = min(1.0, max(1 / 3, 1.5 * float(((high - low) / size).max())))
    part = np.maximum(np.round(share * size), 1)
    first = np.clip(np.round((low + high - part) / 2), 0, size - part).astype(int)
    left, top, right, bottom = (*first, *(first + part.astype(int)))
    return int(left), int(top), int(right), int(bottom)


def _shorten(text: str, most: int = 44) -> str:
    return text if len(text) <= most else f"{text[: most - 16]}…{text[-15:]}"


def read_picture(path: Path, files: ImageFiles | None = None) -> np.ndarray:
    """The image as people see it, uint8 [H, W, 3]; 16 bits are stretched to their brightest.

    Raises:
        UserError: if it cannot be decoded.
    """
    try:
        data = np.frombuffer((files or ImageFiles()).read(path), np.uint8)
    except ValueError as error:
        raise UserError(f"{path}: cannot be decoded ({reason(error)})") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH) if data.size else None
    if image is None:
        raise UserError(f"{path}: cannot be decoded")
    if image.dtype != np.uint8:
        image = (image * (255 / max(image.max(), 1))).astype(np.uint8)
    return image[..., ::-1]
