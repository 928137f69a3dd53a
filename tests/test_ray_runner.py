"""Runs on a Ray cluster, by the few calls of Ray that are used: what is asked of it, and of whom.

Ray is an extra; here a stand-in answers as it does.
"""

import logging
import os
import pickle
import signal
import sys
import types

import pytest

from rectloc_tf.errors import ConfigError, Interrupted, UserError
from rectloc_tf.experiments import ray_runner
from rectloc_tf.experiments.ray_runner import GRACE, PAUSE, RETRIES, Cluster, Lost, join, make_run
from rectloc_tf.experiments.share import Resources
from rectloc_tf.training.interrupts import StopRequest

COMMAND = ["-m", "rectloc_tf.experiments.all", "--seeds=0"]


class RayError(Exception):
    pass


class RayTaskError(RayError):
    """As Ray's: the text is a whole traceback, `cause` what the task raised."""

    def __init__(self, cause):
        super().__init__("ray::make_run() (pid=1)\n  File ...\n")
        self.cause = cause


class FakeRay:
    """Ends one task at each `wait`, the oldest first, with the next of its name's outcomes."""

    exceptions = types.SimpleNamespace(RayError=RayError)

    def __init__(self, outcomes=(), nodes=({"CPU": 4.0, "GPU": 2.0},)):
        self.outcomes = {name: list(its) for name, its in dict(outcomes).items()}
        self._nodes = [{"Alive": True, "Resources": node} for node in nodes]
        self.asked, self.calls, self.cancelled, self.waits = {}, [], [], []

    def nodes(self):
        return self._nodes

    def remote(self, **asked):
        self.asked = asked
        return self.task_of

    def task_of(self, function):
        assert function is make_run

        def options(name):
            return types.SimpleNamespace(remote=lambda *given: self.submit(name, *given))

        return types.SimpleNamespace(options=options)

    def submit(self, name, *given):
        self.calls.append((name, *given))
        return name, len(self.calls)

    def wait(self, tasks, num_returns=1, timeout=None):
        self.waits.append((list(tasks), num_returns, timeout))
        return tasks[:1], tasks[1:]

    def get(self, task):
        outcome = self.outcomes[task[0]].pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def cancel(self, task):
        self.cancelled.append(task[0])


def make(ray, names, is_made=lambda name: True, cpus=2, gpus=None):
    told = []
    cluster = Cluster(ray, Resources(cpus, gpus), COMMAND)
    return list(cluster.make(names, is_made, StopRequest(), told.append)), told


def test_each_run_is_our_own_command_in_this_folder():
    ray = FakeRay({"a": [(0, "")], "b": [(0, "")]})
    made, told = make(ray, ["a", "b"])
    assert made == [("a", ""), ("b", "")]
    assert told == ["[1/2] a: done", "[2/2] b: done"]
    assert ray.calls == [
        (name, [*COMMAND, f"--runs={name}"], os.getcwd(), 2, 0.0) for name in ("a", "b")
    ]
    assert ray.cancelled == []


@pytest.mark.parametrize(
    ("nodes", "gpus", "asked"),
    [
        ([{"CPU": 4.0}, {"CPU": 8.0, "GPU": 2.0}], None, 1),
        ([{"CPU": 4.0}], None, 0),
        ([{"CPU": 4.0, "GPU": 1.0}], 0.5, 0.5),
        ([{"CPU": 4.0, "GPU": 1.0}], 0.0, 0),
    ],
)
def test_what_a_run_needs_is_declared(nodes, gpus, asked):
    ray = FakeRay(nodes=nodes)
    cluster = Cluster(ray, Resources(3, gpus), COMMAND)
    assert ray.asked == {
        "num_cpus": 3,
        "num_gpus": asked,
        "max_retries": RETRIES,
        "retry_exceptions": [Lost],
    }
    assert cluster.warnings == []


def test_a_request_beyond_any_machine_is_reported():
    ray = FakeRay({"a": [(0, "")]}, nodes=[{"CPU": 4.0}, {"CPU": 8.0}])
    ray.nodes().append({"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}})
    _, told = make(ray, ["a"], cpus=16, gpus=1.0)
    many = "no machine of the cluster has so many yet"
    assert told == [
        f"warning: --task_cpus=16: {many} (8 at most); runs wait until one joins",
        f"warning: --task_gpus=1: {many} (0 at most); runs wait until one joins",
        "[1/1] a: done",
    ]


@pytest.mark.parametrize(
    ("outcome", "problem"),
    [
        ((1, "failed: a: the loss is nan at step 3"), "the loss is nan at step 3"),
        ((2, "error: --seeds=x: must be numbers"), "--seeds=x: must be numbers"),
        ((7, ""), "exit code 7"),
        (RayError("the node died\nmore"), "lost (the node died); the same command resumes it"),
        (RayTaskError(Lost("exit code -9")), "lost (exit code -9); the same command resumes it"),
    ],
)
def test_a_failed_run_is_reported_and_not_retried(outcome, problem):
    ray = FakeRay({"a": [outcome], "b": [(0, "")]})
    made, told = make(ray, ["a", "b"], is_made=lambda name: name == "b")
    assert made == [("a", problem), ("b", "")]
    assert told == [f"[1/2] failed: a: {problem}", "[2/2] b: done"]
    assert [call[0] for call in ray.calls] == ["a", "b"]


def test_a_run_that_another_process_makes_is_asked_for_until_it_is_there():
    ray = FakeRay({"a": [(0, "")] * 3, "b": [(0, "")]})
    answers = {"a": iter([False, False, True]), "b": iter([True])}
    made, told = make(ray, ["a", "b"], is_made=lambda name: next(answers[name]))
    assert made == [("b", ""), ("a", "")]
    assert told == [
        "a: another process is training it; waiting", "[1/2] b: done", "[2/2] a: done",
    ]  # fmt: skip
    pauses = [(call[0], call[-1]) for call in ray.calls]
    assert pauses == [("a", 0.0), ("b", 0.0), ("a", PAUSE), ("a", PAUSE)]


def test_a_signal_cancels_what_is_left_and_waits_for_it():
    ray, stop = FakeRay({"a": [(0, "")]}), StopRequest()
    made = Cluster(ray, Resources(1, None), COMMAND).make("abc", lambda name: True, stop)
    assert next(made) == ("a", "")
    stop.exit_code = 143
    with pytest.raises(Interrupted) as caught:
        next(made)
    assert caught.value.exit_code == 143
    assert ray.cancelled == ["b", "c"]
    assert ray.waits[-1] == ([("b", 2), ("c", 3)], 2, GRACE)


# On a machine of the cluster.


def python(script):
    return ["-c", script]


def test_the_exit_code_and_the_last_words_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_runner, "POLL", 0.01)
    script = (
        "import os, sys; print(os.getcwd(), sys.argv[1], os.environ['TF_NUM_INTRAOP_THREADS']);"
        "sys.stderr.write('warning\\n'); print('failed: it', flush=True); print(' '); sys.exit(3)"
    )
    assert make_run([*python(script), "more"], str(tmp_path), 2, 0.0) == (3, "failed: it")
    script = "import os, sys; print(os.getcwd(), os.environ['TF_NUM_INTRAOP_THREADS'])"
    assert make_run(python(script), str(tmp_path), 2, 0.02) == (0, f"{tmp_path} 2")
    assert make_run(python("pass"), str(tmp_path), 1, 0.0) == (0, "")


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "sys.exit(143)", "sys.exit(130)"])
def test_a_process_that_a_signal_ends_is_lost(tmp_path, end, monkeypatch):
    monkeypatch.setattr(ray_runner, "POLL", 0.01)
    with pytest.raises(Lost, match=r"stopped from outside \(exit code (-9|143|130)\)") as caught:
        make_run(python(f"import os, sys; {end}"), str(tmp_path), 1, 0.0)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_folder_that_is_not_shared_is_named(tmp_path):
    code, text = make_run(python("pass"), str(tmp_path / "gone"), 1, 0.0)
    assert code == 1
    assert text.startswith(f"{tmp_path / 'gone'}: does not exist on ")
    assert text.endswith("; the machines of a cluster must share it")


def test_a_cancelled_run_may_save_its_state_first(tmp_path, monkeypatch):
    script = """
import pathlib, signal, sys, threading
def save(*_):
    pathlib.Path("saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
pathlib.Path("ready").touch()
threading.Event().wait()
"""
    looked = []

    def cancel(seconds):  # as Ray does, between two instructions
        looked.append(seconds)
        if (tmp_path / "ready").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(ray_runner, "time", types.SimpleNamespace(sleep=cancel))
    with pytest.raises(KeyboardInterrupt):
        make_run(python(script), str(tmp_path), 1, 0.0)
    assert looked
    assert (tmp_path / "saved").exists()


# Joining a cluster.


def test_no_cluster_is_joined_where_none_is_wanted(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with join(None, COMMAND) as cluster:
        assert cluster is None


def test_ray_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError) as caught, join(Resources(1, None), COMMAND):
        pytest.fail("there is no Ray")
    assert str(caught.value) == ("--runner=ray: Ray is not installed; pip install -e '.[ray]'")


def test_signals_are_ours_again_after_ray(monkeypatch):
    events, ray = [], FakeRay()

    def init(**options):
        events.append(options)
        signal.signal(signal.SIGTERM, lambda *_: None)  # as Ray does

    ray.init, ray.shutdown = init, lambda: events.append("shutdown")
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RuntimeError), join(Resources(1, None), COMMAND) as cluster:
        assert isinstance(cluster, Cluster)
        assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
        raise RuntimeError
    assert events == [{"log_to_driver": False, "logging_level": logging.WARNING}, "shutdown"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_cluster_that_cannot_be_reached_ends_in_one_line(monkeypatch):
    ray = FakeRay()

    def init(**options):
        raise ConnectionError("Could not find any running Ray instance\nmore")

    ray.init = init
    monkeypatch.setitem(sys.modules, "ray", ray)
    with pytest.raises(UserError) as caught, join(Resources(1, None), COMMAND):
        pytest.fail("not reached")
    assert str(caught.value) == (
        "--runner=ray: no cluster can be reached (Could not find any running Ray instance)"
    )
