"""The benchmark: the harness on workers with known speeds, one real comparison."""

import dataclasses
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rectloc_tf import benchmark
from rectloc_tf.benchmarking import exports, groups, suites, workers
from rectloc_tf.benchmarking.labelled import HEIGHT, KEYPOINTS, WIDTH, open_project
from rectloc_tf.benchmarking.turns import Worker, ratio, spread, take_turns
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.registry import FORMATS, HEADS, FormatSpec
from tests.narrow import narrow

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


def test_a_worker_that_dies_between_its_turns_says_why(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("print('{}', flush=True)\nraise MemoryError('all is used')")
    worker = Worker(str(path), {})
    assert worker.read() == {}
    worker._process.wait()
    with pytest.raises(UserError, match="broken.py {}: MemoryError: all is used"):
        worker.measure()
    worker.close()


def test_our_pipeline_and_a_plain_loop_are_measured(monkeypatch):
    """In processes of their own; the other workers are measured in this one."""
    monkeypatch.setenv("PYTHONPATH", ":".join(p for p in sys.path if p))
    (group,) = [g for g in suites.input_groups() if "image_size=112" in g.work]
    assert [*group.tasks] == ["graph", "numpy_function", "opencv_loop"]
    tasks = {name: group.tasks[name] for name in ("graph", "opencv_loop")}
    group = dataclasses.replace(group, tasks=tasks)
    rows, ratios = groups.measure_group(group, 1, lambda name, turn: None)
    assert [row["who"] for row in rows] == ["graph", "opencv_loop"]
    assert all(row["images_per_second"]["median"] > 0 for row in rows)
    assert "ours_over_theirs" not in rows[0]
    assert ratios == {}
    json.dumps(rows, allow_nan=False)
    assert groups.as_markdown(rows).count("\n") == 3


SMALL = {
    "arch": "xy",
    "domain": 2,
    "image_size": 64,
    "batch_size": 4,
    "depth": 18,
    "precision": "float32",
}
MEASURED = {
    "train": {"compile_seconds"},
    "epoch": {"compile_seconds", "first_step_seconds", "wait_share"},
    "serve": {"latency_ms"},
    "live": {"frame_ms"},
}


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("train", {"seconds": 0.05}),
        ("epoch", {"files": 12, "images": 8}),
        ("serve", {"format": "saved_model", "quantize": "none"}),
        ("serve", {"format": "onnx", "quantize": "int8"}),
        ("live", {"format": "onnx", "quantize": "none", "side": 50, "frames": 50, "rounds": 3}),
    ],
)  # fmt: skip
def test_our_other_workers_measure(kind, task, tmp_path, monkeypatch):
    task = {**SMALL, "kind": kind, "scratch": str(tmp_path), **task}
    monkeypatch.setattr(workers, "SECONDS", 0.01)
    monkeypatch.setattr(exports, "subprocess", SimpleNamespace(run=written_here))
    with narrow():
        measured = workers.PREPARE[kind](task)() | {"peak_mib": 1.0}
    assert measured.keys() == {"rate", "peak_mib"} | MEASURED[kind]
    values = {"share": "wait_share"} if kind == "epoch" else {}
    group = groups.Group("suite", "work", {}, values=values)
    (row,) = groups.rows_of(group, {"ours": [measured]})
    assert row["images_per_second"]["median"] == measured["rate"] > 0
    common = {"suite", "work", "who", "images_per_second", "peak_mib"}
    assert row.keys() - common == MEASURED[kind]
    if kind == "epoch":
        assert 0 < row["wait_share"] < 1
        assert groups.ratios_of(group, {"ours": [measured]}) == {"share": row["wait_share"]}
    if kind == "serve":
        assert row["latency_ms"] == pytest.approx(4000 / measured["rate"])
    if kind == "live":
        assert row["frame_ms"]["frames"] == len(measured["frame_ms"]) == 17  # of 50 in three turns
        assert row["frame_ms"]["mean"] == pytest.approx(1000 / measured["rate"])


def written_here(asked, **how):
    """Writes an export as the process would that is asked for."""
    assert asked[:3] == [sys.executable, "-m", "rectloc_tf.benchmarking.exports"]
    exports.write(json.loads(asked[3]), exports.Path(asked[4]))
    return SimpleNamespace(returncode=0)


def test_pictures_beside_an_export_are_of_the_side_that_is_asked_for(tmp_path):
    images = np.arange(3 * 64 * 64, dtype=np.uint8).reshape(3, 64, 64, 1)
    np.save(tmp_path / "pictures.npy", images)
    np.testing.assert_array_equal(exports.exported_pictures(tmp_path, 2), images[:2])
    assert exports.exported_pictures(tmp_path, 2, 50).shape == (2, 50, 50, 1)


def test_an_export_is_written_once(tmp_path, monkeypatch):
    task = {**SMALL, "format": "onnx", "quantize": "none", "scratch": str(tmp_path)}
    seen = []

    def run(asked, **how):
        seen.append(json.loads(asked[3]))
        exports.Path(asked[4]).mkdir()
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(exports, "subprocess", SimpleNamespace(run=run))
    folders = [exports.exported({**task, **change}) for change in ({}, {}, {"quantize": "int8"})]
    assert folders[0] == folders[1] != folders[2]
    assert [asked["quantize"] for asked in seen] == ["none", "int8"]
    assert {folder.parent for folder in folders} == {tmp_path}


def test_an_export_that_fails_says_why(tmp_path):
    task = {**SMALL, "arch": "none", "format": "onnx", "quantize": "none"}
    with pytest.raises(UserError, match=r"^none-18-64-float32-onnx-none: .*arch=none"):
        exports.exported({**task, "scratch": str(tmp_path)})
    assert [*tmp_path.iterdir()] == []


def test_an_export_that_is_killed_says_how(tmp_path, monkeypatch):
    killed = SimpleNamespace(run=lambda asked, **how: SimpleNamespace(returncode=-9, stderr=""))
    monkeypatch.setattr(exports, "subprocess", killed)
    task = {**SMALL, "format": "onnx", "quantize": "none", "scratch": str(tmp_path)}
    with pytest.raises(UserError, match=r"^xy-18-64-float32-onnx-none: exit code -9$"):
        exports.exported(task)


def test_frames_are_reported_by_mean_error_and_quantiles():
    found = groups.frame_times([*map(float, range(101))])
    assert found == {
        "frames": 101, "mean": 50, "standard_error": pytest.approx(29.3 / 101**0.5, rel=1e-3),
        "p50": 50, "p95": 95, "p99": 99,
    }  # fmt: skip
    measured = [{"rate": 1000.0, "frame_ms": [1.0, 2.0], "peak_mib": 1.0},
                {"rate": 500.0, "frame_ms": [3.0, 2.0], "peak_mib": 2.0}]  # fmt: skip
    (row,) = groups.rows_of(groups.Group("live", "work", {}), {"ours": measured})
    assert row["frame_ms"]["frames"] == 4
    assert "2.00 ± 0.41 ms, p50 2.00, p95 2.85, p99 2.97" in groups.as_markdown([row])
    slow = [{"frame_ms": [9.0]}, {"frame_ms": [1.0]}]
    assert suites.least_frame_ms({"a": slow, "b": measured}) == 2


def test_a_speedup_is_theirs_over_the_first():
    group = groups.Group("serve", "work", {}, speedups={"onnx": "onnx", "litert": "litert"})
    results = {"saved_model": [{"rate": 10.0}, {"rate": 20.0}, {"rate": 10.0}],
               "onnx": [{"rate": 30.0}, {"rate": 40.0}, {"rate": 10.0}]}  # fmt: skip
    assert groups.ratios_of(group, results) == {"onnx": 2}


def test_frames_have_as_many_pixels_as_in_deeplabcut_live():
    for group, pixels in zip(suites.live_groups(), suites.LIVE_PIXELS, strict=True):
        for _, task in group.tasks.values():
            assert task["side"] ** 2 == pytest.approx(pixels, rel=0.002)
            assert 0 <= task["image_size"] - task["side"] < 16
            assert RunConfig(image_size=task["image_size"])
            assert task["frames"] >= 1000


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


@pytest.mark.parametrize("renderer", ["graph", "opencv"])
def test_the_input_worker_makes_what_a_step_learns_from(renderer, monkeypatch):
    seen = []
    monkeypatch.setattr(workers, "rate_of", lambda batches, size: seen.append(next(batches)))
    task = {"domain": 2, "image_size": 64, "batch_size": 4, "renderer": renderer}
    for head, dtype, shape in (
        (suites.XY, "uint8", (4, 2)),
        (suites.DISC, "float32", (4, 64, 64, 1)),
    ):
        workers.prepare_input({**task, **head, "dtype": dtype})
        images, targets = seen.pop()
        assert (images.shape, images.dtype) == ((4, 64, 64, 1), dtype)
        assert targets["values"].shape == shape
        assert targets["values"].numpy().max() > 10


def test_an_epoch_separates_waiting_from_working(monkeypatch):
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
    monkeypatch.setattr(groups.importlib.util, "find_spec", lambda name: None)
    tasks = [t for make in suites.SUITES.values() for g in make() for t in g.tasks.values()]
    here = [(p, task) for p, task in tasks if groups.is_available(p, task)]
    assert {str(p).rsplit("/")[-1] for p, _ in here} == {suites.OURS, "input_peers.py"}
    assert {task["format"] for _, task in here if "format" in task} == {"saved_model"}
    monkeypatch.undo()
    assert not groups.is_available(tmp_path / "input_peers.py", {})  # not a checkout
    spec = FormatSpec("", modules=("json",), int8_modules=("no_such_module",))
    monkeypatch.setitem(FORMATS, "mine", spec)
    for quantize, here in (("none", True), ("int8", False)):
        task = {"format": "mine", "quantize": quantize}
        assert groups.is_available(suites.OURS, task) == here


def test_a_ratio_without_its_peer_is_absent(program, tmp_path):
    ours, missing = {"speed": 1, "name": "a", "log": str(tmp_path / "log")}, tmp_path / "no.py"
    group = groups.Group(
        "suite", "work", {"a": (program, ours), "b": (missing, {})}, {"key": ("b",)}
    )
    rows, ratios = groups.measure_group(group, 1, lambda name, turn: None)
    assert ([row["who"] for row in rows], ratios) == (["a"], {})


def test_a_group_that_fails_is_left_out_and_the_others_are_kept(monkeypatch, tmp_path, capsys):
    output = tmp_path / "out.json"
    works = ("good", "bad", "last")
    made = {"mine": lambda: [groups.Group("mine", work, {}) for work in works]}
    options = {"suite": "mine", "rounds": 1}

    def measure(group, rounds, show, scratch):
        if group.work == "bad":
            assert [row["work"] for row in json.loads(output.read_text())["rows"]] == ["good"]
            raise UserError("benchmark worker onnx: no space")
        row = {"suite": group.suite, "work": group.work, "who": "ours", "peak_mib": 1.0}
        return [{**row, "images_per_second": spread([1.0])}], {group.work: 2.0}

    monkeypatch.setattr(suites, "SUITES", made)
    monkeypatch.setattr(benchmark, "measure_group", measure)
    monkeypatch.setattr(benchmark.cli, "option", options.get)
    monkeypatch.setattr(benchmark.cli, "path_option", lambda name: output)
    assert benchmark.benchmark() == 1
    assert capsys.readouterr().err == "error: benchmark worker onnx: no space\n"
    assert json.loads(output.read_text())["ratios"] == {"good": 2.0, "last": 2.0}


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_suites_answer_every_ratio(monkeypatch, bfloat16):
    monkeypatch.setattr(
        suites, "cpu_flags", lambda: {"avx2"} | ({"amx_bf16"} if bfloat16 else set())
    )
    every = [group for make in suites.SUITES.values() for group in make()]
    keys = [key for g in every for key in (*g.ratios, *g.values, *g.summaries, *g.speedups)]
    expected = [
        "input_vs_numpy_function", "input_vs_opencv_loop", "input_vs_memset",
        "gaussian_vs_disc_cost", "step_vs_torch_float32_112", "step_vs_torch_float32_224",
        "size_vs_next_cost", "epoch_vs_torch", "input_wait_share", "serve_vs_openvino_1",
        "serve_vs_openvino_8", "serve_vs_openvino_64",
        "labelled_input_wait_share_160", "labelled_input_wait_share_320",
    ]  # fmt: skip
    costs = ("step_cost", "prediction_cost_1", "prediction_cost_64")
    expected += [f"{head}_vs_xy_{cost}" for head in [*HEADS][1:] for cost in costs]
    exported = ["onnx", "litert", "openvino"]
    exported += [f"{name}_{kept}" for name in exported for kept in ("float16", "int8")]
    expected += [f"serve_{n}_vs_saved_model_{size}" for n in exported for size in (1, 8, 64)]
    for pixels in (2_500, 10_000, 40_000, 160_000, 320_000, 640_000):
        names = ["onnx", "openvino", *["saved_model_bfloat16"] * bfloat16]
        expected += [f"live_{name}_vs_saved_model_{pixels}" for name in names]
        expected.append(f"live_best_ms_{pixels}")
    if bfloat16:
        expected += ["step_vs_torch_bfloat16_112", "step_vs_torch_bfloat16_224"]
    assert sorted(keys) == sorted(expected)
    tasks = [task for group in every for _, task in group.tasks.values()]
    used = {task["precision"] for task in tasks if "precision" in task}
    assert used == {"float32", "mixed_bfloat16"} if bfloat16 else {"float32"}
    for group in every:
        for peers in (*group.ratios.values(), group.speedups.values()):
            assert set(peers) <= group.tasks.keys()


def test_the_dearest_size_is_named_by_what_it_costs():
    rates = {"64 px": [40, 40, 40], "80 px": [10, 12, 11], "96 px": [20, 24, 25]}
    results = {name: [{"rate": rate} for rate in values] for name, values in rates.items()}
    assert suites.dearest_step(results) == 2
