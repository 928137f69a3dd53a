"""Two drawings of answers: how many images have small errors, and what the other answers are."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from figures import style
from rectloc_tf.geometry import FRAME
from rectloc_tf.results.metrics import PICK_RADIUS


def draw_curves(axis: Axes, curves: Iterable[tuple[np.ndarray, dict[str, Any]]]) -> None:
    """The share of images with at most each error.

    Args:
        axis: where.
        curves: errors of any shape, in px of 224, and how their line is drawn.
    """
    for errors, line in curves:
        shares = 100 * np.arange(1, errors.size + 1) / errors.size
        axis.plot(np.sort(errors, axis=None), shares, lw=1.6, **line)
    axis.axvline(PICK_RADIUS, color="black", lw=0.8)
    axis.text(PICK_RADIUS * 1.1, 4, f"{PICK_RADIUS:g} px: right", fontsize=8)
    axis.set(xscale="log", xlim=(0.1, FRAME), ylim=(0, 101))
    axis.set(xlabel="error, px of 224 (logarithmic)", ylabel="images with at most this error, %")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.grid(alpha=0.3)


def draw_choices(axis: Axes, rows: Iterable[tuple[str, np.ndarray]]) -> None:
    """A bar for each title: the shares of images that are answered wrong and nowhere.

    Args:
        axis: where.
        rows: title, and the rank of the rectangle that was answered, see `Answered.chosen`.
    """
    titles = []
    for place, (title, chosen) in enumerate(rows):
        wrong, nowhere = 100 * (chosen > 0).mean(), 100 * (chosen < 0).mean()
        named = {} if titles else {"wrong": "wrong", "nowhere": "nowhere"}
        axis.barh(place, wrong, color=style.PURPLE, label=named.get("wrong"))
        axis.barh(place, nowhere, left=wrong, color=style.GREY, label=named.get("nowhere"))
        text = f" right {100 - wrong - nowhere:.1f} %"
        axis.text(wrong + nowhere, place, text, va="center", fontsize=9)
        titles.append(title)
    axis.set_yticks(range(len(titles)), titles, fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.6 * axis.get_xlim()[1])  # room for the text
    axis.set(xlabel="images not answered right, %")
    axis.legend(loc="lower right", frameon=False, fontsize=9)
