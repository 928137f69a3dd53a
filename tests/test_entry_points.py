"""evaluate, predict and export for real, and what they say to bad input."""

import csv
import json
import re
import sys
import time

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import (
    ROOT,
    run,
    run_cold,
    run_ok,
    run_without_tensorflow,
    start,
    succeeded,
)
from tests.test_image_decoding import encode, png_with, tiff


def read_csv(path):
    with open(path, newline="") as handle:
        return list(csv.DictReader(handle))


def test_evaluate_agrees_with_the_run_and_writes_the_same_schema(deconv_run, tmp_path):
    output = tmp_path / "e.json"
    flags = (f"--run_dir={deconv_run}", "--domains=1,2", f"--output={output}")
    out = succeeded(run_cold("evaluate", *flags))
    written = json.loads(output.read_text())
    result = json.loads((deconv_run / "result.json").read_text())
    assert written.keys() == result.keys()
    assert written["config"] == result["config"]
    assert set(written["splits"]) == {"test"}
    assert set(written["splits"]["test"]) == {"1", "2"}
    ours, theirs = written["splits"]["test"]["2"], result["splits"]["test"]["2"]
    assert ours["mse"] == pytest.approx(theirs["mse"], rel=1e-5)
    assert ours["center_error_px"]["median"] == pytest.approx(
        theirs["center_error_px"]["median"], rel=1e-3
    )
    assert re.search(r"^test +1 +1000 ", out, re.MULTILINE)


def test_evaluate_takes_other_labels_and_splits(deconv_run, tmp_path):
    output = tmp_path / "e.json"
    out = run_ok(
        "evaluate", f"--run_dir={deconv_run}", "--labels=all", "--split=train", f"--output={output}"
    )
    metrics = json.loads(output.read_text())["splits"]["train"]["2"]
    trained = json.loads((deconv_run / "result.json").read_text())["splits"]["train"]["2"]
    assert metrics["num_images"] == 32
    assert metrics["zero_map_mse"] > 1.1 * trained["zero_map_mse"]  # a second, darker disc
    assert "train" in out


def test_predict_on_files_of_any_size(deconv_run, tmp_path):
    images = tmp_path / "in"
    images.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in {"a.png": (64, 64), "b.jpg": (50, 120, 3), "c.png": (300, 90, 3)}.items():
        cv2.imwrite(str(images / name), rng.integers(0, 255, shape, np.uint8))
    output, overlays = tmp_path / "p.csv", tmp_path / "overlays"
    flags = (f"--images={images}/*", f"--output={output}", f"--overlay_dir={overlays}")
    run_ok("predict", f"--run_dir={deconv_run}", *flags)
    rows = read_csv(output)
    assert list(rows[0]) == ["file", "x", "y", "confidence"]
    assert [row["file"].rsplit("/", 1)[1] for row in rows] == ["a.png", "b.jpg", "c.png"]
    for row, (height, width) in zip(rows, ((64, 64), (50, 120), (300, 90)), strict=True):
        assert 0 <= float(row["x"]) <= width
        assert 0 <= float(row["y"]) <= height
        assert 0 <= float(row["confidence"]) <= 1
    assert sorted(p.name for p in overlays.iterdir()) == [
        "a.png.png", "b.jpg.png", "c.png.png",
    ]  # fmt: skip


def test_predict_names_bad_files_and_answers_the_others(xy_run, tmp_path):
    good, whole = tmp_path / "good.png", tmp_path / "whole.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (80, 80), np.uint8)
    cv2.imwrite(str(good), noise)
    cv2.imwrite(str(whole), noise)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:600])
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:600])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not a picture")
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (40_000).to_bytes(4, "big") * 2
    (tmp_path / "giant.png").write_bytes(header + b"\x08\x00\x00\x00\x00")
    output = tmp_path / "p.csv"
    flags = (f"--run_dir={xy_run}", f"--images={tmp_path}/*.[pj][np]g", f"--output={output}")
    done = run("predict", *flags)
    assert done.returncode == 1
    assert [row["file"].rsplit("/", 1)[1] for row in read_csv(output)] == ["good.png", "whole.jpg"]
    assert all(row["confidence"] == "" for row in read_csv(output))
    lines = done.stderr.splitlines()
    for name in ("cut.jpg", "cut.png", "empty.png", "text.png", "giant.png"):
        assert sum(f"{tmp_path}/{name}: " in line for line in lines) == 1
    assert len(lines) == 5


def test_predict_on_scenes_and_missing_files(deconv_run, tmp_path):
    output = tmp_path / "p.csv"
    run_ok("predict", f"--run_dir={deconv_run}", "--domain=3", "--num=5", f"--output={output}")
    assert [row["file"] for row in read_csv(output)] == [f"domain3_0900{i}" for i in range(5)]
    done = run("predict", f"--run_dir={deconv_run}", "--images=nothing/*.png")
    assert (done.returncode, done.stderr) == (1, "error: --images=nothing/*.png: no such file\n")


def test_exported_predicted_and_live_agree(deconv_run, tmp_path):
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.random.default_rng(1).integers(0, 255, (90, 150), np.uint8))
    flags = (f"--run_dir={deconv_run}", f"--export_dir={tmp_path / 'served'}")
    assert run_ok("export", *flags).strip().endswith("served/1")
    served = tf.saved_model.load(str(tmp_path / "served" / "1"))
    data = picture.read_bytes()
    found = (
        served.signatures["encoded"](image_bytes=tf.constant([data])),
        served.signatures["serving_default"](images=tf.io.decode_image(data)[None]),
    )
    assert [answer["heatmap"].shape for answer in found] == [(1, 64, 64)] * 2
    answers = np.array([[*answer["center_xy"][0], *answer["confidence"]] for answer in found])
    bounds = [0.01, 0.01, 1e-4]  # px of the input, and the share
    assert (np.abs(answers[0] - answers[1]) < bounds).all()
    output = tmp_path / "p.csv"
    run_ok("predict", f"--run_dir={deconv_run}", f"--images={picture}", f"--output={output}")
    row = read_csv(output)[0]
    predicted = [float(row[name]) for name in ("x", "y", "confidence")]
    assert (np.abs(answers[0] - predicted) < bounds).all()


BAD_COMMANDS = {
    "an unknown flag": (("train", "--ach=xy"), 2, "--ach; did you mean --arch?"),
    "a value outside the choices": (("train", "--arch=unet"), 2, "--arch=unet"),
    "a depth that is none": (("train", "--depth=19"), 2, "--depth=19: must be one of 18, 34, 50"),
    "no number": (("train", "--epochs=many"), 2, "--epochs=many"),
    "a batch of none": (("train", "--batch_size=0"), 2, "--batch_size=0"),
    "too many images": (("train", "--num_images=10001"), 2, "--num_images=10001"),
    "a domain too far": (("train", "--domain=21"), 2, "--domain=21"),
    "an odd size": (("train", "--image_size=100"), 2, "--image_size=100: must be a multiple of 16"),
    "a negative rate": (("train", "--learning_rate=-1"), 2, "--learning_rate=-1.0"),
    "sides the wrong way": (("train", "--min_side=50", "--max_side=40"), 2, "--min_side=50"),
    "too few areas": (("train", "--domain=5", "--min_side=30", "--max_side=30"), 2, "areas"),
    "a stray argument": (("train", "domain=3"), 2, "unexpected argument 'domain=3'"),
    "a missing flagfile": (("train", "--flagfile=nowhere.flags"), 2, "nowhere.flags"),
    "no run": (("evaluate", "--run_dir=nowhere"), 1, "--run_dir=nowhere: no run here"),
    "domains in words": (("evaluate", "--domains=one"), 2, "--domains=one"),
    "a test domain too far": (("evaluate", "--domains=1,99"), 2, "--domains=1,99"),
    "no place to export": (("export",), 2, "--export_dir"),
    "an empty folder name": (("train", "--run_dir="), 2, "--run_dir=: empty"),
    "no scenes": (("predict", "--num=0"), 2, "--num"),
    "no room for the output": (
        ("evaluate", "--run_dir=nowhere", "--output=/dev/null/a.json"),
        1,
        "--output=/dev/null/a.json",
    ),
    "a flag that took the next for its value": (
        ("predict", "--output", "--overlay_dir=o"),
        2,
        "--output: has no value; write --output=VALUE before --overlay_dir=o",
    ),
    "no name at all": (("evaluate", "--output="), 2, "--output=: empty"),
    "an output that is an input": (
        ("predict", f"--images={ROOT}/README.md", f"--output={ROOT}/README.md"),
        2,
        f"--output={ROOT}/README.md: this is one of the inputs ({ROOT}/README.md)",
    ),
    "part of a list that finds nothing": (
        ("predict", f"--images={ROOT}/README.md,missing.png"),
        1,
        "missing.png: no such file",
    ),
    "a flagfile that is no text": (("train", f"--flagfile={sys.executable}"), 2, "codec"),
    "a size beyond numbers": (("train", f"--image_size={'9' * 20}"), 2, "--image_size=9999"),
    "no rate": (("train", "--learning_rate=nan"), 2, "--learning_rate=nan"),
    "no whole number": (("train", "--epochs=1e3"), 2, "--epochs=1e3"),
    "neither yes nor no": (("train", "--solid=maybe"), 2, "--solid=maybe"),
    "dashes": (("train", "---"), 2, "-"),
    "a value without a name": (("train", "--=x"), 2, "x"),
    "an argument behind dashes": (("train", "--arch=xy", "--", "x"), 2, "'x'"),
    "a name of two lines": (("predict", "--images=a\nb"), 1, r"--images=a\nb: no such file"),
    "a name that is no text": (("predict", "--images=\udce9.png"), 1, "no such file"),
    "braces that multiply": (("predict", "--images=" + "{a,b}" * 30), 2, "10,000 patterns"),
    "brackets that never close": (("predict", "--images=" + "[" * 50), 1, "no such file"),
    "no such video": (("predict", "--video=nowhere.mp4"), 1, "nowhere.mp4"),
    "a video that is a text": (("predict", f"--video={ROOT}/README.md"), 1, "README.md"),
    "a run that is a file": (("predict", f"--run_dir={ROOT}/README.md"), 1, "no run here"),
    "a confidence in words": (("predict", "--min_confidence=x"), 2, "--min_confidence=x"),
}


@pytest.mark.parametrize("case", BAD_COMMANDS)
def test_bad_input_is_one_line_before_tensorflow_loads(case):
    (module, *flags), code, words = BAD_COMMANDS[case]
    done = run_without_tensorflow(f"rectloc_tf.{module}", *flags)
    assert done.returncode == code
    assert words in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("inside", ["best.keras", "checkpoints"])
def test_a_path_inside_a_run_names_the_run(inside, xy_run):
    path = xy_run / inside
    done = run_without_tensorflow("rectloc_tf.predict", f"--run_dir={path}")
    message = f"this is inside a run; name its folder: --run_dir={xy_run}"
    assert (done.returncode, done.stderr) == (1, f"error: --run_dir={path}: {message}\n")


def test_a_folder_that_cannot_be_is_one_line():
    done = run("train", "--run_dir=/dev/null/run")
    assert done.returncode == 1
    assert done.stderr == "error: --run_dir=/dev/null/run: cannot be written (Not a directory)\n"


def test_other_domains_are_checked_before_anything_is_measured(deconv_run, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    config = json.loads((deconv_run / "config.json").read_text())
    config |= {"min_side": 30, "max_side": 36}  # three different areas at 64 px
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "best.keras").write_bytes((deconv_run / "best.keras").read_bytes())
    done = run("evaluate", f"--run_dir={folder}", "--domains=2,6")
    assert done.returncode == 2
    assert "different areas" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_pictures_are_never_written_over(xy_run, tmp_path):
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.zeros((64, 64), np.uint8))
    before = picture.read_bytes()
    flags = (f"--images={tmp_path}/*.png", f"--overlay_dir={tmp_path}")
    done = run("predict", f"--run_dir={xy_run}", *flags, f"--output={tmp_path / 'p.csv'}")
    assert done.returncode == 2
    assert f"--overlay_dir={tmp_path}: holds the input images" in done.stderr
    assert picture.read_bytes() == before


@pytest.mark.parametrize("module", ["predict", "evaluate"])
def test_the_files_of_the_run_are_never_written_over(xy_run, module):
    model = xy_run / "best.keras"
    before = model.read_bytes()
    done = run(module, f"--run_dir={xy_run}", f"--output={model}")
    assert done.returncode == 2
    assert f"--output={model}: this is one of the inputs" in done.stderr
    assert done.stderr.count("\n") == 1
    assert model.read_bytes() == before


def test_more_scenes_than_there_are_is_refused(xy_run, tmp_path):
    output = tmp_path / "p.csv"
    done = run("predict", f"--run_dir={xy_run}", "--num=1001", f"--output={output}")
    assert done.returncode == 2
    assert done.stderr == "error: --num=1001: --split=test has 1000 scenes\n"
    assert not output.exists()


def test_exif_and_depth_are_reported_and_only_rows_go_to_standard_output(xy_run, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (40, 90), np.uint8)
    (tmp_path / "a.png").write_bytes(png_with(encode(image, ".png"), tiff(6)))
    cv2.imwrite(str(tmp_path / "b.png"), image.astype(np.uint16) * 16)
    flags = (f"--run_dir={xy_run}", f"--images={tmp_path}", "--output=/dev/stdout")
    done = run_cold("predict", *flags)  # a pipe takes its standard output
    assert done.returncode == 0
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["file"] for row in rows] == [str(tmp_path / name) for name in ("a.png", "b.png")]
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"warning: {tmp_path}/b.png: 16-bit file with values below 4096")
    assert lines[1] == "/dev/stdout: 2 predictions"
    assert lines[2].startswith("rotated by their EXIF orientation: 1 of 2 files")
    assert len(lines) == 3


def test_a_stopped_export_leaves_nothing(xy_run, tmp_path):
    with start("export", f"--run_dir={xy_run}", f"--export_dir={tmp_path}") as process:
        while process.poll() is None and not any(p.is_dir() for p in tmp_path.glob(".tmp-*")):
            time.sleep(0.01)
        process.terminate()
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "Traceback" not in errors
    assert list(tmp_path.glob(".tmp-*")) == []


def test_an_xy_model_refuses_labels_it_does_not_answer(xy_run):
    done = run("evaluate", f"--run_dir={xy_run}", "--labels=all")
    assert done.returncode == 2
    assert "--labels: this model predicts 1 points, but 2 are labelled here" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_chooses_its_threshold_on_validation_images(find_all_run, tmp_path):
    result = json.loads((find_all_run / "result.json").read_text())
    threshold = result["threshold"]
    assert 0 < threshold < 1
    for split in ("validation", "test"):
        assert result["splits"][split]["2"]["detections"]["threshold"] == threshold

    def rows_of(*flags):
        output = tmp_path / "p.csv"
        run_ok("predict", f"--run_dir={find_all_run}", "--num=30", f"--output={output}", *flags)
        return read_csv(output)

    ours = rows_of()
    assert ours == rows_of(f"--threshold={threshold}")
    assert min(float(row["confidence"]) for row in ours) >= threshold
    assert len(rows_of("--threshold=0")) > len(ours)

    output = tmp_path / "e.json"
    out = run_ok("evaluate", f"--run_dir={find_all_run}", f"--output={output}", few=True)
    found = json.loads(output.read_text())["splits"]["test"]["2"]["detections"]
    assert found == pytest.approx(result["splits"]["test"]["2"]["detections"])
    assert f"detections with a confidence of {threshold:g} or more" in out
    out = run_ok("evaluate", f"--run_dir={find_all_run}", "--threshold=1", few=True)
    assert re.search(r"^test +2 +\d+ +0.0% +0.0% ", out, re.MULTILINE)


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_threshold_is_refused_where_there_are_no_detections(xy_run, command):
    done = run(command, f"--run_dir={xy_run}", "--threshold=0.3")
    assert done.returncode == 2
    assert done.stderr == (
        "error: --threshold: is for --labels=unordered, and --labels=largest has no detections; "
        "leave it out\n"
    )


def test_a_damaged_model_is_named(xy_run, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.json").write_text((xy_run / "config.json").read_text())
    done = run("predict", f"--run_dir={folder}", "--num=1")
    assert done.returncode == 1
    assert f"{folder}/best.keras: no model here yet" in done.stderr
    (folder / "best.keras").write_bytes((xy_run / "best.keras").read_bytes()[:5000])
    done = run("predict", f"--run_dir={folder}", "--num=1")
    assert done.returncode == 1
    assert f"error: {folder}/best.keras: damaged" in done.stderr
    assert done.stderr.count("\n") == 1
