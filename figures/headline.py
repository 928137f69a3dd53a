"""Coordinates against heatmap on the same scenes."""

from pathlib import Path

from matplotlib.figure import Figure

from figures import style

ORIGINAL = {"xy": 0.87, "deconv": 0.01}  # R², read off its plots


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """The same test scenes with both heads' answers, and the heatmaps."""
    chosen = {}
    for row in summary["rows"]:
        # Of the first seed; improved runs come last.
        if runs[row["run"]]["pictures"] and row["arch"] in style.COMPARED:
            chosen[row["arch"]] = row["run"]
    if len(chosen) < len(style.COMPARED):
        return {}
    pictures = {arch: next(iter(runs[name]["pictures"].values())) for arch, name in chosen.items()}
    return {"": style.side_by_side(pictures, results_dir)}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line for each head and way of training, the mean over seeds."""
    head = ["head", "training", "epochs", "seeds", "R²", "R², original", "median px", "mean px"]
    head += ["right", "wrong", "nowhere"]
    groups: dict[tuple, list[dict]] = {}
    for row in summary["rows"]:
        groups.setdefault((row["variant"], row["arch"], row["epochs"]), []).append(row["test"])
    lines = []
    for (variant, arch, epochs), tests in sorted(
        groups.items(), key=lambda g: (g[0][1], g[0][2], g[0][0])
    ):
        errors = [test["center_error_px"] for test in tests]
        lines.append(
            [
                style.HEADS[arch].title, variant, epochs, len(tests),
                style.spread((t["r2"] for t in tests), 3),
                "" if variant == "improved" else ORIGINAL.get(arch, ""),
                style.spread((e["median"] for e in errors), 2),
                style.spread((e["mean"] for e in errors), 2),
                *style.rates(tests),
            ]
        )  # fmt: skip
    return style.markdown(head, lines)
