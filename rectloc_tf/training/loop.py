"""The training loop: one for all strategies, resumable at every step.

A compiled call runs several steps, and ends where a history row is due. Between calls the loop
checks for signals and whether a checkpoint is due.

A run is a pure function of its `RunConfig`: weights start from the seed, the batch of step t
is a function of (seed, t), and the state saved in a checkpoint is all there is.
"""

import time
from typing import Any, NoReturn

import keras
import numpy as np
import tensorflow as tf

from pipelines.source import Source, make_source
from rectloc_tf.config import SPLITS, ExecutionConfig, RunConfig
from rectloc_tf.errors import EXIT_SIGTERM, Interrupted, UserError
from rectloc_tf.heads.head import Head
from rectloc_tf.models import load_model, make_head
from rectloc_tf.registry import SOURCES, UNORDERED
from rectloc_tf.results import plots
from rectloc_tf.results.evaluation import (
    Evaluator,
    choose_threshold,
    detect,
    make_report,
    measure_detections,
)
from rectloc_tf.results.pictures import snapshot_epochs
from rectloc_tf.results.rundir import DEFAULT_THRESHOLD, History, RunFolder
from rectloc_tf.training import initial_weights, rows, run_warnings
from rectloc_tf.training.board import Board
from rectloc_tf.training.checkpoints import Checkpointer
from rectloc_tf.training.initial_weights import Weights
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.placement import choose_place
from rectloc_tf.training.progress import ProgressLine
from rectloc_tf.training.run_pictures import RunPictures
from rectloc_tf.training.runtime import Runtime
from rectloc_tf.training.state import TrainState
from rectloc_tf.training.step import distributed_batches, make_steps, make_train_step

TIMED_STEPS = 5  # before a run's duration is estimated


class Trainer:
    """Trains one run in one folder; use it through `train`."""

    def __init__(
        self,
        run: RunConfig,
        source: Source,
        head: Head,
        execution: ExecutionConfig,
        folder: RunFolder,
        runtime: Runtime,
        stop: StopRequest,
        progress: ProgressLine,
    ):
        self.run, self.source, self.head = run, source, head
        self.execution, self.folder = execution, folder
        self.words = SOURCES[run.source].words
        self.pictures = RunPictures(run, source, head, folder)
        self.runtime, self.stop, self.progress = runtime, stop, progress
        self.team = runtime.team
        self.state = TrainState(run, head, source.channels, runtime.strategy)
        self.checkpointer = Checkpointer(folder.checkpoints, **vars(self.state))
        self.evaluator = self.make_evaluator(self.state.model)
        self.board = Board(folder.tensorboard if self.team.is_chief else None)
        self.history: History = []
        self._clock = time.monotonic()
        self._row_seconds = 0.0  # time of the last checkpoint, validation and row

    def make_evaluator(self, model: keras.Model) -> Evaluator:
        """Measures a model of this run on this session's devices."""
        how = self.runtime.measuring, self.runtime.jit, self.while_measuring
        return Evaluator(model, self.head, *how)

    def restore(self, weights: Weights | None = None) -> None:
        """Resumes from the newest readable checkpoint and drops history rows after it.

        Without one the run begins, from `weights` if given.
        """
        restored = self.team.from_chief(self._restore_chief)
        if restored:
            self.team.together(lambda: self._restore_worker(*restored))
            step = int(self.state.step)
            if self.history and self.history[-1]["step"] == step:
                self.state.start_row()  # the row came after the checkpoint
            epoch = f", epoch {self.run.epochs_done(step)} of {self.run.epochs}"
            if self.run.steps:
                epoch = f" of {self.run.steps}"
            self.progress.print(f"resuming after step {step}{epoch}")
        else:
            initial_weights.require(self.run, weights, self.folder)
            if weights is not None:
                with self.runtime.strategy.scope():
                    initial_weights.put(self.state.model, weights, self.run.depth)
            self.team.from_chief(lambda: self.snapshot(0))

    def _restore_chief(self) -> tuple[int, int] | None:
        """Restores; returns the steps of the checkpoint and of the last row (0: no row)."""
        restored = self.checkpointer.restore_latest(self.warn)
        step, history = int(self.state.step), self.folder.read_history()
        self.history = [row for row in history if row["step"] <= step]
        return (step, self._last_row()) if restored else None

    def _restore_worker(self, step: int, last_row: int) -> None:
        """Restores the chief's checkpoint; of its rows a worker keeps only the last one's step."""
        if not self.team.is_chief:
            self.checkpointer.restore(step)
            self.history = [{"step": last_row}] if last_row else []

    def fit(self) -> None:
        """Runs the remaining steps, with a history row wherever one is due."""
        run, state = self.run, self.state
        # If the run was killed between a checkpoint and its row, the row is written now.
        self.finish_row_if_due()
        how = self.runtime.strategy, self.runtime.jit
        run_steps = make_steps(make_train_step(run, self.source, self.head, state, *how))
        start = step = int(state.step)
        place, why = choose_place(run, self.source, self.execution, self.runtime)
        if why:
            self.progress.print(f"images are drawn on the {place} ({why})")
        batches = distributed_batches(run, self.source, self.runtime, start, place == "host")
        batches = iter(batches)
        last_save, mark = time.monotonic(), None  # the first step compiles: alone and not timed
        while step < run.total_steps:
            most = self.runtime.steps_per_call if step > start else 1
            count = rows.steps_to_next(run, step, self._last_row(), most)
            losses = run_steps(batches, count)
            now = time.monotonic()
            state.add_steps(losses, mark and now - mark)
            mark, before, step = now, step, step + count
            for number, loss in enumerate(losses[:, 0], start=before + 1):
                if not np.isfinite(loss):
                    self.fail(f"the loss is {loss} at step {number}")
            if self.progress.due() and state.images_per_second(run.batch_size) > 0:
                last = losses[-1].tolist(), self._row_seconds
                self.progress.update(*rows.describe_step(state, run, *last))
            if before <= start + TIMED_STEPS < step:
                rate = state.images_per_second(run.batch_size)
                self.warn(run_warnings.long_run(run, step, rate))
            waited = now - last_save > 60 * self.execution.checkpoint_minutes
            stopping, waited = self.team.agree([bool(self.stop), waited])
            if self.row_is_due():
                self.save()
                self.finish_row_if_due()
                last_save = mark = time.monotonic()
                self._row_seconds = mark - now
            elif stopping or waited:
                self.save()
                last_save = mark = time.monotonic()
            if stopping:  # on this worker or another
                raise Interrupted(self.stop.exit_code or EXIT_SIGTERM)

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
        """Writes a checkpoint; fails if the weights are not finite."""
        # The loss shows a bad update only at the next step.
        if not all(np.isfinite(weights).all() for weights in self.state.model.get_weights()):
            self.fail(f"the weights are not finite after step {int(self.state.step)}")
        now = time.monotonic()
        self.state.seconds.assign_add(now - self._clock)
        self._clock = now

        def write() -> None:
            self.folder.require_held()
            self.checkpointer.save(int(self.state.step))

        self.team.from_chief(write)

    def _last_row(self) -> int:
        return int(self.history[-1]["step"]) if self.history else 0

    def row_is_due(self) -> bool:
        """Whether a history row belongs after this step and is missing."""
        return rows.is_due(self.run, int(self.state.step), self._last_row())

    def finish_row_if_due(self) -> None:
        """Has the chief write a history row if one is due."""
        if not self.row_is_due():
            return
        self.team.from_chief(self.write_row)
        if not self.team.is_chief:
            self.history.append({"step": int(self.state.step)})
        self.state.start_row()

    def write_row(self) -> None:
        """Validates; writes a history row, a snapshot and, if it is the best so far, the model."""
        run, state = self.run, self.state
        step = int(state.step)
        done = run.done(step)
        epoch = step * run.batch_size / run.num_train if run.steps else done
        metrics = self.evaluator(self.source, self.source.indices("validation"))
        row = rows.make_row(state, run, epoch, metrics)
        best = min((_nan_to_inf(r["val_mean_px"]) for r in self.history), default=np.inf)
        if not self.history or _nan_to_inf(row["val_mean_px"]) < best:
            self.folder.save_model(state.model, self.folder.best_model)
        before = run.done(self._last_row())
        if any(before < chosen <= done for chosen in snapshot_epochs(run.length)):
            self.snapshot(done)
        self.history.append(row)
        self.folder.write_history(self.history)
        self.report_row(row, metrics)

    def report_row(self, row: dict[str, float], metrics: dict[str, Any]) -> None:
        """Shows a row on the terminal and in TensorBoard; warns once of maps that stay empty."""
        self.progress.print(rows.describe(row, self.run, self.words))
        shown = {name: value for name, value in row.items() if name not in ("step", "seconds")}
        self.board.add_numbers(int(row["step"]), shown)
        names, shares = self.source.keypoints.names, metrics["empty_answers"]
        self.warn(run_warnings.collapse(self.run, names, shares, self.history))

    def snapshot(self, done: int) -> None:
        """Keeps the predictions on a few validation images, also for TensorBoard."""
        figure = self.pictures.snapshot(self.state.model, done)
        self.board.add_picture(int(self.state.step), "predictions", plots.figure_to_rgb(figure))

    def finish(self) -> dict[str, Any]:
        """Evaluates the best model on all splits, draws pictures, and writes `result.json` last."""
        run, folder = self.run, self.folder
        folder.require_held()
        folder.save_model(self.state.model, folder.final_model)
        with self.runtime.measuring.scope():
            model = load_model(folder.best_model)
        threshold, found = DEFAULT_THRESHOLD, {}
        if self.source.keypoints.kind == UNORDERED:
            self.progress.print("choosing the threshold of detections on validation images")
            for split in ("validation", "test"):
                asked = self.source, self.source.indices(split), self.while_measuring
                found[split] = detect(model, self.head, *asked)
            threshold = choose_threshold(found["validation"])
        self.pictures.draw(model, self.history, threshold)
        measure, splits = self.make_evaluator(model), {}
        for split in SPLITS:
            self.progress.print(f"measuring {folder.best_model.name} on the {split} split")
            indices = self.source.indices(split)
            intervals = split == "test"  # the only ones that are shown, and slow
            metrics, answers = measure.measure(self.source, indices, intervals)
            if split in found:
                metrics["detections"] = measure_detections(found[split], threshold)
            splits[split] = {self.source.set_name: metrics}
            if split == "test":
                self.pictures.draw_worst(model, indices, answers)
        rates = [row["images_per_second"] for row in self.history]
        rates = [rate for rate in rates if np.isfinite(rate)]
        progress = {
            "weights": "best",
            "labels": run.labels,
            "epochs": None if run.steps else run.epochs,
            "steps": run.total_steps,
            "seconds": float(self.state.seconds),
            "images_per_second": float(np.median(rates)) if rates else None,
        }
        if found:
            progress["threshold"] = threshold
        result = make_report(run, splits, progress)
        folder.write_result(result)
        self.checkpointer.prune()
        return result

    def while_measuring(self, done: int, total: int) -> None:
        """Called between the batches of an evaluation: stops if asked to, else shows progress."""
        self.stop.check()
        if self.progress.due():
            self.progress.update(f"measured {done} of {total} images")


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
    source: Source | None = None,
) -> dict[str, Any]:
    """Trains, or resumes training, in a claimed and locked folder; returns its result.

    Args:
        run: what to train, precision resolved.
        execution: how.
        folder: where; locked and claimed by the caller.
        runtime: devices and compilation.
        stop: polled after every call of steps and between validation batches.
        progress: where to report.
        weights: initial weights, whose digest is `run.init_from` or `run.backbone_weights`.
        source: the run's, if already made.

    In a cluster all workers call this, and only the chief writes.

    Returns:
        The result; empty on workers that are not the chief.

    Raises:
        Interrupted: after a signal, with the state saved.
        UserError: if the loss is not finite, the disk is full, all checkpoints are damaged, or
            the weights to start from are missing.
    """
    if execution.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(run.seed)
    source = source or make_source(run, execution.renderer)
    head = make_head(run, run.image_size, source.keypoints)
    trainer = Trainer(run, source, head, execution, folder, runtime, stop, progress)
    trainer.restore(weights)
    trainer.fit()
    return runtime.team.together(trainer.finish if runtime.team.is_chief else dict)
