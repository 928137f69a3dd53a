"""A few training steps on this machine's devices, in a separate process, since it may abort.

    python -m rectloc_tf.training.device_trial TASK

TASK is JSON, see `run_trial`. Prints a line of JSON: what was measured, or {"refused": why}.
"""

import dataclasses
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from pipelines.source import make_source
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.models import run_head
from rectloc_tf.processor import describe_machine
from rectloc_tf.training.device_check import STEPS, Trial
from rectloc_tf.training.runtime import Runtime, make_runtime, resolve
from rectloc_tf.training.state import TrainState
from rectloc_tf.training.step import distributed_batches, make_train_step

# A rate this small keeps rounding from growing (Adam's step is nearly the gradient's sign); the
# loss still falls by half, so that wrong gradients show.
RUN = {"arch": "score_map", "image_size": 64, "epochs": 10_000, "learning_rate": 1e-5}
PER_REPLICA = 16  # images
LEAST, PATIENCE = 3, 15.0  # steps that are always run; seconds after which no more of STEPS are


def run_trial(task: dict[str, Any]) -> Trial:
    """Trains a few steps.

    Args:
        task: `strategy`, `precision` and `jit`, as the flags; `seconds` of measuring speed and
            memory; for the CPU's losses also `replicas` and `batch_size`, as the devices have them.

    Raises:
        ConfigError: if these do not go together on this machine.
    """
    execution = ExecutionConfig(strategy=task["strategy"], jit=task["jit"])
    strategy = _cpu_strategy(task["replicas"]) if "replicas" in task else None
    usual = PER_REPLICA * max(1, len(tf.config.list_logical_devices("GPU")))
    batch_size = task.get("batch_size", usual)
    asked = RunConfig(**RUN, batch_size=batch_size, precision=task["precision"])
    run, why = resolve(asked, execution)
    session = make_runtime(execution, batch_size, strategy)
    step, batches = _start(run, session)
    began = time.perf_counter()
    losses = [step(next(batches))]
    compile_seconds = time.perf_counter() - began
    end = time.perf_counter() + PATIENCE
    while len(losses) < LEAST or (len(losses) < STEPS and time.perf_counter() < end):
        losses.append(step(next(batches)))
    batch, before = next(batches), memory_mib()
    rate, steps = _measure(lambda: step(batch), task["seconds"])
    host, device = (after - first for after, first in zip(memory_mib(), before, strict=True))
    return Trial(
        devices=", ".join(_device_names(session)), session=session.description,
        precision=run.precision, why=why, replicas=session.strategy.num_replicas_in_sync,
        batch_size=batch_size, losses=losses, compile_seconds=compile_seconds,
        rate=rate * batch_size, steps=steps, host_mib=host, device_mib=device,
    )  # fmt: skip


def _cpu_strategy(replicas: int) -> tf.distribute.Strategy:
    """A strategy over `replicas` logical CPUs, with GPUs hidden; call it before any op."""
    tf.config.set_visible_devices([], "GPU")
    if replicas == 1:
        return tf.distribute.get_strategy()
    (cpu,) = tf.config.list_physical_devices("CPU")
    devices = [tf.config.LogicalDeviceConfiguration()] * replicas
    tf.config.set_logical_device_configuration(cpu, devices)
    return tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(replicas)])


def _start(run: RunConfig, session: Runtime) -> tuple[Callable[[Any], float], Any]:
    """A step that waits for its loss, and the batches."""
    keras.utils.set_random_seed(run.seed)
    source, head = make_source(run), run_head(run)
    state = TrainState(run, head, source.channels, session.strategy)
    step = make_train_step(run, source, head, state, session.strategy, session.jit)
    return lambda batch: float(step(batch)[0]), iter(distributed_batches(run, source, session, 0))


def _measure(step: Callable[[], float], seconds: float) -> tuple[float, int]:
    """Steps per second, measured for about `seconds`, and the number of steps."""
    count, began = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds or not count:
        step()
        count += 1
    return count / elapsed, count


def memory_mib() -> tuple[float, float]:
    """What this process holds of the host's memory, and of the first GPU's, in MiB."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        host = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:  # macOS: the peak, in bytes
        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if not tf.config.list_logical_devices("GPU"):
        return host, 0.0
    return host, tf.config.experimental.get_memory_info("GPU:0")["current"] / 2**20


def _device_names(session: Runtime) -> list[str]:
    """The devices in use, for people."""
    gpus = tf.config.list_physical_devices("GPU") if tf.config.list_logical_devices("GPU") else []
    names = []
    for gpu in gpus[: session.strategy.num_replicas_in_sync]:
        details = tf.config.experimental.get_device_details(gpu)
        capability = ".".join(map(str, details.get("compute_capability", ("unknown",))))
        names.append(f"{details.get('device_name', 'GPU')} (compute capability {capability})")
    return names or [describe_machine()["cpu"]]


if __name__ == "__main__":
    try:
        answer = dataclasses.asdict(run_trial(json.loads(sys.argv[1])))
    except ConfigError as error:
        answer = {"refused": str(error)}
    print(json.dumps(answer))
