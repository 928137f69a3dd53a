"""Runs made one after the other: what fails does not stop the rest, and one line says how far."""

import time
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from rectloc_tf.errors import BusyError, UserError, reason
from rectloc_tf.experiments.plan import Task
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.progress import ProgressLine, format_seconds


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


def make_each(
    tasks: Sequence[Task],
    is_made: Callable[[Task], bool],
    finish: Callable[[Task, StudyProgress], None],
    stop: StopRequest,
) -> Iterator[tuple[Task, str]]:
    """Makes runs one after the other, and shows how far they are.

    Args:
        tasks: what to make.
        is_made: whether a run has been made, by now perhaps by another process.
        finish: makes one.
        stop: polled before each.

    Yields:
        Each run that this process made, with "", or what failed.

    Raises:
        Interrupted: after a signal, with the state saved.
    """
    progress = StudyProgress([*tasks])
    for number, task in enumerate(tasks):
        progress.start(number)
        stop.check()
        began, place = time.monotonic(), f"[{number + 1}/{len(tasks)}]"
        try:
            if is_made(task):
                continue
            finish(task, progress)
        except BusyError:
            progress.tell(f"{place} {task.name}: another process is training it")
        except (UserError, tf.errors.OpError) as error:  # OpError: out of memory, say
            text = str(error) if isinstance(error, UserError) else reason(error)
            progress.tell(f"{place} failed: {task.name}: {text}")
            yield task, text
        else:
            took = format_seconds(time.monotonic() - began)
            progress.tell(f"{place} {task.name}: done in {took}")
            yield task, ""
