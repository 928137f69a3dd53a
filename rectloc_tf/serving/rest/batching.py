"""Requests to batches: while the network answers one batch, the next one gathers.

Nothing waits for a batch to fill: a request that finds the network idle is run alone and at
once, and under load the batches grow by themselves. No TensorFlow.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from rectloc_tf.serving.rest.values import ServingError

Outputs = Mapping[str, np.ndarray]
MAX_IMAGES, MAX_PIXELS = 32, 16_000_000  # of a batch; a single image may have more pixels
MAX_WAITING_BYTES = 256 * 2**20
UNAVAILABLE = 503


@dataclass(frozen=True, eq=False)
class _Job:
    array: np.ndarray
    pixels: int
    answered: asyncio.Future = field(default_factory=asyncio.Future)


@dataclass(frozen=True)
class Answered:
    """Outputs, and the seconds that the network took for the slowest batch that they were in."""

    outputs: Outputs
    seconds: float


class Batcher:
    """Answers arrays by a function that is called with many of them at once."""

    def __init__(self, answer: Callable[[np.ndarray], Outputs], executor: Executor):
        """Makes an idle one.

        Args:
            answer: [N, ...] -> outputs, each [N, ...]; called in the executor.
            executor: of one thread, which other batchers may share.
        """
        self._answer, self._executor = answer, executor
        self._waiting: deque[_Job] = deque()
        self._bytes = 0
        self._worker: asyncio.Task | None = None

    async def __call__(self, array: np.ndarray, pixels: Sequence[int]) -> Answered:
        """Answers the rows of an array.

        Args:
            array: [N, ...], N may be 0.
            pixels: of each row.

        Raises:
            ServingError: if too much is waiting already.
            Exception: whatever the function raised for these rows.
        """
        jobs = [_Job(array[part], sum(pixels[part])) for part in _parts(pixels)]
        size = sum(_bytes(job.array) for job in jobs)
        if self._bytes + size > MAX_WAITING_BYTES:
            message = "The batch scheduling queue to which this task was submitted is full"
            raise ServingError(message, UNAVAILABLE)
        self._waiting += jobs
        self._bytes += size
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            answers = await asyncio.gather(*(job.answered for job in jobs))
        finally:
            self._bytes -= size
            for job in jobs:  # of a request that failed nothing more need be answered
                job.answered.cancel()
        names = answers[0].outputs.keys()
        outputs = {name: np.concatenate([a.outputs[name] for a in answers]) for name in names}
        return Answered(outputs, max(answer.seconds for answer in answers))

    async def _work(self) -> None:
        while group := self._next_group():
            await self._answer_group(group)

    def _next_group(self) -> list[_Job]:
        """The oldest job with those of its shape that fit into a batch with it."""
        group: list[_Job] = []
        images = pixels = 0
        kept: list[_Job] = []
        while self._waiting:
            job = self._waiting.popleft()
            if job.answered.done():  # its client gave up
                continue
            fits = not group or (
                job.array.shape[1:] == group[0].array.shape[1:]
                and images + len(job.array) <= MAX_IMAGES
                and pixels + job.pixels <= MAX_PIXELS
            )
            (group if fits else kept).append(job)
            if fits:
                images, pixels = images + len(job.array), pixels + job.pixels
        self._waiting.extend(kept)
        return group

    async def _answer_group(self, group: list[_Job]) -> None:
        loop = asyncio.get_running_loop()
        array = np.concatenate([job.array for job in group])
        try:
            outputs, seconds = await loop.run_in_executor(self._executor, self._timed, array)
        except Exception as error:
            if len(group) > 1:  # only those at fault are to fail
                for job in group:
                    if not job.answered.done():
                        await self._answer_group([job])
            elif not group[0].answered.done():
                group[0].answered.set_exception(error)
            return
        start = 0
        for job in group:
            rows = slice(start, start + len(job.array))
            start = rows.stop
            if not job.answered.done():
                part = {name: output[rows] for name, output in outputs.items()}
                job.answered.set_result(Answered(part, seconds))

    def _timed(self, array: np.ndarray) -> tuple[Outputs, float]:
        start = perf_counter()
        outputs = self._answer(array)
        return outputs, perf_counter() - start


def _parts(pixels: Sequence[int]) -> list[slice]:
    """Slices of rows that fit into a batch; one even if there are no rows."""
    starts, images, total = [0], 0, 0
    for number, size in enumerate(pixels):
        if images and (images == MAX_IMAGES or total + size > MAX_PIXELS):
            starts.append(number)
            images = total = 0
        images, total = images + 1, total + size
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], len(pixels)], strict=True)]


def _bytes(array: Any) -> int:
    return sum(map(len, array)) if array.dtype == object else array.nbytes
