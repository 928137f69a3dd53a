"""What is measured against what: groups of workers that take turns, and the ratios of interest."""

import importlib.util
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rectloc_tf.benchmarking.turns import Measurement, ratio, spread, take_turns
from rectloc_tf.processor import BFLOAT16, cpu_flags
from rectloc_tf.registry import HEADS

Task = tuple[str | Path, dict[str, Any]]  # the program and what it is to do
OURS = "rectloc_tf.benchmarking.workers"
PEERS = Path(__file__).resolve().parents[2] / "benchmarks"
# Peers that need a package of the [bench] extra.
NEEDS = {"torch_train.py": "torch", "openvino_serve.py": "openvino"}
# Of a task, the keys that are settings of a run say what is measured (`workers.run_of`).
XY: dict[str, Any] = {"arch": "xy"}
DISC, GAUSSIAN = ({"arch": "deconv", "target": name} for name in ("disc", "gaussian"))
_HEAD = ("arch", "target")
_BASE = {"domain": 3, "image_size": 224, "batch_size": 64}


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
    """

    suite: str
    work: str
    tasks: dict[str, Task]
    ratios: dict[str, tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    summaries: dict[str, Callable[[Mapping[str, list[Measurement]]], float]] = field(
        default_factory=dict
    )


def precisions() -> tuple[str, ...]:
    """The precisions that this processor computes in, the fastest first.

    bfloat16 is emulated where the processor has none, for minutes a step.
    """
    return ("mixed_bfloat16", "float32") if BFLOAT16 & cpu_flags() else ("float32",)


def _describe(task: dict[str, Any], *names: str) -> str:
    return " ".join(f"{name}={task[name]}" for name in names if name in task)


def input_groups() -> Iterator[Group]:
    """The input pipeline against other ways to draw the scenes."""

    def group(ratios=(), peers=("numpy_function", "opencv_loop"), head=DISC, **change):
        task = {**_BASE, **head, "kind": "input", "dtype": "uint8", **change}
        drawn = PEERS / "input_peers.py"
        tasks = {
            "graph": (OURS, {**task, "renderer": "graph"}),
            "numpy_function": (OURS, {**task, "renderer": "opencv"}),
            "opencv_loop": (drawn, {**task, "peer": "opencv_loop"}),
            "torch, 0 workers": (drawn, {**task, "peer": "torch", "workers": 0}),
            "torch, 2 workers": (drawn, {**task, "peer": "torch", "workers": 2}),
            "memset": (drawn, {**task, "peer": "memset", "in_flight": 8}),
            "memset in cache": (drawn, {**task, "peer": "memset", "in_flight": 1}),
        }
        tasks = {name: tasks[name] for name in ("graph", *peers)}
        work = _describe(task, *_HEAD, "domain", "image_size", "batch_size", "dtype")
        return Group("input", work, tasks, dict(ratios))

    everybody = (
        "numpy_function", "opencv_loop", "torch, 0 workers", "torch, 2 workers", "memset",
        "memset in cache",
    )  # fmt: skip
    yield group(
        {
            "input_vs_numpy_function": ("numpy_function",),
            "input_vs_opencv_loop": ("opencv_loop",),
            "input_vs_memset": ("memset",),
        },
        everybody,
    )
    yield group(peers=everybody, head=XY)
    yield group(peers=everybody, head=GAUSSIAN)
    yield group(dtype="float32")
    for change in (
        {"domain": 1}, {"domain": 5}, {"domain": 20}, {"batch_size": 16}, {"batch_size": 512},
        {"image_size": 112}, {"image_size": 448},
    ):  # fmt: skip
        yield group(**change)
    task = {**_BASE, "kind": "input", "dtype": "uint8", "renderer": "graph"}
    tasks: dict[str, Task] = {head["target"]: (OURS, {**task, **head}) for head in (DISC, GAUSSIAN)}
    cost = {"gaussian_vs_disc_cost": ("gaussian",)}
    yield Group("input", "disc against gaussian, graph", tasks, cost)


def train_groups() -> Iterator[Group]:
    """A training step against PyTorch's, eager and compiled; of every head; of several sizes."""
    train = {**_BASE, **DISC, "kind": "train", "depth": 18, "batch_size": 32, "seconds": 2.0}

    def group(ratios=(), peers=("torch eager", "torch compiled"), **change):
        task = {**train, **change}
        tasks: dict[str, Task] = {"ours": (OURS, task)}
        for name in peers:
            compiled = name == "torch compiled"
            tasks[name] = (PEERS / "torch_train.py", {**task, "compiled": compiled})
        work = _describe(task, *_HEAD, "depth", "image_size", "batch_size", "precision")
        return Group("train", work, tasks, dict(ratios))

    for precision in precisions():
        for size in (224, 112):
            key = f"step_vs_torch_{precision.removeprefix('mixed_')}_{size}"
            change = {"precision": precision, "image_size": size}
            yield group({key: ("torch eager", "torch compiled")}, **change)
            yield group(**{**change, **XY}, peers=("torch eager",))
    for depth in (34, 50):
        yield group(precision=precisions()[0], image_size=112, depth=depth, peers=("torch eager",))
    task = {**train, "precision": precisions()[0]}
    tasks: dict[str, Task] = {name: (OURS, {**task, "arch": name}) for name in HEADS}
    first, *others = HEADS
    costs = {f"{name}_vs_{first}_step_cost": (name,) for name in others}
    work = f"heads, {_describe(task, 'depth', 'image_size', 'batch_size', 'precision')}"
    yield Group("train", work, tasks, costs)
    task |= {"batch_size": 16, "seconds": 1.0}
    tasks = {f"{size} px": (OURS, {**task, "image_size": size}) for size in range(64, 257, 16)}
    summaries = {"size_vs_next_cost": dearest_step}
    work = f"sizes, {_describe(task, *_HEAD, 'depth', 'batch_size', 'precision')}"
    yield Group("train", work, tasks, summaries=summaries)


def dearest_step(results: Mapping[str, list[Measurement]]) -> float:
    """The most that an image costs in relation to one of the next larger size.

    Above 1 there is a size that costs more than a larger one.
    """
    pairs = itertools.pairwise(results.values())
    return max(ratio(larger, smaller)["median"] for smaller, larger in pairs)


def sweep_groups() -> Iterator[Group]:
    """A training step at the batch sizes and depths of hyperparameter_sweep."""
    train = {**_BASE, "kind": "train", "depth": 18, "image_size": 112, "seconds": 2.0}
    train |= {"precision": precisions()[0]}
    for head in (XY, DISC):
        task = {**train, **head}
        by_batch = {
            f"batch {size}": {"batch_size": size} for size in (64, 8, 16, 32, 128, 256, 512)
        }
        by_depth = {f"{depth} layers": {"depth": depth} for depth in (18, 34, 50)}
        for axis, changes in (("batch sizes", by_batch), ("depths", by_depth)):
            tasks: dict[str, Task] = {
                n: (OURS, {**task, **change}) for n, change in changes.items()
            }
            work = f"{axis}, {_describe(task, 'arch', 'image_size', 'precision')}"
            yield Group("sweep", work, tasks)


def end_to_end_groups() -> Iterator[Group]:
    """An epoch whose images are made as it goes, each framework at its best precision."""

    def group(head, peers=(), ratios=()):
        task = {**_BASE, **head, "kind": "epoch", "depth": 18, "image_size": 112, "batch_size": 32,
                "images": 512, "precision": precisions()[0]}  # fmt: skip
        tasks: dict[str, Task] = {"ours": (OURS, task)}
        for precision, workers in peers:
            name = f"torch {precision.removeprefix('mixed_')}, {workers} workers"
            peer = {"peer": "torch", "dtype": "uint8", "workers": workers, "compiled": True}
            tasks[name] = (PEERS / "torch_train.py", {**task, **peer, "precision": precision})
        work = _describe(task, *_HEAD, "depth", "image_size", "batch_size", "images")
        ratios = {key: tuple(tasks)[1:] for key in ratios}
        values = {"input_wait_share": "wait_share"} if ratios else {}
        return Group("end_to_end", work, tasks, ratios, values)

    peers = [(precision, workers) for precision in precisions() for workers in (0, 2)]
    yield group(DISC, peers, ("epoch_vs_torch",))
    yield group(XY)
    for size in (160, 320):
        task = {"kind": "epoch", "arch": "score_map", "depth": 18, "image_size": size,
                "batch_size": 16, "images": 512 * 160 // size, "files": 100,
                "precision": precisions()[0]}  # fmt: skip
        work = f"100 labelled images, {_describe(task, 'arch', 'image_size', 'batch_size')}"
        values = {f"labelled_input_wait_share_{size}": "wait_share"}
        yield Group("end_to_end", work, {"ours": (OURS, task)}, values=values)


def serve_groups() -> Iterator[Group]:
    """The exported SavedModel against OpenVINO: pictures in, (x, y) out."""
    for head in (XY, DISC):
        for batch_size in (1, 8, 64):
            task = {**_BASE, **head, "kind": "serve", "batch_size": batch_size}
            tasks: dict[str, Task] = {
                precision.removeprefix("mixed_"): (OURS, {**task, "precision": precision})
                for precision in precisions()
            }
            tasks["openvino"] = (PEERS / "openvino_serve.py", {**task, "precision": "float32"})
            work = _describe(task, *_HEAD, "image_size", "batch_size")
            ratios = {f"serve_vs_openvino_{batch_size}": ("openvino",)} if head is DISC else {}
            yield Group("serve", work, tasks, ratios)


SUITES: dict[str, Callable[[], Iterator[Group]]] = {
    "input": input_groups,
    "train": train_groups,
    "sweep": sweep_groups,
    "end_to_end": end_to_end_groups,
    "serve": serve_groups,
}


def is_available(program: str | Path, task: dict[str, Any]) -> bool:
    """Whether a worker can run here: peers lie in a checkout, and some need an extra."""
    if isinstance(program, str):
        return True
    needs = "torch" if task.get("peer") == "torch" else NEEDS.get(program.name)
    return program.is_file() and (needs is None or importlib.util.find_spec(needs) is not None)


def measure_group(
    group: Group, rounds: int, on_turn: Callable[[str, int], None]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Measures those workers of a group that can run here.

    Returns:
        Its rows for the report: images per second, ours over theirs, memory and, where they were
        measured, the medians of compile_seconds, first_step_seconds, wait_share and latency_ms;
        and its ratios.
    """
    tasks = {n: (str(p), t) for n, (p, t) in group.tasks.items() if is_available(p, t)}
    results = take_turns(tasks, rounds, on_turn)
    (ours, first), rows = next(iter(results.items())), []
    for name, measured in results.items():
        row: dict[str, Any] = {"suite": group.suite, "work": group.work, "who": name}
        row["images_per_second"] = spread([m["rate"] for m in measured])
        if name != ours:
            row["ours_over_theirs"] = ratio(first, measured)
        for key in measured[0].keys() - {"rate", "peak_mib"}:
            row[key] = spread([m[key] for m in measured])["median"]
        row["peak_mib"] = max(m["peak_mib"] for m in measured)
        rows.append(row)
    ratios = {key: spread([m[name] for m in first])["median"] for key, name in group.values.items()}
    for key, peers in group.ratios.items():
        found = [ratio(first, results[peer])["median"] for peer in peers if peer in results]
        if found:  # against the best of the peers
            ratios[key] = min(found)
    ratios |= {key: summarise(results) for key, summarise in group.summaries.items()}
    return rows, ratios


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table: medians, with least and greatest."""
    lines = [
        "| suite | work | who | images/s | ours / theirs | MiB | more |",
        "|---|---|---|---|---|---|---|",
    ]
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
        lines.append(
            f"| {row['suite']} | {row['work']} | {row['who']} | {rate['median']:,.0f} "
            f"({rate['min']:,.0f}–{rate['max']:,.0f}) | {over} | {row['peak_mib']:,.0f} | {more} |"
        )
    return "\n".join(lines)
