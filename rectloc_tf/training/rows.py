"""The rows of `history.csv`: what a validation adds to a run's history."""

from typing import Any

import numpy as np
import tensorflow as tf

from rectloc_tf.config import RunConfig
from rectloc_tf.registry import Words
from rectloc_tf.training.progress import format_seconds
from rectloc_tf.training.state import TrainState

NAN = float("nan")


def is_due(run: RunConfig, step: int, last: int) -> bool:
    """Whether a row is due after `step` steps, if the previous one came after `last`."""
    if step == last:
        return False
    return step == run.total_steps or run.validations_due(step) > run.validations_due(last)


def steps_to_next(run: RunConfig, step: int, last: int, most: int) -> int:
    """Steps from `step` to the next row, `most` at most; see `is_due`."""
    return next((n for n in range(1, most) if is_due(run, step + n, last)), most)


def make_row(
    state: TrainState, run: RunConfig, epoch: float, metrics: dict[str, Any]
) -> dict[str, float]:
    """A row for the current state of a run; NaN for values its head does not have.

    Args:
        state: after the row's last step.
        run: what is trained.
        epoch: epochs done; whole ones, unless the run's length is in steps.
        metrics: of the validation split, see `results.evaluation`; errors in px of the source's.
    """
    errors = metrics["center_error_px"]
    train_loss, *zero_map_loss = state.mean_losses()
    return {
        "epoch": epoch,
        "step": int(state.step),
        "learning_rate": float(tf.convert_to_tensor(state.optimizer.learning_rate)),
        "train_loss": train_loss,
        "zero_map_loss": zero_map_loss[0] if zero_map_loss else NAN,
        "val_loss": _number(metrics["loss"]),
        "val_zero_map_loss": _number(metrics["empty_loss"]),
        "val_r2": _number(metrics["r2"]),
        "val_median_px": _number(errors["median"]),
        "val_mean_px": _number(errors["mean"]),
        "val_p95_px": _number(errors["p95"]),
        "val_right_rate": _number(metrics["right_rate"]),
        "val_wrong_rate": _number(metrics["wrong_rate"]),
        "val_nowhere_rate": _number(metrics["nowhere_rate"]),
        "seconds": float(state.seconds),
        "images_per_second": state.images_per_second(run.batch_size),
        **({"val_pck": _number(metrics["pck"]["share"])} if "pck" in metrics else {}),
    }


def describe(row: dict[str, float], run: RunConfig, words: Words) -> str:
    """A row of a run as a line for people; `words` are its source's."""
    done = int(row["step"]) if run.steps else int(row["epoch"])
    hits = f"right {row['val_right_rate']:.1%}"
    if "val_pck" in row:
        hits = f"PCK {row['val_pck']:.1%}"
    return (
        f"{run.unit} {done}/{run.length}: "
        f"{loss_text(row['train_loss'], row['zero_map_loss'])}, "
        f"validation {_digits(row['val_loss'])}, "
        f"{words.error} {row['val_median_px']:.1f} px median, {row['val_mean_px']:.1f} px mean, "
        f"{hits}, {row['images_per_second']:.0f} images/s"
    )


def describe_step(
    state: TrainState, run: RunConfig, losses: list[float], row_seconds: float
) -> tuple[str, float]:
    """The line that is rewritten while a run trains, and the seconds that are left of it.

    Args:
        state: after the step.
        run: what is trained.
        losses: of the step.
        row_seconds: time of a checkpoint, a validation and a row.
    """
    step, rate = int(state.step), state.images_per_second(run.batch_size)
    steps_left = run.total_steps - step
    steps_a_row = run.validate_steps or run.validate_every * run.num_train / run.batch_size
    rows_left = steps_left / max(steps_a_row, 1.0)
    in_run = steps_left * run.batch_size / rate + rows_left * row_seconds
    begin, end = "", f"  run ends in {format_seconds(in_run)}"
    if not run.steps:
        seen = step * run.batch_size
        epoch = min(seen // run.num_train + 1, run.epochs)
        in_epoch = max((epoch * run.num_train - seen) / rate, 0)
        begin = f"epoch {epoch}/{run.epochs}  "
        end = f"  epoch ends in {format_seconds(in_epoch)}  run in {format_seconds(in_run)}"
    text = f"step {step}/{run.total_steps}  {loss_text(*losses)}  {rate:.0f} images/s"
    return begin + text + end, in_run


def loss_text(loss: float, empty_loss: float = NAN) -> str:
    """A loss and, if known, that of an empty map."""
    nothing = f" (empty map {_digits(empty_loss)})" if np.isfinite(empty_loss) else ""
    return f"loss {_digits(loss)}{nothing}"


def _digits(loss: float) -> str:
    """A loss in a few digits, whatever its unit: 193.7, 0.042."""
    return f"{loss:.1f}" if abs(loss) >= 10 else f"{loss:.3g}"


def _number(value: float | None) -> float:
    return NAN if value is None else value
