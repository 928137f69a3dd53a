"""The study's entry points, for real, on the tiny profile."""

import dataclasses
import json
import shutil
import signal

import pytest

from figures import make_all
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.experiments import find_all, runner
from rectloc_tf.experiments.all import EXPERIMENTS
from rectloc_tf.experiments.command import describe
from rectloc_tf.experiments.extend import extend
from rectloc_tf.experiments.one_by_one import StudyProgress
from rectloc_tf.experiments.plan import Task
from rectloc_tf.experiments.runner import Study
from rectloc_tf.experiments.summaries import write_summary
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training.interrupts import StopRequest
from tests.conftest import HANGS, run, run_without_tensorflow, start
from tests.few_scenes import FEW
from tests.test_plan import SETTINGS

# Two steps a run, on as many images in one experiment as in another: they share runs.
FAST = ("--flagfile=flags/tiny.flags", "--num_images=10", "--deterministic")
ALL = (*FAST, "--batch_sizes=4", "--fractions=0.001", "--long_fractions=0.001")
CHEAP = {"few": True, "narrow": True, "eager": True}


def _folders(root):
    names = {"runs_root": "runs", "results_dir": "results", "figures_dir": "figures"}
    return [f"--{flag}={root / name}" for flag, name in names.items()]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Everything, interrupted once in the middle and started again: folder and second output."""
    root = tmp_path_factory.mktemp("study")
    process = start("experiments.all", *ALL, *_folders(root), **CHEAP)
    try:
        done = 0
        while done < 2:  # then the third run is under way
            done += ": done in " in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=HANGS)
    finally:
        process.kill()
    assert process.returncode == 130
    kept = sorted((root / "results" / "runs").glob("*.json"))
    assert len(kept) >= 2
    times = {path: path.stat().st_mtime_ns for path in kept}
    done = run("experiments.all", *ALL, *_folders(root), **CHEAP)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == times  # skipped
    return root, done.stdout


def test_every_run_is_made_once_and_kept(study):
    root, _ = study
    summaries = [json.loads(p.read_text()) for p in (root / "results").glob("*.json")]
    assert {s["experiment"] for s in summaries} == {e.name for e in EXPERIMENTS}
    names = {name for s in summaries for name in s["runs"]}
    assert all(s["missing"] == [] for s in summaries)
    assert names == {p.stem for p in (root / "results" / "runs").glob("*.json")}
    assert names == {p.name for p in (root / "runs").iterdir()}


def test_every_experiment_is_drawn_and_tabled(study):
    root, output = study
    blocks = make_all.blocks(root / "results")
    for experiment in EXPERIMENTS:
        pictures = list((root / "figures").glob(f"{experiment.name}*.png"))
        assert pictures, experiment.name
        assert all(str(path) in output for path in pictures)
        assert all(path.stat().st_size > 5000 for path in pictures)
        block = blocks[experiment.name]
        assert [line for line in block.splitlines() if line.startswith("| ")]


def test_numbers_in_tables_are_those_of_the_runs(study):
    root, _ = study
    summary, runs = make_all.load("headline", root / "results")
    for row in summary["rows"]:
        result = json.loads((root / "runs" / row["run"] / "result.json").read_text())
        assert (
            row["test"] == result["splits"]["test"]["3"] == runs[row["run"]]["splits"]["test"]["3"]
        )
    summary, _ = make_all.load("cross_domain", root / "results")
    cells = {(r["arch"], r["trained"], r["tested"]) for r in summary["rows"]}
    assert cells == {(a, i, j) for a in ("xy", "deconv") for i in (3, 4) for j in (3, 4)}
    assert {row["test"]["num_images"] for row in summary["rows"]} == {FEW}


def test_a_run_made_again_is_measured_again_whole(study, tmp_path):
    # Its folder is gone and its summary lacks a picture: no number of the old one may stay.
    root, _ = study
    shutil.copytree(root / "results", tmp_path / "results")
    summary, _ = make_all.load("headline", root / "results")
    row = next(r for r in summary["rows"] if r["arch"] == "deconv" and r["variant"] == "plain")
    path = tmp_path / "results" / "runs" / f"{row['run']}.json"
    before = json.loads(path.read_text())
    made_up = {domain: {"r2": 99.0} for domain in before["splits"]["test"]}
    other = {"splits": {**before["splits"], "test": made_up}, "pictures": {}}
    other["history"] = before["history"][:-1]
    path.write_text(json.dumps({**before, **other}))
    done = run("experiments.headline", *FAST, *_folders(tmp_path), **CHEAP)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": done in ") == 1
    after = json.loads(path.read_text())
    assert after["splits"] == before["splits"]  # --deterministic
    assert after["locations"] == before["locations"]
    assert after["pictures"].keys() == {"3"}


def test_a_dry_run_prices_what_is_missing_and_makes_nothing(study, tmp_path):
    root, _ = study
    more = (*FAST, *_folders(root), "--dry_run")
    done = run("experiments.headline", *more, **CHEAP)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" done  ") == 7
    assert "0 runs to train" in done.stdout
    fresh = run(
        "experiments.headline", *FAST, *_folders(tmp_path), "--dry_run", "--seeds=7", **CHEAP
    )
    assert fresh.returncode == 0, fresh.stderr
    assert "7 runs to train" in fresh.stdout
    assert fresh.stdout.count("seed 7, 8 images, 1 epochs of batch 4") == 7
    assert fresh.stdout.count(", augmented") == 3
    assert not list(tmp_path.iterdir())


def test_a_smaller_command_keeps_what_is_there(study, tmp_path):
    root, _ = study
    shutil.copytree(root / "results", tmp_path / "results")
    before, _ = make_all.load("cross_domain", root / "results")
    done = run("experiments.cross_domain", *FAST, "--domains=4", *_folders(tmp_path), **CHEAP)
    assert done.returncode == 0, done.stderr
    assert ": done in " not in done.stdout
    assert make_all.load("cross_domain", tmp_path / "results")[0] == before


def test_another_study_is_refused_before_anything_is_trained(study, tmp_path):
    root, _ = study
    shutil.copytree(root / "results", tmp_path / "results")
    before = (tmp_path / "results" / "headline.json").read_bytes()
    done = run("experiments.headline", *FAST, "--image_size=80", *_folders(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "headline.json: made with other flags (--image_size=64 there, 80 here)" in done.stderr
    assert "another --results_dir" in done.stderr
    assert (tmp_path / "results" / "headline.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_failed_run_is_reported_and_the_rest_continue(tmp_path):
    # Steps this long end in numbers that are not finite.
    flags = (*FAST, *_folders(tmp_path), "--learning_rate=1e30", "--epochs=4")
    done = run("experiments.cross_domain", *flags, "--domains=3", **CHEAP)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    failed = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert failed
    assert all("finite" in line or "loss" in line for line in failed)
    summary = json.loads((tmp_path / "results" / "cross_domain.json").read_text())
    assert len(summary["missing"]) == len(failed)
    assert len(summary["missing"]) + len(summary["runs"]) == 2


def test_processes_share_a_study(tmp_path, monkeypatch, capsys):
    settings = dataclasses.replace(SETTINGS, results_dir=tmp_path, runs_root=tmp_path / "runs")
    part = extend(find_all.EXPERIMENT, settings)
    first, second, *others = part.asked_tasks
    made = []

    def finish(self, task, progress):
        if task == first:
            other = RunFolder(settings.runs_root / task.name)
            with other.lock(), RunFolder(other.path).lock():
                pytest.fail("held twice")
        made.append(task)
        write_summary(tmp_path, task.name, answer_to(task))
        if len(made) == 1:  # meanwhile another process makes the next
            write_summary(tmp_path, others[0].name, answer_to(others[0]))

    def answer_to(task):
        domains = {str(domain): {} for domain in settings.domains}
        summary = {"config": {}, "splits": {"test": domains}, "pictures": domains, "seconds": 1}
        return {**summary, "machine": {}, "detections": {"domains": domains}}

    monkeypatch.setattr(Study, "_finish", finish)
    monkeypatch.setattr(runner, "write_summaries", lambda parts, name: None)
    study = Study(settings, ExecutionConfig(), StopRequest())
    assert study.run([part]) == []  # no failure
    assert made == [second, *others[1:]]
    assert f"{first.name}: another process is training it" in capsys.readouterr().out
    assert study.open_tasks([part]) == [first]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--seeds=a", "--seeds=a: must be numbers separated by commas"),
        ("--seeds=1,1", "--seeds=1,1: must be whole numbers"),
        ("--fractions=2", "--fractions=2.0: must be from"),
        ("--arch=xy", "--arch: set by the experiments themselves"),
        ("--steps=100", "--steps: set by the experiments themselves"),
        ("--updates=0", "flag --updates=0: 0 is not a positive integer"),
        ("--short_epochs=0", "flag --short_epochs=0: 0 is not a positive integer"),
    ],
)
def test_wrong_flags_end_in_one_line(flag, message):
    done = run_without_tensorflow("rectloc_tf.experiments.all", flag)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_line_shows_the_total_time_left(capsys):
    first = RunConfig(num_images=100, batch_size=8, epochs=1)
    tasks = [Task(first), Task(dataclasses.replace(first, epochs=3))]
    progress = StudyProgress(tasks)
    progress.start(0)
    progress.update("epoch 1/1", 100.0)
    text = capsys.readouterr().out
    assert text.startswith(f"[1/2] {tasks[0].name}, all in 6:40: epoch 1/1")  # 100 + 3 x 100 s
    progress.print("epoch 1: loss 3")
    progress.warn("black")
    assert capsys.readouterr().out == f"{tasks[0].name}: warning: black\n"


def test_a_plan_lists_settings_that_are_not_default():
    usual = Task(RunConfig(domain=3, num_images=100, batch_size=8, epochs=1, precision="float32"))
    words = "xy domain 3 seed 0, 80 images, 1 epochs of batch 8 at 0.001, float32"
    assert describe(usual) == words
    other = dataclasses.replace(usual.run, depth=34, labels="all", augment=True)
    assert describe(Task(other)) == f"{words}, depth 34, labels all, augmented"
