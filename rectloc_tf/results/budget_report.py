"""What the trainings of a label budget say: numbers, a table, one paragraph, and a figure.

What is kept of a training, as JSON values: arch, num_labelled, num_train, fold and seed; keypoints,
their K names; images, what its I tested ones are called; errors_px, I rows of K numbers or None.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

from rectloc_tf.registry import HEADS
from rectloc_tf.results.data_files import write_json, write_text
from rectloc_tf.results.drawing import keypoint_colors, log_pixels, new_figure
from rectloc_tf.results.intervals import Interval
from rectloc_tf.results.learning_curve import FARTHEST, FEWEST_SIZES, MeasuredErrors, fit_curve
from rectloc_tf.results.markdown import markdown
from rectloc_tf.results.output_files import atomic_path

_UNUSUAL = 4  # times a keypoint's usual error, from which on a training has not learnt it
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")


def write(
    folder: Path,
    kept: Sequence[Mapping[str, Any]],
    runs: Collection[tuple[str, int]],
    whole: int,
    more: int,
) -> str:
    """Writes label_budget.json, .md and .png.

    Args:
        folder: where.
        kept: of every training that has ended.
        runs: fold and seed of all trainings of a size, ended or not.
        whole: images that are labelled by now.
        more: images that may be labelled next.

    Returns:
        What there is to print: the table, the paragraph, and where the files are.
    """
    names = kept[0]["keypoints"]
    by_head = {
        arch: collect([one for one in kept if one["arch"] == arch], runs)
        for arch in dict.fromkeys(one["arch"] for one in kept)
    }
    measured = {arch: errors for arch, errors in by_head.items() if errors is not None}
    if not measured:
        return "no size has been trained on every fold and seed yet"
    heads = {arch: summarise(errors, names, whole, more) for arch, errors in measured.items()}
    text = paragraph(heads, whole, more)
    rows = table(heads)
    steps, size = kept[0]["config"]["steps"], kept[0]["config"]["image_size"]
    how = (
        f"{steps} steps each at {size} px, final weights; each mean is over {len(runs)} trainings "
        "(folds and seeds), each tested on images of its own."
    )
    write_json(
        folder / "label_budget.json",
        {
            "schema": 1,
            "num_labelled": whole,
            "more_labels": more,
            "keypoints": names,
            "steps": steps,
            "image_size": size,
            "trainings": [
                {name: one[name] for name in ("arch", "num_labelled", "num_train", "fold", "seed")}
                | {"seconds": one["seconds"], "machine": one["machine"]}
                for one in kept
            ],
            "heads": heads,
            "text": text,
        },
    )
    write_text(folder / "label_budget.md", f"# Label budget\n\n{text}\n\n{rows}\n\n{how}\n")
    figure = draw(measured, names, (whole, whole + more), best_head(heads))
    with atomic_path(folder / "label_budget.png") as temporary:
        figure.savefig(temporary, dpi=120)
    files = ", ".join(f"{folder}/label_budget.{end}" for end in ("png", "md", "json"))
    return f"{rows}\n\n{text}\n\n{how}\n{files}"


def collect(
    kept: Sequence[Mapping[str, Any]], runs: Collection[tuple[str, int]]
) -> MeasuredErrors | None:
    """The errors of one head's trainings.

    Args:
        kept: of each training that has ended.
        runs: fold and seed of all trainings of a size.

    Returns:
        Those of the sizes that every fold and seed has been trained on; None if there is none.
    """
    by_size: dict[int, dict[tuple[str, int], Mapping[str, Any]]] = {}
    for one in kept:
        by_size.setdefault(one["num_labelled"], {})[one["fold"], one["seed"]] = one
    sizes = sorted(size for size, found in by_size.items() if {*runs} <= found.keys())
    if not sizes:
        return None
    places = {name: i for i, name in enumerate(sorted({n for one in kept for n in one["images"]}))}
    shape = len(runs), len(sizes), len(places), len(kept[0]["keypoints"])
    values = np.full(shape, np.nan)
    for m, size in enumerate(sizes):
        for r, run in enumerate(sorted(runs)):
            one = by_size[size][run]
            rows = [places[name] for name in one["images"]]
            values[r, m, rows] = np.array(one["errors_px"], float)  # None is NaN
    return MeasuredErrors(np.array(sizes), values)


def summarise(measured: MeasuredErrors, names: Sequence[str], whole: int, more: int) -> dict:
    """What one head's errors say, as JSON values.

    Args:
        measured: its errors.
        names: of the K keypoints.
        whole: images that are labelled by now.
        more: images that may be labelled next.

    Returns:
        measured: a row for each size: num_labelled, mean_px and its interval, median_px and
        keypoint_mean_px. not_learnt: for each keypoint in how many trainings its error is
        unusual, without those where in none. If there are enough sizes and trainings also
        predicted: the same for numbers that were not measured, up to FARTHEST times the largest
        that was; and checked: what the curve of the smaller sizes predicts for the largest, if
        they are enough, and whether that agrees with what was measured.
    """
    rows = [
        {
            "num_labelled": int(size),
            "mean_px": _as_json(measured.interval(m)),
            "median_px": float(measured.medians[m]),
            "keypoint_mean_px": _by_name(names, measured.keypoint_means[m]),
        }
        for m, size in enumerate(measured.sizes)
    ]
    found: dict[str, Any] = {"measured": rows, "not_learnt": not_learnt(measured, names)}
    sizes = measured.sizes.tolist()
    if not _has_curve(measured):
        return found
    curve = fit_curve(measured)
    wanted = [n for n in sorted({whole, whole + more} - {*sizes}) if n <= FARTHEST * sizes[-1]]
    found["predicted"] = [{"num_labelled": n, "mean_px": _as_json(curve.at(n))} for n in wanted]
    smaller = measured.up_to(sizes[-1] // 2)
    if len(smaller.sizes) < FEWEST_SIZES:
        smaller = measured.up_to(sizes[-2])
    if len(smaller.sizes) >= FEWEST_SIZES:
        predicted = fit_curve(smaller).at(sizes[-1])
        agrees = _agrees(predicted, float(measured.means[-1]), measured.run_variance())
        checked = {"from": int(smaller.sizes[-1]), "mean_px": _as_json(predicted)}
        found["checked"] = {**checked, "agrees": agrees}
    return found


def not_learnt(measured: MeasuredErrors, names: Sequence[str]) -> dict[str, int]:
    """In how many trainings the mean error of a keypoint is _UNUSUAL times its median over all."""
    each = measured.mean_over(2).reshape(-1, len(names))  # [trainings, K]
    found = {}
    for name, errors in zip(names, each.T, strict=True):
        errors = errors[np.isfinite(errors)]
        if len(errors) and (many := int((errors > _UNUSUAL * np.median(errors)).sum())):
            found[name] = many
    return found


def _agrees(predicted: Interval, mean: float, variance: float) -> bool:
    """Whether a mean error is where it was predicted, as far as both are known.

    Args:
        predicted: with its interval.
        mean: that was measured.
        variance: of its logarithm from run to run; the images are those of the prediction.
    """
    end = predicted.high if mean > predicted.value else predicted.low
    apart, known = np.log(mean / predicted.value), np.log(end / predicted.value)
    return bool(abs(apart) <= np.hypot(known, 1.96 * np.sqrt(variance)))


def _has_curve(measured: MeasuredErrors) -> bool:
    return len(measured.sizes) >= FEWEST_SIZES and len(measured.values) > 1


def _as_json(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    return {n: None if v != v else v for n, v in zip(names, values.tolist(), strict=True)}


def best_head(heads: Mapping[str, Mapping[str, Any]]) -> str:
    """The head with the least mean error at the largest size that all were measured at.

    Without such a size, each counts at its own largest.
    """
    sizes = [{row["num_labelled"] for row in found["measured"]} for found in heads.values()]
    common = max(set.intersection(*sizes), default=0)
    return min(heads, key=lambda name: _at(heads[name], common)["mean_px"]["value"])


def _at(found: Mapping[str, Any], size: int) -> Mapping[str, Any]:
    """A head's measured row at a size, or at its largest."""
    rows = found["measured"]
    return next((row for row in rows if row["num_labelled"] == size), rows[-1])


def _compared(theirs: Mapping[str, Any], number: int) -> str:
    """Another head's error at a size, or at its own largest, which is then named."""
    row = _at(theirs, number)
    size = row["num_labelled"]
    return _px(row) + ("" if size == number else f" with {size} labelled images")


def table(heads: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table: a row for each head and number of labelled images."""
    numbers = ["labelled images", "mean px", "95 % interval", "median px"]
    lines = []
    for name, found in heads.items():
        rows = [(row, "measured") for row in found["measured"]]
        rows += [(row, "predicted") for row in found.get("predicted", ())]
        for row, how in sorted(rows, key=lambda pair: pair[0]["num_labelled"]):
            mean, median = row["mean_px"], row.get("median_px")
            between = f"{mean['low']:.2f}–{mean['high']:.2f}"
            shown = "" if median is None else f"{median:.2f}"
            lines.append([name, row["num_labelled"], f"{mean['value']:.2f}", between, shown, how])
    return markdown(["head", *numbers, ""], lines, right=numbers)


def paragraph(heads: Mapping[str, Mapping[str, Any]], whole: int, more: int) -> str:
    """One paragraph in words, about the head that did best.

    Args:
        heads: what `summarise` says of each.
        whole, more: as there.
    """
    name = best_head(heads)
    found = heads[name]
    last = found["measured"][-1]
    number, truth = last["num_labelled"], last["mean_px"]["value"]
    parts = [
        f"Trained on {number} labelled images (validation included), {HEADS[name].title} has a "
        f"mean error of {_px(last)} on images that it has not seen."
    ]
    others = (
        f"{HEADS[other].title} {_compared(theirs, number)}"
        for other, theirs in heads.items()
        if other != name
    )
    if listed := ", ".join(others):
        parts.append(f"For comparison: {listed}.")
    predicted = {row["num_labelled"]: row for row in found.get("predicted", ())}
    if whole in predicted:
        parts.append(f"With all {whole}, expect {_px(predicted[whole])}.")
    if more and whole + more in predicted:
        parts.append(f"With {more} more ({whole + more} in all), {_px(predicted[whole + more])}.")
    if "predicted" not in found:
        parts.append(f"It takes {FEWEST_SIZES} sizes or more to say what further labels bring.")
    elif whole > FARTHEST * number:
        parts.append(
            f"That is less than a quarter of the {whole} images that are labelled: too few to "
            "predict the error with all of them."
        )
    if checked := found.get("checked"):
        parts.append(
            f"As a check, the curve through up to {checked['from']} images predicted "
            f"{_px(checked)} for {number}; the {truth:.1f} px that were measured "
            f"{'agree' if checked['agrees'] else 'do not agree'} with that."
        )
    if found["not_learnt"]:
        listed = ", ".join(f"{name} in {count}" for name, count in found["not_learnt"].items())
        parts.append(
            f"Some trainings have hardly learnt a keypoint ({listed}), which widens all intervals: "
            "give them more --steps."
        )
    each = {k: value for k, value in last["keypoint_mean_px"].items() if value is not None}
    if len(each) > 1:
        hardest = max(each, key=lambda keypoint: each[keypoint])
        parts.append(f"The hardest keypoint is {hardest}, at {each[hardest]:.1f} px.")
    return " ".join(parts)


def _px(row: Mapping[str, Any]) -> str:
    mean = row["mean_px"]
    return f"{mean['value']:.1f} px ({mean['low']:.1f}–{mean['high']:.1f})"


def draw(
    measured: Mapping[str, MeasuredErrors],
    names: Sequence[str],
    planned: tuple[int, int],
    best: str,
) -> Figure:
    """Errors against labelled images: of each head with its curve, and of each keypoint.

    Args:
        measured: by head.
        names: of the keypoints.
        planned: images that are labelled by now, and with those that may be labelled next.
        best: the head whose keypoints are shown.
    """
    figure = new_figure(10.5, 4)
    left, right = figure.subplots(1, 2, sharey=True)
    whole, most = planned
    sizes: set[int] = {whole, most}
    for color, (name, errors) in zip(itertools.cycle(_COLORS), measured.items(), strict=False):
        sizes |= {*errors.sizes.tolist()}
        spans = [errors.interval(m) for m in range(len(errors.sizes))]
        bars = [[s.value - s.low for s in spans], [s.high - s.value for s in spans]]
        style = {"fmt": "o", "color": color, "capsize": 3, "label": HEADS[name].title}
        left.errorbar(errors.sizes, errors.means, yerr=bars, **style)
        if _has_curve(errors):
            curve = fit_curve(errors)
            largest = min(most, FARTHEST * errors.sizes[-1])
            places = np.geomspace(errors.sizes[0], largest, 40)
            found = [curve.at(place) for place in places]
            left.plot(places, [f.value for f in found], color=color, linewidth=1)
            low, high = ([getattr(f, end) for f in found] for end in ("low", "high"))
            left.fill_between(places, low, high, color=color, alpha=0.15, linewidth=0)
    left.axvline(whole, color="0.5", linestyle="--", linewidth=1, label=f"labelled now: {whole}")
    left.set(title="Mean error: measured, and the fitted curve (95 %)", ylabel="px of the file")
    chosen = measured[best]
    for k, color in enumerate(0.75 * keypoint_colors(len(names))[:, :3]):  # darker, on white
        style = {"color": color, "marker": "o", "markersize": 3, "linewidth": 1}
        right.plot(chosen.sizes, chosen.keypoint_means[:, k], label=names[k], **style)
    right.set(title=f"Mean error of each keypoint, {HEADS[best].title}")
    log_pixels(left)
    for axis in (left, right):
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(FixedLocator(sorted(sizes)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel("labelled images, validation included")
        axis.grid(alpha=0.3)
    left.legend(fontsize=8)
    right.legend(fontsize=7, ncols=1 + len(names) // 9)
    return figure
