"""The benchmark: the harness on workers with known speeds, one real comparison."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rectloc_tf.benchmarking import suites, workers
from rectloc_tf.benchmarking.labelled import HEIGHT, KEYPOINTS, WIDTH, open_project
from rectloc_tf.benchmarking.turns import Worker, ratio, spread, take_turns
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.registry import HEADS

# Answers rates 1, 2, 3, ... times its speed, and logs each turn to a file.
WORKER = """
from rectloc_tf.benchmarking.turns import serve

def prepare(task):
    print("noise that must not reach the harness")
    turns = []
    def measure():
        turns.append(task["speed"])
        with open(task["log"], "a") as log:
            log.write(task["name"])
        return {"rate": task["speed"] * len(turns)}
    return measure

serve(prepare)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join(p for p in sys.path if p))
    path = tmp_path / "worker.py"
    path.write_text(WORKER)
    return str(path)


def test_workers_take_turns(program, tmp_path):
    log = tmp_path / "log"
    tasks = {
        name: (program, {"speed": speed, "name": name, "log": str(log)})
        for name, speed in (("a", 6.0), ("b", 2.0))
    }
    seen = []
    results = take_turns(tasks, 3, lambda name, turn: seen.append((name, turn)))
    assert log.read_text() == "ababab"
    assert seen == [(n, t) for t in range(4) for n in "ab"]
    assert [m["rate"] for m in results["b"]] == [2, 4, 6]
    assert all(m["peak_mib"] > 1 for m in results["a"])
    assert ratio(results["a"], results["b"]) == {"median": 3, "min": 3, "max": 3}


def test_spread_and_ratio_are_taken_round_by_round():
    assert spread([3.0, 1.0, 2.0]) == {"median": 2, "min": 1, "max": 3}
    ours, theirs = ([{"rate": r} for r in rates] for rates in ((10, 10, 10), (1, 10, 5)))
    assert ratio(ours, theirs) == {"median": 2, "min": 1, "max": 10}


def test_a_worker_that_fails_says_why(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("raise RuntimeError('no such luck')")
    worker = Worker(str(path), {})
    with pytest.raises(UserError, match="broken.py {}: RuntimeError: no such luck"):
        worker.read()
    worker.close()


def test_our_pipeline_and_a_plain_loop_are_measured(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join(p for p in sys.path if p))
    groups = [g for g in suites.input_groups() if "image_size=112" in g.work]
    (group,) = groups
    rows, ratios = suites.measure_group(group, 1, lambda name, turn: None)
    assert [row["who"] for row in rows] == ["graph", "numpy_function", "opencv_loop"]
    assert all(row["images_per_second"]["median"] > 0 for row in rows)
    assert "ours_over_theirs" not in rows[0]
    assert ratios == {}
    json.dumps(rows, allow_nan=False)
    assert suites.as_markdown(rows).count("\n") == 4


@pytest.mark.parametrize(
    ("kind", "head"),
    [("train", suites.DISC), ("epoch", suites.DISC), ("serve", suites.DISC),
     ("train", {"arch": "score_map"}), ("epoch", {"arch": "score_map", "files": 12})],
)  # fmt: skip
def test_our_other_workers_measure(kind, head, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", ":".join(p for p in sys.path if p))
    task = {
        **head, "kind": kind, "domain": 2, "image_size": 64, "batch_size": 4,
        "depth": 18, "seconds": 0.1, "images": 8, "precision": "float32",
    }  # fmt: skip
    values = {"share": "wait_share"} if kind == "epoch" else {}
    group = suites.Group("suite", "work", {"ours": (suites.OURS, task)}, {}, values)
    (row,), found = suites.measure_group(group, 1, lambda name, turn: None)
    assert row["images_per_second"]["median"] > 0
    expected = {"serve": {"latency_ms"}, "train": {"compile_seconds"}}
    expected["epoch"] = {"compile_seconds", "first_step_seconds", "wait_share"}
    common = {"suite", "work", "who", "images_per_second", "peak_mib"}
    assert row.keys() - common == expected[kind]
    if kind == "epoch":
        assert 0 < row["wait_share"] < 1
        assert found == {"share": row["wait_share"]}
    else:
        assert found == {}
    if kind == "serve":
        assert row["latency_ms"] == pytest.approx(4000 / row["images_per_second"]["median"])


def test_a_labelled_project_is_read_whole(tmp_path):
    run, source = open_project(tmp_path, 14, arch="score_map", image_size=64)
    assert run.image_keypoints.names == KEYPOINTS
    assert sum(len(source.indices(split)) for split in ("train", "validation", "test")) == 12
    assert source.files.labels.sizes.tolist() == [[WIDTH, HEIGHT]] * 12
    assert np.isfinite(source.files.labels.points).all()
    assert (source.take(source.indices("test"))["images"].numpy().std(axis=(1, 2)) > 20).all()


def test_a_task_names_the_run_that_it_measures():
    task = {
        "kind": "train", "arch": "deconv", "target": "gaussian", "sigma": 3.0, "domain": 2,
        "image_size": 112, "batch_size": 4, "seconds": 2.0, "renderer": "graph", "workers": 2,
    }  # fmt: skip
    run = workers.run_of({**task, "depth": 34, "precision": "mixed_bfloat16"})
    expected = RunConfig(
        arch="deconv", target="gaussian", sigma=3.0, domain=2, image_size=112, batch_size=4,
        depth=34, precision="mixed_bfloat16", epochs=10_000,
    )  # fmt: skip
    assert run == expected
    assert workers.run_of(task).precision == "float32"


def test_the_input_worker_makes_what_a_step_learns_from(monkeypatch):
    seen = []
    monkeypatch.setattr(workers, "rate_of", lambda batches, size: seen.append(next(batches)))
    task = {"domain": 2, "image_size": 64, "batch_size": 4, "renderer": "graph"}
    for head, dtype, shape in (
        (suites.XY, "uint8", (4, 2)),
        (suites.DISC, "float32", (4, 64, 64, 1)),
    ):
        workers.prepare_input({**task, **head, "dtype": dtype})
        images, targets = seen.pop()
        assert (images.shape, images.dtype) == ((4, 64, 64, 1), dtype)
        assert targets["values"].shape == shape
        assert targets["values"].numpy().max() > 10


def test_an_epoch_tells_waiting_from_working(monkeypatch):
    clock = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(workers, "time", SimpleNamespace(perf_counter=lambda: clock.seconds))

    def start():
        for number in range(10):
            clock.seconds += 0.5
            yield (number,)

    seen = []

    def step(number):
        clock.seconds += 0.25
        seen.append(number)

    measured = workers.epoch_of(start, step, {"images": 22, "batch_size": 4})
    assert seen == [0, 1, 2, 3, 4]
    assert measured == {"rate": 4 / 0.75, "wait_share": 0.5 / 0.75}


def test_what_is_not_here_is_left_out(monkeypatch, tmp_path):
    monkeypatch.setattr(suites.importlib.util, "find_spec", lambda name: None)
    tasks = [t for make in suites.SUITES.values() for g in make() for t in g.tasks.values()]
    programs = {str(p).rsplit("/")[-1] for p, task in tasks if suites.is_available(p, task)}
    assert programs == {suites.OURS, "input_peers.py"}
    monkeypatch.undo()
    assert not suites.is_available(tmp_path / "input_peers.py", {})  # not a checkout


def test_a_ratio_without_its_peer_is_absent(program, tmp_path):
    ours, missing = {"speed": 1, "name": "a", "log": str(tmp_path / "log")}, tmp_path / "no.py"
    group = suites.Group(
        "suite", "work", {"a": (program, ours), "b": (missing, {})}, {"key": ("b",)}
    )
    rows, ratios = suites.measure_group(group, 1, lambda name, turn: None)
    assert ([row["who"] for row in rows], ratios) == (["a"], {})


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_suites_answer_every_ratio(monkeypatch, bfloat16):
    monkeypatch.setattr(
        suites, "cpu_flags", lambda: {"avx2"} | ({"amx_bf16"} if bfloat16 else set())
    )
    groups = [group for make in suites.SUITES.values() for group in make()]
    keys = [key for g in groups for key in (*g.ratios, *g.values, *g.summaries)]
    expected = [
        "input_vs_numpy_function", "input_vs_opencv_loop", "input_vs_memset",
        "gaussian_vs_disc_cost", "step_vs_torch_float32_112", "step_vs_torch_float32_224",
        "size_vs_next_cost", "epoch_vs_torch", "input_wait_share", "serve_vs_openvino_1",
        "serve_vs_openvino_8", "serve_vs_openvino_64",
        "labelled_input_wait_share_160", "labelled_input_wait_share_320",
    ]  # fmt: skip
    expected += [f"{head}_vs_xy_step_cost" for head in [*HEADS][1:]]
    if bfloat16:
        expected += ["step_vs_torch_bfloat16_112", "step_vs_torch_bfloat16_224"]
    assert sorted(keys) == sorted(expected)
    tasks = [task for group in groups for _, task in group.tasks.values()]
    used = {task["precision"] for task in tasks if "precision" in task}
    assert used == {"float32", "mixed_bfloat16"} if bfloat16 else {"float32"}
    for group in groups:
        for peers in group.ratios.values():
            assert set(peers) <= group.tasks.keys()


def test_the_dearest_size_is_named_by_what_it_costs():
    rates = {"64 px": [40, 40, 40], "80 px": [10, 12, 11], "96 px": [20, 24, 25]}
    results = {name: [{"rate": rate} for rate in values] for name, values in rates.items()}
    assert suites.dearest_step(results) == 2
