"""A study adds to the summaries that are there: nothing in them is lost, nothing is mixed."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.experiments import (
    collapse,
    cross_domain,
    data_efficiency,
    headline,
    hyperparameter_sweep,
    prediction_epochs,
)
from rectloc_tf.experiments.all import EXPERIMENTS
from rectloc_tf.experiments.extend import extend, lists_of, write_extended
from rectloc_tf.experiments.plan import Settings, Task
from rectloc_tf.experiments.summaries import experiment_path, write_experiment, write_summary
from tests.conftest import ROOT
from tests.test_plan import SETTINGS

RESULTS = ROOT / "figures" / "results"
MEASURED = [e for e in EXPERIMENTS if (RESULTS / f"{e.name}.json").exists()]
TRAINED = [e for e in MEASURED if e.plan(SETTINGS)]  # all but the one that draws networks
READ = """
import dataclasses, json, sys
from rectloc_tf import cli
from rectloc_tf.experiments.command import read_settings
cli.FLAGS(sys.argv)
print(json.dumps(dataclasses.asdict(read_settings(cli.run_config())), default=str))
"""


@pytest.fixture(scope="module")
def usual():
    """The settings of flags/study.flags."""
    command = [sys.executable, "-c", READ, "--flagfile=flags/study.flags"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    values = json.loads(done.stdout)
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    values |= {"base": RunConfig(**values["base"]), "runs_root": Path("runs")}
    return Settings(**{**values, "results_dir": RESULTS})


@pytest.fixture
def copied(usual, tmp_path):
    """The same, of a copy of the committed summaries."""
    for path in RESULTS.glob("*.json"):
        shutil.copy(path, tmp_path)
    (tmp_path / "runs").symlink_to(RESULTS / "runs")  # read only
    return dataclasses.replace(usual, results_dir=tmp_path)


def change(settings, **fields):
    """Settings with the lists of a command line: a series that is not given follows the sizes."""
    return dataclasses.replace(settings, **{"epoch_fractions": None, **fields})


def read(settings, experiment):
    return json.loads((settings.results_dir / f"{experiment.name}.json").read_text())


def names(tasks):
    return {task.name for task in tasks}


# What is committed.


def test_the_summaries_of_the_original_s_questions_are_committed():
    assert len(MEASURED) >= 9


@pytest.mark.parametrize("experiment", TRAINED, ids=lambda e: e.name)
def test_every_committed_run_is_planned_by_the_study_s_flags(experiment, usual):
    summary = read(usual, experiment)
    planned = names(extend(experiment, usual).tasks)
    assert {*summary["runs"], *summary["missing"]} == planned
    assert {*summary["runs"]} <= {path.stem for path in (RESULTS / "runs").glob("*.json")}


@pytest.mark.parametrize("experiment", TRAINED, ids=lambda e: e.name)
def test_committed_summaries_come_out_of_their_runs(experiment, copied):
    before = read(copied, experiment)
    write_experiment(extend(experiment, copied))
    after = read(copied, experiment)
    for name in ("rows", "agreements", "runs", "missing", "seeds", "domains", "hours", "centre"):
        assert after.get(name) == before.get(name), name
    assert RunConfig.from_json(after["base"]) == RunConfig.from_json(before["base"])


# Nothing is lost.


def test_what_another_command_adds_meanwhile_stays(copied):
    experiment = collapse.EXPERIMENT
    whole = read(copied, experiment)
    experiment_path(copied.results_dir, experiment).unlink()
    first, second = (extend(experiment, change(copied, seeds=(seed,))) for seed in (0, 1))
    write_extended(first)
    write_extended(second)  # which began before the first had written
    after = read(copied, experiment)
    assert after["seeds"] == [0, 1]
    expected = [row for row in whole["rows"] if row["seed"] in (0, 1)]
    assert sorted(map(str, after["rows"])) == sorted(map(str, expected))


@pytest.mark.parametrize("experiment", TRAINED, ids=lambda e: e.name)
@pytest.mark.parametrize("seeds", [(0,), (1,), (7, 0)])
def test_a_smaller_command_keeps_every_row(experiment, seeds, copied):
    before = read(copied, experiment)
    few = {"seeds": seeds, "domains": (3,), "fractions": (0.01,), "depths": (18,)}
    asked = change(copied, **few, batch_sizes=(8,), learning_rates=(1e-3,))
    for _ in range(2):  # the second time from lists that are recorded
        part = extend(experiment, asked)
        write_experiment(part)
        after = read(copied, experiment)
        assert after["rows"] == before["rows"]
        assert after["runs"] == before["runs"]
        assert {*before["seeds"]} <= {*after["seeds"]} <= {*before["seeds"], *seeds}
        assert after.get("domains") == before.get("domains")


def kept(settings, experiment, **lists):
    """Writes a summary of runs that are all missing but one, at lists; returns what it holds."""
    made = dataclasses.replace(settings, **lists)
    names = [task.name for task in experiment.plan(made)]
    summary = {"base": made.base.to_json(), "seeds": made.seeds, "runs": names[:1]}
    lengths = ("epochs", "plain_epochs", "short_epochs", "updates", "long_updates")
    summary |= {name: getattr(made, name) for name in lengths} | {"missing": names[1:]}
    summary |= {name: getattr(made, name) for name in experiment.lists}
    (settings.results_dir / f"{experiment.name}.json").write_text(json.dumps(summary))
    return summary


@pytest.mark.parametrize(
    ("experiment", "name", "before", "asked", "union"),
    [
        (headline, "seeds", (3, 0), (5, 0), (3, 0, 5)),  # the first seed stays the first
        (cross_domain, "domains", (2, 5), (4, 2, 1), (1, 2, 4, 5)),
        (data_efficiency, "fractions", (0.01, 1.0), (0.5, 1.0), (0.01, 0.5, 1.0)),
        (data_efficiency, "epoch_fractions", (0.01, 0.1), (0.5,), (0.01, 0.1, 0.5)),
        (data_efficiency, "long_fractions", (0.02, 0.1), (0.5, 0.1), (0.02, 0.1, 0.5)),
        (hyperparameter_sweep, "batch_sizes", (8, 64), (64, 32), (8, 32, 64)),
        (hyperparameter_sweep, "learning_rates", (1e-2,), (1e-3,), (1e-3, 1e-2)),
        (hyperparameter_sweep, "depths", (34,), (18, 34), (18, 34)),
        (headline, "domains", (2, 5), (1,), (1,)),  # which it does not use
    ],
)
def test_lists_become_the_union(experiment, name, before, asked, union, tmp_path):
    settings = dataclasses.replace(SETTINGS, results_dir=tmp_path)
    kept(settings, experiment.EXPERIMENT, **{name: before})
    part = extend(experiment.EXPERIMENT, dataclasses.replace(settings, **{name: asked}))
    assert getattr(part.settings, name) == union
    assert getattr(part.asked, name) == asked


def test_the_series_of_fixed_epochs_keeps_its_sizes_whatever_is_asked_for(tmp_path):
    settings = change(SETTINGS, results_dir=tmp_path, fractions=(0.01, 0.1, 1.0))
    kept(settings, data_efficiency.EXPERIMENT)
    part = extend(data_efficiency.EXPERIMENT, change(settings, fractions=(0.5, 1.0)))
    assert part.settings.fractions == (0.01, 0.1, 0.5, 1.0)
    assert part.settings.epoch_fractions == (0.01, 1.0)  # every other of four were other sizes


def test_lists_are_recorded():
    summary = {"seeds": [4], "fractions": [0.5], "rows": [{"seed": 0, "fraction": 1.0}]}
    lists = lists_of(summary)
    assert (lists["seeds"], lists["fractions"]) == ([4], [0.5])


def test_lists_of_older_summaries_are_those_of_their_rows():
    rows = [
        {"fixed": "updates", "fraction": 0.1}, {"fixed": "updates", "fraction": 0.5},
        {"fixed": "epochs", "fraction": 0.5}, {"fixed": "long updates", "fraction": 0.1},
        {"axis": "depth", "value": 18},
        {"axis": "depth", "value": 34}, {"axis": "depth", "value": 18},
        {"axis": "batch_size", "value": 8}, {"seed": 3, "tested": 2}, {"tested": 2},
    ]  # fmt: skip
    assert lists_of({"rows": rows}) == {
        "seeds": [3], "domains": [2], "fractions": [0.1, 0.5], "epoch_fractions": [0.5],
        "long_fractions": [0.1], "batch_sizes": [8], "learning_rates": [], "depths": [18, 34],
    }  # fmt: skip


@pytest.mark.parametrize("experiment", [data_efficiency, hyperparameter_sweep])
def test_a_summary_records_its_lists(experiment, copied):
    experiment = experiment.EXPERIMENT
    before = read(copied, experiment)
    older = {name: value for name, value in before.items() if name not in experiment.lists}
    (copied.results_dir / f"{experiment.name}.json").write_text(json.dumps(older))
    part = extend(experiment, change(copied, fractions=(0.3,), batch_sizes=(24,)))
    write_experiment(part)
    summary = read(copied, experiment)
    assert summary["rows"] == before["rows"]
    for name in experiment.lists:
        assert tuple(summary[name]) == getattr(part.settings, name)
    added = {"data_efficiency": ("fractions", 0.3), "hyperparameter_sweep": ("batch_sizes", 24)}
    name, value = added[experiment.name]
    assert value in summary[name]  # though it is not made yet


def test_only_what_is_asked_for_is_made(copied):
    part = extend(headline.EXPERIMENT, change(copied, seeds=(0,)))
    assert {task.run.seed for task in part.asked_tasks} == {0}
    assert {task.run.seed for task in part.tasks} == {0, 1, 2}
    part = extend(headline.EXPERIMENT, change(copied, seeds=(1,)))
    assert {task.run.seed for task in part.asked_tasks} == {1}
    assert not any(task.pictured for task in part.asked_tasks)  # those of the first seed are
    few = {"fractions": (0.3, 0.02), "long_fractions": (0.02,)}
    part = extend(data_efficiency.EXPERIMENT, change(copied, seeds=(1,), **few))
    assert {(task.run.num_images, task.run.seed) for task in part.asked_tasks} == {
        (200, 1), (3000, 1),
    }  # fmt: skip
    for of_one_seed in (prediction_epochs.EXPERIMENT, hyperparameter_sweep.EXPERIMENT):
        assert extend(of_one_seed, change(copied, seeds=(1,))).asked_tasks == []


def test_seeds_are_those_of_the_runs(copied):
    # The others are not of an experiment that looks at the first seed alone.
    write_experiment(extend(prediction_epochs.EXPERIMENT, change(copied, seeds=(0, 1, 2))))
    assert read(copied, prediction_epochs.EXPERIMENT)["seeds"] == [0]


def test_a_run_of_which_more_is_asked_stays_until_it_is_measured(copied):
    before = read(copied, cross_domain.EXPERIMENT)
    part = extend(cross_domain.EXPERIMENT, change(copied, domains=(6,)))
    write_experiment(part)
    after = read(copied, cross_domain.EXPERIMENT)
    assert after["rows"] == before["rows"]
    assert after["runs"] == before["runs"]
    assert names(part.tasks) == {*after["missing"]}  # none has been tested on six
    assert {*after["runs"]} < {*after["missing"]}


def test_runs_that_have_no_place_any_more_are_not_dropped(copied):
    summary = read(copied, headline.EXPERIMENT)
    summary["runs"].append("xy-d9-00000000")
    (copied.results_dir / "headline.json").write_text(json.dumps(summary))
    with pytest.raises(UserError, match=r"headline\.json: holds runs that .*xy-d9-00000000"):
        extend(headline.EXPERIMENT, copied)


# Nothing is mixed.


@pytest.mark.parametrize(
    ("base", "lengths", "difference"),
    [
        ({"precision": "float32"}, {}, "--precision=mixed_bfloat16 there, float32 here"),
        ({"image_size": 64}, {}, "--image_size=112 there, 64 here"),
        ({"solid": True}, {}, "--solid=false there, true here"),
        ({}, {"epochs": None}, "--epochs=40 there, - here"),
        ({}, {"plain_epochs": 10}, "--plain_epochs=12 there, 10 here"),
        ({}, {"short_epochs": None}, "--short_epochs=5 there, 12 here"),
        (
            {"batch_size": 8, "schedule": "constant"}, {},
            "--batch_size=64 there, 8 here, --schedule=cosine there, constant here",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("experiment", MEASURED, ids=lambda e: e.name)
def test_another_study_is_refused(experiment, base, lengths, difference, usual):
    base = dataclasses.replace(usual.base, **base)
    asked = dataclasses.replace(usual, base=base, **lengths)
    with pytest.raises(UserError) as caught:
        extend(experiment, asked)
    assert str(caught.value) == (
        f"{RESULTS / experiment.name}.json: made with other flags ({difference}); use the same "
        "to add to it, or another --results_dir to start afresh"
    )
    elsewhere = dataclasses.replace(asked, results_dir=RESULTS / "other")
    assert extend(experiment, elsewhere).settings == elsewhere


@pytest.mark.parametrize(("name", "there"), [("updates", 625), ("long_updates", 1500)])
@pytest.mark.parametrize("experiment", MEASURED, ids=lambda e: e.name)
def test_updates_matter_where_they_are_held_fixed(experiment, name, there, usual):
    asked = dataclasses.replace(usual, **{name: 100})
    if experiment is data_efficiency.EXPERIMENT:
        with pytest.raises(UserError, match=f"--{name}={there} there, 100 here"):
            extend(experiment, asked)
    else:
        extend(experiment, asked)


def test_what_experiments_choose_themselves_makes_no_difference(usual):
    base = dataclasses.replace(usual.base, arch="deconv", domain=4, seed=3, epochs=1)
    for experiment in MEASURED:
        asked = dataclasses.replace(usual, base=base)
        assert names(experiment.plan(asked)) == names(experiment.plan(usual))
        extend(experiment, asked)


def test_a_flag_that_repeats_a_default_is_part_of_the_study(tmp_path):
    flags = ("--flagfile=flags/study.flags", "--radius=7", "--sigma=3")
    command = [sys.executable, "-c", READ, *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["given"] == {"radius": 7.0}  # 3 differs from all defaults
    asked = dataclasses.replace(SETTINGS, results_dir=tmp_path, given={"radius": 7.0})
    task = headline.EXPERIMENT.plan(asked)[0]
    made = {"config": {}, "splits": {"test": {"3": {}}}, "pictures": {"3": {}}}
    made |= {"final": {"test": {"3": {}}}, "machine": {}, "seconds": 1.0}
    write_summary(tmp_path, task.name, made)
    write_experiment(extend(headline.EXPERIMENT, asked))
    assert extend(headline.EXPERIMENT, asked).settings.given == {"radius": 7.0}
    for given, here in (({}, "-"), ({"radius": 6.0}, "6.0")):
        with pytest.raises(UserError, match=f"--radius for all heads=7.0 there, {here} here"):
            extend(headline.EXPERIMENT, dataclasses.replace(asked, given=given))


def test_lengths_are_compared_by_what_they_mean(tmp_path):
    asked = dataclasses.replace(SETTINGS, results_dir=tmp_path, epochs=12, short_epochs=None)
    task = headline.EXPERIMENT.plan(asked)[0]
    made = {"config": {}, "splits": {"test": {"3": {}}}, "pictures": {"3": {}}}
    made |= {"final": {"test": {"3": {}}}}
    write_summary(tmp_path, task.name, {**made, "machine": {}, "seconds": 1.0})
    write_experiment(extend(headline.EXPERIMENT, asked))
    assert read(asked, headline.EXPERIMENT)["runs"] == [task.name]
    extend(headline.EXPERIMENT, dataclasses.replace(asked, plain_epochs=None, short_epochs=12))
    with pytest.raises(UserError, match="--short_epochs=12 there, 3 here"):
        extend(headline.EXPERIMENT, dataclasses.replace(asked, short_epochs=3))


def test_a_summary_without_any_run_holds_nobody_back(tmp_path):
    asked = dataclasses.replace(SETTINGS, results_dir=tmp_path)
    write_experiment(extend(headline.EXPERIMENT, asked))  # as after runs that all failed
    assert read(asked, headline.EXPERIMENT)["runs"] == []
    other = dataclasses.replace(asked, short_epochs=3)
    assert extend(headline.EXPERIMENT, other).settings == other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "damaged, not the summary of an experiment; delete it to recreate it"),
        ("no json", "damaged, not valid JSON"),
        (
            '{"base": {"colour": 1}, "seeds": [0], "runs": ["a"], "missing": []}',
            "unknown config field 'colour': made by another version?",
        ),
    ],
)
def test_a_damaged_summary_is_named(text, message, tmp_path):
    (tmp_path / "headline.json").write_text(text)
    with pytest.raises(UserError) as caught:
        extend(headline.EXPERIMENT, dataclasses.replace(SETTINGS, results_dir=tmp_path))
    assert str(caught.value).startswith(f"{tmp_path / 'headline.json'}: {message}")


def test_a_part_s_runs_are_each_once_with_all_that_is_asked(copied):
    part = extend(prediction_epochs.EXPERIMENT, copied)
    assert [task.pictured for task in part.tasks] == 4 * [(3,)]
    assert all(isinstance(task, Task) for task in part.asked_tasks)
