"""The trainings of a label budget: which, each once, and the errors that each is measured by.

Every fold is trained on nested sets of its images, for a fixed number of steps; the final weights
are tested on the fold's part. A measured training is kept as a small file of its errors, so that
the same command resumes, and run folders may be deleted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipelines.labels.reading import AllImages, RunImages, split_run
from pipelines.labels.splits import split_images
from pipelines.source import Source, make_source
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.experiments.one_by_one import StudyProgress, make_each
from rectloc_tf.experiments.plan import Task
from rectloc_tf.experiments.ray_runner import Cluster
from rectloc_tf.experiments.runner import measure_speed
from rectloc_tf.experiments.share import EVERYTHING, Share
from rectloc_tf.models import load_model, run_head
from rectloc_tf.processor import describe_machine
from rectloc_tf.results.data_files import read_json, write_json
from rectloc_tf.results.evaluation import Evaluator
from rectloc_tf.results.learning_curve import FARTHEST
from rectloc_tf.results.pictures import keypoint_errors
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training import initial_weights
from rectloc_tf.training.initial_weights import Weights
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.loop import train
from rectloc_tf.training.progress import format_seconds
from rectloc_tf.training.run_files import places_of
from rectloc_tf.training.runtime import describe_environment, make_runtime

FEWEST, HALVINGS = 5, 3  # labelled images of the smallest set; sizes below the largest


@dataclass(frozen=True, eq=False)
class Training:
    """One training of a budget.

    Attributes:
        asked: with the paths of the label files.
        run: the same with the digest of what is in them.
        images: of the run.
        weights: that it starts from, if not from new ones.
    """

    asked: RunConfig
    run: RunConfig
    images: RunImages
    weights: Weights | None

    @property
    def name(self) -> str:
        """Of its folder and of the file of its errors."""
        return Task(self.run).name

    @property
    def about(self) -> dict[str, Any]:
        """Its distinguishing settings, as JSON values."""
        names = ("arch", "num_labelled", "fold", "seed")
        found = {name: getattr(self.run, name) for name in names}
        return found | {"num_train": self.run.num_train}

    def describe(self) -> str:
        """The same in words."""
        run = self.run
        words = f"{run.arch}, {run.num_labelled} labelled images ({run.num_train} to train on), "
        return words + f"fold {run.fold}, seed {run.seed}, {run.total_steps} steps"


def default_sizes(found: AllImages, folds: int) -> tuple[int, ...]:
    """All images that are not tested, a half of them, a quarter and an eighth, smallest first.

    Sets of fewer than FEWEST are left out.
    """
    most = _most(found, folds)
    sizes = (most >> halving for halving in range(HALVINGS, -1, -1))
    return tuple(size for size in sizes if size >= FEWEST or size == most)


def resolve_more(more: int, whole: int, largest: int) -> int:
    """How many further images to predict the error for.

    Args:
        more: as asked for; 0: as many again, or fewer if that is too far from what is measured.
        whole: images that are labelled.
        largest: of the sizes that are measured.

    Raises:
        ConfigError: naming the flag, if more are asked for than can be predicted.
    """
    most = max(FARTHEST * largest - whole, 0)
    if more > most:
        rule = f"must be at most {most}: errors are measured with up to {largest} labelled images"
        raise ConfigError(
            f"--more_labels={more}: {rule} and predicted for up to {FARTHEST * largest}, "
            f"of which {whole} are there"
        )
    return more or min(whole, most)


def _most(found: AllImages, folds: int) -> int:
    """How many images every fold leaves for training and validation."""
    groups, keys = found.labels.groups, found.labels.keys
    splits = (split_images(groups, keys, fold=f"{i}/{folds}") for i in range(1, folds + 1))
    return min(len(split.train) + len(split.validation) for split in splits)


def plan(
    bases: Sequence[tuple[RunConfig, Weights | None]],
    found: AllImages,
    sizes: Sequence[int],
    folds: int,
    seeds: Sequence[int],
) -> list[Training]:
    """All trainings, small sets first, seed by seed.

    Args:
        bases: of each head the run that is varied, and the weights that it starts from.
        found: what is in the label files.
        sizes: numbers of labelled images.
        folds, seeds: of each size.

    Raises:
        ConfigError: naming the flag, if a set is larger than a fold has images.
    """
    most = _most(found, folds)
    for size in sizes:
        if not 2 <= size <= most:
            given = ",".join(map(str, sizes))
            rule = f"{folds} folds of {len(found.labels)} labelled images leave 2 to {most}"
            raise ConfigError(f"--sizes={given}: {rule}")
    trainings = []
    for seed in seeds:
        for size in sizes:
            for fold in range(1, folds + 1):
                for base, weights in bases:
                    about = {"fold": f"{fold}/{folds}", "num_labelled": size, "seed": seed}
                    asked = base.changed(**about)
                    trainings.append(Training(asked, *split_run(asked, found), weights))
    return trainings


@dataclass(frozen=True)
class Budget:
    """Where and how the trainings are made.

    Attributes:
        runs_root: folder of the run folders.
        kept: folder of the errors.
        images_root: the value of the flag.
        execution: how they are carried out.
        stop: polled while they are.
        share: those that this process makes.
    """

    runs_root: Path
    kept: Path
    images_root: str
    execution: ExecutionConfig
    stop: StopRequest
    share: Share = EVERYTHING

    def errors(self, training: Training) -> dict[str, Any] | None:
        """The saved errors of a training; None if it has not been measured.

        Raises:
            UserError: if the file is damaged.
        """
        path = self.kept / f"{training.name}.json"
        if not path.exists():
            return None
        found = read_json(path)
        if not isinstance(found, dict) or not {"images", "errors_px"} <= found.keys():
            raise UserError(f"{path}: damaged; delete it to train it again")
        return found

    def missing(self, trainings: Sequence[Training]) -> list[Training]:
        """Those of this process's share that have not been measured."""
        return [training for training in self.mine(trainings) if self.errors(training) is None]

    def mine(self, trainings: Sequence[Training]) -> list[Training]:
        """Those of this process's share."""
        names = {*self.share.of([training.name for training in trainings])}
        return [training for training in trainings if training.name in names]

    def make_on(self, cluster: Cluster, trainings: Sequence[Training]) -> Iterator[str]:
        """As `make`, on a cluster."""
        missing = {training.name: training for training in self.missing(trainings)}

        def is_made(name: str) -> bool:
            return self.errors(missing[name]) is not None

        for name, problem in cluster.make([*missing], is_made, self.stop):
            yield f"{name}: {problem}" if problem else ""

    def make(self, trainings: Sequence[Training]) -> Iterator[str]:
        """Makes what is missing; yields a line for each that failed, "" for each that did not.

        Raises:
            Interrupted: after a signal, with the state saved.
        """
        missing = {training.name: training for training in self.missing(trainings)}

        def is_made(task: Task) -> bool:
            return self.errors(missing[task.name]) is not None

        def finish(task: Task, progress: StudyProgress) -> None:
            self._finish(missing[task.name], progress)

        tasks = [Task(training.run) for training in missing.values()]
        for task, problem in make_each(tasks, is_made, finish, self.stop):
            yield f"{task.name}: {problem}" if problem else ""

    def _finish(self, training: Training, progress: StudyProgress) -> None:
        """Trains if need be, then measures the final weights and keeps their errors."""
        keras.backend.clear_session()  # or the graphs of all runs would stay in memory
        run, images = training.run, training.images
        folder = RunFolder(self.runs_root / training.name)
        source = make_source(run, self.execution.renderer, images)
        source.check()
        initial_weights.require_fit(run, training.weights)
        session = make_runtime(self.execution, run.batch_size)
        with folder.lock():
            places = places_of(training.asked, run, self.images_root)
            folder.claim(run, places, images.contents())
            if not folder.is_finished():
                folder.add_session(describe_environment() | {"session": session.description})
                how = self.execution, folder, session, self.stop, progress
                train(run, *how, training.weights, source)
            kept = self._measure(training, folder, source)
        write_json(self.kept / f"{training.name}.json", kept)

    def _measure(self, training: Training, folder: RunFolder, source: Source) -> dict[str, Any]:
        run, indices = training.run, source.indices("test")

        def check_stop(done: int, total: int) -> None:
            self.stop.check()

        model = load_model(folder.final_model)
        evaluator = Evaluator(model, run_head(run), on_batch=check_stop)
        metrics, answers = evaluator.measure(source, indices)
        if not np.isfinite(answers.points).all():
            raise UserError(f"{folder.path}: the network predicts values that are not numbers")
        labels = training.images.labels.select(indices)
        errors = keypoint_errors(source, indices, answers.points).tolist()
        return {
            "schema": 1,
            **training.about,
            "config": run.to_json(),
            "seconds": folder.read_result()["seconds"],
            "machine": describe_machine(),
            "metrics": metrics,
            "keypoints": [*labels.names],
            "images": [*labels.keys],
            "errors_px": [[None if e != e else round(e, 4) for e in row] for row in errors],
        }

    def plan_lines(self, trainings: Sequence[Training]) -> list[str]:
        """The trainings still to do and their time on this machine, as text."""
        missing, trainings = self.missing(trainings), self.mine(trainings)
        seconds, lines = self._seconds(missing), []
        for one in trainings:
            cost = format_seconds(seconds[one.name]) if one.name in seconds else "done"
            lines.append(f"  {one.name:<26} {cost:>8}  {one.describe()}")
        total = format_seconds(sum(seconds.values()))
        whole = f"{len(missing)} of {len(trainings)} to train, {total} on this machine"
        return [*lines, whole]

    def _seconds(self, trainings: Sequence[Training]) -> dict[str, float]:
        """How long each training will take here, by name; a head is tried for a few steps."""
        speeds: dict[str, float] = {}
        for training in trainings:
            run = training.run
            if run.arch not in speeds:
                source = make_source(run, self.execution.renderer, training.images)
                speeds[run.arch] = measure_speed(run, source, self.execution)
        return {
            t.name: t.run.total_steps * t.run.batch_size / speeds[t.run.arch] for t in trainings
        }
