"""One label or two: paired by seed."""

import math
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import stdtrit

from figures import style


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
    """A line a seed from one label to two."""
    figure = style.new_figure(3.4)
    drawn = False
    for axis, (arch, (name, color, marker)) in zip(
        figure.subplots(1, 2), style.HEADS.items(), strict=True
    ):
        for seed, errors in pairs(summary, arch).items():
            values = [errors["one"], errors["both"]]
            axis.plot([0, 1], values, marker=marker, color=color, alpha=0.7, label=f"seed {seed}")
            drawn = True
        axis.set(title=name, xlim=(-0.4, 1.4), ylim=(0, None),
                 ylabel="mean centre error on one rectangle, px of 224")  # fmt: skip
        axis.set_xticks([0, 1], ["the larger labelled", "both labelled"])
        axis.grid(alpha=0.3, axis="y")
    return {"": figure} if drawn else {}


def table(summary: dict, runs: dict) -> str:
    """A line a head: errors with one label and with two, and their paired difference."""
    lines = []
    for arch, (name, *_) in style.HEADS.items():
        found = pairs(summary, arch)
        if not found:
            continue
        one, both = ([errors[k] for errors in found.values()] for k in ("one", "both"))
        interval = confidence_interval([b - a for a, b in zip(one, both, strict=True)])
        text = "{:+.2f} ({:+.2f} to {:+.2f})".format(*interval) if interval else "one seed only"
        lines.append([name, len(found), style.spread(one, 2), style.spread(both, 2), text])
    head = ["head", "seeds", "mean px, larger labelled", "mean px, both labelled"]
    return style.markdown([*head, "difference, 95 % interval"], lines)
