"""One label or two: paired by seed."""

import itertools
import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import stdtrit

from figures import style
from rectloc_tf.results.drawing import new_figure

# Pictures of another number of rectangles than those trained on, and of the same.
TESTS = {"test": "one rectangle", "own": "two"}


def pairs(summary: dict, arch: str, test: str = "test") -> dict[int, dict[str, float]]:
    """Mean centre errors in px by seed and number of labels; seeds that have both."""
    found: dict[int, dict[str, float]] = {}
    for row in summary["rows"]:
        if row["arch"] == arch:
            error = row[test]["center_error_px"]["mean"]
            found.setdefault(row["seed"], {})[row["labelled"]] = error
    return {seed: errors for seed, errors in sorted(found.items()) if len(errors) == 2}


def confidence_interval(differences: list[float]) -> tuple[float, float, float] | None:
    """Mean of paired differences and its 95 % interval (Student's t); None of fewer than two."""
    n = len(differences)
    if n < 2:
        return None
    mean = float(np.mean(differences))
    half = stdtrit(n - 1, 0.975) * float(np.std(differences, ddof=1)) / math.sqrt(n)
    return mean, mean - half, mean + half


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """A line a seed from one label to two, on either number of rectangles."""
    figure = new_figure(style.WIDTH, 3.6)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (arch, (name, color, marker)) in zip(axes, style.COMPARED.items(), strict=True):
        for (test, words), line in zip(TESTS.items(), ("-", ":"), strict=True):
            label = f"tested on {words}"
            for errors in pairs(summary, arch, test).values():
                values = [errors["one"], errors["both"]]
                axis.plot([0, 1], values, line, marker=marker, color=color, alpha=0.7, label=label)
                label = None
        axis.set(title=name, xlim=(-0.4, 1.4))
        axis.set_xticks([0, 1], ["the larger labelled", "both labelled"])
        axis.grid(alpha=0.3, axis="y")
        if axis.lines:
            axis.legend(fontsize=8, loc="lower right")
    axes[0].set_ylabel("mean centre error, px of 224")
    axes[0].set_ylim(bottom=0)
    return {"": figure} if any(axis.lines for axis in axes) else {}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line a head and test: errors with one label and with two, and their paired difference."""
    lines = []
    for (arch, (name, *_)), (test, words) in itertools.product(
        style.COMPARED.items(), TESTS.items()
    ):
        found = pairs(summary, arch, test)
        if not found:
            continue
        one, both = ([errors[k] for errors in found.values()] for k in ("one", "both"))
        interval = confidence_interval([b - a for a, b in zip(one, both, strict=True)])
        text = "{:+.2f} ({:+.2f} to {:+.2f})".format(*interval) if interval else "one seed only"
        lines.append(
            [name, words, len(found), style.spread(one, 2), style.spread(both, 2), text]
        )  # fmt: skip
    head = ["head", "tested on", "seeds", "mean px, larger labelled", "mean px, both labelled"]
    return style.markdown([*head, "difference, 95 % interval"], lines)
