"""Five heads on equal terms, and what they know of places that they were not shown."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from figures import style
from figures.errors import draw_choices, draw_curves
from figures.headline_choice import chosen_of
from figures.headline_runs import Runs
from figures.noise import match_sigma
from figures.style import BENCHMARK
from rectloc_tf.experiments.heads import KINDS, VARIANTS
from rectloc_tf.geometry import FRAME, centers
from rectloc_tf.results.data_files import read_json
from rectloc_tf.results.drawing import new_figure
from rectloc_tf.results.intervals import Interval, bootstrap
from rectloc_tf.results.markdown import markdown

# Suites of the benchmark whose first group "heads, ..." is shown.
SUITES = {"train": "step", "serve": "prediction"}
CELLS = 7  # of the maps of errors, along each side
FEWEST = 3  # images of a cell that is shown
LIMITS = (0.5, 100.0)  # of the maps' colours, px


def _runs(summary: dict, runs: dict, results_dir: Path) -> Runs:
    return Runs(summary, runs, results_dir, kind="who")


def _made(runs: Runs, variant: str) -> list[str]:
    """The kinds of head that have runs, in order."""
    return [who for who in KINDS if runs.has((who, variant))]


def draw(summary: dict, runs: dict, results_dir: Path) -> dict[str, Figure]:
    """Errors and choices of each head, and errors by place."""
    made = _runs(summary, runs, results_dir)
    if not _made(made, "plain"):
        return {}
    figures = {"": _draw_errors(made)}
    if _made(made, "withheld"):
        figures["_places"] = _draw_places(made)
    return figures


def _draw_errors(made: Runs) -> Figure:
    figure = new_figure(style.WIDTH, 3.9)
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    kinds = _made(made, "plain")
    curves = [(made.errors(who, "plain"), _line(who)) for who in kinds]
    draw_curves(left, curves)
    look = {"fontsize": 7, "frameon": False, "handlelength": 1.2}
    left.legend(loc="lower right", bbox_to_anchor=(1, 0.08), **look)
    rows = [(style.title_of(who), made.chosen(who, "plain")) for who in kinds]
    draw_choices(right, rows)
    return figure


def _line(who: str) -> dict[str, str]:
    """How a kind of head is drawn: a variant of a head in that head's colour, dashed."""
    head, dashes = style.HEADS[KINDS[who]["arch"]], "--" if ", " in who else "-"
    return {"ls": dashes, "color": head.color, "label": who}


def by_place(errors: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The median error of each cell of the image, float [CELLS, CELLS]; NaN of too few images.

    Args:
        errors: [S, N], of S runs, in px of 224.
        places: [N, 2], the true points, in px of 224.
    """
    columns, rows = np.clip((places * CELLS / FRAME).astype(int), 0, CELLS - 1).T
    found = np.full((CELLS, CELLS), np.nan)
    for row, column in np.ndindex(CELLS, CELLS):
        here = (rows == row) & (columns == column)
        if here.sum() >= FEWEST:
            found[row, column] = np.median(errors[:, here])
    return found


def _draw_places(made: Runs) -> Figure:
    kinds = _made(made, "withheld")
    figure = new_figure(style.WIDTH, 3.6)
    axes = figure.subplots(len(VARIANTS), len(kinds), squeeze=False)
    shown = None
    for row, variant in zip(axes, VARIANTS, strict=True):
        style.label_row(row[0], {"plain": "all shown", "withheld": "a quarter withheld"}[variant])
        for axis, who in zip(row, kinds, strict=True):
            axis.set(xticks=[], yticks=[])
            if not made.has((who, variant)):
                continue
            truths = centers(made.answers(who, variant)[0].rectangles[:, 0])
            image = by_place(made.errors(who, variant), truths)
            how = {"cmap": "viridis_r", "norm": LogNorm(*LIMITS), "extent": (0, FRAME, FRAME, 0)}
            shown = axis.imshow(image, **how)
            if variant == "withheld":
                quarter = Rectangle((FRAME / 2, FRAME / 2), FRAME / 2, FRAME / 2)
                quarter.set(fill=False, edgecolor=style.ORANGE, linewidth=2)
                axis.add_patch(quarter)
    for axis, who in zip(axes[0], kinds, strict=True):
        axis.set_title(style.title_of(who).replace(", ", ",\n").replace(" (", "\n("), fontsize=8)
    if shown is not None:
        bar = figure.colorbar(shown, ax=axes, shrink=0.8, label="median error, px of 224")
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return figure


def withheld_places(rectangles: np.ndarray) -> np.ndarray:
    """Which scenes have their label in the withheld quarter: bool [N]; rectangles in px of 224."""
    x, y = centers(rectangles[:, 0]).T
    return (x > FRAME / 2) & (y > FRAME / 2)


class Quarter(NamedTuple):
    """How a head does without labels in one quarter, per cent and px: in the others, and there."""

    elsewhere: Interval  # right in the three others
    right: Interval
    wrong: float
    nowhere: float
    median: Interval
    where_right: float  # median error of the right ones
    shown: float  # the same of networks that were trained on all places


def _by_quarter(made: Runs, who: str) -> Quarter | None:
    """In the quarter that was withheld; None if there are no such runs or images."""
    if not made.has((who, "withheld")):
        return None
    there = withheld_places(made.answers(who, "withheld")[0].rectangles)
    if there.all() or not there.any():  # of a few images
        return None
    right, errors = made.right(who, "withheld"), made.errors(who, "withheld")
    wrong = float(made.wrong(who, "withheld")[:, there].mean())
    found = bootstrap(right[:, there])
    near, shown = (
        made.errors_where_right(who, variant)[:, there] if made.has((who, variant)) else np.empty(0)
        for variant in ("withheld", "plain")
    )
    return Quarter(
        elsewhere=bootstrap(right[:, ~there]),
        right=found,
        wrong=wrong,
        nowhere=100 - found.value - wrong,
        median=bootstrap(errors[:, there], "median"),
        where_right=_median_of(near),
        shown=_median_of(shown),
    )


def _median_of(errors: np.ndarray) -> float:
    """The median of those that are not NaN; NaN if there are none."""
    return float(np.nanmedian(errors)) if np.isfinite(errors).any() else np.nan


def _cell(value: float) -> str:
    return "–" if value != value else f"{value:.2f}"


def milliseconds(path: Path) -> dict[tuple[str, str], str]:
    """The time of a training step and of a prediction by head, where they were measured.

    Args:
        path: of the benchmark's report: groups "heads, ..." of its suites `train` and `serve`.

    Returns:
        ("xy", "step") -> "12.3", in milliseconds of a batch as large as the group's name says.
    """
    found: dict[tuple[str, str], str] = {}
    for row in read_json(path)["rows"] if path.exists() else []:
        if row["suite"] in SUITES and row["work"].startswith("heads, "):
            batch_size = int(row["work"].split("batch_size=")[1].split()[0])
            time = 1000 * batch_size / row["images_per_second"]["median"]
            text = f"{time:,.0f}" if time >= 100 else f"{time:.3g}"
            found.setdefault((row["who"], SUITES[row["suite"]]), text)
    return found


def table(summary: dict, runs: dict, results_dir: Path) -> str:
    """A row for each head, all shown; then one for each in the quarter that was withheld."""
    made = _runs(summary, runs, results_dir)
    head = ["head", "median px", "mean px", "right %", "wrong %", "nowhere %"]
    head += ["median px where right", "sigma of the choice", "step, ms", "prediction, ms"]
    lines, times = [], milliseconds(BENCHMARK)
    for who in _made(made, "plain"):
        right, wrong = made.right(who, "plain"), made.wrong(who, "plain")
        cells = [
            style.title_of(who),
            style.interval(bootstrap(made.errors(who, "plain"), "median"), 2),
            style.interval(bootstrap(made.errors(who, "plain")), 1),
            style.interval(bootstrap(right), 1),
            f"{wrong.mean():.1f}",
            f"{100 - right.mean() - wrong.mean():.1f}",
            _cell(_median_of(made.errors_where_right(who, "plain"))),
            style.interval(match_sigma(chosen_of(made.answers(who, "plain"))).interval, 3),
            *(times.get((who, what), "–") for what in SUITES.values()),
        ]
        lines.append(cells)
    return "\n\n".join(filter(None, [markdown(head, lines), _quarter_table(made)]))


def _quarter_table(made: Runs) -> str:
    """A row for each head that was trained without labels in a quarter; empty if none was."""
    head = ["a quarter withheld", "right elsewhere %", "right there %", "wrong there %"]
    head += ["nowhere there %", "median px there", "median px where right there"]
    lines = []
    for who in _made(made, "withheld"):
        if found := _by_quarter(made, who):
            cells = [style.interval(found.elsewhere, 1), style.interval(found.right, 1)]
            cells += [f"{found.wrong:.1f}", f"{found.nowhere:.1f}", style.interval(found.median, 1)]
            lines.append([style.title_of(who), *cells, _cell(found.where_right)])
    return markdown(head, lines) if lines else ""


def numbers(summary: dict, runs: dict, results_dir: Path) -> dict[str, str]:
    """Of each head: right, median and mean error, and the same in the withheld quarter."""
    made = _runs(summary, runs, results_dir)
    found = {f"{who}_{what}_ms": time for (who, what), time in milliseconds(BENCHMARK).items()}
    for who in KINDS:
        key = who.replace(", ", "_")
        found[f"{key}_right"] = style.interval(bootstrap(made.right(who, "plain")), 1, " %")
        found[f"{key}_median"] = style.interval(bootstrap(made.errors(who, "plain"), "median"), 2)
        found[f"{key}_mean"] = style.interval(bootstrap(made.errors(who, "plain")), 1)
        if quarter := _by_quarter(made, who):
            found[f"{key}_shown"] = style.interval(quarter.elsewhere, 1, " %")
            found[f"{key}_withheld"] = style.interval(quarter.right, 1, " %")
            found[f"{key}_withheld_wrong"] = f"{quarter.wrong:.0f} %"
            found[f"{key}_withheld_nowhere"] = f"{quarter.nowhere:.0f} %"
            found[f"{key}_withheld_px"] = f"{quarter.where_right:.1f} px"
            found[f"{key}_shown_px"] = f"{quarter.shown:.1f} px"
    return found
