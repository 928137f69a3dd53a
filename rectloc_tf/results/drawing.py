"""How a scene is drawn, in a run's own pictures, in overlays and in the report's figures.

NumPy and Matplotlib only, no global state. Points are (x, y) in pixels of the picture they are
drawn on, origin at its top-left corner.
"""

from collections.abc import Iterable

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rectloc_tf.geometry import centers

TRUTH = {"marker": "+", "color": "#00b050", "markersize": 10, "markeredgewidth": 2}
PREDICTED = {"marker": "x", "color": "#ff4fa3", "markersize": 8, "markeredgewidth": 2}


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
    """
    height, width = image.shape[:2]
    extent = (0, width, height, 0)
    cmap = None if image.ndim == 3 else "gray"
    axis.imshow(image, cmap=cmap, vmin=0, vmax=vmax, extent=extent, interpolation=interpolation)
    for places, mark in ((truths, TRUTH), (points, PREDICTED)):
        for place in places:
            axis.plot(*place, linestyle="none", clip_on=False, **mark)
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


def log_pixels(axis) -> None:
    """A logarithmic axis of pixels, with plain numbers."""
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
