"""The label budget: nested sets, what is kept, what is said of it, and the command whole."""

import itertools
import json
import re
import shutil
import signal
import sys

import numpy as np
import pytest
from absl.testing import flagsaver

from pipelines.labels.reading import read_all
from pipelines.labels.splits import choose_labelled, split_images
from rectloc_tf import cli
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.experiments import budget, budget_flags
from rectloc_tf.results import budget_report
from rectloc_tf.results.learning_curve import MeasuredErrors
from tests.conftest import fork, run, run_ok
from tests.labelled_dots import COUNT, write_dots

KEYS = [f"v/img{number:03d}.png" for number in range(90)]
WHOLE = split_images(["v"] * len(KEYS), KEYS, fold="2/3")


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    return write_dots(tmp_path_factory.mktemp("dots"))


# Nested sets.


@pytest.mark.parametrize("seed", [0, 5])
def test_smaller_sets_lie_within_larger_ones(seed):
    sets = [choose_labelled(WHOLE, KEYS, number, seed) for number in (2, 7, 20, 41)]
    for number, split in zip((2, 7, 20, 41), sets, strict=True):
        assert len(split.train) + len(split.validation) == number
        assert len(split.validation) == -(-number // 10)
        np.testing.assert_array_equal(split.test, WHOLE.test)
        parts = np.concatenate([split.train, split.validation, split.test, split.left_out])
        assert sorted(parts) == [*range(len(KEYS))]
    for smaller, larger in itertools.pairwise(sets):
        assert {*smaller.train} < {*larger.train}
        assert {*smaller.validation} <= {*larger.validation}


def test_another_seed_chooses_others():
    first, second = (choose_labelled(WHOLE, KEYS, 20, seed) for seed in (0, 1))
    assert {*first.train} != {*second.train}


@pytest.mark.parametrize("number", [1, 61])
def test_set_must_be_there(number):
    pool = len(WHOLE.train) + len(WHOLE.validation)
    with pytest.raises(ConfigError, match=f"--num_labelled={number}: must be from 2 to {pool}, "):
        choose_labelled(WHOLE, KEYS, number, 0)


def test_plan_trains_each_set_of_each_fold(dots):
    base = RunConfig(source="images", data=str(dots), image_size=64, precision="float32")
    found = read_all(base)
    assert budget.default_sizes(found, 3) == (6, 13)
    bases = [(base, None), (base.changed(arch="score_map"), None)]
    trainings = budget.plan(bases, found, (4, 13), 3, (0,))
    assert len({training.name for training in trainings}) == 12
    assert [t.run.arch for t in trainings] == ["xy", "score_map"] * 6
    assert [t.run.num_labelled for t in trainings] == [4] * 6 + [13] * 6
    tested = {}
    for training in trainings:
        images = training.images
        names = images.labels.select(images.indices("test")).keys
        assert tested.setdefault(training.run.fold, names) == names
        assert sum(images.sizes[:2]) == training.run.num_labelled
    assert sorted(name for names in tested.values() for name in names) == sorted(found.labels.keys)


@pytest.mark.parametrize("sizes", [(1, 5), (5, 14)])
def test_plan_refuses_sets_that_are_not_there(dots, sizes):
    base = RunConfig(source="images", data=str(dots), image_size=64, precision="float32")
    rule = f"--sizes={sizes[0]},{sizes[1]}: 3 folds of 24 labelled images leave 2 to 13"
    with pytest.raises(ConfigError, match=rule):
        budget.plan([(base, None)], read_all(base), sizes, 3, (0,))


def test_nothing_is_predicted_beyond_four_times_what_there_is():
    assert budget.resolve_more(180, 100, 70) == 180
    with pytest.raises(ConfigError, match="^--more_labels=181: must be at most 180: errors are me"):
        budget.resolve_more(181, 100, 70)
    assert budget.resolve_more(0, 100, 70) == 100  # as many again
    assert budget.resolve_more(0, 100, 30) == 20
    assert budget.resolve_more(0, 100, 20) == 0


# What is said.


def kept(level, sizes=(10, 20, 40, 80), folds=3, names=("nose", "tail")):
    """What is kept of trainings whose mean error is `level`(size), the tail twice the nose."""
    return [
        {
            "arch": "xy",
            "num_labelled": size,
            "num_train": size - size // 10,
            "fold": f"{fold + 1}/{folds}",
            "seed": 0,
            "seconds": 60.0,
            "machine": {"cpu": "some"},
            "config": {"steps": 30, "image_size": 64},
            "keypoints": [*names],
            "images": [f"v/img{number}.png" for number in range(fold, 30, folds)],
            "errors_px": [
                [level(size) * 2 / 3, level(size) * 4 / 3] for _ in range(fold, 30, folds)
            ],
        }
        for size in sizes
        for fold in range(folds)
    ]


RUNS = {("1/3", 0), ("2/3", 0), ("3/3", 0)}


def falling(size):
    return 2 + 30 / size


def test_errors_stand_with_their_images():
    found = kept(falling)
    found[0]["errors_px"][2] = [None, 7.0]
    measured = budget_report.collect(found, RUNS)
    assert measured.sizes.tolist() == [10, 20, 40, 80]
    assert measured.values.shape == (3, 4, 30, 2)
    places = {name: i for i, name in enumerate(sorted({n for f in found for n in f["images"]}))}
    row = measured.values[0, 0, places["v/img6.png"]]
    assert np.isnan(row[0])
    assert row[1] == 7.0
    assert np.isnan(measured.values[0, 0, places["v/img7.png"]]).all()  # another fold's
    np.testing.assert_allclose(measured.means[1:], [falling(size) for size in (20, 40, 80)])


def test_sizes_that_lack_a_training_are_left_out():
    assert budget_report.collect(kept(falling)[1:], RUNS).sizes.tolist() == [20, 40, 80]
    assert budget_report.collect(kept(falling, sizes=(10,))[:-1], RUNS) is None
    several = kept(falling, sizes=(10,))[:-1] + kept(falling, sizes=(20,))[-1:]
    assert budget_report.collect(several, RUNS) is None


def test_summary_predicts_and_checks_itself():
    measured = budget_report.collect(kept(falling), RUNS)
    found = budget_report.summarise(measured, ("nose", "tail"), 120, 80)
    assert [row["num_labelled"] for row in found["predicted"]] == [120, 200]
    for row in found["predicted"]:
        mean = row["mean_px"]
        assert mean["low"] < falling(row["num_labelled"]) < mean["high"]
        assert mean["value"] == pytest.approx(falling(row["num_labelled"]), rel=0.1)
    assert found["checked"]["from"] == 40
    assert found["checked"]["mean_px"]["low"] < falling(80) < found["checked"]["mean_px"]["high"]
    last = found["measured"][-1]
    assert last["keypoint_mean_px"]["tail"] == pytest.approx(4 / 3 * falling(80))
    assert last["median_px"] == pytest.approx(falling(80))


def test_the_check_knows_how_sure_both_numbers_are():
    sizes = np.array([10, 20, 40, 80])
    rng = np.random.default_rng(0)
    noise = np.exp(0.02 * rng.normal(size=(3, 4, 1, 2)))
    level = np.array([40.0, 20.0, 10.0, 5.0])[None, :, None, None]
    hard = np.exp(0.1 * rng.normal(size=(3, 1, 50, 2)))
    agreeing = MeasuredErrors(sizes, level * hard * noise)
    assert budget_report.summarise(agreeing, ("nose", "tail"), 80, 0)["checked"]["agrees"]
    level[0, -1] = 30.0  # a rise after two halvings
    other = MeasuredErrors(sizes, level * hard * noise)
    assert not budget_report.summarise(other, ("nose", "tail"), 80, 0)["checked"]["agrees"]


def test_sizes_that_are_no_halves_are_checked_too():
    measured = budget_report.collect(kept(falling, sizes=(25, 50, 75, 100)), RUNS)
    assert budget_report.summarise(measured, ("nose", "tail"), 120, 80)["checked"]["from"] == 75


def test_nothing_is_predicted_far_from_what_was_measured():
    measured = budget_report.collect(kept(falling, sizes=(5, 10, 20)), RUNS)
    found = budget_report.summarise(measured, ("nose", "tail"), 81, 0)
    assert found["predicted"] == []
    text = budget_report.paragraph({"xy": found}, 81, 0)
    assert "less than a quarter of the 81 images that are labelled: too few" in text
    found = budget_report.summarise(measured, ("nose", "tail"), 80, 0)
    assert [row["num_labelled"] for row in found["predicted"]] == [80]
    assert "more (" not in budget_report.paragraph({"xy": found}, 80, 0)


def test_a_keypoint_that_some_trainings_have_not_learnt_is_named():
    values = np.full((3, 4, 6, 2), 4.0)
    assert budget_report.not_learnt(MeasuredErrors(np.arange(4), values), ("a", "b")) == {}
    values[1, 2, :, 1] = 17.0
    values[2, 0, :3, 1] = 40.0  # the mean of all six is 22
    values[0, :, :, 0] = np.nan
    measured = MeasuredErrors(np.array([10, 20, 40, 80]), values)
    assert budget_report.not_learnt(measured, ("a", "b")) == {"b": 2}
    found = budget_report.summarise(measured, ("a", "b"), 80, 0)
    text = budget_report.paragraph({"xy": found}, 80, 0)
    assert "hardly learnt a keypoint (b in 2), which widens all intervals" in text


def test_two_sizes_predict_nothing():
    measured = budget_report.collect(kept(falling, sizes=(10, 20)), RUNS)
    found = budget_report.summarise(measured, ("nose", "tail"), 120, 80)
    assert "predicted" not in found
    text = budget_report.paragraph({"xy": found}, 120, 80)
    assert "It takes 3 sizes or more" in text


def test_paragraph_names_the_best_head_and_both_outcomes_of_the_check():
    heads = {}
    for name, factor in (("xy", 3.0), ("score_map", 1.0)):
        values = budget_report.collect(kept(falling), RUNS).values * factor
        measured = MeasuredErrors(np.array([10, 20, 40, 80]), values)
        heads[name] = budget_report.summarise(measured, ("nose", "tail"), 120, 80)
    text = budget_report.paragraph(heads, 120, 80)
    assert text.startswith("Trained on 80 labelled images (validation included), score map (")
    assert "For comparison: coordinates (xy) 7.1 px" in text
    assert "With all 120, expect 2." in text
    assert "With 80 more (200 in all), 2." in text
    assert "the 2.4 px that were measured agree with that." in text
    assert "The hardest keypoint is tail, at 3.2 px." in text
    heads["score_map"]["checked"]["agrees"] = False
    assert "measured do not agree with that." in budget_report.paragraph(heads, 120, 80)


def test_heads_are_compared_at_a_size_that_all_have():
    def said(level, sizes):
        measured = budget_report.collect(kept(level, sizes), RUNS)
        return budget_report.summarise(measured, ("nose", "tail"), 120, 80)

    heads = {"xy": said(lambda n: 300 / n, (10, 80)), "score_map": said(lambda n: 20, (10,))}
    assert budget_report.best_head(heads) == "score_map"  # 30 px against 20, of 10 images
    text = budget_report.paragraph(heads, 120, 80)
    assert "Trained on 10 labelled images" in text
    assert "For comparison: coordinates (xy) 30.0 px" in text
    heads["xy"] = said(lambda n: 300 / n, (80,))
    text = budget_report.paragraph(heads, 120, 80)
    assert "score map (score_map) 20.0 px (20.0–20.0) with 10 labelled images." in text


def test_a_part_of_the_trainings_is_no_report(tmp_path):
    found = kept(falling)
    said = budget_report.write(tmp_path, found[::3], RUNS, 120, 80)  # as of --shard=1/3
    assert said == "no size has been trained on every fold and seed yet"
    assert not [*tmp_path.iterdir()]


# What is asked for.


def read_flags(monkeypatch, *given):
    """What the flags ask for, given on a command line."""
    monkeypatch.setattr(sys, "argv", ["label_budget", "--data=a.csv", *given])
    with flagsaver.flagsaver():
        cli.FLAGS(sys.argv)
        return budget_flags.read_flags()


def test_every_head_is_trained_as_the_flags_say(monkeypatch):
    given = ("--noaugment", "--batch_size=64", "--schedule=constant", "--radius=7")
    asked = read_flags(monkeypatch, "--archs=xy,score_map,deconv", *given)
    assert [base.arch for base in asked.bases] == ["xy", "score_map", "deconv"]
    for base in asked.bases:
        assert (base.augment, base.batch_size, base.schedule) == (False, 64, "constant")
        assert (base.radius, base.steps) == (7, 1500)
    usual = read_flags(monkeypatch, "--archs=score_map").bases[0]
    assert (usual.augment, usual.batch_size, usual.radius, usual.batch_norm) == (True, 16, 10, True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--epochs=3",), "--epochs: sets of all sizes are trained for the same number of steps"),
        (("--steps=0",), "--epochs: sets of all sizes are trained for the same number of steps"),
        (("--archs=xy,deconv", "--stride=8"), "--stride: --arch=xy"),
    ],
)
def test_what_no_head_uses_is_refused(monkeypatch, flags, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_flags(monkeypatch, *flags)
    assert read_flags(monkeypatch, "--archs=xy,score_map", "--stride=8").bases[1].stride == 8


def test_table_has_a_row_for_each_size():
    measured = budget_report.collect(kept(falling), RUNS)
    found = budget_report.summarise(measured, ("nose", "tail"), 120, 80)
    rows = [line.split("|")[1:-1] for line in budget_report.table({"xy": found}).splitlines()]
    assert [row[1].strip() for row in rows[2:]] == ["10", "20", "40", "80", "120", "200"]
    assert [row[5].strip() for row in rows[2:]] == ["measured"] * 4 + ["predicted"] * 2
    assert rows[2][2].strip() == "5.00"


def test_figure_shows_what_was_measured():
    measured = budget_report.collect(kept(falling), RUNS)
    figure = budget_report.draw({"xy": measured}, ("nose", "tail"), (120, 200), "xy")
    left, right = figure.axes
    points = left.containers[0].lines[0].get_xydata()
    np.testing.assert_allclose(points, [[n, falling(n)] for n in (10, 20, 40, 80)])
    assert [line.get_label() for line in right.lines] == ["nose", "tail"]
    np.testing.assert_allclose(right.lines[1].get_ydata()[-1], 4 / 3 * falling(80))


def test_figure_has_a_series_for_every_head(monkeypatch):
    measured = budget_report.collect(kept(falling), RUNS)
    monkeypatch.setattr(budget_report, "_COLORS", ("black",))
    both = {"xy": measured, "dsnt": measured}
    figure = budget_report.draw(both, ("nose", "tail"), (120, 200), "xy")
    assert len(figure.axes[0].containers) == 2


# The command.

CHEAP = {"narrow": True, "eager": True}
TINY = ("--image_size=64", "--steps=2", "--batch_size=4", "--archs=xy", "--folds=2", "--noaugment")


@pytest.fixture(scope="module")
def made(dots, tmp_path_factory):
    """A small budget, whole: its folder, and what the command printed."""
    folder = tmp_path_factory.mktemp("budget")
    flags = (f"--data={dots}", *TINY, "--sizes=3,8", "--precision=float32")
    done = run("experiments.label_budget", *flags, cwd=folder, **CHEAP)
    assert done.returncode == 0, done.stderr
    return folder, flags, done.stdout


def test_command_trains_measures_and_says(made):
    folder, _, text = made
    summary = json.loads((folder / "label_budget/label_budget.json").read_text())
    assert summary["num_labelled"] == COUNT
    assert [row["num_labelled"] for row in summary["heads"]["xy"]["measured"]] == [3, 8]
    assert "predicted" not in summary["heads"]["xy"]
    assert summary["text"] in text
    assert summary["text"] in (folder / "label_budget/label_budget.md").read_text()
    assert (folder / "label_budget/label_budget.png").stat().st_size > 10_000
    assert len(summary["trainings"]) == 4
    kept_files = [*(folder / "label_budget/runs").glob("*.json")]
    found = [json.loads(path.read_text()) for path in kept_files]
    errors = [e for f in found if f["num_labelled"] == 8 for r in f["errors_px"] for e in r]
    known = [e for e in errors if e is not None]
    mean = summary["heads"]["xy"]["measured"][1]["mean_px"]["value"]
    assert mean == pytest.approx(np.mean(known))


def test_errors_are_those_of_the_final_weights(made, dots):
    folder, _, _ = made
    path = next((folder / "label_budget/runs").glob("*.json"))
    flags = (f"--run_dir=runs/{path.stem}", "--weights=final", "--output=e.json")
    run_ok("evaluate", *flags, cwd=folder)
    measured = json.loads((folder / "e.json").read_text())["splits"]["test"]["images"]
    found = json.loads(path.read_text())
    errors = [error for row in found["errors_px"] for error in row if error is not None]
    assert measured["center_error_px"]["mean"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_named_runs_are_made_and_nothing_is_summed_up(made):
    folder, flags, _ = made
    first, second, *_ = sorted((folder / "label_budget/runs").glob("*.json"))
    before = {path: path.read_bytes() for path in (first, second)}
    summary = folder / "label_budget/label_budget.json"
    whole = summary.read_bytes()
    for path in (first, second, summary):
        path.unlink()
    done = run("experiments.label_budget", *flags, f"--runs={first.stem}", cwd=folder, **CHEAP)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"[1/1] {first.stem}: done in ")
    assert done.stdout.count("\n") == 1
    assert first.read_bytes() == before[first]
    assert not second.exists()
    assert not summary.exists()
    second.write_bytes(before[second])
    summary.write_bytes(whole)


def test_a_kill_half_way_leaves_whole_files_and_the_same_command_completes(made):
    folder, flags, _ = made
    found = folder / "label_budget"
    whole = {path: path.read_bytes() for path in found.rglob("*") if path.is_file()}
    for path in (*sorted(found.glob("runs/*.json"))[:2], *found.glob("label_budget.*")):
        path.unlink()  # the runs themselves are there, and are measured again
    killed = ("tests.killed", "os.replace", "label_budget/runs/", "2")
    through = ("tests.narrow", "tests.eagerly", *killed)
    done = fork("tensorflow", [*through, "rectloc_tf.experiments.label_budget", *flags], folder)
    assert done.returncode == -signal.SIGKILL
    left = {path for path in found.rglob("*") if path.is_file()}
    hidden = {path for path in left if path.name.startswith(".tmp-")}
    assert len(hidden) == 1
    assert len(left - hidden) == 3
    done = run("experiments.label_budget", *flags, cwd=folder, **CHEAP)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path for path in found.rglob("*") if path.is_file()} == {*whole}
    for path in found.glob("runs/*.json"):
        before, after = json.loads(whole[path]), json.loads(path.read_text())
        assert after["errors_px"] == before["errors_px"]


def test_same_command_resumes_without_the_run_folders(made):
    folder, flags, text = made
    shutil.rmtree(folder / "runs")
    again = run_ok("experiments.label_budget", *flags, cwd=folder)
    assert again == text[text.index("| head") :]
    assert not (folder / "runs").exists()
    planned = run_ok("experiments.label_budget", *flags, "--dry_run", cwd=folder)
    assert planned.splitlines()[-1] == "0 of 4 to train, 0:00 on this machine"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "--data: missing; give a label file"),
        (("--data=a.csv", "--archs=xy,cnn"), "--archs=xy,cnn: must be some of xy, deconv, "),
        (("--data=a.csv", "--archs=xy,xy"), "--archs=xy,xy: must be some of xy, deconv, "),
        (("--data=a.csv", "--sizes=many"), "--sizes=many: must be numbers"),
        (
            ("--data=a.csv", "--sizes=5,5"),
            "--sizes=5,5: must be above 0, separated by commas, each",
        ),
        (("--data=a.csv", "--seeds=0,0"), "--seeds=0,0: must be whole numbers from 0, separated "),
        (("--data=a.csv", "--folds=1"), "flag --folds=1"),
        (("--data=a.csv", "--fold=1/3"), "--fold: set by the experiments themselves"),
        (("--data=a.csv", "--arch=xy"), "--arch: set by the experiments themselves"),
        (("--data=none.csv",), "none.csv"),
    ],
)
def test_mistakes_end_in_one_line(flags, words, tmp_path):
    done = run("experiments.label_budget", *flags, cwd=tmp_path)
    assert done.returncode == 2 or (done.returncode == 1 and flags == ("--data=none.csv",))
    assert words in done.stderr
    assert "Traceback" not in done.stderr
