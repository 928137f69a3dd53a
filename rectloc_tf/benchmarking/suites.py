"""What is measured against what: groups of workers that take turns, and the ratios of interest."""

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rectloc_tf.benchmarking.groups import Group, Task
from rectloc_tf.benchmarking.turns import Measurement, ratio
from rectloc_tf.processor import BFLOAT16, cpu_flags
from rectloc_tf.registry import FORMATS, HEADS

OURS = "rectloc_tf.benchmarking.workers"
PEERS = Path(__file__).resolve().parents[2] / "benchmarks"
# Of a task, the keys that are settings of a run say what is measured (`workers.run_of`).
XY: dict[str, Any] = {"arch": "xy"}
DISC, GAUSSIAN = ({"arch": "deconv", "target": name} for name in ("disc", "gaussian"))
_HEAD = ("arch", "target")
_BASE = {"domain": 3, "image_size": 224, "batch_size": 64}
BATCHES = (1, 8, 64)  # of what is served
LIVE_PIXELS = (2_500, 10_000, 40_000, 160_000, 320_000, 640_000)  # DeepLabCut-live's
LIVE_FRAMES = 1000  # at least, in all turns of a worker together
LIVE_FORMATS = ("onnx", "openvino")  # the fastest on processors, with the SavedModel


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
    work = f"heads, {_describe(task, 'depth', 'image_size', 'batch_size', 'precision')}"
    yield Group("train", work, tasks, _costs("step_cost"))
    task |= {"batch_size": 16, "seconds": 1.0}
    tasks = {f"{size} px": (OURS, {**task, "image_size": size}) for size in range(64, 257, 16)}
    summaries = {"size_vs_next_cost": dearest_step}
    work = f"sizes, {_describe(task, *_HEAD, 'depth', 'batch_size', 'precision')}"
    yield Group("train", work, tasks, summaries=summaries)


def _costs(what: str) -> dict[str, tuple[str, ...]]:
    """For each head but the first the key under which its cost over the first one's is kept."""
    first, *others = HEADS
    return {f"{name}_vs_{first}_{what}": (name,) for name in others}


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
    """The exported SavedModel against OpenVINO, in float32 every other export, and every head."""
    for head in (XY, DISC):
        for batch_size in BATCHES:
            task = {**_BASE, **head, "kind": "serve", "batch_size": batch_size}
            tasks: dict[str, Task] = {
                precision.removeprefix("mixed_"): _exported(task, precision=precision)
                for precision in precisions()
            }
            tasks["openvino"] = (PEERS / "openvino_serve.py", {**task, "precision": "float32"})
            work = _describe(task, *_HEAD, "image_size", "batch_size")
            ratios = {f"serve_vs_openvino_{batch_size}": ("openvino",)} if head is DISC else {}
            yield Group("serve", work, tasks, ratios)
    for batch_size in BATCHES:
        task = {**_BASE, **DISC, "kind": "serve", "batch_size": batch_size}
        tasks = {
            name if quantize == "none" else f"{name} {quantize}": _exported(task, name, quantize)
            for name, spec in FORMATS.items()
            for quantize in spec.quantize
        }
        work = f"formats, {_describe(task, *_HEAD, 'image_size', 'batch_size')}"
        yield Group("serve", work, tasks, speedups=_speedups(tasks, f"serve_{{}}_{batch_size}"))
    for batch_size in (BATCHES[0], BATCHES[-1]):
        task = {**_BASE, "kind": "serve", "batch_size": batch_size}
        tasks = {
            name: _exported({**task, "arch": name}, precision=precisions()[0]) for name in HEADS
        }
        work = f"heads, {_describe(task, 'image_size', 'batch_size')}"
        yield Group("serve", work, tasks, _costs(f"prediction_cost_{batch_size}"))


def _exported(task: dict[str, Any], name="saved_model", quantize="none", precision="float32"):
    """A worker that measures an export."""
    return OURS, {**task, "format": name, "quantize": quantize, "precision": precision}


def _speedups(tasks: Mapping[str, Task], key: str) -> dict[str, str]:
    """For each worker but the first the key under which its rate over the first one's is kept."""
    first, *others = tasks
    what = {name: f"{name} vs {first}".replace(" ", "_") for name in others}
    return {key.format(text): name for name, text in what.items()}


def live_groups() -> Iterator[Group]:
    """Frames one by one, after DeepLabCut-live (Kane et al. 2020), which scales its frames.

    The pictures have as many pixels as theirs. The network works at the next size that there is,
    so at least at as many, and resizes them itself.
    """
    for pixels in LIVE_PIXELS:
        side = round(math.sqrt(pixels))
        size = max(64, 16 * math.ceil(side / 16))
        task = {"kind": "live", "arch": "score_map", "domain": 3, "image_size": size,
                "side": side, "frames": LIVE_FRAMES}  # fmt: skip
        tasks: dict[str, Task] = {"saved_model": _exported(task)}
        for precision in precisions()[:-1]:
            tasks["saved_model bfloat16"] = _exported(task, precision=precision)
        for name in LIVE_FORMATS:
            tasks[name] = _exported(task, name)
        work = f"{_describe(task, 'arch')}, pictures of {pixels:,} px, working size {size}"
        keys = _speedups(tasks, f"live_{{}}_{pixels}")
        best = {f"live_best_ms_{pixels}": least_frame_ms}
        yield Group("live", work, tasks, summaries=best, speedups=keys)


def least_frame_ms(results: Mapping[str, list[Measurement]]) -> float:
    """The mean milliseconds of a frame of the worker where they are least."""
    return min(
        statistics.fmean(time for measured in turns for time in measured["frame_ms"])
        for turns in results.values()
    )


SUITES: dict[str, Callable[[], Iterator[Group]]] = {
    "input": input_groups,
    "train": train_groups,
    "sweep": sweep_groups,
    "end_to_end": end_to_end_groups,
    "serve": serve_groups,
    "live": live_groups,
}
