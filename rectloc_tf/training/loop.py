"""The training loop: one for every strategy, resumable at every step.

A run is a pure function of its `RunConfig`: weights start from the seed, the batch of step t
is a function of (seed, t), and the state saved in a checkpoint is all there is.
"""

import time
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf

from rectloc_tf.config import SPLITS, ExecutionConfig, RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.results import plots
from rectloc_tf.results.evaluation import Evaluator, make_report
from rectloc_tf.results.pictures import predict_scenes, snapshot_epochs
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving.saved_model import load_model
from rectloc_tf.training import initial_weights, run_warnings
from rectloc_tf.training.checkpoints import Checkpointer
from rectloc_tf.training.initial_weights import Weights
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.placement import choose_place
from rectloc_tf.training.progress import ProgressLine, format_seconds
from rectloc_tf.training.runtime import Runtime
from rectloc_tf.training.state import (
    TrainState,
    distributed_batches,
    make_train_step,
)

NUM_SNAPSHOT_SCENES = 8
NUM_STRIP_SCENES = 4
NUM_PICTURED_SCENES = 16
TIMED_STEPS = 5  # before a run's length is judged


class Trainer:
    """Trains one run in one folder; `train` is the way in."""

    def __init__(
        self,
        run: RunConfig,
        execution: ExecutionConfig,
        folder: RunFolder,
        runtime: Runtime,
        stop: StopRequest,
        progress: ProgressLine,
    ):
        self.run, self.execution, self.folder = run, execution, folder
        self.runtime, self.stop, self.progress = runtime, stop, progress
        self.state = TrainState(run, runtime.strategy)
        self.checkpointer = Checkpointer(folder.checkpoints, **vars(self.state))
        self.evaluator = Evaluator(
            self.state.model,
            runtime.strategy,
            runtime.jit,
            execution.renderer,
            self.while_measuring,
        )
        self.writer = tf.summary.create_file_writer(str(folder.tensorboard))
        self.history = []
        self._clock = time.monotonic()
        self._row_seconds = 0.0  # what the last checkpoint, validation and row took

    def restore(self, weights: Weights | None = None) -> None:
        """Takes up the newest readable checkpoint and drops what came after it.

        Without one the run begins, from `weights` if it is to start from another's.
        """
        restored = self.checkpointer.restore_latest(self.warn)
        step = int(self.state.step)
        history = self.folder.read_history()
        self.history = [row for row in history if row["step"] <= step]
        if restored:
            if self.history and self.history[-1]["step"] == step:
                self.state.start_row()  # the row came after the checkpoint
            epoch = self.run.epochs_done(step)
            self.progress.print(f"resuming after step {step}, epoch {epoch} of {self.run.epochs}")
        else:
            initial_weights.require(self.run, weights, self.folder)
            if weights is not None:
                self.state.model.set_weights(weights)
            self.snapshot(0)

    def fit(self) -> None:
        """Runs the remaining steps, with a history row after each `validate_every` epochs."""
        run, state = self.run, self.state
        # A run killed between its checkpoint and the row that belongs to it makes the row now.
        self.finish_row_if_due()
        step_function = make_train_step(run, state, self.runtime.strategy, self.runtime.jit)
        start = int(state.step)
        place, why = choose_place(run, self.execution, self.runtime)
        self.progress.print(f"pictures are drawn on the {place} ({why})")
        drawn, renderer = place == "host", self.execution.renderer
        batches = distributed_batches(run, self.runtime, renderer, start, drawn)
        last_save, mark = time.monotonic(), None  # the first step compiles: not timed
        for batch in batches:
            losses = step_function(batch)
            loss, zero_map_loss = (float(value) for value in losses)
            now = time.monotonic()
            state.add_step(loss, zero_map_loss, mark and now - mark)
            mark = now
            step = int(state.step)
            if not np.isfinite(loss):
                self.fail(f"the loss is {loss} at step {step}")
            if self.progress.due():
                self.show_progress(loss, zero_map_loss)
            if step == start + 1 + TIMED_STEPS:
                rate = state.images_per_second(run.batch_size)
                self.warn(run_warnings.long_run(run, step, rate))
            stopping, waited = bool(self.stop), now - last_save
            if self.row_is_due():
                self.save()
                self.finish_row_if_due()
                last_save = mark = time.monotonic()
                self._row_seconds = mark - now
            elif stopping or waited > 60 * self.execution.checkpoint_minutes:
                self.save()
                last_save = mark = time.monotonic()
            if stopping:
                self.stop.check()

    def warn(self, text: str | None) -> None:
        """Prints a warning, if there is one."""
        if text:
            self.progress.warn(text)

    def fail(self, what: str) -> NoReturn:
        """Ends a run that has diverged."""
        kept = ", the last good checkpoint is kept" if self.folder.has_checkpoint() else ""
        raise UserError(
            f"{self.folder.path}: {what}; stopped{kept}. A lower --learning_rate usually helps"
        )

    def save(self) -> None:
        """Writes a checkpoint, of a state that is worth it: finite weights."""
        # The loss tells of a bad update only at the next step.
        if not all(np.isfinite(weights).all() for weights in self.state.model.get_weights()):
            self.fail(f"the weights are not finite after step {int(self.state.step)}")
        now = time.monotonic()
        self.state.seconds.assign_add(now - self._clock)
        self._clock = now
        self.checkpointer.save(int(self.state.step))

    def row_is_due(self) -> bool:
        """Whether the state stands where a history row belongs, and that row is missing."""
        step, run = int(self.state.step), self.run
        last = int(self.history[-1]["step"]) if self.history else 0
        if step == last:
            return False
        rows = run.epochs_done(step) // run.validate_every
        return step == run.total_steps or rows > run.epochs_done(last) // run.validate_every

    def finish_row_if_due(self) -> None:
        """Validates and writes a history row, a snapshot and, if it is the best, the model."""
        if not self.row_is_due():
            return
        run, state = self.run, self.state
        step, epoch = int(state.step), run.epochs_done(int(state.step))
        metrics = self.evaluator(run.scene, run.targets, run.split_indices("validation"))
        row = self.make_row(step, epoch, metrics)
        best = min((_nan_to_inf(r["val_mean_px"]) for r in self.history), default=np.inf)
        if not self.history or _nan_to_inf(row["val_mean_px"]) < best:
            self.folder.save_model(state.model, self.folder.best_model)
        before = self.history[-1]["epoch"] if self.history else 0
        if any(before < chosen <= epoch for chosen in snapshot_epochs(run.epochs)):
            self.snapshot(epoch)
        self.history.append(row)
        self.folder.write_history(self.history)
        state.start_row()
        self.report_row(row)

    def make_row(self, step: int, epoch: int, metrics: dict[str, Any]) -> dict[str, float]:
        """A row of `history.csv`; errors in px of the 224 frame."""
        state, steps = self.state, int(self.state.row_steps)
        heatmap = self.run.targets.is_heatmap
        errors = metrics["center_error_px"]
        return {
            "epoch": epoch,
            "step": step,
            "learning_rate": float(tf.convert_to_tensor(state.optimizer.learning_rate)),
            "train_loss": float(state.loss_sum) / steps,
            "zero_map_loss": float(state.zero_map_sum) / steps if heatmap else float("nan"),
            "val_loss": _number(metrics["mse"]),
            "val_zero_map_loss": _number(metrics.get("zero_map_mse")),
            "val_r2": _number(metrics["r2"]),
            "val_median_px": _number(errors["median"]),
            "val_mean_px": _number(errors["mean"]),
            "val_p95_px": _number(errors["p95"]),
            "val_right_rate": metrics["right_rate"],
            "val_wrong_rate": metrics["wrong_rate"],
            "val_nowhere_rate": metrics["nowhere_rate"],
            "seconds": float(state.seconds),
            "images_per_second": state.images_per_second(self.run.batch_size),
        }

    def show_progress(self, loss: float, zero_map_loss: float) -> None:
        """The line that is rewritten while an epoch runs."""
        run, state = self.run, self.state
        step = int(state.step)
        rate = state.images_per_second(run.batch_size)
        if not rate > 0:
            return
        seen = step * run.batch_size
        epoch = min(seen // run.num_train + 1, run.epochs)
        in_epoch = (epoch * run.num_train - seen) / rate
        steps_left = run.total_steps - step
        steps_a_row = max(run.validate_every * run.num_train / run.batch_size, 1.0)
        in_run = steps_left * run.batch_size / rate + steps_left / steps_a_row * self._row_seconds
        zero_map = f" (all-black map {zero_map_loss:.1f})" if run.targets.is_heatmap else ""
        self.progress.update(
            f"epoch {epoch}/{run.epochs}  step {step}/{run.total_steps}  loss {loss:.1f}{zero_map}"
            f"  {rate:.0f} images/s  epoch ends in {format_seconds(max(in_epoch, 0))}"
            f"  run in {format_seconds(in_run)}",
            in_run,
        )

    def report_row(self, row: dict[str, float]) -> None:
        """Tells the terminal and TensorBoard; warns once if a heatmap stays black."""
        run, epoch = self.run, int(row["epoch"])
        zero_map = ""
        if run.targets.is_heatmap:
            zero_map = f" (all-black map {row['zero_map_loss']:.1f})"
        self.progress.print(
            f"epoch {epoch}/{run.epochs}: loss {row['train_loss']:.1f}{zero_map}, "
            f"validation {row['val_loss']:.1f}, centre error {row['val_median_px']:.1f} px "
            f"median, {row['val_mean_px']:.1f} px mean, right {row['val_right_rate']:.1%}, "
            f"{row['images_per_second']:.0f} images/s"
        )
        with self.writer.as_default(step=int(row["step"])):
            for name, value in row.items():
                if name not in ("step", "seconds") and np.isfinite(value):
                    tf.summary.scalar(name, value)
        self.warn(run_warnings.collapse(run, self.history))

    def snapshot(self, epoch: int) -> None:
        """Keeps the predictions on a few validation scenes, also for TensorBoard."""
        pictured = predict_scenes(self.state.model, self.run, NUM_SNAPSHOT_SCENES)
        arrays = {"points": pictured["points"]}
        if "heatmaps" in pictured:
            arrays["heatmaps"] = np.clip(pictured["heatmaps"], 0, 255).round().astype(np.uint8)
        self.folder.write_snapshot(epoch, arrays)
        with self.writer.as_default(step=int(self.state.step)):
            figure = plots.prediction_grid(**pictured, columns=NUM_SNAPSHOT_SCENES)
            tf.summary.image("predictions", plots.figure_to_rgb(figure)[None])

    def finish(self) -> dict[str, Any]:
        """Measures the best model on all splits, draws, and writes `result.json` last."""
        run, folder = self.run, self.folder
        folder.save_model(self.state.model, folder.final_model)
        strategy = self.runtime.strategy
        with strategy.scope():
            model = load_model(folder)
        self.draw(model)
        measure = Evaluator(
            model, strategy, self.runtime.jit, self.execution.renderer, self.while_measuring
        )
        splits = {}
        for split in SPLITS:
            self.progress.print(f"measuring {folder.best_model.name} on the {split} split")
            metrics = measure(run.scene, run.targets, run.split_indices(split))
            splits[split] = {str(run.domain): metrics}
        rates = [row["images_per_second"] for row in self.history]
        rates = [rate for rate in rates if np.isfinite(rate)]
        progress = {
            "weights": "best",
            "labels": run.labels,
            "epochs": run.epochs,
            "seconds": float(self.state.seconds),
            "images_per_second": float(np.median(rates)) if rates else None,
        }
        result = make_report(run, splits, progress)
        folder.write_result(result)
        self.checkpointer.prune()
        return result

    def draw(self, model: keras.Model) -> None:
        """Writes the run's pictures, from a model, the history and the snapshots."""
        run, folder = self.run, self.folder
        pictured = predict_scenes(model, run, NUM_PICTURED_SCENES)
        folder.save_figure("predictions", plots.prediction_grid(**pictured))
        folder.save_figure("history", plots.history_curves(self.history, run.targets.is_heatmap))
        few = {name: pictured[name][:NUM_STRIP_SCENES] for name in ("images", "rectangles")}
        strip = plots.epoch_strip(**few, snapshots=folder.read_snapshots())
        folder.save_figure("epochs", strip)

    def while_measuring(self, done: int, total: int) -> None:
        """Between the batches of an evaluation: stops if asked to, and tells how far it is."""
        self.stop.check()
        if self.progress.due():
            self.progress.update(f"measured {done} of {total} images")


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _nan_to_inf(value: float) -> float:
    return value if value == value else np.inf


def train(
    run: RunConfig,
    execution: ExecutionConfig,
    folder: RunFolder,
    runtime: Runtime,
    stop: StopRequest,
    progress: ProgressLine,
    weights: Weights | None = None,
) -> dict[str, Any]:
    """Trains, or resumes training, in a claimed and locked folder; returns its result.

    Args:
        run: what to train, precision resolved.
        execution: how.
        folder: where; locked and claimed by the caller.
        runtime: devices and compilation.
        stop: polled at every step and between validation batches.
        progress: where to report.
        weights: those that `run.init_from` is the digest of, to start from.

    Raises:
        Interrupted: after a signal, with the state saved.
        UserError: if the loss is not finite, the disk is full, all checkpoints are damaged, or
            the weights to start from are missing.
    """
    if execution.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(run.seed)
    trainer = Trainer(run, execution, folder, runtime, stop, progress)
    trainer.restore(weights)
    trainer.fit()
    return trainer.finish()
