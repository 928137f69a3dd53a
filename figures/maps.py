"""Heatmaps as they are kept in sheets: their peaks and blobs, and how they are shown."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from scipy.ndimage import maximum_filter

from figures import style
from rectloc_tf.geometry import cell_centers, centers, frame_to_working, working_to_frame
from rectloc_tf.results.metrics import PICK_RADIUS, match_points

GAMMA = 0.5  # of what is shown: a blob of a quarter of the brightness is half as bright
HIT, MISS, OUTLINE = style.SKY, style.ORANGE, "#f0e442"


class Peak(NamedTuple):
    """A peak of a map: its cell's centre in working pixels, and its brightness."""

    x: float
    y: float
    value: float


def find_peaks(tile: np.ndarray, threshold: float, min_distance: float) -> list[Peak]:
    """Local maxima from a threshold on, brightest first, none near a brighter one.

    Args:
        tile: uint8 [S, S].
        threshold: least brightness.
        min_distance: that two of them have, px of 224.
    """
    apart = frame_to_working(min_distance, len(tile))
    summits = (tile == maximum_filter(tile, 3)) & (tile >= max(threshold, 1))
    places = sorted(np.argwhere(summits).tolist(), key=lambda place: -int(tile[tuple(place)]))
    found: list[Peak] = []
    for row, column in places:
        peak = Peak(column + 0.5, row + 0.5, float(tile[row, column]))
        if all(np.hypot(peak.x - p.x, peak.y - p.y) >= apart for p in found):
            found.append(peak)
    return found


def blob_width(tile: np.ndarray) -> float:
    """Side of a square as large as what is brighter than half the peak, px of 224; 0 of black."""
    lit = np.sum(tile > tile.max() / 2)
    return float(working_to_frame(np.sqrt(lit), len(tile)))


def discs(points: Iterable, size: int, radius: float, values: Sequence[float]) -> np.ndarray:
    """A target of discs, the brighter in front: float64 [S, S]. `heads.deconv` paints the same.

    Args:
        points: (x, y) in working pixels.
        size: S.
        radius: px of 224. A cell is lit if its centre lies within the radius.
        values: brightness of each.
    """
    cells, target = cell_centers(size).astype(np.float64), np.zeros((size, size))
    for (x, y), value in zip(points, values, strict=True):
        near = (cells - x) ** 2 + (cells[:, None] - y) ** 2 <= frame_to_working(radius, size) ** 2
        target = np.maximum(target, value * near)
    return target


def show_map(axis, tile: np.ndarray, brightest: float) -> None:
    """Draws a map with `GAMMA`, white from a brightness on."""
    shown = (np.clip(tile / brightest, 0, 1)) ** GAMMA
    style.show(axis, shown, vmax=1.0)


def show_places(axis, tile: np.ndarray, rectangles, peaks: Sequence[Peak], brightest: float):
    """A map with the rectangles' outlines, broken where one is missed, and its peaks marked.

    Args:
        axis: where.
        tile: uint8 [S, S].
        rectangles: [n, 4], working pixels.
        peaks: what counts as an answer; the others are not shown.
        brightest: shown as white.
    """
    show_map(axis, tile, brightest)
    boxes = np.asarray(rectangles, np.float64)
    size = len(tile)
    points = np.array([peak[:2] for peak in peaks]).reshape(-1, 2)
    pairs = match_points(
        working_to_frame(points, size), working_to_frame(centers(boxes), size), PICK_RADIUS
    )
    hits, found = {p for p, _ in pairs}, {t for _, t in pairs}
    for i, (x0, y0, x1, y1) in enumerate(boxes):
        line = "-" if i in found else (0, (2, 2))
        axis.add_patch(
            Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=OUTLINE, lw=0.9, ls=line)
        )
    for i, peak in enumerate(peaks):
        look = {"marker": "o", "ms": 11, "mew": 1.6, "mfc": "none", "color": HIT}
        if i not in hits:
            look = {"marker": "x", "ms": 8, "mew": 2, "color": MISS}
        axis.plot(peak.x, peak.y, ls="none", **look)
        left = peak.x > 0.8 * size
        axis.annotate(
            f"{peak.value:.0f}", peak[:2], (-8 if left else 8, -8), textcoords="offset points",
            ha="right" if left else "left", va="center", fontsize=8, color="white",
            path_effects=[withStroke(linewidth=1.5, foreground="black")],
        )  # fmt: skip


def add_places_legend(figure: Figure) -> None:
    """Says below a figure what `show_places` marks."""
    handles = [
        Line2D([], [], color="#b0a000", lw=1.2, label="found"),
        Line2D([], [], color="#b0a000", lw=1.2, ls=(0, (2, 2)), label="missed"),
        Line2D([], [], ls="none", marker="o", ms=9, mfc="none", mew=1.6, color=HIT,
               label=f"peak within {PICK_RADIUS:.0f} px of a centre, its brightness"),
        Line2D([], [], ls="none", marker="x", ms=8, mew=2, color=MISS, label="peak on no centre"),
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
