"""Trains runs on a Ray cluster: each is our own command with --runs=NAME, in its own process.

The machines share the folder of the command and the run folders. A run whose machine or process is
lost is tried again somewhere else, where it resumes. The only module that imports Ray; no
TensorFlow, since Ray's workers import it.
"""

import contextlib
import logging
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rectloc_tf.errors import (
    EXIT_ERROR,
    EXIT_SIGINT,
    EXIT_SIGTERM,
    ConfigError,
    Interrupted,
    UserError,
    reason,
)
from rectloc_tf.experiments.share import Resources
from rectloc_tf.training.interrupts import StopRequest

RETRIES = 3  # of a run that is lost
POLL, PAUSE, GRACE = 0.2, 30.0, 300.0  # seconds: between looks; while others work; to save a state


class Lost(Exception):
    """A signal ended the process of a run: what it saved is resumed by the next try."""


def make_run(command: list[str], folder: str, cpus: int, pause: float) -> tuple[int, str]:
    """Runs a command with this Python, and waits for it; on a machine of the cluster.

    Args:
        command: the interpreter's arguments.
        folder: to run it in.
        cpus: threads that an operation of TensorFlow uses.
        pause: seconds to wait first.

    Returns:
        Its exit code, and the last line of what it wrote.

    Raises:
        Lost: if it was ended by a signal.
    """
    if not os.path.isdir(folder):
        where = f"{folder}: does not exist on {platform.node()}"
        return EXIT_ERROR, f"{where}; the machines of a cluster must share it"
    for _ in range(round(pause / POLL)):
        time.sleep(POLL)
    environment = os.environ | {"TF_NUM_INTRAOP_THREADS": str(cpus)}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            while process.poll() is None:  # a plain wait is not woken when Ray cancels a task
                time.sleep(POLL)
        except BaseException:  # cancelled, or the worker has to go
            process.terminate()
            process.wait(GRACE)
            raise
        output.seek(0)
        lines = output.read().decode(errors="replace").splitlines()
    if process.returncode < 0 or process.returncode in (EXIT_SIGINT, EXIT_SIGTERM):
        raise Lost(f"its process was stopped from outside (exit code {process.returncode})")
    return process.returncode, next(filter(str.strip, reversed(lines)), "")


def _tell(text: str) -> None:
    print(text, flush=True)


class Cluster:
    """A Ray cluster that makes runs.

    Args:
        ray: the module, connected.
        resources: of each run.
        command: the arguments of Python that `--runs=NAME` is added to.
    """

    def __init__(self, ray: Any, resources: Resources, command: Sequence[str]):
        self._ray, self._command = ray, [*command]
        self._cpus, gpus = resources.cpus, resources.gpus
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        most = {kind: max((node.get(kind, 0) for node in nodes), default=0) for kind in _FLAGS}
        self._asked = {"CPU": self._cpus, "GPU": min(most["GPU"], 1) if gpus is None else gpus}
        self.warnings = [
            f"--{_FLAGS[kind]}={asked:g}: no machine of the cluster has so many yet "
            f"({most[kind]:g} at most); runs wait until one joins"
            for kind, asked in self._asked.items()
            if asked > most[kind]
        ]
        self._task = ray.remote(
            num_cpus=self._asked["CPU"],
            num_gpus=self._asked["GPU"],
            max_retries=RETRIES,
            retry_exceptions=[Lost],
        )(make_run)

    def make(
        self,
        names: Sequence[str],
        is_made: Callable[[str], bool],
        stop: StopRequest,
        tell: Callable[[str], None] = _tell,
    ) -> Iterator[tuple[str, str]]:
        """Makes runs; yields the name of each that ends, and what went wrong or "".

        Args:
            names: of the runs.
            is_made: whether there is nothing more to do for a run.
            stop: polled while they are made.
            tell: prints a line that stays.

        Raises:
            Interrupted: after a signal, when the runs under way have saved their state.
        """
        for warning in self.warnings:
            tell(f"warning: {warning}")
        waiting = {self._submit(name): name for name in names}
        told, count = set(), 0
        try:
            while waiting:
                stop.check()
                for task in self._ray.wait([*waiting], timeout=1.0)[0]:
                    name = waiting.pop(task)
                    problem = self._problem(task, name)
                    if not problem and not is_made(name):
                        if name not in told:
                            tell(f"{name}: another process is training it; waiting")
                        told.add(name)
                        waiting[self._submit(name, PAUSE)] = name
                        continue
                    count += 1
                    state = f"failed: {name}: {problem}" if problem else f"{name}: done"
                    tell(f"[{count}/{len(names)}] {state}")
                    yield name, problem
        except Interrupted:
            for task in waiting:
                self._ray.cancel(task)
            self._ray.wait([*waiting], num_returns=len(waiting), timeout=GRACE)
            raise

    def _submit(self, name: str, pause: float = 0.0) -> Any:
        command = [*self._command, f"--runs={name}"]
        return self._task.options(name=name).remote(command, os.getcwd(), self._cpus, pause)

    def _problem(self, task: Any, name: str) -> str:
        try:
            code, last = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            why = reason(getattr(error, "cause", None) or error)
            return f"lost ({why}); the same command resumes it"
        for words in ("failed: ", "error: ", f"{name}: "):
            last = last.removeprefix(words)
        return (last or f"exit code {code}") if code else ""


_FLAGS = {"CPU": "task_cpus", "GPU": "task_gpus"}


@contextlib.contextmanager
def join(resources: Resources | None, command: Sequence[str]) -> Iterator[Cluster | None]:
    """Connects to the cluster that RAY_ADDRESS names, or this machine is of; else starts one here.

    Signal handlers are installed inside the block: Ray takes SIGTERM.

    Args:
        resources: of each run; None: no cluster is wanted.
        command: see `Cluster`.

    Raises:
        ConfigError: if Ray is not installed.
        UserError: if the cluster cannot be reached.
    """
    if resources is None:
        yield None
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # sends nothing about the user
    try:
        import ray
    except ImportError as error:
        rule = "Ray is not installed; pip install -e '.[ray]'"
        raise ConfigError(f"--runner=ray: {rule}") from error
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level=logging.WARNING)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"--runner=ray: no cluster can be reached ({reason(error)})") from error
    try:
        yield Cluster(ray, resources, command)
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)
