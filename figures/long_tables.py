"""Columns that the long tables (CSV) share."""

from collections.abc import Mapping

METRICS = ("mean px", "median px", "right", "wrong", "nowhere", "ln MSE")


def metrics_columns(metrics: Mapping) -> list[float | None]:
    """The values of `METRICS`, rounded to four digits after the point; shares from 0 to 1.

    None, an empty cell, is of a head whose loss is no mean squared error.
    """
    error = metrics["center_error_px"]
    values = [error["mean"], error["median"]]
    values += [metrics[f"{name}_rate"] for name in ("right", "wrong", "nowhere")]
    return [None if v is None else round(v, 4) for v in (*values, metrics["ln_mse"])]
