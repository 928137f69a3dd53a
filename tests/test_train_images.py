"""Runs on labelled images: trained, measured, resumed, refused."""

import json
import pathlib
import shutil

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pipelines.labels.label_files import read_label_file
from pipelines.labels.reading import read_run
from pipelines.source import make_source
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.errors import ConfigError, Interrupted, UserError
from rectloc_tf.models import load_model
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training import loop
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.progress import ProgressLine
from rectloc_tf.training.run_files import check_output, open_files, places_of, require_same
from rectloc_tf.training.runtime import make_runtime
from tests.conftest import run, run_ok
from tests.labelled_dots import write_dots
from tests.trainers import StopAfter

TINY = (
    "--image_size=64", "--steps=4", "--validate_steps=2", "--batch_size=6", "--deterministic",
    "--precision=float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The label file of a project of dots."""
    return write_dots(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def trained(project, tmp_path_factory):
    """A run of a narrow network in its default folder, trained by the entry point; what it said."""
    place = tmp_path_factory.mktemp("trained")
    said = run_ok("train", f"--data={project}", "--arch=score_map", *TINY, cwd=place, narrow=True)
    (path,) = (place / "runs").iterdir()
    return path, said


def train_here(project, path, stop, **fields):
    """Trains or resumes a run in this process; its folder."""
    values = {
        "arch": "score_map", "image_size": 64, "steps": 4, "validate_steps": 2, "batch_size": 6,
        "precision": "float32", **fields,
    }  # fmt: skip
    asked = RunConfig(source="images", data=str(project), **values)
    resolved, files = read_run(asked)
    how, folder, progress = ExecutionConfig(), RunFolder(path), ProgressLine()
    progress.print = lambda text: None
    with folder.lock():
        folder.claim(resolved, places_of(asked, resolved, ""), files.contents())
        source = make_source(resolved, files=files)
        runtime = make_runtime(how, resolved.batch_size)
        loop.train(resolved, how, folder, runtime, stop, progress, source=source)
    return folder


def test_a_run_is_trained_measured_and_pictured(trained):
    path, said = trained
    assert path.name.startswith("score_map-images-")
    result = json.loads((path / "result.json").read_text())
    assert (result["steps"], result["epochs"]) == (4, None)
    assert {split: [*sets] for split, sets in result["splits"].items()} == {
        split: ["images"] for split in ("train", "validation", "test")
    }
    metrics = result["splits"]["test"]["images"]
    assert set(metrics["keypoint_error_px"]) == {"bright", "dim"}
    assert set(metrics["keypoint_error_px"]["dim"]) == {"median", "mean", "p95", "rmse"}
    assert metrics["pck"]["within"] == 0.1
    rows = RunFolder(path).read_history()
    assert [row["step"] for row in rows] == [2, 4]
    assert rows[0]["epoch"] == pytest.approx(12 / 18)
    for name in ("predictions", "epochs", "history", "worst"):
        assert cv2.imread(str(path / f"{name}.png")).std() > 5
    assert [*RunFolder(path).read_snapshots("step")] == [0, 2, 4]
    assert "22 labelled images: 18 train, 2 validation, 2 test" in said
    assert "step 2/4: loss" in said
    assert "errors in px of the file" in said
    assert "trained for 4 steps" in said


def test_errors_are_in_pixels_of_the_file(trained, project):
    path, _ = trained
    folder = RunFolder(path)
    found = folder.run_config()
    source = make_source(found, files=open_files(found, folder))
    images = source.take(np.array([*source.indices("test")]))["images"]
    outputs = load_model(folder.best_model)(images, training=False)
    from rectloc_tf.models import run_head

    points = run_head(found).decode(outputs).xy
    labels = source.files.labels.select([*source.indices("test")])
    in_files = source.affine(np.array([*source.indices("test")])).to_image(points).numpy()
    errors = np.linalg.norm(in_files - labels.points, axis=-1)
    expected = json.loads((path / "result.json").read_text())["splits"]["test"]["images"]
    assert expected["center_error_px"]["mean"] == pytest.approx(np.nanmean(errors), rel=1e-4)
    for k, name in enumerate(("bright", "dim")):
        mean = expected["keypoint_error_px"][name]["mean"]
        assert mean == pytest.approx(np.nanmean(errors[:, k]), rel=1e-4)
        assert expected["keypoint_labels"][name] == np.isfinite(errors[:, k]).sum()


def test_its_flagfile_finds_it_from_anywhere_and_a_test_of_it_agrees(trained, tmp_path):
    path, _ = trained
    flagfile = f"--flagfile={path / 'flags.flags'}"
    said = run_ok("train", flagfile, f"--run_dir={path}", "--deterministic", cwd="/")
    assert "this run is finished" in said
    output, answers = tmp_path / "e.json", tmp_path / "p.csv"
    run_ok("evaluate", f"--run_dir={path}", f"--output={output}", cwd=tmp_path.parent)
    ours = json.loads(output.read_text())["splits"]["test"]["images"]
    theirs = json.loads((path / "result.json").read_text())["splits"]["test"]["images"]
    error = theirs["center_error_px"]["mean"]
    assert ours["center_error_px"]["mean"] == pytest.approx(error, rel=1e-4)
    overlays = f"--overlay_dir={tmp_path / 'drawn'}"
    run_ok("predict", f"--run_dir={path}", f"--output={answers}", overlays)
    written = read_label_file(answers)  # as DeepLabCut would
    assert written.names == ("bright", "dim")
    assert answers.read_text().splitlines()[0] == "scorer" + 6 * f",{path.name}"
    folder = RunFolder(path)
    labels = open_files(folder.run_config(), folder).labels
    places = {str(place): n for n, place in enumerate(labels.paths)}
    tested = labels.select([places[name] for name in written.images])
    assert len(tested) == 2
    errors = np.linalg.norm(written.points - tested.points, axis=-1)
    assert np.nanmean(errors) == pytest.approx(error, abs=0.01)  # the CSV has three decimals
    drawn = sorted((tmp_path / "drawn").rglob("*.png"))
    assert [place.name for place in drawn] == sorted(f"{p.name}.png" for p in tested.paths)
    assert cv2.imread(str(drawn[0])).std() > 5


def test_files_are_answered_as_in_training(trained, project, tmp_path):
    """Letterboxed, without the label file, in pixels of the file."""
    path, _ = trained
    alone, answers = tmp_path / "alone", tmp_path / "p.csv"
    shutil.copytree(path, alone)
    (alone / "flags.flags").unlink()
    folder = RunFolder(path)
    found = folder.run_config()
    source = make_source(found, files=open_files(found, folder))
    index = source.indices("test")[0]
    image = source.files.labels.paths[index]
    run_ok("predict", f"--run_dir={alone}", f"--images={image}", f"--output={answers}")
    from rectloc_tf.models import run_head

    outputs = load_model(folder.best_model)(source.take([index])["images"], training=False)
    points = source.affine([index]).to_image(run_head(found).decode(outputs).xy)
    written = read_label_file(answers)
    assert written.images == (str(image),)
    # Folded batch normalisation rounds otherwise.
    np.testing.assert_allclose(written.points, points, atol=0.01)


def test_an_export_answers_whole_files_as_predict_does(trained, tmp_path):
    """The letterbox is part of it, and so are the keypoints' names."""
    path, _ = trained
    answers, served = tmp_path / "p.csv", tmp_path / "served"
    run_ok("predict", f"--run_dir={path}", f"--output={answers}")
    run_ok("export", f"--run_dir={path}", f"--export_dir={served}")
    written = read_label_file(answers)
    model = tf.saved_model.load(str(served / "1"))
    names = model.signatures["keypoints"]()["names"].numpy()
    assert [name.decode() for name in names] == [*written.names]
    for name, expected in zip(written.images, written.points, strict=True):
        data = tf.constant([pathlib.Path(name).read_bytes()])
        image = tf.image.decode_image(data[0])[None]
        assert image.shape[1] != image.shape[2]  # or a letterbox would be no other than a stretch
        for signature, value in (("serving_default", {"images": image}),
                                 ("encoded", {"image_bytes": data})):  # fmt: skip
            found = model.signatures[signature](**value)
            np.testing.assert_allclose(found["points_xy"][0], expected, atol=2e-3)
            assert found["point_confidence"].shape == (1, 2)
            assert found["maps"].shape == (1, 64, 64, 2)


def test_turned_as_stored_goes_with_files_only(trained):
    path, _ = trained
    done = run("predict", f"--run_dir={path}", "--ignore_exif")
    assert done.returncode == 2
    assert "--ignore_exif: works with --images only" in done.stderr


@pytest.mark.usefixtures("narrow_networks")
def test_a_resumed_run_ends_bitwise_as_one_that_never_stopped(project, tmp_path):
    fields = {"arch": "xy", "swap": "bright:dim"}
    whole = train_here(project, tmp_path / "whole", StopRequest(), **fields)
    with pytest.raises(Interrupted):
        train_here(project, tmp_path / "cut", StopAfter(3), **fields)
    cut = RunFolder(tmp_path / "cut")
    assert (cut.checkpoints / "ckpt-3.index").exists()
    train_here(project, cut.path, StopRequest(), **fields)
    models = [load_model(folder.final_model).get_weights() for folder in (whole, cut)]
    for ours, theirs in zip(*models, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    losses = [[row["train_loss"] for row in folder.read_history()] for folder in (whole, cut)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


@pytest.mark.usefixtures("narrow_networks")
def test_a_batch_larger_than_the_training_set_trains(project, tmp_path):
    folder = train_here(project, tmp_path / "r", StopRequest(), arch="xy", steps=2, batch_size=40)
    rows = folder.read_history()
    assert [row["epoch"] for row in rows] == [pytest.approx(80 / 18)]
    assert np.isfinite(rows[0]["train_loss"])


def test_the_loss_falls(project, tmp_path):
    fields = {"steps": 60, "validate_steps": 30, "batch_size": 12, "augment": False}
    fields["schedule"] = "constant"
    folder = train_here(project, tmp_path / "r", StopRequest(), arch="xy", **fields)
    losses = [row["train_loss"] for row in folder.read_history()]
    assert losses[1] < 0.7 * losses[0]


@pytest.mark.usefixtures("narrow_networks")
def test_deconv_trains_on_named_keypoints(project, tmp_path):
    folder = train_here(project, tmp_path / "r", StopRequest(), arch="deconv", steps=2)
    metrics = folder.read_result()["splits"]["test"]["images"]
    assert set(metrics["keypoint_error_px"]) == {"bright", "dim"}


# What has changed is refused by name.


def changed(project, path):
    """A copy of a project whose first label is moved by a quarter of a pixel."""
    return write_dots(path, shift=0.25)


def test_changed_labels_are_refused_on_resume(trained, project, tmp_path):
    path, _ = trained
    folder = RunFolder(path)
    found = folder.run_config()
    other = changed(project, tmp_path)
    with pytest.raises(UserError) as caught:
        open_files(found, folder, data=str(other))
    message = str(caught.value)
    assert message.startswith(f"--data={other}: labels have changed: dots/img00.png, bright: x ")
    assert "\n" not in message


def test_a_changed_image_is_refused_by_the_entry_point(trained, project, tmp_path):
    path, _ = trained
    copy = write_dots(tmp_path / "copy")
    image = next((tmp_path / "copy").rglob("img05.png"))
    image.write_bytes(next((tmp_path / "copy").rglob("img06.png")).read_bytes())
    flags = [f"--flagfile={path / 'flags.flags'}", f"--data={copy}", f"--run_dir={path}"]
    done = run("train", *flags)
    assert (done.returncode, done.stdout) == (1, "")
    start = f"error: --data={copy}: labels have changed: dots/img05.png is another image"
    assert done.stderr.startswith(start)
    assert done.stderr.count("\n") == 1


def test_a_flagfile_resumes_nothing_but_its_own_labels(trained, tmp_path, monkeypatch):
    """Also where the folder is found by its name, which other labels would change."""
    path, _ = trained
    monkeypatch.chdir(path.parents[1])
    found = RunFolder(path).run_config()
    copy = write_dots(tmp_path / "copy", shift=0.25)
    asked = RunConfig.from_json(found.to_json() | {"data": f"{copy}@{found.data}"})
    resolved, files = read_run(asked)
    with pytest.raises(UserError, match=r"labels have changed: dots/img00.png, bright: x "):
        require_same(asked, resolved, RunFolder(resolved.default_folder), files)
    asked = RunConfig.from_json(found.to_json() | {"data": str(copy), "split_sizes": ""})
    require_same(asked, resolved, RunFolder(resolved.default_folder), files)  # a new run


@pytest.mark.parametrize("module", ["predict", "evaluate"])
def test_labels_are_never_written_over(trained, project, module):
    path, _ = trained
    before = project.read_bytes()
    done = run(module, f"--run_dir={path}", f"--output={project}")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: --output={project}: this is one of the inputs ({project}); name another file\n"
    )
    assert project.read_bytes() == before


def test_an_output_is_no_file_of_the_run(trained, project, tmp_path):
    path, _ = trained
    folder = RunFolder(path)
    files = open_files(folder.run_config(), folder)
    copy = write_dots(tmp_path / "copy")
    check_output("output", tmp_path / "new.csv", folder, files=files)
    check_output("output", copy, folder)  # not this run's
    moved = {"data": str(copy)}
    image = next(project.parent.rglob("img05.png"))
    cases = [(project, {}), (path / "best.keras", {}), (copy, moved), (image, {"files": files})]
    for output, fields in cases:
        with pytest.raises(ConfigError, match=r"^--output=.*: this is one of the inputs"):
            check_output("output", output, folder, **fields)
    check_output("output", copy, folder, data=str(tmp_path / "gone.csv"))


def test_a_label_file_that_is_gone_is_named(trained, tmp_path):
    path, _ = trained
    folder = RunFolder(path)
    with pytest.raises(UserError, match=f"^--data={tmp_path}/no.csv: no such file"):
        open_files(folder.run_config(), folder, data=str(tmp_path / "no.csv"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--source=images"], "--source=images: name the label file or its folder, --data=PATH"),
        (["--data=no.csv"], "--data=no.csv: no such file or folder: no.csv"),
        (["--rotate=5"], "--rotate: --source=scenes --noaugment does not use it; leave it out"),
    ],
)
def test_mistakes_end_in_one_line(tmp_path, flags, message):
    done = run("train", *flags, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    assert not [*tmp_path.iterdir()]
