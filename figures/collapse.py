"""Maps that stay empty."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from figures import style
from rectloc_tf.results.drawing import new_figure
from rectloc_tf.training.run_warnings import COLLAPSED


def _shares(summary: dict) -> dict[str, list[list[float]]]:
    """By variant, of each run the loss of each map over that of answering nothing."""
    found: dict[str, list[list[float]]] = {}
    for row in summary["rows"]:
        found.setdefault(row["variant"], []).append(row["empty_answers"])
    return found


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """A dot for each map of each run, a row for each variant."""
    shares = _shares(summary)
    if not shares:
        return {}
    figure = new_figure(style.WIDTH, 0.5 * len(shares) + 1)
    axis = figure.subplots()
    for place, of_runs in enumerate(shares.values()):
        values = [value for maps in of_runs for value in maps]
        heights = place + np.linspace(-0.2, 0.2, len(values))  # so that all can be seen
        axis.plot(values, heights, "o", ms=4, color=style.BLUE, alpha=0.7)
    axis.axvline(COLLAPSED, color=style.GREY, ls="--", lw=0.8, label="stays empty from here")
    axis.set(xlabel="validation loss, as a share of that of an empty map", xlim=(0, 1.1))
    axis.set_yticks(range(len(shares)), list(shares))
    axis.invert_yaxis()
    axis.grid(alpha=0.3, axis="x")
    axis.legend(fontsize=8, loc="upper left")
    return {"": figure}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line for each variant: how many of its maps stay empty."""
    lines = []
    for variant, of_runs in _shares(summary).items():
        values = np.array(of_runs)
        empty = values >= COLLAPSED
        lines.append(
            [variant, len(values), values.size, f"{empty.sum()} of {values.size}",
             f"{empty.any(axis=1).sum()} of {len(values)}", style.spread(values.flat, 2)]
        )  # fmt: skip
    head = ["training", "seeds", "maps", "maps that stay empty", "runs with such a map"]
    return style.markdown([*head, "loss over that of an empty map"], lines)
