"""What the report's figures share: colours, width, sheets of pictures, and cells of tables."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from rectloc_tf import registry
from rectloc_tf.errors import UserError
from rectloc_tf.experiments import plan
from rectloc_tf.results.drawing import add_legend, new_figure, show_scene, true_centers
from rectloc_tf.results.intervals import Interval

# The speed of training and predicting on two CPU cores, by `rectloc_tf.benchmark`.
BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "epyc_2_cores.json"
WIDTH = 9.0  # inches, at 100 dpi the width of a README
# Okabe and Ito's colours, which the colour-blind tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#7f7f7f"
PURPLE, SKY, BLACK = "#cc79a7", "#56b4e9", "#000000"


class Head(NamedTuple):
    """How a head is shown: its name in words, its colour and its marker."""

    title: str
    color: str
    marker: str


_LOOKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (PURPLE, "D"), (SKY, "v"), (BLACK, "*"))
HEADS = {
    name: Head(spec.title, *look)
    for (name, spec), look in zip(registry.HEADS.items(), itertools.cycle(_LOOKS), strict=False)
}
COMPARED = {name: HEADS[name] for name in plan.COMPARED}


def title_of(who: str) -> str:
    """A kind of run, `arch` or `arch, more`, as in tables: its head's title for its name."""
    arch, comma, more = who.partition(", ")
    return f"{HEADS[arch].title}{comma}{more}"


def read_sheet(path, num_columns: int) -> np.ndarray:
    """The tiles of a sheet of square pictures: uint8 [rows, columns, S, S].

    Raises:
        UserError: if it cannot be read.
    """
    sheet = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if sheet is None:
        raise UserError(f"{path}: cannot be read as a picture")
    size = sheet.shape[1] // num_columns
    rows = sheet.reshape(-1, size, num_columns, size)
    return rows.transpose(0, 2, 1, 3)


def show(axis, image: np.ndarray, points: Iterable = (), truth=None, vmax: float = 255.0) -> None:
    """Draws a tile; several beside each other are smaller than they are."""
    truths = () if truth is None else (truth,)
    show_scene(axis, image, points, truths, vmax, interpolation="antialiased")


def label_row(axis, text: str) -> None:
    """Names a row of pictures, at its first."""
    axis.set_ylabel(text, fontsize=9)


def shade(place: float) -> tuple[float, float, float, float]:
    """A colour of an ordered series, 0 to 1."""
    return colormaps["viridis"](place)


def side_by_side(pictures: dict[str, dict], results_dir: Path) -> Figure:
    """Scenes, the same or not, with each head's answers, and below them its maps on one scale.

    Args:
        pictures: head -> what a run's summary keeps of some scenes: sheet, rectangles, points.
        results_dir: folder of the summaries.
    """
    count = len(next(iter(pictures.values()))["points"])
    sheets = {
        head: read_sheet(results_dir / "runs" / pictures[head]["sheet"], count)
        for head in HEADS
        if head in pictures
    }
    rows = sum(len(tiles) for tiles in sheets.values())  # two where there are maps
    figure = new_figure(WIDTH, rows * WIDTH / count + 0.5)
    axes = iter(figure.subplots(rows, count))
    for head, (scenes, *maps) in sheets.items():
        row, truth = next(axes), true_centers(pictures[head]["rectangles"])
        label_row(row[0], HEADS[head].title)
        for i, point in enumerate(pictures[head]["points"]):
            show(row[i], scenes[i], [point], truth[i])
        for tiles in maps:
            row = next(axes)
            label_row(row[0], "its heatmap")
            for axis, tile in zip(row, tiles, strict=True):
                show(axis, tile, vmax=max(int(tiles.max()), 1))
    add_legend(figure)
    return figure


def spread(values: Iterable[float], digits: int, unit: str = "") -> str:
    """`1.6` of one value, `1.6 (1.5–1.8)` of several: the mean, least and greatest."""
    values = [v for v in values if v is not None]
    if not values:
        return "–"
    mean = f"{np.mean(values):.{digits}f}"
    if len(values) > 1:
        mean += f" ({min(values):.{digits}f}–{max(values):.{digits}f})"
    return mean + unit


def signed(value: float, digits: int) -> str:
    """`+1.2` or `−1.2`, with a true minus sign; `+0.0` of whatever rounds to 0."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")  # -0.0 + 0.0 is 0.0


def interval(found: Interval, digits: int, unit: str = "", signs: bool = False) -> str:
    """`2.7 px (2.0 to 3.4)`: an estimate and its 95 % interval; with signs for a difference."""
    value, low, high = (
        signed(v, digits) if signs else f"{v:.{digits}f}".replace("-", "−")
        for v in (found.value, found.low, found.high)
    )
    return f"{value}{unit} ({low} to {high})"


def count(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}" + ("s" if number != 1 else "")


def percent(values: Iterable[float], digits: int = 1) -> str:
    """Shares as per cent, with their spread."""
    return spread([100 * v for v in values], digits, " %")


def rates(tests: Sequence[dict]) -> list[str]:
    """Three cells: the right, wrong and nowhere shares of some test metrics."""
    return [percent(test[f"{k}_rate"] for test in tests) for k in ("right", "wrong", "nowhere")]
