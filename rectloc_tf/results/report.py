"""Results as text for a terminal."""

from collections.abc import Mapping
from typing import Any

from rectloc_tf.registry import SOURCES, Words
from rectloc_tf.results.metrics import PICK_RADIUS

Columns = tuple[tuple[str, str], ...]  # names, and how a cell is written

_START = (("split", "{:<10}"), ("set", "{:>6}"), ("images", "{:>6}"))
_ERRORS = (("median px", "{:>9}"), ("mean px", "{:>8}"), ("p95 px", "{:>7}"))
_RANKED = (
    *_START, ("MSE", "{:>9}"), ("R2", "{:>7}"), *_ERRORS,
    ("right", "{:>7}"), ("wrong", "{:>7}"), ("nowhere", "{:>7}"),
)  # fmt: skip
_OF_KEYPOINTS = (("labels", "{:>6}"), *_ERRORS, ("rmse px", "{:>8}"))
_NAMED = (*_START, *_OF_KEYPOINTS, ("PCK", "{:>7}"), ("OKS", "{:>6}"))
_DETECTED = (
    *_START, ("precision", "{:>9}"), ("recall", "{:>7}"), ("F1", "{:>6}"),
    ("F1 in 5 px", "{:>10}"), ("count error", "{:>11}"),
)  # fmt: skip

Row = tuple[str, str, Mapping[str, Any]]  # split, set, metrics


def format_result(result: dict[str, Any]) -> str:
    """The table of a `result.json` or of `evaluate`: a line a split and set of images.

    For named keypoints there is also a line for each, of the split and set that stand last.
    """
    # Older results are all of scenes, and do not say so.
    words = SOURCES[result["config"].get("source", "scenes")].words
    rows = [
        (split, name, metrics)
        for split, sets in result["splits"].items()
        for name, metrics in sets.items()
    ]
    is_named = any("pck" in metrics for *_, metrics in rows)
    lines = _named_lines(rows, words) if is_named else _ranked_lines(rows, words)
    lengths = [f"{result[unit]} {unit}" for unit in ("epochs", "steps") if result.get(unit)]
    if lengths:
        rate = result["images_per_second"]
        speed = f" at {rate:.0f} images/s" if rate else ""
        lines.append(f"trained for {lengths[0]} in {result['seconds']:.0f} s{speed}")
    return "\n".join(lines)


def _ranked_lines(rows: list[Row], words: Words) -> list[str]:
    lines = [_header(_RANKED, words)]
    for split, name, metrics in rows:
        cells = (
            split, name, metrics["num_images"],
            _number(metrics["mse"], 2), _number(metrics["r2"], 3),
            *_errors(metrics["center_error_px"])[:3],
            *(_number(metrics[f"{k}_rate"], 1, "%") for k in ("right", "wrong", "nowhere")),
        )  # fmt: skip
        lines.append(_line(_RANKED, *cells))
    right = f"right: within {PICK_RADIUS:g} px of the {words.truth}"
    lines.append(f"{words.error}s in {words.unit}; {right}")
    return [*lines, *_detection_lines(rows, words)]


def _detection_lines(rows: list[Row], words: Words) -> list[str]:
    """How many of all points were found, where they are points of one class."""
    rows = [row for row in rows if "detections" in row[2]]
    if not rows:
        return []
    lines = ["", _header(_DETECTED, words)]
    for split, name, metrics in rows:
        found = metrics["detections"]
        shares = (_number(found[k], 1, "%") for k in ("precision", "recall"))
        scores = (_number(found[k], 3) for k in ("f1", "f1_5px"))
        count = _number(found["count_error"], 2)
        lines.append(_line(_DETECTED, split, name, metrics["num_images"], *shares, *scores, count))
    least = rows[0][2]["detections"]["threshold"]
    count = "count error: detections too many or too few per image"
    lines.append(f"detections with a confidence of {least:g} or more; {count}")
    return lines


def _named_lines(rows: list[Row], words: Words) -> list[str]:
    lines = [_header(_NAMED, words)]
    for split, name, metrics in rows:
        labels = sum(metrics["keypoint_labels"].values())
        errors, share = metrics["center_error_px"], metrics["pck"]["share"]
        about = split, name, metrics["num_images"], labels
        oks = metrics.get("oks", {}).get("mean")  # older results have none
        ends = _number(share, 1, "%"), _number(oks, 3)
        lines.append(_line(_NAMED, *about, *_errors(errors), *ends))
    split, _, metrics = rows[-1]
    pck, counts = metrics["pck"], metrics["keypoint_labels"]
    if intervals := metrics.get("error_interval_px"):
        parts = ", ".join(f"{name} {low:.2f}–{high:.2f}" for name, (low, high) in intervals.items())
        lines.append(f"{split}: 95 % intervals over images like these: {parts} px")
    near = f"PCK: within {pck['within']:g} of {pck['of']}"
    if "oks" in metrics:
        near += f"; OKS: sigma {metrics['oks']['sigma']:g}, area of that box"
    lines += [f"{words.error}s in {words.unit} (DeepLabCut calls the mean RMSE); {near}", ""]
    width = max(map(len, (*counts, split)))
    columns = ((split, f"{{:<{width}}}"), *_OF_KEYPOINTS)
    lines.append(_header(columns, words))
    for name, errors in metrics["keypoint_error_px"].items():
        lines.append(_line(columns, name, counts[name], *_errors(errors)))
    return lines


def _line(columns: Columns, *cells: Any) -> str:
    return "  ".join(width for _, width in columns).format(*cells)


def _header(columns: Columns, words: Words) -> str:
    return _line(columns, *(words.set if name == "set" else name for name, _ in columns))


def _errors(errors: Mapping[str, float | None]) -> list[str]:
    return [_number(errors[name], 2) for name in ("median", "mean", "p95", "rmse")]


def _number(value: float | None, digits: int, kind: str = "f") -> str:
    return "-" if value is None else f"{value:.{digits}{kind}}"
