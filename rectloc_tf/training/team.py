"""Coordination of the workers that train one run, and the work that only the chief does.

A single process is the chief. In a cluster every worker calls the same methods in the same order;
each of them is a collective.
"""

import contextlib
import json
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from rectloc_tf.errors import Interrupted, UserError, reason
from rectloc_tf.training.cluster import Cluster

# TensorFlow's messages for a collective in a broken cluster that name no worker.
LOST = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError
T = TypeVar("T")


class Team:
    """A process that trains by itself.

    Attributes:
        size: number of workers.
        is_chief: whether this one writes the run folder and reports.
        strategy: their strategy; None if it is still to be chosen.
    """

    size = 1
    is_chief = True
    strategy: tf.distribute.Strategy | None = None

    def agree(self, wishes: Sequence[bool]) -> list[bool]:
        """For each flag whether any worker sets it; the result is the same on all."""
        return list(wishes)

    def together(self, work: Callable[[], T]) -> T:
        """Runs `work` on every worker and returns this worker's result.

        Raises:
            UserError, Interrupted: of this worker's work, or of another's.
        """
        return work()

    def from_chief(self, work: Callable[[], Any]) -> Any:
        """Runs `work` on the chief only and returns its result, a JSON value, on all workers.

        Raises:
            UserError, Interrupted: of its work.
        """
        return work()

    def require_same(self, settings: Mapping[str, Any]) -> None:
        """Refuses settings that differ between workers.

        Raises:
            UserError: naming the worker and the flags.
        """

    def watched(self) -> contextlib.AbstractContextManager[None]:
        """Context of collective work: if a worker ends, the others end with a one-line error."""
        return contextlib.nullcontext()


ALONE = Team()


class Workers(Team):
    """The workers of a cluster.

    Args:
        cluster: of TF_CONFIG.
        strategy: over its workers; must have been made before any op.
    """

    def __init__(self, cluster: Cluster, strategy: tf.distribute.Strategy):
        self.cluster, self.strategy = cluster, strategy
        self.size, self.is_chief = cluster.size, cluster.number == 0

        @tf.function
        def total(values):
            return strategy.reduce("SUM", values, axis=None)

        self._total = total

    def agree(self, wishes: Sequence[bool]) -> list[bool]:
        """By a sum over all workers."""
        return [bool(votes) for votes in self._total(tf.constant(wishes, tf.float32)).numpy()]

    def together(self, work: Callable[[], T]) -> T:
        """Waits for all workers; a failure on one is raised on all."""
        result, failure = _attempt(work)
        self._tell(failure)
        return result  # pyright: ignore[reportReturnType] (there was no failure)

    def from_chief(self, work: Callable[[], Any]) -> Any:
        """The other workers wait for it."""
        result, failure = _attempt(work) if self.is_chief else (None, None)
        return self._tell(failure, result)[0]

    def require_same(self, settings: Mapping[str, Any]) -> None:
        """Compares them with the chief's."""
        chief, *others = (json.loads(text) for text in self._share(json.dumps(settings)))
        for number, theirs in enumerate(others, start=1):
            names = [n for n in {**chief, **theirs} if chief.get(n) != theirs.get(n)]
            if names:
                differences = ", ".join(
                    f"--{name}={theirs.get(name, '-')} there, {chief.get(name, '-')} at the chief"
                    for name in names
                )
                who = self.cluster.name(number)
                raise UserError(f"{who} has other flags ({differences}); start all with the same")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Turns TensorFlow's errors in a broken cluster into a one-line error, exit code 1."""
        try:
            yield
        except tf.errors.OpError as error:
            gone = self.cluster.blamed(error.message)
            if not gone and not isinstance(error, LOST):
                raise
            who = gone[0] if gone else "another worker"
            raise UserError(
                f"{who} of the cluster was lost; its own output says why. Start the same command "
                "on all workers to resume"
            ) from error

    def _share(self, text: str) -> list[str]:
        """A text of each worker, in their order."""
        data = text.encode()
        (lengths,) = self._gather([len(data)], 1).T
        width = 1 << int(lengths.max()).bit_length()  # few distinct sizes, since each is compiled
        rows = self._gather(data, width).astype(np.uint8)
        return [row.tobytes()[: int(n)].decode() for row, n in zip(rows, lengths, strict=True)]

    def _gather(self, numbers: Sequence[int], width: int) -> np.ndarray:
        """Numbers of each worker, float32 [size, width], by a sum, which every device supports."""
        table = np.zeros((self.size, width), np.float32)
        table[self.cluster.number, : len(numbers)] = list(numbers)
        return self._total(tf.constant(table)).numpy()

    def _tell(self, failure: Exception | None, value: Any = None) -> list[Any]:
        """The values of all workers; raises this worker's failure, or the first of another's."""
        outcome: dict[str, Any] = {"value": value}
        if isinstance(failure, Interrupted):
            outcome = {"exit_code": failure.exit_code}
        elif failure:
            outcome = {"error": _in_words(failure)}
        outcomes = [json.loads(text) for text in self._share(json.dumps(outcome))]
        if failure:
            raise failure
        for number, theirs in enumerate(outcomes):
            if "exit_code" in theirs:
                raise Interrupted(theirs["exit_code"])
            if "error" in theirs:
                raise UserError(f"{self.cluster.name(number)} has stopped: {theirs['error']}")
        return [theirs["value"] for theirs in outcomes]


def _attempt(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """The result of `work`, or its exception."""
    try:
        return work(), None
    except (UserError, Interrupted, OSError) as error:
        return None, error


def _in_words(failure: Exception) -> str:
    if isinstance(failure, OSError):
        return f"{failure.filename or 'system'}: {reason(failure)}"
    return str(failure)


def make_team(cluster: Cluster | None) -> Team:
    """The workers of a cluster, once all have joined; without a cluster, this process alone.

    Call it before any op. While it waits, signals end the process at once.

    Raises:
        UserError: if the cluster cannot be formed.
    """
    if cluster is None:
        return ALONE
    handlers = {n: signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        who = cluster.name(cluster.number)
        raise UserError(f"TF_CONFIG: {who} cannot join the cluster ({reason(error)})") from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return Workers(cluster, strategy)
