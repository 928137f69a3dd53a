"""The train entry point: what a finished run leaves, and how it is taken up again."""

import csv
import json
import os
import random
import re
import signal
import time
from types import SimpleNamespace

import cv2
import keras
import numpy as np
import pytest

import rectloc_tf.models  # noqa: F401 (registers the layers of saved models)
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training.loop import Trainer
from rectloc_tf.training.runtime import choose_precision
from tests.conftest import HANGS, TINY, run, run_ok, start
from tests.few_scenes import FEW
from tests.trainers import TIME_COLUMNS

CHEAP = {"few": True, "narrow": True}
# Ten for the long check: RECTLOC_KILLS=10 python3 bootstrap.py test -k kill
KILLS = int(os.environ.get("RECTLOC_KILLS", "2"))


def weights(folder):
    return keras.saving.load_model(folder / "final.keras", compile=False).get_weights()


def history(folder):
    with open(folder / "history.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in rows]


def assert_same_run(one, other):
    assert history(one) == history(other)
    for ours, theirs in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def wait_for_rows(folder, number, process):
    """Waits until the run has written so many history rows."""
    while process.poll() is None:
        if (folder / "history.csv").exists() and len(history(folder)) >= number:
            return
        time.sleep(0.05)
    pytest.fail("the run ended before it wrote its history")


@pytest.mark.parametrize("arch", ["deconv", "xy", "score_map"])
def test_a_finished_run_is_complete(arch, request):
    folder = request.getfixturevalue(f"{arch}_run")
    result = json.loads((folder / "result.json").read_text())
    assert result["schema"] == 2
    assert result["config"]["arch"] == arch
    assert result["epochs"] == 3
    assert result["seconds"] > 0
    assert [int(row["epoch"]) for row in history(folder)] == [1, 2, 3]
    assert [int(row["step"]) for row in history(folder)] == [4, 8, 12]
    measured = 1000 if arch == "deconv" else FEW
    sizes = {"train": 32, "validation": measured, "test": measured}
    for split, size in sizes.items():
        metrics = result["splits"][split]["2"]
        assert metrics["num_images"] == size
        rates = [metrics[f"{name}_rate"] for name in ("right", "wrong", "nowhere")]
        assert sum(rates) == pytest.approx(1)
        if arch == "score_map":  # which has no values in the original's units
            assert (metrics["mse"], metrics["ln_mse"], metrics["r2"]) == (None, None, None)
        else:
            assert metrics["loss"] == pytest.approx(metrics["mse"])
            assert metrics["ln_mse"] == pytest.approx(np.log(metrics["mse"]))
        assert (metrics["empty_loss"] is None) == (arch == "xy")
        assert ("zero_map_mse" in metrics) == (arch == "deconv")
        assert len(metrics.get("r2_per_coordinate", [0, 0])) == 2
    for name in ("predictions", "epochs", "history"):
        assert cv2.imread(str(folder / f"{name}.png")).std() > 5
    assert list((folder / "tensorboard").iterdir())
    assert json.loads((folder / "environment.json").read_text())[0]["tensorflow"]
    assert len(RunFolder(folder).read_snapshots()) == 4  # epochs 0, 1, 2, 3
    assert not [p for p in folder.rglob("*") if p.name.startswith(".tmp")]


def test_result_is_of_the_best_validated_model(deconv_run):
    best = min(float(row["val_mean_px"]) for row in history(deconv_run))
    result = json.loads((deconv_run / "result.json").read_text())
    measured = result["splits"]["validation"]["2"]["center_error_px"]["mean"]
    assert measured == pytest.approx(best, rel=1e-6)


def test_a_finished_run_is_not_trained_again(xy_run):
    before = (xy_run / "final.keras").stat().st_mtime_ns
    flagfile = f"--flagfile={xy_run / 'flags.flags'}"
    out = run_ok("train", flagfile, f"--run_dir={xy_run}")
    assert "this run is finished" in out
    assert re.search(rf"^test +2 +{FEW} ", out, re.MULTILINE)
    assert (xy_run / "final.keras").stat().st_mtime_ns == before


def test_another_run_in_the_same_folder_is_refused(xy_run):
    flagfile = f"--flagfile={xy_run / 'flags.flags'}"
    done = run("train", flagfile, "--seed=3", "--learning_rate=0.01", f"--run_dir={xy_run}")
    assert done.returncode == 1
    assert "--learning_rate=0.001 there, 0.01 here" in done.stderr
    assert "--seed=0 there, 3 here" in done.stderr
    assert done.stderr.count("\n") == 1
    resume = re.search(r"--flagfile=\S+ --run_dir=\S+", done.stderr)[0].split()
    assert "this run is finished" in run_ok("train", *resume)


def test_signals_and_a_damaged_checkpoint_change_nothing(deconv_run, tmp_path):
    folder = tmp_path / "run"
    flags = ("--arch=deconv", "--domain=2", *TINY, "--precision=float32", f"--run_dir={folder}")
    for rows, number, code in ((1, signal.SIGTERM, 143), (2, signal.SIGINT, 130)):
        process = start("train", *flags, narrow=True)
        wait_for_rows(folder, rows, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=HANGS)
        assert process.returncode == code
        assert "Traceback" not in err
        assert not (folder / "result.json").exists()
    assert re.search(r"resuming after step [4-8],", out)
    data = {int(p.name.split("-")[1].split(".")[0]): p for p in folder.glob("checkpoints/*.data*")}
    newest, before = sorted(data, reverse=True)[:2]
    data[newest].write_bytes(data[newest].read_bytes()[:1000])
    out = run_ok("train", *flags, narrow=True)
    assert f"warning: {folder}/checkpoints/ckpt-{newest}: damaged" in out
    assert f"resuming after step {before}," in out
    assert_same_run(folder, deconv_run)


def test_a_folder_in_use_is_refused(tmp_path):
    with RunFolder(tmp_path).lock():
        done = run("train", *TINY, f"--run_dir={tmp_path}")
    assert done.returncode == 1
    assert "another process" in done.stderr
    assert done.stderr.count("\n") == 1


def test_kill_at_random_moments_changes_nothing(tmp_path):
    # Long enough for a kill to hit it in mid-run; a checkpoint about every second.
    epochs = 9 + 3 * KILLS
    flags = ("--arch=xy", "--domain=2", *TINY, f"--epochs={epochs}", "--validate_every=5")
    flags = (*flags, "--checkpoint_minutes=0.01")
    folder = tmp_path / "killed"
    rng = random.Random()
    kills = done_steps = 0
    while kills < KILLS:
        process = start("train", *flags, f"--run_dir={folder}", **CHEAP)
        # At a random moment after it has said something: the machine's speed does not matter.
        said = [process.stdout.readline() for _ in range(rng.randint(1, 5))]
        time.sleep(rng.uniform(0, 1))
        if process.poll() is not None:
            break  # a quick machine: it ended first
        process.kill()
        kills += 1
        out, _ = process.communicate()
        resumed = re.search(r"resuming after step (\d+)", "".join(said) + out)
        if resumed:  # no finished epoch is trained again
            assert int(resumed[1]) >= done_steps
        if (folder / "history.csv").exists():
            done_steps = int(history(folder)[-1]["step"])
    print(f"killed {kills} times")
    assert kills >= 1
    run_ok("train", *flags, f"--run_dir={folder}", **CHEAP)
    run_ok("train", *flags, f"--run_dir={tmp_path / 'whole'}", **CHEAP)
    assert_same_run(folder, tmp_path / "whole")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    folder = tmp_path / "run"
    flags = ("--arch=xy", *TINY, "--learning_rate=1e30", f"--run_dir={folder}")
    done = run("train", *flags, narrow=True)
    assert done.returncode == 1
    assert re.search(r"the loss is (nan|inf) at step \d+", done.stderr)
    assert done.stderr.count("\n") == 1
    kept = list(folder.glob("checkpoints/*.index"))
    assert ("the last good checkpoint is kept" in done.stderr) == bool(kept)
    assert not (folder / "result.json").exists()


@pytest.mark.parametrize("saved", [False, True])
def test_a_run_that_diverges_says_that_a_checkpoint_is_kept_where_there_is_one(saved, tmp_path):
    trainer = SimpleNamespace(folder=RunFolder(tmp_path))
    trainer.folder.checkpoints.mkdir()
    if saved:
        (trainer.folder.checkpoints / "ckpt-2.index").touch()
    with pytest.raises(UserError, match="the loss is nan at step 3; stopped") as caught:
        Trainer.fail(trainer, "the loss is nan at step 3")
    assert ("the last good checkpoint is kept" in str(caught.value)) == saved


def test_a_black_heatmap_is_called_black_and_its_default_folder_is_found(tmp_path):
    # At this learning rate no network leaves the all-black map.
    flags = ("--arch=deconv", *TINY, "--epochs=1", "--learning_rate=1e-9")
    out = run_ok("train", *flags, cwd=tmp_path, **CHEAP)
    assert out.count("the heatmap is still empty after a third of the epochs") == 1
    folder = re.search(r"runs/deconv-d1-[0-9a-f]{8}", out)[0]
    assert (tmp_path / folder / "result.json").exists()
    flags = [flag for flag in flags if flag != "--deterministic"]  # not part of what a run is
    out = run_ok("predict", *flags, "--num=2", cwd=tmp_path)
    assert "2 predictions" in out


@pytest.mark.parametrize("module", ["train", "predict"])
def test_a_run_made_with_another_automatic_precision_is_named(module, tmp_path):
    here, _ = choose_precision("auto")
    made = "float32" if here != "float32" else "mixed_bfloat16"
    asked = RunConfig(image_size=64, num_images=40, batch_size=8, epochs=3, precision=made)
    folder = RunFolder(tmp_path / asked.default_folder)
    folder.path.mkdir(parents=True)
    folder.claim(asked)
    flags = [flag for flag in TINY if flag != "--deterministic"]  # predict has no use for it
    done = run(module, *flags, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {asked.default_folder}: this run was made with ")
    assert f"add --precision={made} to use that run" in done.stderr
    another = f", or --precision={here} to start another"
    assert done.stderr.endswith(f"{another}\n") == (module == "train")
    assert done.stderr.count("\n") == 1
    assert [p.name for p in (tmp_path / "runs").iterdir()] == [folder.path.name]
