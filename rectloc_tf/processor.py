"""What this machine is and its processor offers, and oneDNN switched on where it wins.

Imports no TensorFlow.
"""

import os
import platform
import sys
import warnings
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")  # what Linux says of the processor
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # instruction sets that compute in it
# Those that decide which kernels run and how fast.
INSTRUCTIONS = {"avx2", "avx512f", "avx512_vnni"} | BFLOAT16


def describe_machine(cpuinfo: Path = CPUINFO) -> dict[str, Any]:
    """What numbers were measured on: `platform`, `cores` and `cpu`, its name."""
    names = [
        line.split(":", 1)[1].strip()
        for line in _read_lines(cpuinfo)
        if line.startswith("model name")
    ]
    cpu = names[0] if names else platform.processor()
    return {"platform": platform.platform(), "cores": os.cpu_count(), "cpu": cpu}


def cpu_flags(cpuinfo: Path = CPUINFO) -> set[str]:
    """Instruction sets of this processor as Linux names them; empty where it does not say."""
    return {
        flag
        for line in _read_lines(cpuinfo)
        if line.startswith(("flags", "Features"))
        for flag in line.split(":", 1)[1].split()
    }


def _read_lines(cpuinfo: Path) -> list[str]:
    try:
        return cpuinfo.read_text().splitlines()
    except OSError:  # not Linux
        return []


def onednn_is_on() -> bool:
    """Whether TensorFlow, which this loads, uses oneDNN."""
    from tensorflow.python.util import _pywrap_util_port  # there is no public way to ask

    return bool(_pywrap_util_port.IsMklEnabled())


def enable_onednn(flags: set[str] | None = None) -> None:
    """Turns oneDNN on for this process, before TensorFlow reads the setting.

    TensorFlow leaves it off on x86 processors without AVX512-VNNI, where it makes training up to
    1.8 times as fast (BUILD.md, "oneDNN"). A value that the user has set stays. If TensorFlow is
    loaded already, it is too late: then this warns, unless oneDNN is on anyway.

    Args:
        flags: instruction sets; this processor's if None.
    """
    flags = cpu_flags() if flags is None else flags
    if ONEDNN in os.environ or platform.machine() != "x86_64" or "avx2" not in flags:
        return
    if "tensorflow" not in sys.modules:
        os.environ[ONEDNN] = "1"
    elif not onednn_is_on():
        warnings.warn(
            "TensorFlow was imported before rectloc_tf and runs without oneDNN, which is slower "
            f"on this processor: import rectloc_tf first, or set {ONEDNN}=1",
            RuntimeWarning,
            stacklevel=3,
        )
