"""Three heads on the same scenes: coordinates and two kinds of map."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from figures import headline_choice, style
from figures.errors import draw_choices, draw_curves
from figures.headline_runs import Runs
from rectloc_tf.experiments.headline import HEADS
from rectloc_tf.experiments.plan import COMPARED as ORIGINALS
from rectloc_tf.geometry import FRAME, centers
from rectloc_tf.results.drawing import new_figure
from rectloc_tf.results.intervals import Interval, bootstrap, paired_difference
from rectloc_tf.results.markdown import markdown

COMPARED = ("plain", "improved")
PAIRS = (("deconv", "xy"), ("score_map", "deconv"), ("score_map", "xy"))
LINES = {"plain": "--", "improved": "-"}
TYPICAL = 6  # of the scenes shown; then two where no head is right


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """Errors and choices of all heads, scenes with their answers, and what errors are made of."""
    made = Runs(summary, runs, results_dir)
    if not made.has(*_groups()):
        return {}
    figures = {"": _draw_errors(made), "_scenes": _draw_scenes(made)}
    if made.has(*((arch, "short") for arch in HEADS)):  # of a whole study
        figures["_choice"] = headline_choice.draw(summary, made, results_dir)
    return figures


def _groups() -> Iterator[tuple[str, str]]:
    return ((arch, variant) for arch in HEADS for variant in COMPARED)


def _draw_errors(made: Runs) -> Figure:
    figure = new_figure(style.WIDTH, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    curves = [
        (made.errors(arch, variant), {"ls": LINES[variant], "color": style.HEADS[arch].color})
        for arch, variant in _groups()
    ]
    draw_curves(left, curves)
    handles = [
        Line2D([], [], color=style.HEADS[a].color, label=style.HEADS[a].title) for a in HEADS
    ]
    handles += [Line2D([], [], color="black", ls=LINES[v], label=v) for v in COMPARED]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    rows = [
        (f"{style.HEADS[arch].title}\n{variant}", made.chosen(arch, variant))
        for arch, variant in _groups()
    ]
    draw_choices(right, rows)
    return figure


def _draw_scenes(made: Runs) -> Figure:
    answers = {arch: made.answers(arch, "improved")[0] for arch in HEADS}
    anyone = next(iter(answers.values()))
    none_right = np.all([answered.right == 0 for answered in answers.values()], axis=0)
    shown = [*range(TYPICAL), *np.flatnonzero(none_right)[:2]]
    figure = new_figure(style.WIDTH, 5.4)
    axes = figure.subplots(2, 4).flat
    for axis in axes[len(shown) :]:
        axis.set_visible(False)
    for axis, i in zip(axes, shown, strict=False):
        for x0, y0, x1, y1 in anyone.rectangles[i]:
            axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec=style.GREY, lw=1))
        axis.plot(*centers(anyone.rectangles[i, 0]), "+", color="black", ms=15, mew=1.2)
        for arch, answered in answers.items():
            _, color, marker = style.HEADS[arch]
            axis.plot(*answered.points[i], marker, color=color, ms=7, mfc="none", mew=1.8)
        errors = " / ".join(f"{answered.errors[i]:.1f}" for answered in answers.values())
        axis.set_title(f"{errors} px", fontsize=9)
        axis.set(xlim=(0, FRAME), ylim=(FRAME, 0), xticks=[], yticks=[], aspect="equal")
    marks = [Line2D([], [], ls="none", marker="+", color="black", ms=12, label="truth")]
    for arch in HEADS:
        title, color, marker = style.HEADS[arch]
        marks.append(Line2D([], [], ls="none", marker=marker, color=color, ms=7, mfc="none",
                            mew=1.8, label=title))  # fmt: skip
    figure.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False)
    return figure


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A line for each head, plain and improved."""
    made = Runs(summary, runs, results_dir)
    head = ["head", "training", "median px", "mean px", "right %", "wrong %", "nowhere %"]
    lines = []
    for arch, variant in _groups():
        if not made.rows(arch, variant):
            continue
        errors, right = made.errors(arch, variant), made.right(arch, variant)
        chosen = made.chosen(arch, variant)
        where_right = made.errors_where_right(arch, variant)
        lines.append(
            [
                style.HEADS[arch].title,
                f"{variant}, {made.rows(arch, variant)[0]['epochs']} epochs",
                style.interval(bootstrap(errors, "median"), 2),
                style.interval(bootstrap(errors), 1),
                style.interval(bootstrap(right), 1),
                f"{100 * (chosen > 0).mean():.1f}",
                f"{100 * (chosen < 0).mean():.1f}",
                "–" if np.isnan(where_right).all() else f"{np.nanmedian(where_right):.2f}",
            ]
        )
    return markdown([*head, "median px where right"], lines)


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """Differences between heads and ways of training, and what errors are made of.

    Nothing of a study that lacks some of the runs.
    """
    made = Runs(summary, runs, results_dir)
    more = [(arch, variant) for arch in ORIGINALS for variant in ("longer", "augmented")]
    shorts = [(arch, "short") for arch in HEADS]
    if not made.has(*_groups(), *more, *shorts, ("xy", "centred")):
        return {}
    found = {}
    for arch, variant in _groups():
        found[f"{variant}_{arch}_median"] = f"{np.median(made.errors(arch, variant)):.2f} px"
        found[f"{variant}_{arch}_mean"] = f"{made.errors(arch, variant).mean():.1f} px"
        found[f"{variant}_{arch}_right"] = f"{made.right(arch, variant).mean():.1f} %"
    for variant in COMPARED:
        for a, b in PAIRS:
            found |= _differences(f"{variant}_{a}_{b}", made, (a, variant), (b, variant))
        squares = {arch: made.errors(arch, variant) ** 2 for arch in ORIGINALS}
        for arch, each in squares.items():
            found[f"{variant}_{arch}_rms"] = f"{np.sqrt(each.mean()):.1f} px"
        more = paired_difference(squares["deconv"], squares["xy"])
        found[f"{variant}_deconv_xy_square"] = _shown(more, 0, " px²")
    found |= _separated(made) | _centred(made)
    scores = [row["final"]["r2"] for row in made.rows("xy", "plain")]
    found["r2_xy"] = style.spread(scores, 2)
    return found | headline_choice.numbers(made, results_dir)


def _differences(
    key: str, made: Runs, a: tuple, b: tuple, wanted: tuple[str, ...] = ("mean", "median", "right")
) -> dict[str, str]:
    """Mean, median and right share of a less b, groups of `Runs`' arguments."""
    measures = {
        "mean": (made.errors, "mean", 1, " px"),
        "median": (made.errors, "median", 2, " px"),
        "right": (made.right, "mean", 1, " points"),
    }
    return {
        f"{key}_{name}": _shown(paired_difference(of(*a), of(*b), statistic), digits, unit)
        for name, (of, statistic, digits, unit) in measures.items()
        if name in wanted
    }


def _shown(found: Interval, digits: int, unit: str) -> str:
    return style.interval(found, digits, unit, signs=True)


def _separated(made: Runs) -> dict[str, str]:
    """What length and augmentation change, alone: of the seed that all were made of."""
    found = {}
    for arch in ORIGINALS:
        (row,) = made.rows(arch, "longer")
        for a, b in (("longer", "plain"), ("augmented", "plain"), ("improved", "longer")):
            key, first, second = f"{arch}_{a}_{b}", (arch, a, row["seed"]), (arch, b, row["seed"])
            found |= _differences(key, made, first, second, ("mean", "median"))
            if "longer" in (a, b):
                wrong = paired_difference(made.wrong(*first), made.wrong(*second))
                found[f"{key}_wrong"] = _shown(wrong, 1, " points")
                precise = made.errors_where_right(*first), made.errors_where_right(*second)
                difference = paired_difference(*precise, statistic="nanmedian")
                found[f"{key}_precise"] = _shown(difference, 2, " px")
    return found


def _centred(made: Runs) -> dict[str, str]:
    """Coordinates from the middle of the image, against those in pixels."""
    found = _differences("centred", made, ("xy", "centred"), ("xy", "plain"))
    for variant in ("plain", "centred"):
        errors = made.errors("xy", variant)
        found[f"{variant}_xy_median"] = f"{np.median(errors):.2f} px"
        train = [test["center_error_px"]["mean"] for test in made.split("xy", variant, "train")]
        found[f"{variant}_xy_train"] = style.spread(train, 1, " px")
        validation = [seed[-1]["val_mean_px"] for seed in made.history("xy", variant)]
        found[f"{variant}_xy_validation"] = style.spread(validation, 1, " px")
        first = [seed[0]["train_loss"] for seed in made.history("xy", variant)]
        found[f"{variant}_xy_first_loss"] = f"{np.mean(first):,.0f}"
    (train,) = made.split("xy", "longer", "train")
    found["longer_xy_train"] = f"{train['center_error_px']['mean']:.1f} px"
    found["longer_xy_mean"] = f"{made.errors('xy', 'longer').mean():.1f} px"
    found["centred_xy_mean"] = f"{made.errors('xy', 'centred').mean():.1f} px"
    return found


def _rounded(value: float | None, digits: int) -> float | str:
    return "" if value is None else round(value, digits)


def long_table(summary: dict, runs: dict) -> list[list]:
    """A row for each run and its weights, the best on validation and the last."""
    names = ("median", "mean", "p95", "rmse")
    head = ["run", "head", "variant", "epochs", "seed", "weights", *(f"{n}_px" for n in names)]
    rows: list[list] = [[*head, "right", "wrong", "nowhere", "median_px_where_right", "r2"]]
    for row in summary["rows"]:
        about = [row[key] for key in ("run", "arch", "variant", "epochs", "seed")]
        for weights, test in (("best", row["test"]), ("final", row["final"])):
            rates = [test[f"{name}_rate"] for name in ("right", "wrong", "nowhere")]
            errors = [_rounded(test["center_error_px"][name], 3) for name in names]
            where_right = _rounded(test["center_error_px_right"]["median"], 3)
            score = _rounded(test["r2"], 4)
            rows.append([*about, weights, *errors, *rates, where_right, score])
    return rows
