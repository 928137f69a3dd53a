"""Results as text for a terminal."""

from typing import Any

from rectloc_tf.registry import SOURCES
from rectloc_tf.results.metrics import PICK_RADIUS

_COLUMNS = (
    ("split", "{:<10}"), ("set", "{:>6}"), ("images", "{:>6}"), ("MSE", "{:>9}"),
    ("R2", "{:>7}"), ("median px", "{:>9}"), ("mean px", "{:>8}"), ("p95 px", "{:>7}"),
    ("right", "{:>7}"), ("wrong", "{:>7}"), ("nowhere", "{:>7}"),
)  # fmt: skip


def format_result(result: dict[str, Any]) -> str:
    """The table of a `result.json` or of `evaluate`: a line a split and set of images."""
    # Older results are all of scenes, and do not say so.
    words = SOURCES[result["config"].get("source", "scenes")].words
    template = "  ".join(width for _, width in _COLUMNS)
    names = [words.set if name == "set" else name for name, _ in _COLUMNS]
    lines = [template.format(*names)]
    for split, sets in result["splits"].items():
        for name, metrics in sets.items():
            errors = metrics["center_error_px"]
            cells = (
                split, name, metrics["num_images"],
                _number(metrics["mse"], 2), _number(metrics["r2"], 3),
                *(_number(errors[k], 2) for k in ("median", "mean", "p95")),
                *(_number(metrics[f"{k}_rate"], 1, "%") for k in ("right", "wrong", "nowhere")),
            )  # fmt: skip
            lines.append(template.format(*cells))
    right = f"right: within {PICK_RADIUS:g} px of the {words.truth}"
    lines.append(f"{words.error}s in {words.unit}; {right}")
    if result["epochs"] is not None:
        rate = result["images_per_second"]
        speed = f" at {rate:.0f} images/s" if rate else ""
        lines.append(f"trained for {result['epochs']} epochs in {result['seconds']:.0f} s{speed}")
    return "\n".join(lines)


def _number(value: float | None, digits: int, kind: str = "f") -> str:
    return "-" if value is None else f"{value:.{digits}{kind}}"
