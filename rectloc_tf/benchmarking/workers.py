"""Our own benchmark workers: the input pipeline, the training step, an epoch, serving."""

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rectloc_tf.benchmarking.exports import exported, exported_pictures, run_of
from rectloc_tf.benchmarking.labelled import open_project
from rectloc_tf.benchmarking.turns import Measurement, serve
from rectloc_tf.config import RunConfig
from rectloc_tf.registry import FORMATS, load
from rectloc_tf.serving.formats.format import Answer

SECONDS = 1.0  # of a turn, and of the warm-up
LIVE_PICTURES = 16  # which frames repeat


def rate_of(batches: Iterator[Any], batch_size: int, seconds: float = SECONDS) -> Measurement:
    """Images per second of an iterator over batches, for about so many seconds.

    A third of that time goes first, unmeasured: it empties what was prefetched while the
    worker was idle.
    """
    end = time.perf_counter() + seconds / 3
    while time.perf_counter() < end:
        next(batches)
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        next(batches)
        count += 1
    return {"rate": count * batch_size / elapsed}


def prepare_input(task: dict[str, Any]) -> Callable[[], Measurement]:
    """The input pipeline as training reads it, and the targets that a step makes of it."""
    import tensorflow as tf

    from pipelines.source import make_source
    from pipelines.streams import PREFETCHED, training_batches
    from rectloc_tf.models import run_head

    run = run_of(task)
    head = run_head(run)

    def complete(batch):
        images = tf.cast(batch["images"], task["dtype"])
        return images, head.targets(batch["points"], batch["present"])

    drawn = training_batches(run, make_source(run, task["renderer"]))
    batches = iter(drawn.map(complete, num_parallel_calls=tf.data.AUTOTUNE).prefetch(PREFETCHED))
    rate_of(batches, task["batch_size"])
    return lambda: rate_of(batches, task["batch_size"])


def seconds_of(action: Callable[[], Any]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def epoch_of(
    start: Callable[[], Iterator[tuple]], step: Callable[..., Any], task: dict[str, Any]
) -> Measurement:
    """One epoch of `task["images"]` images, begun from nothing.

    Args:
        start: starts the input; its elements are a step's arguments.
        step: does a step and waits for its loss.

    Returns:
        rate in images per second; wait_share, the share of the time spent waiting for input.
    """
    waited, began = 0.0, time.perf_counter()
    batches, steps = start(), task["images"] // task["batch_size"]
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        step(*batch)
    elapsed = time.perf_counter() - began
    return {"rate": steps * task["batch_size"] / elapsed, "wait_share": waited / elapsed}


def _make_step(run: RunConfig, source: Any = None) -> tuple[Callable[[dict[str, Any]], float], Any]:
    """A step, which makes the targets and waits for the loss; and the dataset of its batches."""
    import tensorflow as tf

    from pipelines.source import make_source
    from pipelines.streams import training_batches
    from rectloc_tf.models import run_head
    from rectloc_tf.training.state import TrainState
    from rectloc_tf.training.step import make_train_step

    source = source or make_source(run)
    head, strategy = run_head(run), tf.distribute.get_strategy()
    state = TrainState(run, head, source.channels, strategy)
    step = make_train_step(run, source, head, state, strategy, jit=False)
    return lambda batch: float(step(batch)[0]), training_batches(run, source)


def prepare_train(task: dict[str, Any]) -> Callable[[], Measurement]:
    """One training step after the other on a fixed batch: no input in the way."""
    run = run_of(task)
    step, dataset = _make_step(run)
    batch = next(iter(dataset))
    compile_seconds = seconds_of(lambda: step(batch))

    def steps():
        while True:
            yield step(batch)

    running = steps()
    next(running)
    seconds = task["seconds"]
    return lambda: rate_of(running, run.batch_size, seconds) | {"compile_seconds": compile_seconds}


def prepare_epoch(task: dict[str, Any]) -> Callable[[], Measurement]:
    """Epochs whose images are made as training goes, each from a pipeline of its own.

    They are scenes or, if the task has `files`, so many labelled images, distorted at random.
    """
    import tensorflow  # noqa: F401 (its import is not counted below)

    began = time.perf_counter()
    run, source = run_of(task), None
    if "files" in task:
        with tempfile.TemporaryDirectory() as folder:
            fields = {name: task[name] for name in ("arch", "image_size", "batch_size", "depth")}
            fields |= {"precision": task["precision"], "rotate": 180.0}
            run, source = open_project(Path(folder), task["files"], **fields)
    step, dataset = _make_step(run, source)
    batch = next(iter(dataset))
    compile_seconds = seconds_of(lambda: step(batch))
    extra = {
        "compile_seconds": compile_seconds,
        "first_step_seconds": time.perf_counter() - began,
    }
    return lambda: epoch_of(lambda: ((b,) for b in dataset), step, task) | extra


def answer_times(answer: Callable[[], Any], task: dict[str, Any]) -> Callable[[], Measurement]:
    """Measures calls one after the other: their rate, and the median time of one in ms."""
    answer()

    def measure():
        times = []
        while sum(times) < 4 / 3 * SECONDS or len(times) < 4:
            times.append(seconds_of(answer))
        times = times[len(times) // 4 :]  # the first quarter warms up
        latency = statistics.median(times)
        return {"rate": task["batch_size"] / latency, "latency_ms": 1000 * latency}

    return measure


def _load(task: dict[str, Any], folder: Path) -> Answer:
    """An exported network, by its format's runtime."""
    return load(FORMATS[task["format"]].implementation)().load(folder)


def prepare_serve(task: dict[str, Any]) -> Callable[[], Measurement]:
    """An exported network: a batch of pictures in, points out."""
    folder = exported(task)
    answer, images = _load(task, folder), exported_pictures(folder, task["batch_size"])
    return answer_times(lambda: answer(images), task)


def prepare_live(task: dict[str, Any]) -> Callable[[], Measurement]:
    """An exported network on `task["frames"]` frames one by one, in all turns together.

    Measures the milliseconds of each, from pixels in memory to points in memory.
    """
    folder = exported(task)
    images = exported_pictures(folder, LIVE_PICTURES, task["side"])
    answer, frames = _load(task, folder), [*images[:, None]]
    count = -(-task["frames"] // task["rounds"])

    def times_of(number: int) -> list[float]:
        each = itertools.islice(itertools.cycle(frames), number)
        return [1000 * seconds_of(lambda frame=frame: answer(frame)) for frame in each]

    def measure():
        times_of(len(frames))  # warms up, also after another's turn
        times = times_of(count)
        return {"rate": 1000 * count / sum(times), "frame_ms": times}

    times_of(1)
    return measure


PREPARE = {
    "input": prepare_input,
    "train": prepare_train,
    "epoch": prepare_epoch,
    "serve": prepare_serve,
    "live": prepare_live,
}

if __name__ == "__main__":
    serve(lambda task: PREPARE[task["kind"]](task))
