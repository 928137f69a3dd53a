"""Ways to read a point from a map, and what cells alone allow."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from figures import style
from rectloc_tf.experiments.decoders import KINDS
from rectloc_tf.results.drawing import new_figure
from rectloc_tf.results.markdown import markdown

WITHIN = (0.5, 1, 2, 5)  # px of 224
TOLD = 1  # of them, in the table
# Of the decoders, in the order of the rows; the last is the floor of what cells can tell.
COLORS = (style.GREY, style.SKY, style.BLUE, style.PURPLE, style.GREEN, style.ORANGE, style.BLACK)


def _decoders(summary: dict) -> list[str]:
    """The names of the decoders, in the order of the rows."""
    return list(dict.fromkeys(row["decoder"] for row in summary["rows"]))


def _values(summary: dict, who: str, decoder: str, key: str) -> list[float]:
    """Values of every seed."""
    rows = summary["rows"]
    return [row[key] for row in rows if (row["who"], row["decoder"]) == (who, decoder)]


def _share(summary: dict, who: str, decoder: str, distance: float) -> float:
    """Per cent of the answers at most so far off, the mean over seeds; NaN if there are none."""
    values = [v for v in _values(summary, who, decoder, f"within_{distance:g}") if v is not None]
    return 100 * float(np.mean(values)) if values else np.nan


def _kinds(summary: dict) -> list[str]:
    """The kinds of map that were made, in order."""
    made = {row["who"] for row in summary["rows"]}
    return [who for who in KINDS if who in made]


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """The share of answers within each distance, a panel for each kind of map."""
    kinds, decoders = _kinds(summary), _decoders(summary)
    if not kinds:
        return {}
    figure = new_figure(style.WIDTH, 3.4)
    axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axis, who in zip(axes, kinds, strict=True):
        for decoder, color in zip(decoders, COLORS, strict=True):
            shares = [_share(summary, who, decoder, distance) for distance in WITHIN]
            line = "--" if decoder == decoders[-1] else "-"
            axis.plot(WITHIN, shares, line, marker=".", color=color, label=decoder)
        axis.set_title(style.title_of(who).replace(" (", "\n("), fontsize=9)
        axis.set(xscale="log", xlabel="distance, px of 224", ylim=(0, 101))
        axis.set_xticks(WITHIN, [f"{d:g}" for d in WITHIN])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("predictions within this distance, %")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return {"": figure}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A row for each decoder: of each kind of map the median error, and the share within TOLD px.

    Means over the seeds; the medians with their range.
    """
    kinds, lines = _kinds(summary), []
    for decoder in _decoders(summary):
        cells = [
            f"{style.spread(_values(summary, who, decoder, 'median'), 2)}; "
            f"{_share(summary, who, decoder, TOLD):.0f} %"
            for who in kinds
        ]
        lines.append([decoder, *cells])
    return markdown([f"median px; within {TOLD:g} px", *map(style.title_of, kinds)], lines)


def long_table(summary: dict, runs: dict) -> list[list]:
    """A row for each run and decoder."""
    names = ["run", "who", "seed", "stride", "decoder", "images", "median", "mean"]
    names += [f"within_{d:g}" for d in WITHIN]
    return [names, *([row[name] for name in names] for row in summary["rows"])]


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """The median error of each kind of map and decoder."""
    made = {}
    for who in _kinds(summary):
        for decoder in _decoders(summary):
            key = f"{who}_{decoder}".replace(", ", "_").replace(" ", "_").replace("'", "")
            made[key.lower()] = style.spread(_values(summary, who, decoder, "median"), 2)
    return made
