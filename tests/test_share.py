"""Which of the runs a process makes: shares that leave nothing out and make nothing twice."""

import dataclasses
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rectloc_tf.config import ExecutionConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.experiments import command, more_labels
from rectloc_tf.experiments.all import EXPERIMENTS
from rectloc_tf.experiments.budget import Budget
from rectloc_tf.experiments.plan import Part, merge
from rectloc_tf.experiments.runner import Study
from rectloc_tf.experiments.share import EVERYTHING, Share, own_command, parse_shard
from rectloc_tf.training.interrupts import StopRequest
from tests.conftest import run, run_without_tensorflow
from tests.test_plan import SETTINGS

FAST = ("--flagfile=flags/tiny.flags", "--deterministic")


@given(st.integers(0, 40), st.integers(1, 12))
def test_shares_together_are_everything_and_none_twice(number, count):
    names = [f"run{i}" for i in range(number)]
    shares = [Share(part, count).of(names) for part in range(1, count + 1)]
    assert sorted(name for share in shares for name in share) == sorted(names)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert EVERYTHING.of(names) == names


def test_named_runs_are_made_where_they_belong():
    names = ["a", "b", "c", "d"]
    assert Share(runs=("d", "b")).of(names) == ["b", "d"]
    assert Share(1, 2, ("d", "a")).of(names) == ["a"]
    with pytest.raises(ConfigError) as caught:
        Share(runs=("a", "x")).of(names)
    assert str(caught.value) == "--runs=x: no run of this command; --dry_run lists them"


def test_a_shard_is_read():
    assert [parse_shard(text) for text in ("1/1", "2/5", "100/100")] == [(1, 1), (2, 5), (100, 100)]


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "1/0", "a/4", "1", "/4", "1/", "1/4/2", "-1/4", "٢/٥"]
)
def test_another_shard_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_shard(text)
    assert str(caught.value) == f"--shard={text}: must be i/n with i from 1 to n, as 2/5"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shard=0/3"], "--shard=0/3: must be i/n with i from 1 to n, as 2/5"),
        (["--task_cpus=2"], "--task_cpus: has no effect without --runner=ray; leave it out"),
        (
            ["--runner=ray", "--task_gpus=1.5"],
            "--task_gpus=1.5: must be a whole number, or a share below 1",
        ),
    ],
)
def test_wrong_flags_end_in_one_line(flags, message):
    done = run_without_tensorflow("rectloc_tf.experiments.more_labels", *flags)
    assert (done.returncode, done.stderr) == (2, f"error: {message}\n")


def test_the_command_of_a_task_names_the_precision_that_was_chosen(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["path", "--runner=ray", "--precision=auto"])
    assert own_command("experiments.all", "float32") == [
        "-m", "rectloc_tf.experiments.all", "--runner=ray", "--precision=auto",
        "--runner=local", "--precision=float32",  # the last of each counts
    ]  # fmt: skip


def study(tmp_path, *share):
    settings = dataclasses.replace(SETTINGS, results_dir=tmp_path, runs_root=tmp_path)
    return Study(settings, ExecutionConfig(), StopRequest(), Share(*share))


def test_shares_of_a_study_do_not_depend_on_what_is_there(tmp_path):
    # One process starts on an empty folder; the next finds summaries of other seeds as well.
    asked = dataclasses.replace(SETTINGS, domains=(5, 3))
    wider = dataclasses.replace(SETTINGS, domains=(1, 3, 5), seeds=(7, 0, 1))
    empty = [Part(experiment, asked, asked) for experiment in EXPERIMENTS]
    later = [Part(experiment, asked, wider) for experiment in EXPERIMENTS]
    alone = {task.name for task in study(tmp_path).tasks(empty)}
    # Some are of the first seed alone, which is another one later.
    possible = alone & {task.name for task in study(tmp_path).tasks(later)}
    shares = [
        {task.name for task in study(tmp_path, part, 3).tasks(parts)}
        for part, parts in enumerate((empty, later, later), start=1)
    ]
    assert len(possible) > 50
    assert possible <= set.union(*shares) <= alone
    assert sum(map(len, shares)) == len(set.union(*shares))


def test_shares_of_a_label_budget(tmp_path):
    trainings = [types.SimpleNamespace(name=name) for name in "abcde"]

    def names(part):
        making = Budget(tmp_path, tmp_path, "", ExecutionConfig(), StopRequest(), Share(part, 2))
        assert making.missing(trainings) == making.mine(trainings)  # nothing is made yet
        return "".join(training.name for training in making.missing(trainings))

    assert [names(1), names(2)] == ["ace", "bd"]


class FakeCluster:
    """Makes all but the second run."""

    def make(self, names, is_made, stop):
        self.names = names
        assert not is_made(names[0])
        for name in names:
            yield name, "lost" if name == names[1] else ""


def test_a_study_on_a_cluster_sums_up_as_runs_end(tmp_path, monkeypatch):
    part = Part(more_labels.EXPERIMENT, SETTINGS, SETTINGS)
    written = []
    monkeypatch.setattr(command, "write_summaries", lambda parts, name: written.append(name))
    cluster = FakeCluster()
    failures = command._run_on(cluster, study(tmp_path), [part])
    names = [task.name for task in merge(more_labels.plan(SETTINGS))]
    assert cluster.names == names
    assert written == [names[0], *names[2:]]
    assert failures == [f"{names[1]}: lost"]


def test_a_label_budget_on_a_cluster_reports_failures(tmp_path):
    trainings = [types.SimpleNamespace(name=name) for name in "abc"]
    making = Budget(tmp_path, tmp_path, "", ExecutionConfig(), StopRequest())
    assert list(making.make_on(FakeCluster(), trainings)) == ["", "b: lost", ""]


def test_a_plan_shows_the_share(tmp_path):
    places = [f"--{name}={tmp_path / name}" for name in ("runs_root", "results_dir", "figures_dir")]
    flags = (*FAST, *places, "--dry_run", "--shard=2/2")
    done = run("experiments.more_labels", *flags, eager=True)
    assert done.returncode == 0, done.stderr
    listed = [line.split() for line in done.stdout.splitlines() if line.startswith("  ")]
    # Of four runs the second and the fourth: each head with both labels.
    assert [words[2] for words in listed] == ["xy", "deconv"]
    assert {words[-1] for words in listed} == {"largest_and_smallest"}
    assert done.stdout.splitlines()[-1].startswith("2 runs to train")
    done = run("experiments.more_labels", *flags, f"--runs={listed[0][0]}x", eager=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: --runs={listed[0][0]}x: no run of this command")
