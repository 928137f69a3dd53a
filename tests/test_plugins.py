"""A head and a source from outside the package, from training to serving.

Nothing in `rectloc_tf` or `pipelines` knows of `tests.toys`: what works here works for any head
and any source, each in a module of its own.
"""

import csv
import dataclasses
import json

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.source import make_source
from pipelines.streams import make_batch, training_batches
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.models import build_run_model, load_model, run_head
from rectloc_tf.registry import HEADS, SOURCES
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training.initial_weights import check, put, require_fit, resolve
from tests import toys
from tests.conftest import ROOT, TINY, fork, run, succeeded
from tests.training import start_training

BUILT_IN = [*HEADS]  # before the toys are there
TOYS = ("--arch=toy", "--source=dots", "--precision=float32")


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(HEADS, "toy", toys.TOY)
    monkeypatch.setitem(SOURCES, "dots", toys.DOTS)


def run_with_toys(module, *flags, cwd=ROOT):
    """Runs an entry point in a process that has registered the toys first."""
    return fork("toys", [f"rectloc_tf.{module}", *flags], cwd)


def run_ok(module, *flags, **options):
    return succeeded(run_with_toys(module, *flags, **options))


def small_run(arch, **fields):
    fields = {"image_size": 64, "num_images": 40, "batch_size": 8, "epochs": 2, **fields}
    return RunConfig(arch=arch, source="dots", precision="float32", **fields)


# Through the entry points.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of the toy head on the toy source, in its default folder; what was said."""
    folder = tmp_path_factory.mktemp("toys")
    said = run_ok("train", *TOYS, *TINY, "--augment", cwd=folder)
    (path,) = (folder / "runs").iterdir()
    return path, said


def test_a_run_is_trained_measured_and_pictured(trained):
    path, said = trained
    assert path.name.startswith("toy-dots-")
    assert RunFolder(path).is_finished()
    result = json.loads((path / "result.json").read_text())
    assert (result["config"]["arch"], result["config"]["source"]) == ("toy", "dots")
    sizes = {split: result["splits"][split]["dots"]["num_images"] for split in result["splits"]}
    assert sizes == {"train": 32, "validation": 20, "test": 13}
    metrics = result["splits"]["test"]["dots"]
    assert set(metrics["keypoint_error_px"]) == {"bright", "dim"}
    assert metrics["wrong_rate"] is None  # there is nothing else
    assert metrics["pck"]["n"] == 2 * metrics["keypoint_labels"]["dim"]  # images with both
    assert metrics["mse"] is None  # not a value that this head has
    rows = RunFolder(path).read_history()
    losses = [row["train_loss"] for row in rows]
    assert losses == sorted(losses, reverse=True)
    for name in ("predictions", "epochs", "history"):
        assert cv2.imread(str(path / f"{name}.png")).std() > 5
    snapshot = RunFolder(path).read_snapshots()[3]
    assert snapshot["points"].shape == (8, 2, 2)
    assert snapshot["heatmaps"].shape == (8, 64, 64)
    assert "errors in px (DeepLabCut calls the mean RMSE); PCK: within 0.1 of the " in said
    assert not [word for word in ("centre", "domain", "scene", "224", "rectangle") if word in said]


def test_the_same_command_finds_it_and_a_test_of_it_agrees(trained, tmp_path):
    path, _ = trained
    said = run_ok("train", *TOYS, *TINY, "--augment", cwd=path.parents[1])
    assert "this run is finished" in said
    output = tmp_path / "e.json"
    run_ok("evaluate", f"--run_dir={path}", f"--output={output}")
    ours = json.loads(output.read_text())["splits"]["test"]
    theirs = json.loads((path / "result.json").read_text())["splits"]["test"]
    assert ours.keys() == theirs.keys() == {"dots"}
    error = theirs["dots"]["center_error_px"]["mean"]
    assert ours["dots"]["center_error_px"]["mean"] == pytest.approx(error, rel=1e-4)


def _table(path):
    """The columns of a table as DeepLabCut's, named by keypoint and coordinate, and its rows."""
    with open(path, newline="") as handle:
        _, names, coordinates, *rows = csv.reader(handle)
    columns = zip(names, coordinates, strict=True)
    return [f"{name}_{coordinate}" for name, coordinate in columns], rows


def test_its_images_and_files_are_answered(trained, tmp_path):
    path, _ = trained
    output, overlays = tmp_path / "p.csv", tmp_path / "overlays"
    flags = (f"--run_dir={path}", f"--output={output}", f"--overlay_dir={overlays}")
    # Sixteen are shown if nothing is asked for, but there are no more than thirteen.
    assert "13 predictions" in run_ok("predict", *flags)
    header, body = _table(output)
    assert header[1:] == ["bright_x", "bright_y", "bright_likelihood", "dim_x", "dim_y",
                          "dim_likelihood"]  # fmt: skip
    assert [row[0] for row in body] == [f"dots/000{n}" for n in range(20, 33)]
    assert all(0 < float(row[3]) <= 1 for row in body)
    assert len(list(overlays.rglob("*.png"))) == 13
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.zeros((50, 90, 3), np.uint8))
    run_ok("predict", f"--run_dir={path}", f"--images={picture}", f"--output={output}")
    _, (row,) = _table(output)
    assert 0 < float(row[1]) < 90
    assert 0 < float(row[2]) < 50


def test_an_export_answers_as_the_run(trained, tmp_path, registered):
    path, _ = trained
    run_ok("export", f"--run_dir={path}", f"--export_dir={tmp_path}")
    served = tf.saved_model.load(str(tmp_path / "1")).signatures
    assert served["keypoints"]()["names"].numpy().tolist() == [b"bright", b"dim"]
    folder = RunFolder(path)
    run = folder.run_config()
    batch = make_batch(make_source(run), tf.range(20, 30, dtype=tf.int64))
    head, model = run_head(run), load_model(folder.best_model)
    expected = head.answers(model(batch["images"], training=False))
    found = served["serving_default"](images=batch["images"])
    assert found.keys() == expected.keys() == {"points_xy", "point_confidence", "maps"}
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=3e-3, err_msg=name)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("train", *TOYS, "--domain=2"),
         "--domain: --source=dots does not use it; leave it out (--source=scenes does)"),
        (("train", *TOYS, "--radius=9"),
         "--radius: --arch=toy does not use it; leave it out (--arch=deconv and"),
        (("train", *TOYS, "--num_images=500"), "--num_images=500: must be 360 or fewer"),
        (("evaluate", "--run_dir=RUN", "--domains=1,2"),
         "--domains: --source=dots does not use it; leave it out (--source=scenes does)"),
        (("evaluate", "--run_dir=RUN", "--labels=all"), "--labels: --source=dots does not use it"),
        (("predict", "--run_dir=RUN", "--domain=3"), "--domain: --source=dots does not use it"),
        (("predict", "--run_dir=RUN", "--num=14"), "--num=14: --split=test has 13 images"),
    ],
)  # fmt: skip
def test_what_it_has_no_use_for_is_refused_by_name(trained, tmp_path, flags, message):
    path, _ = trained
    module, *flags = (flag.replace("RUN", str(path)) for flag in flags)
    done = run_with_toys(module, *flags, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_names_both():
    said = " ".join(run_ok("train", "--help").split())
    assert f"--arch={'|'.join([*BUILT_IN, 'toy'])}" in said
    assert "--source=scenes|images|dots" in said
    assert "scenes: rectangles in each image" in said


def test_without_the_module_its_runs_are_named_as_unknown(trained):
    path, _ = trained
    done = run("predict", f"--run_dir={path}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {path / 'config.json'}: --arch=toy: must be one of")
    assert done.stderr.count("\n") == 1


# The source with every head.


@pytest.mark.usefixtures("registered", "narrow_networks")
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("arch", [*BUILT_IN, "toy"])
def test_every_head_learns_from_named_keypoints_of_which_some_are_absent(arch, precision):
    run = dataclasses.replace(small_run(arch), precision=precision)
    keras.utils.set_random_seed(0)
    source, head, state, step = start_training(run)
    absent = 0
    for batch in training_batches(run, source, drawn=False).take(3):
        absent += int(tf.reduce_sum(tf.cast(~batch["there"], tf.int32)))
        assert np.isfinite(step(batch)).all()  # drawn inside the step
    assert absent > 0
    assert all(np.isfinite(weights).all() for weights in state.model.get_weights())
    batch = next(iter(training_batches(run, source)))
    answers = head.answers(state.model(batch["images"], training=False))
    assert answers["points_xy"].shape == (8, 2, 2)
    assert all(np.isfinite(answer).all() for answer in answers.values())


@pytest.mark.usefixtures("registered", "narrow_networks")
@pytest.mark.parametrize("arch", [*BUILT_IN, "toy"])
def test_a_batch_without_a_point_teaches_nothing(arch):
    run = small_run(arch)
    source, _, state, step = start_training(run)
    batch = next(iter(training_batches(run, source)))
    before = [variable.numpy() for variable in state.model.trainable_variables]
    losses = step({**batch, "present": tf.zeros_like(batch["present"])})
    np.testing.assert_array_equal(losses, 0)
    for old, new in zip(before, state.model.trainable_variables, strict=True):
        np.testing.assert_array_equal(new.numpy(), old)


@pytest.mark.usefixtures("registered")
def test_training_images_are_those_that_the_source_names():
    run = small_run("xy", epochs=1)
    source = make_source(run)
    seen = np.concatenate([b["index"] for b in training_batches(run, source, drawn=False)])
    assert sorted(seen) == [*source.indices("train")] == [*range(40, 72)]


@pytest.mark.usefixtures("registered")
def test_what_scenes_need_does_not_bind_other_sources():
    fields = {"labels": "unordered", "min_side": 90, "max_side": 20}
    with pytest.raises(ConfigError):
        RunConfig(arch="xy", **fields)
    run = small_run("xy", **fields)
    assert run.default_folder == small_run("xy").default_folder


# Starting from the weights of such a run.


@pytest.mark.usefixtures("registered")
def test_weights_go_on_to_the_same_keypoints_and_to_no_others(trained):
    path, _ = trained
    run = small_run("toy", init_from=str(path))
    resolved, weights = resolve(run, "best")
    require_fit(resolved, weights)
    require_fit(run, None)
    scenes = RunConfig(
        arch="toy", image_size=64, precision="float32", labels="all", domain=2, init_from=str(path)
    )
    check(scenes, "best")
    # Another source takes the backbone alone, for its images, which are grey.
    found, backbone = resolve(scenes, "best")
    require_fit(found, backbone)
    kernel = backbone["conv1_conv/kernel"]
    model = build_run_model(found, run_head(found), 1)
    put(model, backbone, found.depth)
    summed = model.get_layer("conv1_conv").kernel.numpy()
    np.testing.assert_allclose(summed, kernel.sum(axis=2, keepdims=True), rtol=1e-6)
    # Its head uses no P5, and so its network has no layers for it.
    deeper = RunConfig(arch="xy", image_size=64, precision="float32", init_from=str(path))
    with pytest.raises(ConfigError, match="its network has no stack3_block0_0_conv/kernel$"):
        require_fit(*resolve(deeper, "best"))
    # All weights would not fit.
    with pytest.raises(
        ConfigError, match=r"(?s)^--init_from=sha256:\w+: the networks differ"
    ) as caught:
        require_fit(dataclasses.replace(scenes, init_from=resolved.init_from), weights)
    assert "is (7, 7, 3, 64) in that run and (7, 7, 1, 64) in this one" in str(caught.value)
