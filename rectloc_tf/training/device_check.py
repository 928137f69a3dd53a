"""Whether training works on this machine's devices, and how fast. Does not import TensorFlow.

Each trial (`device_trial`) runs in its own process: XLA and drivers may abort on new cards.
"""

import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rectloc_tf.errors import ConfigError, UserError

STEPS = 20  # whose losses are compared
SECONDS = 5.0  # of measuring speed and memory
TIMEOUT = 300.0  # seconds of a trial
# Allowed relative difference of a loss from the CPU's in float32. GPUs compute float32 in TF32;
# float16 skips its first steps while it searches for a loss scale.
BOUNDS = {"float32": 0.01, "mixed_bfloat16": 0.05, "mixed_float16": 0.1}
MOST_MIB = 64.0  # growth of memory in use allowed over warm steps
FASTER = 1.05  # speed-up from which a flag is worth advising
COMMAND = (sys.executable, "-m", "rectloc_tf.training.device_trial")


@dataclass(frozen=True)
class Trial:
    """Measurements of one trial process.

    Attributes:
        devices: their names; session: their kind and number, and XLA.
        precision: the dtype policy, and `why` it was chosen.
        replicas, batch_size: devices that share a batch, and its images.
        losses: of the first STEPS steps; fewer if they are slow.
        compile_seconds: of the first step; rate: images/s.
        steps: timed steps, over which memory in use grew by host_mib, device_mib.
    """

    devices: str
    session: str
    precision: str
    why: str
    replicas: int
    batch_size: int
    losses: list[float]
    compile_seconds: float
    rate: float
    steps: int
    host_mib: float
    device_mib: float

    def is_on_one(self, kind: str) -> bool:
        """Whether it ran on a single device of a kind: CPU, GPU or TPU."""
        return self.session.startswith(f"{kind},")


@dataclass(frozen=True)
class Failure:
    """A trial without measurements, and how it ended."""

    how: str


class Verdict(NamedTuple):
    """Whether training works here with the given flags, and advice."""

    works: bool
    advice: str


def try_apart(
    task: dict[str, Any], command: Sequence[str] = COMMAND, timeout: float = TIMEOUT
) -> Trial | Failure:
    """Runs a trial in its own process.

    Args:
        task: see `device_trial.run_trial`.
        command: takes the task as its last argument.
        timeout: seconds after which it is killed.

    Raises:
        ConfigError: if it refuses the flags.
    """
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    try:
        done = subprocess.run(
            [*command, json.dumps(task)], env=os.environ | {"PYTHONPATH": path}, timeout=timeout,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Failure(f"does not finish within {timeout:.0f} s")
    if done.returncode != 0:
        return Failure(_how_it_ended(done.returncode, done.stderr))
    answer = json.loads(done.stdout.splitlines()[-1])
    if "refused" in answer:
        raise ConfigError(answer["refused"])
    return Trial(**answer)


def _how_it_ended(code: int, errors: str) -> str:
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    # TensorFlow logs a fatal error as F and the date; a Python error is the last line.
    fatal = [line for line in lines if re.match(r"F\d{4} ", line)] or lines[-1:]
    why = f": {fatal[0][:200]}" if fatal else ""
    return f"{'aborts' if code < 0 else 'fails'} here ({name}{why})"


def largest_difference(losses: Sequence[float], reference: Sequence[float]) -> float:
    """Largest relative difference over the common steps; infinite if a loss is not finite."""
    if not all(map(math.isfinite, [*losses, *reference])):
        return math.inf
    return max(abs(a - b) / abs(b) for a, b in zip(losses, reference, strict=False))


def problem_of(trial: Trial | Failure, reference: Sequence[float]) -> str | None:
    """What is wrong with a trial, None if nothing is.

    Args:
        trial: on the devices.
        reference: the CPU's losses in float32.
    """
    if isinstance(trial, Failure):
        return trial.how
    bound, found = BOUNDS[trial.precision], largest_difference(trial.losses, reference)
    if found > bound:
        return f"losses differ from the CPU's by {found:.2%} (allowed {bound:.0%})"
    if max(trial.host_mib, trial.device_mib) > MOST_MIB:
        return f"memory grows by {_growth(trial)}"
    return None


def _growth(trial: Trial) -> str:
    return (
        f"{trial.host_mib:.0f} MiB of the host and {trial.device_mib:.0f} MiB of the device in "
        f"{trial.steps} steps (allowed {MOST_MIB:.0f})"
    )


def describe(trial: Trial | Failure, reference: Sequence[float]) -> str:
    """A trial in one line."""
    if isinstance(trial, Failure):
        return trial.how
    found, bound = largest_difference(trial.losses, reference), BOUNDS[trial.precision]
    return (
        f"first step {trial.compile_seconds:.1f} s, then {trial.rate:,.0f} images/s; "
        f"{len(trial.losses)} losses within {found:.2%} of the CPU's (allowed {bound:.0%}); "
        f"memory grew by {_growth(trial)}"
    )


def judge(
    jit: str, plain: Trial | Failure, xla: Trial | Failure | None, reference: Sequence[float]
) -> Verdict:
    """Whether training works with these flags, and which to use.

    Args:
        jit: of "auto", "on" and "off".
        plain: the trial without XLA.
        xla: that with it; None if XLA was not tried.
        reference: the CPU's losses in float32.
    """
    problems = {"off": problem_of(plain, reference)}
    if xla is not None:
        problems["on"] = problem_of(xla, reference)
    on_gpu = isinstance(plain, Failure) or plain.is_on_one("GPU")
    chosen = "on" if "on" in problems and (jit == "on" or (jit == "auto" and on_gpu)) else "off"
    good = {name for name, problem in problems.items() if problem is None}
    if problem := problems[chosen]:
        what = f"{'XLA' if chosen == 'on' else 'training'}: {problem}"
        if good:
            return Verdict(False, f"{what}; use --jit={good.pop()}")
        if isinstance(plain, Trial) and plain.precision != "float32":
            return Verdict(False, f"{what}; try --precision=float32")
        return Verdict(False, f"{what}; train on the CPU (CUDA_VISIBLE_DEVICES=-1)")
    best = chosen
    if len(good) == 2 and isinstance(plain, Trial) and isinstance(xla, Trial):
        ratio = xla.rate / plain.rate
        best = "on" if ratio > FASTER else "off" if ratio < 1 / FASTER else chosen
    precision = next(t.precision for t in (plain, xla) if isinstance(t, Trial))
    usual = " (as --jit=auto does)" if jit == "auto" and best == chosen else ""
    return Verdict(True, f"use --precision={precision} --jit={best}{usual}")


def check_device(
    strategy: str,
    precision: str,
    jit: str,
    show: Callable[[str], None],
    command: Sequence[str] = COMMAND,
    seconds: float = SECONDS,
) -> Verdict:
    """Tries the devices, the CPU and XLA in turn, and passes the findings to `show`.

    Args:
        strategy, precision, jit: as the flags of train.
        show: takes a line.
        command, seconds: of `try_apart`, and of measuring.

    Raises:
        ConfigError: if the flags cannot work on this machine.
        UserError: if not even the CPU can train.
    """
    asked = {"strategy": strategy, "precision": precision, "jit": "off", "seconds": seconds}
    plain = try_apart(asked, command)
    same = {"replicas": 1}
    if isinstance(plain, Trial):
        show(f"devices    {plain.devices}; {plain.session}")
        show(f"precision  {plain.precision} ({plain.why})")
        same = {"replicas": plain.replicas, "batch_size": plain.batch_size}
    on_cpu = {"strategy": "single", "precision": "float32", "jit": "off", "seconds": 0.0}
    cpu = try_apart(on_cpu | same, command)
    if isinstance(cpu, Failure):
        raise UserError(f"training on the CPU {cpu.how}")
    show(f"training   {describe(plain, cpu.losses)}")
    xla = None
    if why := _why_without_xla(jit, plain):
        show(f"XLA        not tried ({why})")
    else:
        xla = try_apart(asked | {"jit": "on"}, command)
        show(f"XLA        {describe(xla, cpu.losses)}")
    return judge(jit, plain, xla, cpu.losses)


def _why_without_xla(jit: str, plain: Trial | Failure) -> str:
    """Why XLA need not be tried; empty if it must be."""
    if jit == "off":
        return "--jit=off"
    if jit == "on" or isinstance(plain, Failure):
        return ""
    if plain.replicas > 1:
        return "it is for one device"
    return "--jit=auto leaves it off on a CPU" if plain.is_on_one("CPU") else ""
