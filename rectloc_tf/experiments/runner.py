"""Trains and measures what experiments ask for: each run once, whatever asks for it.

A run whose summary answers all that is asked is skipped; one that was interrupted resumes; one
that fails is reported and does not stop the others. Its summary is written as soon as it ends.
"""

import dataclasses
import gc
import itertools
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rectloc_tf.config import TEST_START, ExecutionConfig, RunConfig
from rectloc_tf.errors import UserError, reason
from rectloc_tf.experiments import summaries
from rectloc_tf.experiments.plan import Part, Settings, Task, merge
from rectloc_tf.processor import describe_machine
from rectloc_tf.results.evaluation import Evaluator, measure_locations
from rectloc_tf.results.pictures import largest_errors, predict_scenes
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving.saved_model import load_model
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.loop import train
from rectloc_tf.training.progress import ProgressLine, format_seconds
from rectloc_tf.training.runtime import Runtime, describe_environment, make_runtime
from rectloc_tf.training.state import TrainState, distributed_batches, make_train_step

NUM_PICTURED = 8
NUM_SEARCHED = 200  # test scenes among which the largest errors are looked for
SPEED_STEPS = 3


class StudyProgress(ProgressLine):
    """One line for the whole: which run, what it says, when everything ends.

    What a run prints is left out, but for its warnings.
    """

    def __init__(self, tasks: list[Task], log_seconds: float = 30.0):
        super().__init__(log_seconds=log_seconds)
        self._tasks, self._number, self._began = tasks, 0, 0.0

    def start(self, number: int) -> None:
        """The run `number`, from 0, begins."""
        self._number, self._began = number, time.monotonic()

    def update(self, text: str, seconds_left: float | None = None) -> None:
        """Shows what the current run says, with the time left for the whole.

        The runs that follow are taken to cost as much an image as this one.
        """
        task = self._tasks[self._number]
        place = f"[{self._number + 1}/{len(self._tasks)}] {task.name}"
        if seconds_left is not None:
            whole = time.monotonic() - self._began + seconds_left
            later = sum(t.images for t in self._tasks[self._number + 1 :])
            seconds_left += whole / task.images * later
            place += f", all in {format_seconds(seconds_left)}"
        super().update(f"{place}: {text}")

    def print(self, text: str) -> None:
        """Prints nothing: what a run says line by line."""

    def warn(self, text: str) -> None:
        """Prints a run's warning, with its name."""
        self.tell(f"{self._tasks[self._number].name}: warning: {text}")

    def tell(self, text: str) -> None:
        """Prints a line that stays."""
        super().print(text)


@dataclass
class Study:
    """What a call of the runner shares: settings, how to run, where to stop and tell."""

    settings: Settings
    execution: ExecutionConfig
    stop: StopRequest

    def open_tasks(self, parts: list[Part]) -> list[Task]:
        """The runs that are asked for and not answered yet, each once."""
        tasks = merge([task for part in parts for task in part.asked_tasks])
        return [task for task in tasks if not summaries.answers(self._summary(task), task)]

    def _summary(self, task: Task) -> dict[str, Any] | None:
        return summaries.read_summary(self.settings.results_dir, task.name)

    def run(self, parts: list[Part]) -> list[str]:
        """Makes all that is missing; returns what failed, a line each.

        Raises:
            Interrupted: after a signal, with the state saved.
        """
        tasks, failures = self.open_tasks(parts), []
        progress = StudyProgress(tasks)
        names = [{task.name for task in part.tasks} for part in parts]
        for number, task in enumerate(tasks):
            progress.start(number)
            self.stop.check()
            began = time.monotonic()
            try:
                self._finish(task, progress)
            except (UserError, tf.errors.OpError) as error:  # OpError: out of memory, say
                text = str(error) if isinstance(error, UserError) else reason(error)
                failures.append(f"{task.name}: {text}")
                progress.tell(f"[{number + 1}/{len(tasks)}] failed: {failures[-1]}")
                continue
            took = format_seconds(time.monotonic() - began)
            progress.tell(f"[{number + 1}/{len(tasks)}] {task.name}: done in {took}")
            for part, its in zip(parts, names, strict=True):
                if task.name in its:
                    summaries.write_experiment(part)
        return failures

    def _finish(self, task: Task, progress: StudyProgress) -> None:
        """Trains if need be, then measures and keeps what is still asked."""
        settings, run = self.settings, task.run
        keras.backend.clear_session()  # or the graphs of all runs would stay in memory
        gc.collect()
        folder = RunFolder(settings.runs_root / task.name)
        session = make_runtime(self.execution, run.batch_size)
        with folder.lock():
            folder.claim(run)
            if not folder.is_finished():
                how = {"session": session.description}
                folder.add_session(describe_environment() | how)
                train(run, self.execution, folder, session, self.stop, progress)
            summary = summaries.make_summary(folder, describe_machine())
            if kept := self._summary(task):
                if kept["history"] == summary["history"]:
                    summary = kept
                else:  # of another training, whose folder is gone: two are never mixed
                    task = merge([task, summaries.held(kept, run)])[0]
            self._measure(task, folder, session, summary)
            summaries.write_summary(settings.results_dir, task.name, summary)

    def _measure(
        self, task: Task, folder: RunFolder, session: Runtime, summary: dict[str, Any]
    ) -> None:
        """Adds the domains and the pictures that a summary lacks."""
        run = task.run
        if summaries.answers(summary, task):
            return
        model = load_model(folder)
        measure = Evaluator(model, session.strategy, session.jit, on_batch=self._check_stop)
        for domain in task.domains:
            if str(domain) not in summary["splits"]["test"]:
                scene = _in_domain(run, domain).scene
                metrics = measure(scene, run.targets, run.split_indices("test"))
                summary["splits"]["test"][str(domain)] = metrics
        located = summary.setdefault("locations", {})
        for domain in task.located:
            if str(domain) not in located:
                scene, test = _in_domain(run, domain).scene, run.split_indices("test")
                located[str(domain)] = measure_locations(model, scene, test, self._check_stop)
        for domain in task.pictured:
            if str(domain) not in summary["pictures"]:
                scenes = predict_scenes(model, _in_domain(run, domain), NUM_PICTURED, TEST_START)
                kept = self._keep_pictures(f"{task.name}_on{domain}.png", scenes)
                summary["pictures"][str(domain)] = kept
        failures = summary.setdefault("failures", {})
        for domain in task.failures:
            if str(domain) not in failures:
                scenes = predict_scenes(model, _in_domain(run, domain), NUM_SEARCHED, TEST_START)
                worst = largest_errors(scenes, NUM_PICTURED)
                name = f"{task.name}_on{domain}_failures.png"
                kept = self._keep_pictures(name, worst)
                failures[str(domain)] = kept | {"searched": NUM_SEARCHED}
        if run.domain in task.pictured:
            self._keep_snapshots(task, folder, model, summary)

    def _keep_pictures(self, name: str, pictured: dict[str, np.ndarray]) -> dict[str, Any]:
        """Writes the sheet `name`; returns what a summary says of it."""
        summaries.write_sheet(self._sheet(name), summaries.picture_rows(pictured))
        return {"sheet": name, **{n: pictured[n].tolist() for n in ("rectangles", "points")}}

    def _keep_snapshots(
        self, task: Task, folder: RunFolder, model: keras.Model, summary: dict[str, Any]
    ) -> None:
        """Adds what the run answered as it learnt: points, and a sheet of scenes and maps."""
        run, snapshots = task.run, folder.read_snapshots()
        number = min(len(arrays["points"]) for arrays in snapshots.values())
        scenes = predict_scenes(model, run, number)
        rows = [scenes["images"]]
        for epoch, arrays in snapshots.items():
            summary["snapshots"][str(epoch)]["points"] = arrays["points"].tolist()
            if "heatmaps" in arrays:
                rows.append(arrays["heatmaps"])
        name = f"{task.name}_epochs.png"
        summaries.write_sheet(self._sheet(name), rows)
        summary["snapshot_sheet"] = {"sheet": name, "rectangles": scenes["rectangles"].tolist()}

    def _sheet(self, name: str) -> Path:
        return self.settings.results_dir / "runs" / name

    def _check_stop(self, done: int, total: int) -> None:
        self.stop.check()

    def measure_speed(self, run: RunConfig) -> float:
        """Training images per second of a run on this machine, from a few steps."""
        session = make_runtime(self.execution, run.batch_size)
        keras.utils.set_random_seed(0)
        state = TrainState(run, session.strategy)
        step = make_train_step(run, state, session.strategy, session.jit)
        batches = itertools.cycle(distributed_batches(run, session, self.execution.renderer, 0))
        times = []
        for _ in range(SPEED_STEPS + 1):  # the first compiles
            began = time.monotonic()
            float(step(next(batches))[0])
            times.append(time.monotonic() - began)
        return run.batch_size / statistics.median(times[1:])


def _in_domain(run: RunConfig, domain: int) -> RunConfig:
    return dataclasses.replace(run, domain=domain)
