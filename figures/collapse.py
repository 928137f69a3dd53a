"""Maps that stay empty."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import binomtest

from figures import style
from rectloc_tf.experiments.collapse import VARIANTS
from rectloc_tf.results.drawing import new_figure
from rectloc_tf.results.markdown import markdown
from rectloc_tf.training.run_warnings import COLLAPSED

# In names of numbers.
KEYS = dict(zip(VARIANTS, ("deconv", "deconv_1", "score_map", "unweighted"), strict=True))


def _shares(summary: dict) -> dict[str, list[list[float]]]:
    """By variant, of each run the loss of each map over that of answering nothing."""
    found: dict[str, list[list[float]]] = {}
    for row in summary["rows"]:
        found.setdefault(row["variant"], []).append(row["empty_answers"])
    return found


def empty(shares: dict[str, list[list[float]]]) -> dict[str, np.ndarray]:
    """By variant, whether each map of each run stayed empty: bool [S, M]."""
    return {variant: np.array(of_runs) >= COLLAPSED for variant, of_runs in shares.items()}


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """A dot for each map of each run, a row for each map of each variant."""
    shares = _shares(summary)
    if not shares:
        return {}
    lines = [
        (f"{variant}, map {m + 1}" if len(of_runs[0]) > 1 else variant, [r[m] for r in of_runs])
        for variant, of_runs in shares.items()
        for m in range(len(of_runs[0]))
    ]
    figure = new_figure(style.WIDTH, 0.36 * len(lines) + 1)
    axis = figure.subplots()
    for place, (_, values) in enumerate(lines):
        heights = place + np.linspace(-0.25, 0.25, len(values))  # so that all can be seen
        is_empty = np.array(values) >= COLLAPSED
        for which, color, marker in ((~is_empty, style.BLUE, "o"), (is_empty, style.ORANGE, "X")):
            axis.plot(np.array(values)[which], heights[which], marker, ms=5, color=color, alpha=0.8)
    axis.axvline(COLLAPSED, color=style.GREY, ls="--", lw=0.8)
    axis.annotate(
        f"empty from {COLLAPSED} on", (COLLAPSED, 2), xytext=(-6, 0), textcoords="offset points",
        ha="right", va="center", fontsize=8, color=style.GREY,
    )  # fmt: skip
    axis.set_xlabel("validation loss, as a share of that of an empty map")
    axis.set_xlim(0.3, 1.13)
    axis.set_yticks(range(len(lines)), [name for name, _ in lines], fontsize=9)
    axis.invert_yaxis()
    axis.grid(alpha=0.3, axis="x")
    return {"": figure}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line for each variant: in how many of its runs a map stays empty, and how many maps."""
    shares, lines = _shares(summary), []
    for variant, maps in empty(shares).items():
        values = [value for of_run in shares[variant] for value in of_run]
        lines.append(
            [variant, f"{maps.any(axis=1).sum()} of {len(maps)}",
             f"{maps.all(axis=1).sum()} of {len(maps)}", f"{maps.sum()} of {maps.size}",
             style.spread(values, 2)]
        )  # fmt: skip
    head = ["training", "runs with an empty map", "runs with nothing but empty maps", "empty maps"]
    return markdown([*head, "loss over an empty map's (range over maps)"], lines)


def long_table(summary: dict, runs: dict) -> list[list]:
    """A row for each map of each run."""
    rows: list[list] = [["run", "variant", "seed", "map", "loss_over_empty", "empty"]]
    for row in summary["rows"]:
        for number, value in enumerate(row["empty_answers"], start=1):
            about = [row["run"], row["variant"], row["seed"], number, value]
            rows.append([*about, int(value >= COLLAPSED)])
    return rows


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """Runs with an empty map of each variant, with Wilson's interval."""
    made = {}
    for variant, maps in empty(_shares(summary)).items():
        number, count = int(maps.any(axis=1).sum()), len(maps)
        ends = binomtest(number, count).proportion_ci(method="wilson")
        low, high = (f"{100 * end:.0f}" for end in (ends.low, ends.high))
        made[KEYS[variant]] = f"{number} of {count}"
        made[f"{KEYS[variant]}_interval"] = f"{low} to {high} %"
        made[f"{KEYS[variant]}_maps"] = f"{maps.sum()} of {maps.size}"
    return made
