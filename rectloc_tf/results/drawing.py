"""How a scene is drawn, in a run's own pictures, in overlays and in the report's figures.

NumPy and Matplotlib only, no global state. Points are (x, y) in pixels of the picture they are
drawn on, origin at its top-left corner.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rectloc_tf.geometry import centers

TRUTH = {"marker": "+", "color": "#00b050", "markersize": 10, "markeredgewidth": 2}
PREDICTED = {"marker": "x", "color": "#ff4fa3", "markersize": 8, "markeredgewidth": 2}
# Of named keypoints, each in its own colour.
NAMED_TRUTH = {"marker": "+", "markersize": 8, "markeredgewidth": 1.5}
NAMED_PREDICTED = {"marker": "o", "markersize": 4, "markeredgecolor": "white"}
NAMED_PREDICTED |= {"markeredgewidth": 0.5}
_LABEL, _KEY_ROW, _KEY_LETTER = "label", 0.2, 0.075  # in the key; inches


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def show_scene(
    axis,
    image: np.ndarray,
    points: Iterable = (),
    truths: Iterable = (),
    vmax: float = 255.0,
    interpolation: str = "nearest",
    colors: np.ndarray | None = None,
) -> None:
    """Draws a picture or a heatmap, with marks.

    Args:
        axis: where.
        image: [H, W], or [H, W, 3] of uint8.
        points: predicted points, (x, y) each.
        truths: true points; of both, those that are NaN are left out.
        vmax: the value that is shown white.
        interpolation: Matplotlib's; "antialiased" keeps outlines of one pixel whole where the
            picture is drawn smaller than it is.
        colors: [K, 4] of named keypoints, see `keypoint_colors`; points and truths are then
            in their order.
    """
    height, width = image.shape[:2]
    extent = (0, width, height, 0)
    cmap = None if image.ndim == 3 else "gray"
    axis.imshow(image, cmap=cmap, vmin=0, vmax=vmax, extent=extent, interpolation=interpolation)
    named = colors is not None
    for places, mark in (
        (truths, NAMED_TRUTH if named else TRUTH),
        (points, NAMED_PREDICTED if named else PREDICTED),
    ):
        for k, place in enumerate(places):
            color = {"color": colors[k]} if named else {}
            axis.plot(*place, linestyle="none", clip_on=False, **mark, **color)
    axis.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])


def true_centers(rectangles) -> np.ndarray:
    """What is marked as the truth: centres float64 [N, 2] of the largest of rectangles [N, n, 4].

    Args:
        rectangles: of each scene, largest first; an array or lists.
    """
    return centers(np.asarray(rectangles, np.float64)[:, 0])


def add_legend(figure: Figure, truth: str = "true centre of the largest") -> None:
    """Says below a figure what the two marks are."""
    handles = [
        Line2D([], [], linestyle="none", label=label, **mark)
        for label, mark in ((truth, TRUTH), ("predicted", PREDICTED))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)


def keypoint_colors(count: int) -> np.ndarray:
    """A colour for each keypoint, [count, 4]."""
    return matplotlib.colormaps["hsv"](np.arange(count) / max(count, 1))


def key_height(names: Sequence[str], width: float) -> float:
    """The room in inches that `add_key` needs below a figure of some width in inches."""
    return _KEY_ROW * (-(-(len(names) + 1) // _key_columns(names, width)) + 0.5)


def _key_columns(names: Sequence[str], width: float) -> int:
    """How many names of keypoints fit beside each other."""
    longest = max(map(len, [*names, _LABEL])) + 4
    return max(1, min(len(names) + 1, int(width / (_KEY_LETTER * longest))))


def add_key(
    figure: Figure,
    names: Sequence[str],
    loc: str = "outside lower center",
    has_truths: bool = True,
) -> None:
    """Says below a figure which keypoint has which colour.

    Args:
        figure: one with a constrained layout, or with `key_height` left free.
        names: of the keypoints.
        loc: Matplotlib's.
        has_truths: whether true points are marked beside the predicted ones.
    """
    handles = [
        Line2D([], [], label=name, linestyle="none", color=color, **NAMED_PREDICTED)
        for name, color in zip(names, keypoint_colors(len(names)), strict=True)
    ]
    if has_truths:
        handles.append(Line2D([], [], label=_LABEL, linestyle="none", color="0.4", **NAMED_TRUTH))
    columns = _key_columns(names, figure.get_figwidth())
    how: dict[str, Any] = {"loc": loc, "frameon": False, "fontsize": 8, "markerscale": 1.5}
    how |= {"handletextpad": 0.1, "columnspacing": 1.0, "borderpad": 0.2}
    legend = figure.legend(handles=handles, ncols=columns, **how)
    for text in legend.get_texts():
        text.set_parse_math(False)


def log_pixels(axis) -> None:
    """A logarithmic axis of pixels, with plain numbers."""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
