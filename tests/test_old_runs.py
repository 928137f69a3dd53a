"""Run folders as version 0.1.0 left them, written by hand: opened, resumed and shown."""

import itertools
import json
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.streams import training_batches
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.models import load_model, run_head
from rectloc_tf.results.report import format_result
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training import loop
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.progress import ProgressLine
from rectloc_tf.training.runtime import make_runtime
from tests.conftest import run_ok
from tests.eagerly import eagerly, without_own_pictures
from tests.narrow import narrow
from tests.training import start_training

CONFIG = {
    "arch": "xy", "depth": 18, "domain": 2, "image_size": 64, "min_side": 10, "max_side": 112,
    "solid": False, "labels": "largest", "target": "disc", "radius": 7.0, "sigma": 5.0,
    "data_seed": 0, "num_images": 40, "augment": False, "batch_size": 8, "learning_rate": 0.001,
    "schedule": "constant", "epochs": 2, "validate_every": 1, "seed": 0, "precision": "float32",
    "init_from": "",
}  # fmt: skip
ROW = {
    "epoch": 1, "step": 4, "learning_rate": 0.0010000000474974513, "train_loss": 13739.4,
    "zero_map_loss": float("nan"), "val_loss": 13701.1, "val_zero_map_loss": float("nan"),
    "val_r2": -5.7, "val_median_px": 163.9, "val_mean_px": 159.3, "val_p95_px": 225.8,
    "val_right_rate": 0.0, "val_wrong_rate": 0.0, "val_nowhere_rate": 1.0, "seconds": 7.6,
    "images_per_second": 35.5,
}  # fmt: skip
ERRORS = {"median": 138.9, "mean": 135.3, "p95": 201.5, "rmse": 141.4}
METRICS = {
    "num_images": 1000, "mse": 9991.9, "ln_mse": 9.2, "r2": -4.9,
    "r2_per_coordinate": [-6.8, -3.0], "center_error_px": ERRORS, "right_rate": 0.002,
    "wrong_rate": 0.003, "nowhere_rate": 0.995, "center_error_px_right": ERRORS,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cheap_training():
    with narrow(), eagerly():
        yield


def folder_of(path, arch):
    """A folder with the files that say what a run is."""
    path.mkdir()
    config = CONFIG | {"arch": arch}
    (path / "config.json").write_text(json.dumps(config))
    values = {name: value for name, value in config.items() if value != ""}
    lines = [f"--{name}={str(value).lower()}" for name, value in values.items()]
    (path / "flags.flags").write_text("\n".join(lines))
    return RunFolder(path)


def as_saved_then(path):
    """Rewrites a saved model so that its layers are where 0.1.0 had them."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    config = contents["config.json"]
    assert b'"rectloc_tf.network.layers"' in config
    contents["config.json"] = config.replace(b'"rectloc_tf.network.layers"', b'"rectloc_tf.layers"')
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def train_four_steps(run):
    keras.utils.set_random_seed(run.seed)
    source, _, state, step = start_training(run)
    for batch in itertools.islice(training_batches(run, source), 4):
        state.add_steps(np.array([step(batch)]), seconds=0.25)
    return state


@pytest.fixture(scope="module", params=["xy", "deconv"])
def left(request, tmp_path_factory):
    """A run after the first of two epochs, read only: its folder, and its state."""
    folder = folder_of(tmp_path_factory.mktemp("left") / "run", request.param)
    state = train_four_steps(folder.run_config())
    # In 0.1.0 the loss of an all-black map was summed up whatever the head.
    objects = vars(state) | {"zero_map_sum": tf.Variable(987.0, dtype=tf.float64)}
    assert objects.keys() == {
        "model", "optimizer", "step", "loss_sum", "zero_map_sum", "row_steps", "timed_steps",
        "step_seconds", "seconds",
    }  # fmt: skip
    folder.checkpoints.mkdir()
    tf.train.Checkpoint(**objects).write(str(folder.checkpoints / "ckpt-4"))
    folder.save_model(state.model, folder.best_model)
    as_saved_then(folder.best_model)
    folder.write_history([ROW])
    maps = {"heatmaps": np.full((8, 64, 64), 9, np.uint8)} if request.param == "deconv" else {}
    for epoch in (0, 1):
        folder.write_snapshot(epoch, {"points": np.full((8, 2), 30, np.float32), **maps})
    return folder, state


@pytest.fixture
def interrupted(left, tmp_path):
    """A copy of such a run, to go on with."""
    return RunFolder(shutil.copytree(left[0].path, tmp_path / "run"))


def train(run, folder):
    """Trains in this process, measuring few images; returns the result and what was said."""
    how, said = ExecutionConfig(render_on="host"), []
    progress = ProgressLine()
    progress.print = said.append
    runtime = make_runtime(how, run.batch_size)
    result = loop.train(run, how, folder, runtime, StopRequest(), progress)
    return result, said


def test_a_run_is_resumed_and_ends_as_if_it_had_never_stopped(interrupted, monkeypatch, tmp_path):
    folder = interrupted
    run = folder.run_config()
    for field in ("loss", "stride", "source"):
        assert getattr(run, field) == getattr(RunConfig(arch=run.arch), field)
    few = {"train": range(32), "validation": range(8000, 8010), "test": range(9000, 9010)}
    monkeypatch.setattr(RunConfig, "split_indices", lambda self, split: few[split])
    result, said = train(run, folder)
    assert "resuming after step 4, epoch 1 of 2" in said
    assert result["schema"] == 2
    rows = folder.read_history()
    assert [row["step"] for row in rows] == [4, 8]
    np.testing.assert_equal(rows[0], ROW)
    assert list(rows[1]) == list(ROW)
    snapshots = folder.read_snapshots()
    assert [snapshots[epoch]["points"].shape for epoch in (0, 1, 2)] == [(8, 2), (8, 2), (8, 1, 2)]
    assert (folder.path / "epochs.png").exists()
    whole = RunFolder(tmp_path / "whole")
    whole.path.mkdir()
    whole.claim(run)
    with without_own_pictures():
        train(run, whole)
    ours, theirs = (load_model(f.final_model).get_weights() for f in (folder, whole))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    # Only what was done since is in the new row.
    assert rows[1]["train_loss"] == pytest.approx(whole.read_history()[1]["train_loss"], rel=1e-4)


def test_a_saved_model_is_loaded_and_answers(left):
    folder, state = left
    run = folder.run_config()
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 1), np.uint8)
    found = load_model(folder.best_model)(images, training=False)
    np.testing.assert_array_equal(found, state.model(images, training=False))
    assert run_head(run).decode(found).xy.shape == (3, 1, 2)


def test_a_finished_run_is_shown(tmp_path):
    folder = folder_of(tmp_path / "run", "xy")
    progress = {
        "weights": "best", "labels": "largest", "epochs": 2, "seconds": 24.8,
        "images_per_second": 35.5,
    }  # fmt: skip
    splits = {split: {"2": METRICS} for split in ("train", "validation", "test")}
    result = {"schema": 1, "config": CONFIG, "splits": splits, **progress}
    folder.result.write_text(json.dumps(result))
    assert folder.read_result() == result
    flagfile = f"--flagfile={folder.path / 'flags.flags'}"
    said = run_ok("train", flagfile, f"--run_dir={folder.path}")
    assert f"{folder.path}: this run is finished" in said
    assert said.endswith(format_result(result) + "\n")
    numbers = "1000 9991.90 -4.900 138.90 135.30 201.50 0.2% 0.3% 99.5%".split()
    assert ["test", "2", *numbers] in [line.split() for line in said.splitlines()]


def test_its_folder_keeps_its_name(tmp_path):
    for arch, digest in (("xy", "99fbfec4"), ("deconv", "269070ad")):  # those of 0.1.0
        run = folder_of(tmp_path / arch, arch).run_config()
        assert run.default_folder == f"runs/{arch}-d2-{digest}"
