"""The benchmark: the harness on workers with known speeds, one real comparison."""

import json
import sys

import pytest

from rectloc_tf.benchmarking import suites
from rectloc_tf.benchmarking.turns import Worker, ratio, spread, take_turns
from rectloc_tf.errors import UserError

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
    groups = [g for g in suites.input_groups(has_torch=False) if "image_size=112" in g.work]
    (group,) = groups
    rows, ratios = suites.measure_group(group, 1, lambda name, turn: None)
    assert [row["who"] for row in rows] == ["graph", "numpy_function", "opencv_loop"]
    assert all(row["images_per_second"]["median"] > 100 for row in rows)
    assert "ours_over_theirs" not in rows[0]
    assert ratios == {}
    json.dumps(rows, allow_nan=False)
    assert suites.as_markdown(rows).count("\n") == 4


def test_without_torch_its_ratios_are_absent():
    groups = [*suites.input_groups(has_torch=False), *suites.train_groups(has_torch=False)]
    assert not [name for g in groups for name in g.tasks if "torch" in name]
    keys = {key for g in groups for key in g.ratios}
    assert keys == {
        "input_vs_numpy_function", "input_vs_opencv_loop", "input_vs_memset",
        "gaussian_vs_disc_cost",
    }  # fmt: skip
    keys = {key for g in suites.train_groups(has_torch=True) for key in g.ratios}
    assert keys == {"step_vs_torch_float32", "step_vs_torch_bfloat16"}
