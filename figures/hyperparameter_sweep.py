"""Batch size, learning rate and depth, one at a time."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from figures import style
from rectloc_tf.results.drawing import new_figure

# By head: the loss's unit and axis, and the range of R²; what is far below it is cut off.
LOOKS = {"xy": ("px²", "log", (-0.2, 1.02)), "deconv": ("brightness²", "linear", (-0.05, None))}
NAMES = {"batch_size": "batch size", "learning_rate": "learning rate", "depth": "ResNet depth"}
ORIGINAL = {"batch_size": 64, "learning_rate": 1e-3, "depth": 18}  # the original's choice
# Test R² of coordinates, read off the original's plots; its batches seem to have been compared at
# a learning rate of 1e-4 (the curves of 64 and of 1e-4 are alike). The R² that it shows of heatmaps
# jump between 0 and 0.8 where their losses are alike, and are left out.
ORIGINAL_R2 = {
    ("xy", "batch_size"): {8: 0.68, 16: 0.85, 32: 0.84, 64: 0.85, 128: 0.77, 256: -0.18, 512: -3.3},
    ("xy", "learning_rate"): {1e-5: -4.55, 1e-4: 0.86, 1e-3: 0.89, 1e-2: 0.87, 1e-1: 0.87},
}


def _rows(summary: dict, arch: str, axis: str) -> list[dict]:
    rows = [r for r in summary["rows"] if (r["arch"], r["axis"]) == (arch, axis)]
    return sorted(rows, key=lambda row: row["value"])


def winner(rows: list[dict]) -> dict:
    """The run with the greatest R² on the validation split, at its best weights."""
    return max(rows, key=lambda row: row["validation"]["r2"])


def _curves(row: dict, history: list[dict]) -> dict[str, np.ndarray]:
    """Loss and R² by epoch, training and validation; unknown values are NaN."""

    def column(name):
        return np.array([np.nan if h[name] is None else h[name] for h in history], float)

    train = column("train_loss")
    variance = row["train_variance"] or np.nan
    return {
        "epoch": column("epoch"), "train loss": train, "validation loss": column("val_loss"),
        "train R²": 1 - train / variance, "validation R²": column("val_r2"),
    }  # fmt: skip


def _draw(rows: list[dict], runs: dict, arch: str, axis: str) -> Figure:
    figure = new_figure(style.WIDTH, 6.2)
    (loss, r2), (test, seconds) = figure.subplots(2, 2)
    colors = [(0.1 + 0.75 * i / max(len(rows) - 1, 1)) for i in range(len(rows))]
    for row, shade in zip(rows, colors, strict=True):
        color = style.shade(shade)
        curves = _curves(row, runs[row["run"]]["history"])
        label = f"{row['value']:g}"
        for panel, name in ((loss, "loss"), (r2, "R²")):
            panel.plot(curves["epoch"], curves[f"train {name}"], ":", color=color)
            values = curves[f"validation {name}"]
            panel.plot(curves["epoch"], values, ".-", ms=4, color=color, label=label)
    black = runs[rows[0]["run"]]["history"][-1]["val_zero_map_loss"]
    if black is not None:
        loss.axhline(black, color="black", ls="-.", lw=0.8, label="all-black map")
    unit, scale, limits = LOOKS[arch]
    loss.set(title="loss (dotted: training)", ylabel=f"MSE, {unit}", yscale=scale)
    r2.set(title="R² (dotted: training)", ylabel="R²", ylim=limits)
    loss.legend(title=NAMES[axis], fontsize=7, title_fontsize=7, ncols=2)
    for panel in (loss, r2):
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    values = [row["value"] for row in rows]
    _, color, marker = style.HEADS[arch]
    test.plot(values, [row["test"]["r2"] for row in rows], marker=marker, color=color)
    theirs = ORIGINAL_R2.get((arch, axis))
    if theirs:
        test.plot(list(theirs), list(theirs.values()), "d--", color=style.GREY, ms=4, lw=0.8,
                  label="original, 40 epochs")  # fmt: skip
    best = winner(rows)
    test.plot(best["value"], best["test"]["r2"], "*", ms=14, color="black",
              label="best on validation")  # fmt: skip
    test.axvline(ORIGINAL[axis], color=style.GREY, ls="--", lw=0.8, label="the original's choice")
    test.set(title="R² on the test split", ylabel="R²", ylim=limits)
    test.legend(fontsize=8)
    timed = [(v, row["seconds_per_epoch"]) for v, row in zip(values, rows, strict=True)]
    timed = [(v, s) for v, s in timed if s]
    if timed:
        seconds.plot(*zip(*timed, strict=True), marker=marker, color=color)
    if limits[1] is None:  # room for the star
        for panel in (r2, test):
            low, high = panel.get_ylim()
            panel.set_ylim(low, high + 0.08 * (high - low))
    top = 1.15 * max((s for _, s in timed), default=1)
    seconds.set(title="time", ylabel="seconds, the fastest epoch", ylim=(0, top))
    for panel in (test, seconds):
        panel.set_xlabel(NAMES[axis])
        if axis != "depth":
            panel.set_xscale("log")
        panel.set_xticks(values, [f"{v:g}" for v in values])
        panel.minorticks_off()
    for panel in (loss, r2, test, seconds):
        panel.grid(alpha=0.3)
    return figure


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """Four panels for each head and axis, as the original's."""
    figures = {}
    for axis in NAMES:
        for arch in style.COMPARED:
            rows = _rows(summary, arch, axis)
            if rows:
                figures[f"_{axis}_{arch}"] = _draw(rows, runs, arch, axis)
    return figures


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line a value, and the winners."""
    lines, winners = [], []
    for arch, (name, *_) in style.COMPARED.items():
        for axis, title in NAMES.items():
            rows = _rows(summary, arch, axis)
            for row in rows:
                error = row["test"]["center_error_px"]
                seconds = row["seconds_per_epoch"]
                lines.append(
                    [name, title, f"{row['value']:g}",
                     style.spread([row["validation"]["r2"]], 3),
                     style.spread([row["test"]["r2"]], 3),
                     style.spread([error["median"]], 2), style.spread([error["mean"]], 2),
                     style.percent([row["test"]["right_rate"]]),
                     f"{seconds:.0f}" if seconds else "–"]
                )  # fmt: skip
            if rows:
                best = winner(rows)["value"]
                agrees = "yes" if best == ORIGINAL[axis] else "no"
                winners.append([name, title, f"{best:g}", f"{ORIGINAL[axis]:g}", agrees])
    head = ["head", "axis", "value", "validation R²", "test R²", "median px", "mean px", "right"]
    tables = [style.markdown([*head, "s, fastest epoch"], lines)]
    head = ["head", "axis", "best on validation", "the original's choice", "same?"]
    return "\n\n".join([*tables, style.markdown(head, winners)])
