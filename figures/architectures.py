"""The two networks, stage by stage, from the built models."""

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from figures import style
from rectloc_tf.results.drawing import new_figure
from rectloc_tf.results.markdown import markdown

# Stages that only move numbers about are left out of the drawing.
_SILENT = {"ZeroPadding2D", "Reshape", "Activation", "InputLayer"}
_COLORS = {"residual block": "#cfe3f1", "Dense": "#f9d9c0", "PolyphaseConv2DTranspose": "#f9d9c0"}


def _shape(stage: dict) -> str:
    return " × ".join(str(n) for n in stage["shape"])


def _is_shown(stage: dict) -> bool:
    return stage["kind"] not in _SILENT or stage["name"] == "coarse_map"


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """A column of boxes a network: stage, output shape, weights."""
    networks = summary["networks"]
    shown = {arch: [s for s in n["stages"] if _is_shown(s)] for arch, n in networks.items()}
    tallest = max(len(stages) for stages in shown.values())
    figure = new_figure(style.WIDTH, 0.42 * tallest + 0.6)
    axes = figure.subplots(1, len(shown))
    for axis, (arch, stages) in zip(axes, shown.items(), strict=True):
        axis.set(xlim=(0, 10), ylim=(tallest, -0.6), xticks=[], yticks=[])
        axis.set_axis_off()
        title = f"{style.HEADS[arch].title}: {networks[arch]['weights']:,} weights"
        axis.set_title(title, fontsize=10)
        for row, stage in enumerate(stages):
            box = FancyBboxPatch(
                (0.3, row - 0.32), 9.4, 0.64, boxstyle="round,pad=0.05", linewidth=0.8,
                facecolor=_COLORS.get(stage["kind"], "#eeeeee"), edgecolor="#555555",
            )  # fmt: skip
            axis.add_patch(box)
            axis.text(0.5, row, f"{stage['name']} ({stage['kind']})", va="center", fontsize=8)
            axis.text(6.6, row, _shape(stage), va="center", ha="center", fontsize=8)
            if stage["weights"]:
                axis.text(9.5, row, f"{stage['weights']:,}", va="center", ha="right", fontsize=8)
    return {"": figure}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """Weights of backbone and head."""
    lines = []
    for arch, network in summary["networks"].items():
        heads = [s for s in network["stages"] if s["kind"] in ("Dense", "PolyphaseConv2DTranspose")]
        head = sum(stage["weights"] for stage in heads)
        answer = _shape(network["stages"][-1])
        lines.append(
            [style.HEADS[arch].title, f"{network['weights'] - head:,}", f"{head:,}", answer]
        )
    return markdown(["network", "weights of the backbone", "of the head", "answer"], lines)
