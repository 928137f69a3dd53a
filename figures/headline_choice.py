"""What errors are made of: the wrong rectangle, or a place off the right one."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from figures import style
from figures.answered import Answered, stacked
from figures.headline_runs import Runs
from figures.noise import (
    Chosen,
    Prediction,
    match_sigma,
    predict_wrong,
    right_where_chosen,
    wrong_at,
    wrong_curves,
)
from rectloc_tf.experiments.headline import HEADS
from rectloc_tf.experiments.plan import COMPARED, DOMAIN
from rectloc_tf.geometry import areas, centers
from rectloc_tf.results.choice import area_ratios, expected_right, fit_sigma
from rectloc_tf.results.data_files import read_json
from rectloc_tf.results.drawing import new_figure
from rectloc_tf.results.intervals import (
    Interval,
    bootstrap,
    paired_difference,
    percentiles,
    resample,
)
from rectloc_tf.results.metrics import PICK_RADIUS

EDGES = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)  # of area ratios
NEAR_TIE = 0.95
CLEAR = 0.5  # area ratios below it leave no doubt
# Each kind of training: which of the summary's lengths it has, and whether it is augmented.
TRAININGS = {
    "short": ("short_epochs", False),
    "plain": ("plain_epochs", False),
    "augmented": ("plain_epochs", True),
    "longer": ("epochs", False),
    "improved": ("epochs", True),
}
CONFIDENT = ("deconv", "score_map")
MATCHED_ALONE = ("deconv",)  # heads whose sigma is matched on each number of rectangles too
LABELS = {"xy": (-10, 5), "deconv": (5, -12)}  # places of a point's label, in points
DROPPED = 0.1  # the least certain share of the answers


def chosen_of(answers: list[Answered]) -> Chosen:
    """Answers of several runs to the same scenes, as the noise model needs them."""
    right = right_where_chosen(stacked(answers, lambda a: a.chosen))
    return Chosen(right, wrong_curves(answers[0].rectangles))


def share_of(part: np.ndarray, whole: np.ndarray) -> Interval:
    """The interval of sum(part) / sum(whole), both float [S, N], 0 or more."""

    def measure(pictures, runs):
        each = (np.einsum("rn,sn->rs", pictures, values) for values in (part, whole))
        sums = ((values * runs[0]).sum(axis=1) for values in each)
        return np.divide(*sums)

    return percentiles(*resample(measure, whole.shape[1], [len(whole)], 10_000, 0))


def beside_segment(points: np.ndarray, rectangles: np.ndarray) -> np.ndarray:
    """Whether points [N, 2] are within 16 px of the line between the two largest's centres."""
    places = centers(rectangles)
    start, along = places[:, 0], places[:, 1] - places[:, 0]
    part = ((points - start) * along).sum(axis=1) / np.maximum((along**2).sum(axis=1), 1e-9)
    nearest = start + np.clip(part, 0, 1)[:, None] * along
    return np.linalg.norm(points - nearest, axis=1) <= PICK_RADIUS


def dropped(confidence: np.ndarray, share: float = DROPPED) -> np.ndarray:
    """Which answers are dropped, the least certain: bool [N]; of equal ones the first."""
    lowest = np.argsort(confidence, kind="stable")[: round(share * len(confidence))]
    which = np.zeros(len(confidence), bool)
    which[lowest] = True
    return which


def own_domain(results_dir: Path) -> Callable[[str, int], list[Answered]]:
    """Answers of short runs, by head and by the number of rectangles trained and tested on."""
    summary = read_json(results_dir / "cross_domain.json")

    def answers(arch: str, domain: int) -> list[Answered]:
        wanted = (arch, domain, domain, True)
        names = [
            row["run"]
            for row in summary["rows"]
            if (row["arch"], row["trained"], row["tested"], row["in_matrix"]) == wanted
        ]
        runs = {name: read_json(results_dir / "runs" / f"{name}.json") for name in names}
        return [Answered(run, name, domain, results_dir) for name, run in runs.items()]

    return answers


def predictions(results_dir: Path, arch: str) -> dict[int, Prediction]:
    """Wrong shares of networks trained and tested on 2, 4 and 5, by a sigma matched on 3.

    None if these networks were not made.
    """
    if not (results_dir / "cross_domain.json").exists():
        return {}
    answers = own_domain(results_dir)
    fit = match_sigma(chosen_of(answers(arch, DOMAIN)))
    return {d: predict_wrong(fit, chosen_of(answers(arch, d))) for d in (2, 4, 5)}


def numbers(made: Runs, results_dir: Path) -> dict[str, str]:
    """Shares of the mean error, sigmas, predictions, and what confidence says."""
    found = {}
    for arch in HEADS:
        for variant in ("short", "plain", "improved"):
            answers = made.answers(arch, variant)
            key = f"{variant}_{arch}"
            found[f"{key}_sigma"] = style.interval(match_sigma(chosen_of(answers)).interval, 3)
        for variant in ("plain", "improved"):
            answers = made.answers(arch, variant)
            errors, chosen = made.errors(arch, variant), stacked(answers, lambda a: a.chosen)
            for name, which in (("wrong", chosen > 0), ("nowhere", chosen < 0)):
                share = share_of(100 * errors * which, errors)
                found[f"{variant}_{arch}_{name}_share"] = style.interval(share, 0, " %")
    if (results_dir / "cross_domain.json").exists():
        found |= _domains(results_dir)
    return found | _between(made) | _agreement(made) | _confidence(made)


def _domains(results_dir: Path) -> dict[str, str]:
    found, answers = {}, own_domain(results_dir)
    for arch in COMPARED:
        for d, each in predictions(results_dir, arch).items():
            for name in ("predicted", "observed"):
                found[f"{arch}_{d}_{name}"] = f"{100 * getattr(each, name).value:.1f} %"
            gap = Interval(*(100 * v for v in (each.gap.value, each.gap.low, each.gap.high)))
            found[f"{arch}_{d}_gap"] = style.interval(gap, 1, " points", signs=True)
        for d in (2, 3, 4, 5):
            chosen = stacked(answers(arch, d), lambda a: a.chosen)
            found[f"{arch}_{d}_nowhere"] = f"{100 * (chosen < 0).mean():.1f} %"
            if arch in MATCHED_ALONE:
                sigma = match_sigma(chosen_of(answers(arch, d))).interval
                found[f"{arch}_{d}_sigma"] = style.interval(sigma, 3)
                ties = area_ratios(answers(arch, d)[0].rectangles) >= NEAR_TIE
                found[f"ties_{d}"] = f"{100 * ties.mean():.1f} %"
    # The most probable sigma, which the least expected answers pull up.
    answered = answers("deconv", DOMAIN)
    right = chosen_of(answered).right
    log_areas = np.log(areas(answered[0].rectangles))
    likeliest = fit_sigma(log_areas, right)
    found["likeliest_sigma"] = f"{likeliest:.3f}"
    found["likeliest_wrong"] = f"{100 - 100 * expected_right(log_areas, likeliest):.1f} %"
    clear = area_ratios(answered[0].rectangles) < CLEAR
    found["clear_wrong"] = str(int((right[:, clear] == 0).sum()))
    found["all_wrong"] = str(int((right == 0).sum()))
    found["likeliest_sigma_unclear"] = f"{fit_sigma(log_areas[~clear], right[:, ~clear]):.3f}"
    found["deconv_3_observed"] = f"{100 - 100 * np.nanmean(right):.1f} %"
    return found


def _between(made: Runs) -> dict[str, str]:
    """How many of coordinates' answers nowhere are between the two largest rectangles."""
    found = {}
    for variant in ("plain", "improved"):
        beside, shuffled, ties = [], [], []
        for answered in made.answers("xy", variant):
            which = np.flatnonzero(answered.chosen < 0)
            points, rectangles = answered.points[which], answered.rectangles[which]
            others = np.roll(points, 1, axis=0)  # another image's answer nowhere
            beside += beside_segment(points, rectangles).tolist()
            shuffled += beside_segment(others, rectangles).tolist()
            ties += (area_ratios(rectangles) >= 0.8).tolist()
        for name, values in (("", beside), ("_shuffled", shuffled), ("_ties", ties)):
            found[f"{variant}_between{name}"] = f"{100 * np.mean(values):.0f} %"
    return found


def _agreement(made: Runs) -> dict[str, str]:
    wrong = made.chosen("deconv", "plain") > 0
    return {
        "wrong_by_any": str(int(wrong.any(axis=0).sum())),
        "wrong_by_all": str(int(wrong.all(axis=0).sum())),
    }


def _confidence(made: Runs) -> dict[str, str]:
    def least_certain(answered: Answered) -> np.ndarray:
        assert answered.confidence is not None  # maps have one
        return dropped(answered.confidence)

    found = {}
    for arch in CONFIDENT:
        for variant in ("plain", "improved"):
            right = made.right(arch, variant)
            gone = stacked(made.answers(arch, variant), least_certain)
            kept = np.where(gone, np.nan, right)
            gain = paired_difference(kept, right, "nanmean", paired_seeds=True)
            key = f"{variant}_{arch}"
            found[f"{key}_kept"] = f"{np.nanmean(kept):.1f} %"
            found[f"{key}_gain"] = style.interval(gain, 1, " points", signs=True)
            caught = gone[right == 0].mean()
            found[f"{key}_caught"] = f"{100 * caught:.0f} %"
    return found


def draw(summary: dict, made: Runs, results_dir: Path) -> Figure:
    """Right answers by area ratio, the model's predictions, and both sides of training."""
    figure = new_figure(style.WIDTH, 7.2)
    grid = figure.add_gridspec(2, 1)
    upper, lower = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    for axis, variant in zip(upper.subplots(1, 2, sharey=True), ("plain", "improved"), strict=True):
        _draw_ratios(axis, made, variant)
    upper.axes[0].set_ylabel("right, % of all answers")
    looks = [style.HEADS[arch] for arch in HEADS]
    handles = [Line2D([], [], color=h.color, marker=h.marker, label=h.title) for h in looks]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    predicted, sigma, precision = lower.subplots(1, 3)
    _draw_predictions(predicted, results_dir)
    _draw_training(sigma, precision, made)
    lengths = [(summary[length], augmented) for length, augmented in TRAININGS.values()]
    names = [f"{epochs} +\naugm." if augmented else epochs for epochs, augmented in lengths]
    for axis in (sigma, precision):
        axis.set_xticks(range(len(names)), names, fontsize=8)
    return figure


def _draw_ratios(axis, made: Runs, variant: str) -> None:
    for shift, arch in zip((-0.006, 0, 0.006), HEADS, strict=True):
        _, color, marker = style.HEADS[arch]
        answers = made.answers(arch, variant)
        ratios, right = area_ratios(answers[0].rectangles), made.right(arch, variant)
        bins = [(low <= ratios) & (ratios <= high) for low, high in pairwise(EDGES)]
        places = [ratios[which].mean() + shift for which in bins]
        values, lows, highs = np.transpose([_triple(right[:, which]) for which in bins])
        axis.errorbar(places, values, [values - lows, highs - values], fmt=marker, color=color,
                      ms=5, lw=1)  # fmt: skip
        chosen = chosen_of(answers)
        sigma = match_sigma(chosen, resamples=1).sigma
        wrong = wrong_at(chosen.wrong, sigma)
        order = np.argsort(ratios)
        window = np.ones(60) / 60
        curve = np.convolve(np.take(wrong, order), window, "valid")
        axis.plot(np.convolve(ratios[order], window, "valid"), 100 - 100 * curve, color=color, lw=1)
    axis.set(xlim=(0.5, 1.005), ylim=(0, 103), title=variant)
    axis.set_xlabel("area of the second largest / of the largest")
    axis.grid(alpha=0.3)


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    found = bootstrap(values)
    return found.value, found.low, found.high


def _draw_predictions(axis, results_dir: Path) -> None:
    for arch in COMPARED:
        _, color, marker = style.HEADS[arch]
        for d, each in predictions(results_dir, arch).items():
            x, y = 100 * each.predicted.value, 100 * each.observed.value
            bars = [
                np.abs([[value - 100 * found.low], [100 * found.high - value]])
                for value, found in ((x, each.predicted), (y, each.observed))
            ]
            axis.errorbar(x, y, bars[1], bars[0], fmt=marker, color=color, ms=5, lw=1)
            axis.annotate(
                str(d), (x, y), xytext=LABELS[arch], textcoords="offset points", fontsize=9
            )
    axis.plot([0, 15], [0, 15], color="black", lw=0.8)
    axis.set(xlim=(0, 15), ylim=(0, 15), aspect="equal")
    axis.set(xlabel="wrong, predicted, %", ylabel="wrong, observed, %")
    axis.grid(alpha=0.3)


def _draw_training(sigma_axis, precision_axis, made: Runs) -> None:
    for shift, arch in zip((-0.12, 0, 0.12), HEADS, strict=True):
        _, color, marker = style.HEADS[arch]
        for place, variant in enumerate(TRAININGS):
            answers = made.answers(arch, variant)
            if not answers:
                continue
            precise = stacked(answers, lambda a: a.errors_where_right)
            for axis, found in (
                (sigma_axis, match_sigma(chosen_of(answers)).interval),
                (precision_axis, bootstrap(precise, "nanmedian")),
            ):
                bars = np.abs([[found.value - found.low], [found.high - found.value]])
                hollow = "none" if len(answers) == 1 else color
                axis.errorbar(place + shift, found.value, bars, fmt=marker, color=color, ms=5,
                              lw=1, mfc=hollow)  # fmt: skip
    for axis in (sigma_axis, precision_axis):
        axis.set_xlabel("epochs")
        axis.grid(alpha=0.3)
    sigma_axis.set(ylim=(0, None), ylabel="noise sigma")
    precision_axis.set(yscale="log", ylabel="median error where right, px", yticks=[0.5, 1, 2, 5])
    precision_axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    precision_axis.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
