"""The original's heads at its own settings."""

from pathlib import Path

from matplotlib.figure import Figure

from figures import style


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """Nothing: its numbers stand in a table."""
    return {}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line for each head."""
    lines = []
    for row in summary["rows"]:
        test = row["test"]
        error = test["center_error_px"]
        cells = [style.HEADS[row["arch"]].title, row["epochs"], f"{test['r2']:.3f}"]
        cells += [f"{error['median']:.2f}", f"{error['mean']:.2f}", *style.rates([test])]
        lines.append(cells)
    head = ["head", "epochs", "R²", "median px", "mean px", "right", "wrong", "nowhere"]
    return style.markdown(head, lines)
