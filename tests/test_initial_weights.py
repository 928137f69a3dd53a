"""Runs that start from another run's weights."""

import dataclasses
import re
import shlex
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from pipelines.source import make_source
from rectloc_tf.config import RunConfig
from rectloc_tf.config.digests import is_digest
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.models import load_model, run_head
from rectloc_tf.registry import HEADS, HeadSpec
from rectloc_tf.results.pictures import answer_with, predict_scenes
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.training.initial_weights import check, digest, require, resolve
from tests.conftest import ROOT, run, run_ok, start
from tests.test_train import assert_same_run, wait_for_rows

CHEAP = {"few": True, "narrow": True, "eager": True}
ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(4, np.float32)]


def test_a_digest_depends_on_order_shapes_dtypes_and_values():
    a, b = ARRAYS
    changed = a.copy()
    changed[1, 2] = np.nextafter(changed[1, 2], 9, dtype=np.float32)
    others = [
        [b, a], [a], [a.T, b], [a.reshape(3, 2), b], [a.astype(np.float64), b], [changed, b],
        [a, b, np.zeros(0, np.float32)], [np.concatenate([a.ravel(), b])],
    ]  # fmt: skip
    assert len({digest(weights) for weights in [ARRAYS, *others]}) == 1 + len(others)
    assert digest([np.asfortranarray(a), b.copy()]) == digest(ARRAYS)
    assert re.fullmatch("sha256:[0-9a-f]{32}", digest(ARRAYS))


def made(path, **fields):
    """A run folder with an empty file in place of the model."""
    folder = RunFolder(path)
    folder.path.mkdir()
    folder.claim(RunConfig(precision="float32", **fields))
    folder.best_model.touch()
    return str(path)


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        ({"arch": "deconv"}, {}, "--arch=xy: "),
        ({}, {"arch": "deconv"}, "--arch=deconv: "),
        ({"depth": 34}, {}, "--depth=18: "),
        ({"arch": "deconv"}, {"arch": "deconv", "image_size": 112}, "--image_size=112: "),
        ({"domain": 3}, {"domain": 3, "labels": "all"}, "--labels=all: "),
        ({"domain": 3, "labels": "all"}, {"domain": 2, "labels": "all"}, "--labels=all: "),
    ],
)
def test_another_network_is_refused_by_name(tmp_path, theirs, ours, words):
    path = made(tmp_path / "run", **theirs)
    with pytest.raises(ConfigError) as caught:
        check(RunConfig(**ours, init_from=path), "best")
    assert str(caught.value).startswith(words)
    assert f"--init_from={path}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {"image_size": 112, "domain": 4, "seed": 9, "learning_rate": 1e-5}),
        ({"arch": "deconv"}, {"arch": "deconv", "labels": "all", "target": "gaussian"}),
        ({"domain": 2, "labels": "all"}, {"domain": 5, "labels": "largest_and_smallest"}),
    ],
)
def test_the_same_network_for_another_task_is_welcome(tmp_path, theirs, ours):
    check(RunConfig(**ours, init_from=made(tmp_path / "run", **theirs)), "best")


def test_a_head_says_what_its_weights_depend_on(tmp_path, monkeypatch):
    specs = {"any": (), "one": ("stride",), "two": ("stride", "num_keypoints")}
    for head, shaped_by in specs.items():
        spec = HeadSpec("", "", {"epochs": 1}, shaped_by=shaped_by)
        monkeypatch.setitem(HEADS, head, spec)
        path = made(tmp_path / head, arch=head)
        fine = RunConfig(arch=head, image_size=112, epochs=2, loss="huber", init_from=path)
        check(fine, "best")
        others = {
            "stride": ({"stride": 8}, "--stride=8: .* was trained with --stride=4"),
            "num_keypoints": ({"labels": "all", "domain": 3}, "--labels=all: .* predicts 1 points"),
            "depth": ({"depth": 34}, "--depth=34: .* was trained with --depth=18"),
        }
        for name, (fields, words) in others.items():
            changed = dataclasses.replace(fine, **fields)
            if name in ("depth", *shaped_by):
                with pytest.raises(ConfigError, match=f"^{words}"):
                    check(changed, "best")
            else:
                check(changed, "best")


def test_what_is_no_trained_run_is_refused(tmp_path):
    path = made(tmp_path / "run")
    cases = {
        str(tmp_path / "nowhere"): "no run there",
        str(tmp_path): "no run there",
        f"{path}/best.keras": "is a file; name the run folder",
    }
    for init_from, words in cases.items():
        with pytest.raises(UserError, match=words) as caught:
            check(RunConfig(init_from=init_from), "best")
        assert str(caught.value).startswith(f"--init_from={init_from}: ")
    with pytest.raises(UserError, match=r"not trained yet \(final.keras is missing\)"):
        check(RunConfig(init_from=path), "final")


def test_weights_are_read_once_and_named_by_their_digest(xy_run, monkeypatch):
    reads = []
    load = keras.saving.load_model
    monkeypatch.setattr(
        keras.saving, "load_model", lambda *args, **kw: reads.append(args) or load(*args, **kw)
    )
    found = {}
    for which in ("best", "final"):
        asked = RunConfig(domain=2, image_size=64, init_from=str(xy_run))
        resolved, weights = resolve(asked, which)
        model = load(RunFolder(xy_run).model_path(which), compile=False)
        for ours, theirs in zip(weights, model.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert resolved.init_from == digest(weights)
        found[which] = resolved
    assert len(reads) == 2
    assert found["best"].default_folder != RunConfig(domain=2, image_size=64).default_folder
    again, nothing = resolve(found["best"], "best")
    assert (again, nothing) == (found["best"], None)


def test_a_digest_alone_is_enough_to_resume_and_not_to_begin(tmp_path):
    folder = RunFolder(tmp_path)
    known = RunConfig(init_from="sha256:12")
    for fine in ((RunConfig(), None, folder), (known, ARRAYS, folder)):
        require(*fine)
    with pytest.raises(UserError, match="no checkpoint to resume from; give the run folder"):
        require(known, None, folder)
    folder.checkpoints.mkdir()
    (folder.checkpoints / "ckpt-3.index").touch()
    require(known, None, folder)


def test_a_finished_run_is_trained_longer_as_its_refusal_says(xy_run, tmp_path):
    flagfile = f"--flagfile={xy_run / 'flags.flags'}"
    refused = run("train", flagfile, "--epochs=5", f"--run_dir={xy_run}")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    command = shlex.split(refused.stderr.split("start a new run from them: ")[1])
    assert command[:3] == ["python", "-m", "rectloc_tf.train"]
    done = run("train", *command[3:], "--deterministic", cwd=tmp_path, **CHEAP)
    assert done.returncode == 0, done.stderr
    whole = tmp_path / re.search(r"runs/xy-d2-[0-9a-f]{8}", done.stdout)[0]
    config = RunFolder(whole).run_config()
    best = load_model(RunFolder(xy_run).best_model)
    assert config.epochs == 2
    assert config.init_from == digest(best.get_weights())
    assert config.init_from in (whole / "flags.flags").read_text()
    first = RunFolder(whole).read_snapshots()[0]["points"]
    source = make_source(config)
    shown = source.indices("validation")[: len(first)]
    expected = predict_scenes(answer_with(best, run_head(config)), source, shown)["points"]
    np.testing.assert_allclose(first, expected, rtol=1e-4)
    # Interrupted, and resumed from its flagfile, which only has the digest: the same run.
    cut = tmp_path / "cut"
    process = start(
        "train", flagfile, f"--init_from={xy_run}", "--epochs=2", "--deterministic",
        f"--run_dir={cut}", **CHEAP,
    )  # fmt: skip
    wait_for_rows(cut, 1, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    flags = (f"--flagfile={cut / 'flags.flags'}", "--deterministic", f"--run_dir={cut}")
    run_ok("train", *flags, **CHEAP)
    assert_same_run(cut, whole)


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--init_from=nowhere",), 1, "--init_from=nowhere: no run there"),
        (("--init_from=sha256:12",), 1, "--init_from=sha256:12: "),
    ],
)
def test_a_wrong_start_is_one_line_and_leaves_nothing(tmp_path, flags, code, words):
    folder = tmp_path / "run"
    done = run("train", *flags, "--image_size=64", f"--run_dir={folder}")
    assert done.returncode == code
    assert done.stderr.startswith(f"error: {words}")
    assert done.stderr.count("\n") == 1
    assert not folder.exists()


def test_checking_loads_no_tensorflow():
    module = "rectloc_tf.training.initial_weights"
    script = f"import sys, {module}; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
    assert is_digest("sha256:12")
    assert not is_digest("runs/xy-d1-12345678")
