"""Groups of workers that take turns, and what is reported of them."""

import importlib.util
import math
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rectloc_tf.benchmarking.turns import Measurement, ratio, spread, take_turns
from rectloc_tf.registry import FORMATS
from rectloc_tf.results.markdown import markdown

Task = tuple[str | Path, dict[str, Any]]  # the program and what it is to do
# Peers that need a package of the [bench] extra.
NEEDS = {"torch_train.py": "torch", "openvino_serve.py": "openvino"}
_FRAME = "{mean:.2f} ± {standard_error:.2f} ms, p50 {p50:.2f}, p95 {p95:.2f}, p99 {p99:.2f}"


@dataclass(frozen=True)
class Group:
    """Workers that take turns on the same work.

    Attributes:
        suite: a key of SUITES.
        work: what all of them do, for the table.
        tasks: name -> (program, task); the first is ours.
        ratios: key in the report -> name of the peer whose ratio to ours it is; several names
            mean the best of them.
        values: key in the report -> field of our measurements whose median it is.
        summaries: key in the report -> function of the measurements of all workers, by name.
        speedups: key in the report -> name of the worker whose ratio over ours it is.
    """

    suite: str
    work: str
    tasks: dict[str, Task]
    ratios: dict[str, tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    summaries: dict[str, Callable[[Mapping[str, list[Measurement]]], float]] = field(
        default_factory=dict
    )
    speedups: dict[str, str] = field(default_factory=dict)


def is_available(program: str | Path, task: dict[str, Any]) -> bool:
    """Whether a worker can run here: peers lie in a checkout, and some need an extra."""
    if isinstance(program, str):
        return "format" not in task or not FORMATS[task["format"]].missing(task["quantize"])
    needs = "torch" if task.get("peer") == "torch" else NEEDS.get(program.name)
    return program.is_file() and (needs is None or importlib.util.find_spec(needs) is not None)


def measure_group(
    group: Group, rounds: int, on_turn: Callable[[str, int], None], scratch: str = ""
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Measures those workers of a group that can run here.

    Args:
        group: the workers.
        rounds: number of turns each.
        on_turn: see `take_turns`.
        scratch: folder in which groups share their exports.

    Returns:
        Its rows for the report: images per second, ours over theirs, memory and, where they were
        measured, the medians of compile_seconds, first_step_seconds, wait_share and latency_ms,
        and frame_ms as `frame_times`; and its ratios.
    """
    with tempfile.TemporaryDirectory() as own:
        extra = {"scratch": scratch or own, "rounds": rounds}
        tasks = {
            name: (str(program), task | extra if "format" in task else task)
            for name, (program, task) in group.tasks.items()
            if is_available(program, task)
        }
        results = take_turns(tasks, rounds, on_turn)
    return rows_of(group, results), ratios_of(group, results)


def rows_of(group: Group, results: Mapping[str, list[Measurement]]) -> list[dict[str, Any]]:
    """The rows of a group for the report, see `measure_group`."""
    (ours, first), rows = next(iter(results.items())), []
    for name, measured in results.items():
        row: dict[str, Any] = {"suite": group.suite, "work": group.work, "who": name}
        row["images_per_second"] = spread([m["rate"] for m in measured])
        if name != ours:
            row["ours_over_theirs"] = ratio(first, measured)
        for key in measured[0].keys() - {"rate", "peak_mib", "frame_ms"}:
            row[key] = spread([m[key] for m in measured])["median"]
        if "frame_ms" in measured[0]:
            row["frame_ms"] = frame_times([time for m in measured for time in m["frame_ms"]])
        row["peak_mib"] = max(m["peak_mib"] for m in measured)
        rows.append(row)
    return rows


def ratios_of(group: Group, results: Mapping[str, list[Measurement]]) -> dict[str, float]:
    """The ratios of a group for the report, without those of workers that are not there."""
    first = next(iter(results.values()))
    ratios = {key: spread([m[name] for m in first])["median"] for key, name in group.values.items()}
    for key, peers in group.ratios.items():
        found = [ratio(first, results[peer])["median"] for peer in peers if peer in results]
        if found:  # against the best of the peers
            ratios[key] = min(found)
    ratios |= {key: summarise(results) for key, summarise in group.summaries.items()}
    for key, name in group.speedups.items():
        if name in results:
            ratios[key] = ratio(results[name], first)["median"]
    return ratios


def frame_times(times: Sequence[float]) -> dict[str, float]:
    """What is reported of the milliseconds of single frames, two at least.

    The standard error takes frames as independent, as others do who report it.
    """
    error = statistics.stdev(times) / math.sqrt(len(times))
    found = {"frames": len(times), "mean": statistics.fmean(times), "standard_error": error}
    return found | {f"p{share}": float(np.percentile(times, share)) for share in (50, 95, 99)}


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table: medians, with least and greatest."""
    head = ["suite", "work", "who", "images/s", "ours / theirs", "MiB", "more"]
    lines = []
    shown = {
        "compile_seconds": "first call {:.1f} s",
        "first_step_seconds": "imports to first step {:.1f} s",
        "wait_share": "waiting {:.1%}",
        "latency_ms": "latency {:.1f} ms",
    }
    for row in rows:
        rate, over = row["images_per_second"], row.get("ours_over_theirs")
        over = "" if over is None else f"{over['median']:.2f} ({over['min']:.2f}–{over['max']:.2f})"
        more = ", ".join(text.format(row[key]) for key, text in shown.items() if key in row)
        if "frame_ms" in row:
            more = _FRAME.format(**row["frame_ms"])
        speed = f"{rate['median']:,.0f} ({rate['min']:,.0f}–{rate['max']:,.0f})"
        named = [row["suite"], row["work"], row["who"]]
        lines.append([*named, speed, over, f"{row['peak_mib']:,.0f}", more])
    return markdown(head, lines)
