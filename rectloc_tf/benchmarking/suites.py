"""What is measured against what: groups of workers that take turns, and the ratios of interest."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rectloc_tf.benchmarking.turns import ratio, spread, take_turns

OURS = "rectloc_tf.benchmarking.workers"
PEERS = Path(__file__).resolve().parents[2] / "benchmarks"
_BASE = {"domain": 3, "image_size": 224, "batch_size": 64}


@dataclass(frozen=True)
class Group:
    """Workers that take turns on the same work.

    Attributes:
        suite: "input" or "train".
        work: what all of them do, for the table.
        tasks: name -> (program, task); the first is ours.
        ratios: key in the report -> name of the peer whose ratio to ours it is; several names
            mean the best of them.
    """

    suite: str
    work: str
    tasks: dict[str, tuple[str, dict[str, Any]]]
    ratios: dict[str, tuple[str, ...]]


def input_groups(has_torch: bool) -> Iterator[Group]:
    """The input pipeline against other ways to draw the scenes."""

    def group(ratios=(), peers=("numpy_function", "opencv_loop"), **change):
        task = {**_BASE, "kind": "input", "target": "disc", "dtype": "uint8", **change}
        tasks = {
            "graph": (OURS, {**task, "renderer": "graph"}),
            "numpy_function": (OURS, {**task, "renderer": "opencv"}),
            "opencv_loop": (_peer("input_peers"), {**task, "peer": "opencv_loop"}),
            "torch, 0 workers": (_peer("input_peers"), {**task, "peer": "torch", "workers": 0}),
            "torch, 2 workers": (_peer("input_peers"), {**task, "peer": "torch", "workers": 2}),
            "memset": (_peer("input_peers"), {**task, "peer": "memset"}),
        }
        kept = {n: t for n, t in tasks.items() if n in ("graph", *peers)}
        if not has_torch:
            kept = {n: t for n, t in kept.items() if not n.startswith("torch")}
        names = ("target", "domain", "image_size", "batch_size", "dtype")
        return Group("input", " ".join(f"{n}={task[n]}" for n in names), kept, dict(ratios))

    everybody = (
        "numpy_function", "opencv_loop", "torch, 0 workers", "torch, 2 workers", "memset",
    )  # fmt: skip
    yield group(
        {
            "input_vs_numpy_function": ("numpy_function",),
            "input_vs_opencv_loop": ("opencv_loop",),
            "input_vs_memset": ("memset",),
        },
        everybody,
    )
    yield group(peers=everybody, target="xy")
    yield group(peers=everybody, target="gaussian")
    yield group(peers=everybody, dtype="float32")
    for change in (
        {"domain": 1}, {"domain": 5}, {"domain": 20}, {"batch_size": 16}, {"batch_size": 512},
        {"image_size": 112}, {"image_size": 448},
    ):  # fmt: skip
        yield group(**change)
    task = {**_BASE, "kind": "input", "dtype": "uint8", "renderer": "graph"}
    yield Group(
        "input",
        "disc against gaussian, graph",
        {name: (OURS, {**task, "target": name}) for name in ("disc", "gaussian")},
        {"gaussian_vs_disc_cost": ("gaussian",)},
    )


def train_groups(has_torch: bool) -> Iterator[Group]:
    """A training step against PyTorch's, eager and compiled."""

    def group(ratios=(), **change):
        task = {**_BASE, "kind": "train", "target": "disc", "depth": 18, "seconds": 6.0, **change}
        tasks = {"ours": (OURS, task)}
        if has_torch:
            for name, compiled in (("torch eager", False), ("torch compiled", True)):
                tasks[name] = (_peer("torch_train"), {**task, "compiled": compiled})
        names = ("target", "depth", "image_size", "batch_size", "precision")
        work = " ".join(f"{n}={task[n]}" for n in names)
        return Group("train", work, tasks, dict(ratios) if has_torch else {})

    peers = ("torch eager", "torch compiled")
    for precision in ("float32", "mixed_bfloat16"):
        key = f"step_vs_torch_{precision.removeprefix('mixed_')}"
        yield group({key: peers}, precision=precision)
        yield group(precision=precision, target="xy")
        yield group(precision=precision, image_size=112)
    for depth in (34, 50):
        yield group(precision="mixed_bfloat16", image_size=112, depth=depth)


SUITES = {"input": input_groups, "train": train_groups}


def _peer(name: str) -> str:
    return str(PEERS / f"{name}.py")


def measure_group(
    group: Group, rounds: int, on_turn: Callable[[str, int], None]
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """Measures one group.

    Returns:
        Its rows for the report (images per second, ours over theirs, memory), and its ratios.
    """
    tasks = {n: t for n, t in group.tasks.items() if not t[0].endswith(".py") or PEERS.is_dir()}
    results = take_turns(tasks, rounds, on_turn)
    (ours, first), rows, ratios = next(iter(results.items())), [], {}
    for name, measured in results.items():
        row = {"suite": group.suite, "work": group.work, "who": name}
        row["images_per_second"] = spread([m["rate"] for m in measured])
        if name != ours:
            row["ours_over_theirs"] = ratio(first, measured)
        row["peak_mib"] = max(m["peak_mib"] for m in measured)
        if "compile_seconds" in measured[0]:
            row["compile_seconds"] = measured[0]["compile_seconds"]
        rows.append(row)
    for key, peers in group.ratios.items():
        found = [ratio(first, results[peer])["median"] for peer in peers if peer in results]
        if found:  # against the best of the peers
            ratios[key] = min(found)
    return rows, ratios


def has_torch() -> bool:
    """Whether the `[bench]` extra is installed."""
    return importlib.util.find_spec("torch") is not None


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a table: medians, with least and greatest."""
    lines = [
        "| suite | work | who | images/s | ours / theirs | MiB | compile s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        rate, over = row["images_per_second"], row.get("ours_over_theirs")
        over = "" if over is None else f"{over['median']:.2f} ({over['min']:.2f}–{over['max']:.2f})"
        compiled = f"{row['compile_seconds']:.1f}" if "compile_seconds" in row else ""
        lines.append(
            f"| {row['suite']} | {row['work']} | {row['who']} | {rate['median']:,.0f} "
            f"({rate['min']:,.0f}–{rate['max']:,.0f}) | {over} | {row['peak_mib']:,.0f} "
            f"| {compiled} |"
        )
    return "\n".join(lines)
