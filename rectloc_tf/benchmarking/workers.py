"""Our own benchmark workers: the input pipeline, the training step."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rectloc_tf.benchmarking.turns import Measurement, serve
from rectloc_tf.config import RunConfig

SECONDS = 1.0  # of a turn, and of the warm-up


def run_of(task: dict[str, Any]) -> RunConfig:
    """The run whose work a task measures: `target` is xy, disc or gaussian."""
    kind = task["target"]
    return RunConfig(
        arch="xy" if kind == "xy" else "deconv",
        target="disc" if kind == "xy" else kind,
        domain=task["domain"],
        image_size=task["image_size"],
        batch_size=task["batch_size"],
        precision=task.get("precision", "float32"),
        depth=task.get("depth", 18),
        epochs=10_000,
    )


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


def _float_images(batch):
    import tensorflow as tf

    return {**batch, "images": tf.cast(batch["images"], tf.float32)}


def prepare_input(task: dict[str, Any]) -> Callable[[], Measurement]:
    """The input pipeline alone, as training reads it."""
    from pipelines.datasets import training_batches

    dataset = training_batches(run_of(task), renderer=task["renderer"])
    if task["dtype"] == "float32":
        dataset = dataset.map(_float_images)
    batches = iter(dataset)
    rate_of(batches, task["batch_size"])
    return lambda: rate_of(batches, task["batch_size"])


def prepare_train(task: dict[str, Any]) -> Callable[[], Measurement]:
    """One training step after the other on a fixed batch: no input in the way."""
    import tensorflow as tf

    from pipelines.datasets import training_batches
    from rectloc_tf.train_state import TrainState, make_train_step

    run, strategy = run_of(task), tf.distribute.get_strategy()
    state = TrainState(run, strategy)
    step = make_train_step(run, state, strategy, jit=False)
    batch = next(iter(training_batches(run)))
    began = time.perf_counter()
    step(batch)
    compile_seconds = time.perf_counter() - began

    def steps():
        while True:
            yield float(step(batch)[0])

    running = steps()
    next(running)
    seconds = task["seconds"]
    return lambda: rate_of(running, run.batch_size, seconds) | {"compile_seconds": compile_seconds}


PREPARE = {"input": prepare_input, "train": prepare_train}

if __name__ == "__main__":
    serve(lambda task: PREPARE[task["kind"]](task))
