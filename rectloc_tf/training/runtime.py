"""Precision, devices and compilation on this machine, each with the reason for its choice."""

import dataclasses
import os
import platform
import sys
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.errors import ConfigError, reason
from rectloc_tf.processor import BFLOAT16, INSTRUCTIONS, cpu_flags, onednn_is_on
from rectloc_tf.training.team import ALONE, Team

STEPS_PER_CALL = {"CPU": 1, "GPU": 20, "TPU": 20}  # where none are asked for


@dataclass(frozen=True)
class Runtime:
    """Devices and compilation of a training session.

    Attributes:
        strategy: how steps are spread over devices.
        jit: whether steps are compiled by XLA.
        steps_per_call: training steps in one compiled call.
        description: one line for people.
        team: the workers that share the training.
    """

    strategy: tf.distribute.Strategy
    jit: bool
    steps_per_call: int
    description: str
    team: Team

    @property
    def measuring(self) -> tf.distribute.Strategy:
        """Strategy for work without other workers: in a cluster, this worker's first device."""
        return self.strategy if self.team.size == 1 else tf.distribute.get_strategy()


def gpu_precision(capability: tuple[int, int]) -> tuple[str, str]:
    """The best precision for a CUDA compute capability, and why."""
    version = ".".join(map(str, capability))
    if capability >= (8, 0):
        return "mixed_bfloat16", f"GPU of compute capability {version} has bfloat16 units"
    if capability >= (7, 0):
        return "mixed_float16", f"GPU of compute capability {version} has float16 units"
    return "float32", f"GPU of compute capability {version} has no fast 16-bit units"


def _has_tpu() -> bool:
    return bool(tf.config.list_logical_devices("TPU")) or "TPU_NAME" in os.environ


def choose_precision(requested: str, strategy: str = "auto") -> tuple[str, str]:
    """Resolves `--precision`; returns the Keras dtype policy's name and the reason."""
    if requested != "auto":
        return requested, "as asked"
    if strategy == "tpu" or (strategy == "auto" and _has_tpu()):
        return "mixed_bfloat16", "TPUs compute in bfloat16"
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return gpu_precision(min(d.get("compute_capability", (0, 0)) for d in details))
    found = sorted(BFLOAT16 & cpu_flags())
    if found:
        return "mixed_bfloat16", f"this CPU has {found[0]}"
    return "float32", "this CPU has no bfloat16 instructions"


def resolve(run: RunConfig, execution: ExecutionConfig) -> tuple[RunConfig, str]:
    """The run with its precision settled, and the reason for it."""
    precision, why = choose_precision(run.precision, execution.strategy)
    return dataclasses.replace(run, precision=precision), why


def _make_strategy(requested: str) -> tf.distribute.Strategy:
    if requested == "multi_worker":
        raise ConfigError("--strategy=multi_worker: only train works on several machines")
    gpus = tf.config.list_logical_devices("GPU")
    if requested == "tpu" or (requested == "auto" and _has_tpu()):
        try:
            name = os.environ.get("TPU_NAME", "local")
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name)
            tf.config.experimental_connect_to_cluster(resolver)
            tf.tpu.experimental.initialize_tpu_system(resolver)
        except (ValueError, OSError, tf.errors.OpError) as error:
            message = f"--strategy=tpu: no TPU can be reached ({reason(error)})"
            raise ConfigError(message) from error
        return tf.distribute.TPUStrategy(resolver)
    if requested == "mirrored" or (requested == "auto" and len(gpus) > 1):
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def make_runtime(
    execution: ExecutionConfig,
    batch_size: int,
    strategy: tf.distribute.Strategy | None = None,
    team: Team = ALONE,
) -> Runtime:
    """Picks devices and compilation for a run.

    Args:
        execution: what was asked for.
        batch_size: global batch size, which the replicas share.
        strategy: used instead of the one that `execution` names, if given.
        team: the workers that share the training, with their strategy.

    Raises:
        ConfigError: if the replicas cannot share the batch evenly, a TPU was asked for and
            there is none, several workers for a command that supports only one, or XLA where it
            cannot work.
    """
    chosen = strategy or team.strategy or _make_strategy(execution.strategy)
    replicas = chosen.num_replicas_in_sync
    if batch_size % replicas:
        raise ConfigError(
            f"--batch_size={batch_size}: must be a multiple of the {replicas} devices in use"
        )
    devices = sorted({d.device_type for d in tf.config.list_logical_devices()})
    # A TPU's steps are compiled by the strategy itself.
    possible = replicas == 1 and "TPU" not in devices
    if execution.jit == "on" and not possible:
        raise ConfigError("--jit=on: works with one CPU or GPU only; use auto or off")
    useful = "GPU" in devices and not execution.deterministic  # see ExecutionConfig
    jit = possible and (execution.jit == "on" or (execution.jit == "auto" and useful))
    kind = "TPU" if "TPU" in devices else "GPU" if "GPU" in devices else "CPU"
    names = f"{replicas} x {kind}" if replicas > 1 else kind
    if team.size > 1:
        names += f" of {team.size} workers"
    description = f"{names}, XLA {'on' if jit else 'off'}"
    steps_per_call = execution.steps_per_call or STEPS_PER_CALL[kind]
    if steps_per_call > 1:
        description += f", {steps_per_call} steps per call"
    return Runtime(chosen, jit, steps_per_call, description, team)


def describe_gpu() -> dict[str, str]:
    """`gpu`, the name of the GPU that is used; nothing without one."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(g).get("device_name", "GPU") for g in gpus]
    return {"gpu": names[0]} if names else {}


def describe_environment() -> dict[str, Any]:
    """Versions and devices, for `environment.json`."""
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "instructions": sorted(INSTRUCTIONS & cpu_flags()),
        "onednn": onednn_is_on(),
        "devices": [device.name for device in tf.config.list_logical_devices()],
        "command": sys.argv,
    }
