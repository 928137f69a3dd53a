"""Measures processes in turns (A B A B ...), so that changes of the machine's speed hit all alike.

A worker is a program that takes a task as JSON in its first argument, prepares and warms up,
prints a JSON line, and then answers each line on its standard input with one measurement, a
JSON object with at least `rate` (items per second). `serve` is the worker's side of it.
"""

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from rectloc_tf.errors import UserError

Measurement = dict[str, Any]


def serve(prepare: Callable[[dict[str, Any]], Callable[[], Measurement]]) -> None:
    """The main function of a worker.

    Args:
        prepare: makes and warms up what the task asks for; returns the function that measures.
    """
    # Only answers go to the real standard output, whatever a framework prints.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(value: Measurement) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    measure = prepare(json.loads(sys.argv[1]))
    answer({"ready": True})
    for _ in sys.stdin:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        answer({**measure(), "peak_mib": peak})


class Worker:
    """A worker process, idle between its turns."""

    def __init__(self, program: str, task: dict[str, Any]):
        """Starts it.

        Args:
            program: a module (`rectloc_tf.benchmarking.workers`) or a file (`….py`).
            task: what it is to measure.
        """
        self.name = f"{program} {json.dumps(task)}"
        how = [program] if program.endswith(".py") else ["-m", program]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        self._process = subprocess.Popen(
            [sys.executable, *how, json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )

    def read(self) -> Measurement:
        """Waits for the next line of the worker.

        Raises:
            UserError: if it has ended instead, with the last line that it printed.
        """
        assert self._process.stdout is not None  # a pipe
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        raise UserError(f"benchmark worker {self.name}: {lines[-1] if lines else 'ended early'}")

    def measure(self) -> Measurement:
        """One turn."""
        assert self._process.stdin is not None  # a pipe
        with contextlib.suppress(BrokenPipeError):  # it has ended: `read` says why
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()


def take_turns(
    tasks: Mapping[str, tuple[str, dict[str, Any]]],
    rounds: int,
    on_turn: Callable[[str, int], None] = lambda name, turn: None,
) -> dict[str, list[Measurement]]:
    """Measures several workers `rounds` times each, in turns.

    Args:
        tasks: name -> (program, task).
        rounds: number of turns each.
        on_turn: told the name and the number of each turn before it begins.

    Returns:
        name -> its measurements, one a round.
    """
    workers = {}
    try:
        for name, (program, task) in tasks.items():
            on_turn(name, 0)
            workers[name] = Worker(program, task)
            workers[name].read()  # one after the other: they do not share the cores to warm up
        results = {name: [] for name in tasks}
        for turn in range(1, rounds + 1):
            for name, worker in workers.items():
                on_turn(name, turn)
                results[name].append(worker.measure())
        return results
    finally:
        for worker in workers.values():
            worker.close()


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and greatest of some values."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def ratio(ours: list[Measurement], theirs: list[Measurement]) -> dict[str, float]:
    """The ratio of the rates, taken round by round, as its spread."""
    return spread([a["rate"] / b["rate"] for a, b in zip(ours, theirs, strict=True)])
