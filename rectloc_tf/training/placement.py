"""Where training pictures are drawn: beside the step on the host, or inside it on the device.

A scene is a handful of numbers, its picture fifty thousand: for a fast device it is cheaper to
move the numbers and draw there. The pixels are the same either way.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable

import tensorflow as tf

from pipelines.source import Batch, Source
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.training.runtime import Runtime
from rectloc_tf.training.step import distributed_batches, step_inputs

SECONDS = 0.2  # of measuring each way


def choose_place(
    run: RunConfig, source: Source, execution: ExecutionConfig, runtime: Runtime
) -> tuple[str, str]:
    """Resolves `--render_on`: returns "host" or "device", and the reason.

    The reason is empty if there is no choice, since the images cannot be drawn on the device.

    "auto" times a batch drawn on the host and moved to the device, and one drawn on the device.
    The short measurement may differ between sessions; the training does not.
    """
    if not source.can_draw_on_device:
        return "host", ""
    if execution.render_on != "auto":
        return execution.render_on, "as asked"
    if execution.deterministic:
        return "host", "--deterministic"
    seconds, endless = {}, dataclasses.replace(run, epochs=10_000_000, steps=0)
    for place in ("host", "device"):
        batches = distributed_batches(endless, source, runtime, 0, place == "host")
        seconds[place] = _seconds_a_batch(_make_consumer(source, runtime), batches)
    place = min(seconds, key=lambda name: seconds[name])
    host, device = (f"{1000 * seconds[name]:.1f} ms" for name in ("host", "device"))
    return place, f"a batch takes {host} on the host, transfer included, {device} on the device"


def _make_consumer(source: Source, runtime: Runtime) -> Callable[[Batch], None]:
    """A function that moves a batch to the device, draws it if needed, and waits for it."""
    strategy = runtime.strategy

    def replica_step(batch):
        batch = batch if "images" in batch else source.draw(batch)
        # Returns all of it, or a compiler would draw only the pixel that is read.
        return batch["images"], batch["points"], batch["images"][0, 0, 0, 0]

    @tf.function(jit_compile=runtime.jit or None)
    def step(batch):
        return strategy.run(replica_step, (batch,))

    def consume(batch):
        for pixel in strategy.experimental_local_results(step(step_inputs(batch))[-1]):
            pixel.numpy()

    return consume


def _seconds_a_batch(consume: Callable[[Batch], None], batches: Iterable[Batch]) -> float:
    batches = iter(batches)

    def measure(seconds: float) -> float:
        count, began = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - began) < seconds or not count:
            consume(next(batches))
            count += 1
        return elapsed / count

    measure(SECONDS / 2)  # warms up
    return measure(SECONDS)
