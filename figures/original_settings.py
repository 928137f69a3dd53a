"""The original's heads at its own settings."""

from pathlib import Path

from matplotlib.figure import Figure

from figures import style
from figures.answered import Answered
from rectloc_tf.errors import UserError
from rectloc_tf.experiments.plan import COMPARED, DOMAIN
from rectloc_tf.results.data_files import read_json
from rectloc_tf.results.drawing import log_pixels, new_figure
from rectloc_tf.results.intervals import bootstrap
from rectloc_tf.results.markdown import markdown

LATE = 10  # epochs, the last of the training


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """Validation by epoch, beside runs of half the size and a falling learning rate."""
    if len(summary["rows"]) < len(COMPARED):
        return {}
    longer = _longer(results_dir)
    figure = new_figure(style.WIDTH, 3.6)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, row in zip(axes, summary["rows"], strict=True):
        name, color, _ = style.HEADS[row["arch"]]
        history = runs[row["run"]]["history"]
        epochs, errors = _curve(history)
        axis.plot(epochs, errors, color=color, label=f"{row['image_size']} px, constant rate")
        best = _best(history)
        axis.plot(best["epoch"], best["val_mean_px"], "*", color=color, ms=12)
        if row["arch"] in longer:
            axis.plot(*_curve(longer[row["arch"]]), "--", color=style.GREY,
                      label="112 px, cosine")  # fmt: skip
        axis.set(title=name, xlabel="epoch", ylim=(4, 80))
        log_pixels(axis)
        axis.grid(alpha=0.3)
        axis.legend(frameon=False, fontsize=9)
    axes[0].set_ylabel("mean error on validation, px of 224")
    return {"": figure}


def _curve(history: list[dict]) -> tuple[list[float], list[float]]:
    return [e["epoch"] for e in history], [e["val_mean_px"] for e in history]


def _best(history: list[dict]) -> dict:
    """The validation whose weights are kept as the best: of the least mean error."""
    return min(history, key=lambda epoch: epoch["val_mean_px"])


def _longer(results_dir: Path) -> dict[str, list[dict]]:
    """Validations of the headline's longer runs by head; none if it is not made."""
    try:
        rows = read_json(results_dir / "headline.json")["rows"]
        names = {row["arch"]: row["run"] for row in rows if row["variant"] == "longer"}
        paths = {arch: results_dir / "runs" / f"{name}.json" for arch, name in names.items()}
        return {arch: read_json(path)["history"] for arch, path in paths.items()}
    except UserError:
        return {}


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line for each head and its weights, the best on validation and the last."""
    lines = []
    for row in summary["rows"]:
        for weights, test in (("best", row["test"]), ("last", row["final"])):
            kept = "final" if weights == "last" else weights
            answered = Answered(runs[row["run"]], row["run"], DOMAIN, results_dir, kept)
            lines.append(
                [
                    style.HEADS[row["arch"]].title, row["epochs"], weights,
                    style.interval(bootstrap(answered.errors, "median"), 2),
                    style.interval(bootstrap(answered.errors), 1),
                    style.interval(bootstrap(100 * answered.right), 1),
                    f"{100 * test['wrong_rate']:.1f}", f"{100 * test['nowhere_rate']:.1f}",
                ]
            )  # fmt: skip
    head = ["head", "epochs", "weights", "median px", "mean px", "right %", "wrong %", "nowhere %"]
    return markdown(head, lines)


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """R² of each head by its own measure, and how far validation moves late in the training."""
    found = {}
    for row in summary["rows"]:
        arch, history = row["arch"], runs[row["run"]]["history"]
        for weights, test in (("best", row["test"]), ("last", row["final"])):
            kept = "final" if weights == "last" else weights
            errors = Answered(runs[row["run"]], row["run"], DOMAIN, results_dir, kept).errors
            found[f"{arch}_{weights}_r2"] = f"{test['r2']:.2f}"
            found[f"{arch}_{weights}_mean"] = style.interval(bootstrap(errors), 1, " px")
        late = [epoch["val_mean_px"] for epoch in history[-LATE:-1]]
        best, end = _best(history), history[-1]
        found[f"{arch}_late"] = f"{min(late):.1f} to {max(late):.1f} px"
        found[f"{arch}_end"] = f"{end['val_mean_px']:.1f} px"
        found[f"{arch}_best_epoch"] = f"{best['epoch']:.0f}"
        found[f"{arch}_least"] = f"{best['val_mean_px']:.1f} px"
        found[f"{arch}_r2_first"] = f"{history[0]['val_r2']:.2f}"
        found[f"{arch}_r2_at_best"] = f"{best['val_r2']:.2f}"
        found[f"{arch}_r2_at_end"] = f"{end['val_r2']:.2f}"
        if black := history[0]["val_zero_map_loss"]:
            found[f"{arch}_below_black"] = f"{100 - 100 * history[0]['val_loss'] / black:.1f} %"
    for arch, history in _longer(results_dir).items():
        found[f"{arch}_cosine_end"] = f"{history[-1]['val_mean_px']:.1f} px"
    return found
