"""Trains and measures what experiments ask for: each run once, whatever asks for it.

A run whose summary answers all that is asked is skipped; one that was interrupted resumes; one
that fails is reported and does not stop the others. Its summary is written as soon as it ends.
Several processes may share a study: each leaves out the runs that another is making.
"""

import functools
import itertools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipelines.scenes.sampling import scene_table
from pipelines.source import Source, make_source
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.experiments import summaries
from rectloc_tf.experiments.extend import write_summaries
from rectloc_tf.experiments.one_by_one import StudyProgress, make_each
from rectloc_tf.experiments.plan import Part, Settings, Task, merge
from rectloc_tf.experiments.share import EVERYTHING, Share
from rectloc_tf.geometry import centers
from rectloc_tf.heads.head import Head
from rectloc_tf.models import load_model, run_head
from rectloc_tf.processor import describe_machine
from rectloc_tf.results.answers import read_answers, write_answers
from rectloc_tf.results.decoding import measure_decoders
from rectloc_tf.results.evaluation import (
    Evaluator,
    count_detections,
    detect,
    measure_locations,
)
from rectloc_tf.results.metrics import best_threshold
from rectloc_tf.results.pictures import Answer, answer_with, largest_errors, predict_scenes
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.loop import train
from rectloc_tf.training.runtime import (
    Runtime,
    describe_environment,
    describe_gpu,
    make_runtime,
)
from rectloc_tf.training.state import TrainState
from rectloc_tf.training.step import distributed_batches, make_train_step

NUM_PICTURED = 8
NUM_SEARCHED = 200  # test scenes among which the largest errors are looked for
SPEED_STEPS = 3


@dataclass
class Study:
    """State shared by one call of the runner: settings, execution, stop request and progress."""

    settings: Settings
    execution: ExecutionConfig
    stop: StopRequest
    share: Share = EVERYTHING

    def tasks(self, parts: list[Part]) -> list[Task]:
        """The runs requested from this process, each once.

        Shares are cut from what the flags say: what is there already differs between processes.
        """
        asked = merge([task for part in parts for task in part.experiment.plan(part.asked)])
        names = {*self.share.of([task.name for task in asked])}
        tasks = merge([task for part in parts for task in part.asked_tasks])
        return [task for task in tasks if task.name in names]

    def open_tasks(self, parts: list[Part]) -> list[Task]:
        """Those that are not answered yet."""
        return [task for task in self.tasks(parts) if not self.is_made(task)]

    def is_made(self, task: Task) -> bool:
        """Whether a run's summary has all results requested of it."""
        return summaries.answers(self._summary(task), task)

    def _summary(self, task: Task) -> dict[str, Any] | None:
        return summaries.read_summary(self.settings.results_dir, task.name)

    def run(self, parts: list[Part]) -> list[str]:
        """Makes all that is missing; returns what failed, a line each.

        Raises:
            Interrupted: after a signal, with the state saved.
        """
        failures = []
        made = make_each(self.open_tasks(parts), self.is_made, self._finish, self.stop)
        for task, problem in made:
            if problem:
                failures.append(f"{task.name}: {problem}")
            else:
                write_summaries(parts, task.name)
        return failures

    def _finish(self, task: Task, progress: StudyProgress) -> None:
        """Trains if need be, then measures and keeps what is still asked."""
        settings, run = self.settings, task.run
        keras.backend.clear_session()  # or the graphs of all runs would stay in memory
        folder = RunFolder(settings.runs_root / task.name)
        session = make_runtime(self.execution, run.batch_size)
        with folder.lock():
            folder.claim(run)
            if not folder.is_finished():
                how = {"session": session.description}
                folder.add_session(describe_environment() | how)
                train(run, self.execution, folder, session, self.stop, progress)
            summary = summaries.make_summary(folder, describe_machine() | describe_gpu())
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
        """Adds the domains, the answers and the pictures that a summary lacks."""
        run = task.run
        if summaries.answers(summary, task):
            return
        load = functools.cache(load_model)  # each file once
        self._test(task, folder, session, summary, load)
        model, head = load(folder.best_model), run_head(run)
        answer = answer_with(model, head)
        if task.located:
            self._locate(task, model, head, summary)
        if task.detected:
            self._detect(task, load(folder.final_model), head, summary)
        if task.decoded:
            self._decode(task, load(folder.final_model), head, summary)
        for domain in task.pictured:
            if str(domain) not in summary["pictures"]:
                scenes = _predict(answer, _in_domain(run, domain), "test", NUM_PICTURED)
                kept = self._keep_pictures(f"{task.name}_on{domain}.png", scenes)
                summary["pictures"][str(domain)] = kept
        failures = summary.setdefault("failures", {})
        for domain in task.failures:
            if str(domain) not in failures:
                scenes = _predict(answer, _in_domain(run, domain), "test", NUM_SEARCHED)
                worst = largest_errors(scenes, NUM_PICTURED)
                name = f"{task.name}_on{domain}_failures.png"
                kept = self._keep_pictures(name, worst)
                failures[str(domain)] = kept | {"searched": NUM_SEARCHED}
        if run.domain in task.pictured:
            self._keep_snapshots(task, folder, answer, summary)

    def _test(
        self,
        task: Task,
        folder: RunFolder,
        session: Runtime,
        summary: dict[str, Any],
        load: Callable[[Path], keras.Model],
    ) -> None:
        """Adds metrics on further test domains, and saves the requested predictions."""
        run, head = task.run, run_head(task.run)
        path = summaries.answers_path(self.settings.results_dir, task.name)
        kept = read_answers(path) if "final" in summary else {}  # else of another training
        final = summary.setdefault("final", {"test": {}})["test"] if task.answered else {}
        best = summary["splits"]["test"], folder.best_model, {*task.domains, *task.answered}
        models = {"best": best, "final": (final, folder.final_model, {*task.answered})}
        for weights, (metrics, model_path, domains) in models.items():
            measure = None
            for domain in sorted(domains):
                keep = domain in task.answered and (str(domain), weights) not in kept
                if str(domain) in metrics and not keep:
                    continue
                if measure is None:
                    how = session.strategy, session.jit, self._check_stop
                    measure = Evaluator(load(model_path), head, *how)
                source = _in_domain(run, domain)
                measured, answers = measure.measure(source, source.indices("test"))
                metrics.setdefault(str(domain), measured)
                if keep:
                    kept[str(domain), weights] = answers
        if task.answered:
            write_answers(path, kept)
            for domain in task.answered:
                asked = run.changed(domain=domain)
                rectangles = scene_table(asked.scene)[asked.split_indices("test")]
                summaries.write_scenes(self.settings.results_dir, asked, rectangles)

    def _locate(self, task: Task, model: keras.Model, head: Head, summary: dict[str, Any]) -> None:
        """Adds how many of all the rectangles are found; a threshold is chosen on validation."""

        def measure(source: Source, split: str):
            asked = source, source.indices(split), self._check_stop
            return measure_locations(model, head, *asked)

        located = summary.setdefault("locations", {})
        if "validation_locations" not in summary:
            summary["validation_locations"] = measure(make_source(task.run), "validation")
        for domain in task.located:
            if str(domain) not in located:
                located[str(domain)] = measure(_in_domain(task.run, domain), "test")

    def _detect(self, task: Task, model: keras.Model, head: Head, summary: dict[str, Any]) -> None:
        """Adds how well a model finds all points of one class."""

        def find(source: Source, split: str):
            return detect(model, head, source, source.indices(split), self._check_stop)

        kept = summary.setdefault("detections", {"domains": {}})
        if "threshold" not in kept:
            points, values, rectangles = find(make_source(task.run), "validation")
            kept["threshold"] = best_threshold(points, values, centers(rectangles))
        for domain in task.detected:
            if str(domain) not in kept["domains"]:
                found = find(_in_domain(task.run, domain), "test")
                kept["domains"][str(domain)] = count_detections(found, kept["threshold"])

    def _decode(self, task: Task, model: keras.Model, head: Head, summary: dict[str, Any]) -> None:
        """Adds how finely each decoder reads a model's maps."""
        kept = summary.setdefault("decoded", {})
        for domain in task.decoded:
            if str(domain) not in kept:
                source = _in_domain(task.run, domain)
                asked = source, source.indices("test"), self._check_stop
                kept[str(domain)] = measure_decoders(model, head, *asked)

    def _keep_pictures(self, name: str, pictured: dict[str, np.ndarray]) -> dict[str, Any]:
        """Writes the sheet `name`; returns its entry in the summary."""
        summaries.write_sheet(self._sheet(name), summaries.picture_rows(pictured))
        points, rectangles = pictured["points"][:, 0], pictured["rectangles"]
        kept = {"sheet": name, "rectangles": rectangles.tolist(), "points": points.tolist()}
        if pictured["points"].shape[1] > 1:  # all detections; empty beyond the last
            every = (
                [p.tolist() for p in row if np.isfinite(p).all()] for row in pictured["points"]
            )
            kept["detections"] = list(every)
        return kept

    def _keep_snapshots(
        self, task: Task, folder: RunFolder, answer: Answer, summary: dict[str, Any]
    ) -> None:
        """Adds what the run answered as it learnt: points, and a sheet of scenes and maps."""
        run, snapshots = task.run, folder.read_snapshots()
        number = min(len(arrays["points"]) for arrays in snapshots.values())
        scenes = _predict(answer, make_source(run), "validation", number)
        rows = [scenes["images"]]
        for epoch, arrays in snapshots.items():
            points = arrays["points"].reshape(len(arrays["points"]), -1, 2)[:, 0]
            summary["snapshots"][str(epoch)]["points"] = points.tolist()
            if "heatmaps" in arrays:
                rows.append(arrays["heatmaps"])
        name = f"{task.name}_epochs.png"
        summaries.write_sheet(self._sheet(name), rows)
        summary["snapshot_sheet"] = {"sheet": name, "rectangles": scenes["rectangles"].tolist()}

    def _sheet(self, name: str) -> Path:
        return self.settings.results_dir / "runs" / name

    def _check_stop(self, done: int, total: int) -> None:
        self.stop.check()

    def speed(self, run: RunConfig) -> float:
        """As `measure_speed`, of a run of the study."""
        return measure_speed(run, make_source(run, self.execution.renderer), self.execution)


def measure_speed(run: RunConfig, source: Source, execution: ExecutionConfig) -> float:
    """Training images per second of a run on this machine, from a few steps."""
    session, head = make_runtime(execution, run.batch_size), run_head(run)
    keras.utils.set_random_seed(0)
    state = TrainState(run, head, source.channels, session.strategy)
    step = make_train_step(run, source, head, state, session.strategy, session.jit)
    batches = itertools.cycle(distributed_batches(run, source, session, 0))
    times = []
    for _ in range(SPEED_STEPS + 1):  # the first compiles
        began = time.monotonic()
        float(step(next(batches))[0])
        times.append(time.monotonic() - began)
    return run.batch_size / statistics.median(times[1:])


def _in_domain(run: RunConfig, domain: int) -> Source:
    return make_source(run.changed(domain=domain))


def _predict(answer: Answer, source: Source, split: str, number: int) -> dict[str, np.ndarray]:
    """The first images of a split with a network's answers."""
    return predict_scenes(answer, source, source.indices(split)[:number])
