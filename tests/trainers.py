"""Trainers of runs in a test's own process, and stops that do not depend on a clock."""

from pathlib import Path

import keras

from pipelines.source import make_source
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.errors import EXIT_SIGINT
from rectloc_tf.models import run_head
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.loop import Trainer
from rectloc_tf.training.progress import ProgressLine
from rectloc_tf.training.runtime import Runtime

TIME_COLUMNS = {"seconds", "images_per_second"}  # of a history, which no two runs share


class StopAfter(StopRequest):
    """Asks for a stop when it has been looked at so often, which is once a call of steps."""

    def __init__(self, looks: int):
        super().__init__()
        self.left = looks

    def __bool__(self):
        self.left -= 1
        if self.left <= 0:
            self.exit_code = EXIT_SIGINT
        return super().__bool__()


def make_trainer(
    run: RunConfig,
    path: Path,
    how: ExecutionConfig,
    runtime: Runtime,
    stop: StopRequest,
    progress: ProgressLine,
) -> Trainer:
    """A trainer of a run that starts, or that takes up what is in its claimed folder."""
    keras.utils.set_random_seed(run.seed)
    what = run, make_source(run), run_head(run), how, RunFolder(path), runtime, stop, progress
    trainer = Trainer(*what)
    trainer.restore()
    return trainer
