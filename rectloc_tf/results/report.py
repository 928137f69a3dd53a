"""Results as text for a terminal."""

from typing import Any

_COLUMNS = (
    ("split", "{:<10}"), ("domain", "{:>6}"), ("images", "{:>6}"), ("MSE", "{:>9}"),
    ("R2", "{:>7}"), ("median px", "{:>9}"), ("mean px", "{:>8}"), ("p95 px", "{:>7}"),
    ("right", "{:>7}"), ("wrong", "{:>7}"), ("nowhere", "{:>7}"),
)  # fmt: skip


def format_result(result: dict[str, Any]) -> str:
    """The table of a `result.json` or of `evaluate`: a line a split and domain.

    Errors are in pixels of the 224 frame, whatever size the network works at.
    """
    template = "  ".join(width for _, width in _COLUMNS)
    lines = [template.format(*(name for name, _ in _COLUMNS))]
    for split, domains in result["splits"].items():
        for domain, metrics in domains.items():
            errors = metrics["center_error_px"]
            cells = (
                split, domain, metrics["num_images"],
                _number(metrics["mse"], 2), _number(metrics["r2"], 3),
                *(_number(errors[k], 2) for k in ("median", "mean", "p95")),
                *(_number(metrics[f"{k}_rate"], 1, "%") for k in ("right", "wrong", "nowhere")),
            )  # fmt: skip
            lines.append(template.format(*cells))
    lines.append("centre errors in px of 224; right: within 16 px of the largest one's centre")
    if result["epochs"] is not None:
        rate = result["images_per_second"]
        speed = f" at {rate:.0f} images/s" if rate else ""
        lines.append(f"trained for {result['epochs']} epochs in {result['seconds']:.0f} s{speed}")
    return "\n".join(lines)


def _number(value: float | None, digits: int, kind: str = "f") -> str:
    return "-" if value is None else f"{value:.{digits}{kind}}"
