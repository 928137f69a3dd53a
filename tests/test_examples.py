"""The examples, as a user runs them, on tiny settings."""

import csv
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import HANGS, ROOT
from tests.narrow import BLOCKS, FILTERS


@pytest.fixture(scope="module")
def run_example(tmp_path_factory):
    """A function that runs an example, and what it starts, with narrow networks."""
    # Python imports `sitecustomize` before all else.
    folder = tmp_path_factory.mktemp("site")
    line = f"layout.BLOCKS, layout.FILTERS = {BLOCKS}, {FILTERS}"
    (folder / "sitecustomize.py").write_text(f"from rectloc_tf.network import layout\n{line}\n")
    path = os.pathsep.join([str(folder), str(ROOT)])

    def run(name, *arguments, code=0):
        done = subprocess.run(
            [sys.executable, ROOT / "examples" / f"{name}.py", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": path}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=HANGS,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    return run


def test_a_network_is_trained_and_answers(run_example, tmp_path):
    out = run_example("train_and_predict", tmp_path, "--num_images=40", "--epochs=1")
    number = r"\(([-\d.]+), ([-\d.]+)\)"
    found = re.findall(rf"(\w+\.png): answer {number}, truth {number}", out)
    assert [name for name, *_ in found] == [f"rectangle{number}.png" for number in range(8)]
    points = np.array([values for _, *values in found], float)
    assert ((points >= 0) & (points <= 64)).all()
    assert len(np.unique(points[:, 2:], axis=0)) == 8
    assert (tmp_path / "model.keras").is_file()


def test_own_images_are_checked_learnt_and_answered(run_example, tmp_path):
    out = run_example("own_images", tmp_path, "--steps=4")
    assert "24 images" in out
    assert (tmp_path / "labels.png").is_file()
    with open(tmp_path / "answers.csv", newline="") as handle:
        rows = [*csv.reader(handle)]
    assert rows[1] == ["bodyparts", *["head"] * 3, *["tail"] * 3]
    answers = np.array([row[1:] for row in rows[3:]], float).reshape(-1, 2, 3)
    assert answers.shape == (2, 2, 3)
    assert ((answers[..., 2] >= 0) & (answers[..., 2] <= 1)).all()


def test_a_run_that_is_not_there_is_one_line(run_example, tmp_path):
    text = run_example("call_exports", tmp_path / "none", tmp_path, code=1)
    line = f"error: --run_dir={tmp_path}/none: no run here (config.json is missing)"
    assert text.splitlines()[-1] == line
    assert "Traceback" not in text


def test_exports_answer_alike_in_their_own_runtimes(run_example, score_map_run, tmp_path):
    names = ["saved_model", "onnx", "litert"]  # OpenVINO is not of [test]
    out = run_example("call_exports", score_map_run, tmp_path, *names)
    found = re.findall(r"^(\w+) largest: x=([-\d.]+) y=([-\d.]+)$", out, re.MULTILINE)
    assert [name for name, _, _ in found] == names
    points = np.array([[x, y] for _, x, y in found], float)
    assert ((points >= 0) & (points <= (200, 64))).all()
    np.testing.assert_allclose(points, points[[0, 0, 0]], rtol=0, atol=0.05)
    far = re.findall(r"^(\w+): at most ([\d.]+) px from the first$", out, re.MULTILINE)
    assert [name for name, _ in far] == names
    assert max(float(px) for _, px in far) < 0.05
    for name in names:
        folder = tmp_path / name / "1"
        written = json.loads((folder / "parity.json").read_text())
        assert (written["pictures"], written["bound_px"]) == (200, 0.05)
        assert 0 <= written["difference_px"]["mean"] <= written["difference_px"]["max"] <= 0.05
        assert written["milliseconds"].keys() == {"tensorflow", name}
        assert json.loads((folder / "metadata.json").read_text())["format"] == name
