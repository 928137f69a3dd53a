"""The run folder: whole files, one owner, and what is read back."""

import dataclasses
import json
import math
import os
import shlex
import signal
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from rectloc_tf.config import PRECISIONS, RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.results import rundir
from rectloc_tf.results.data_files import read_json, write_json
from rectloc_tf.results.rundir import RunFolder, locate

ROOT = Path(__file__).parents[1]
RUN = RunConfig(arch="deconv", domain=3, solid=True, precision="float32")


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "my runs" / "one")
    with folder.lock():
        folder.claim(RUN)
    return folder


def names_in(path):
    return sorted(p.name for p in path.iterdir())


# Files, whole or not at all.


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_write_json_refuses_what_is_not_json(tmp_path, value):
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": [value]})
    assert read_json(path) == {"a": 1}
    assert names_in(tmp_path) == ["file.json"]


@pytest.mark.parametrize("data", [b"", b'{"a": ', b"\xff\xfe\x00", b"\0" * 100])
def test_read_json_names_the_damaged_file(tmp_path, data):
    path = tmp_path / "file.json"
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: damaged")


def test_read_json_names_the_missing_file(tmp_path):
    with pytest.raises(UserError, match="missing.json: cannot be read"):
        read_json(tmp_path / "missing.json")


# Whose folder it is.


def test_a_new_folder_becomes_the_runs(folder):
    assert folder.run_config() == RUN
    assert names_in(folder.path) == [".lease.1", ".lock", "config.json", "flags.flags"]


def test_claiming_again_changes_nothing(folder):
    before = {name: (folder.path / name).read_bytes() for name in names_in(folder.path)}
    folder.claim(RUN)
    assert {name: (folder.path / name).read_bytes() for name in names_in(folder.path)} == before


def test_another_run_is_refused_and_the_differences_are_named(folder):
    other = dataclasses.replace(RUN, learning_rate=0.5, domain=4)
    with pytest.raises(UserError) as caught:
        folder.claim(other)
    message = str(caught.value)
    assert "--domain=3 there, 4 here" in message
    assert "--learning_rate=0.001 there, 0.5 here" in message
    assert message.count(" there, ") == 2
    assert folder.run_config() == RUN
    flags = {f"--flagfile={folder.path / 'flags.flags'}", f"--run_dir={folder.path}"}
    assert flags <= set(shlex.split(message))  # how to resume it


def test_a_field_that_only_one_of_two_runs_has_is_named(folder):
    with pytest.raises(UserError) as caught:
        folder.claim(dataclasses.replace(RUN, arch="xy", epochs=RUN.epochs))
    message = str(caught.value)
    assert "--arch=deconv there, xy here" in message
    assert "--radius=7.0 there, - here" in message


def test_another_run_is_refused_with_the_command_to_resume(folder):
    with pytest.raises(UserError) as caught:
        folder.claim(dataclasses.replace(RUN, seed=1))
    path = shlex.quote(str(folder.path))
    flagfile = shlex.quote(f"{folder.path}/flags.flags")
    assert str(caught.value).endswith(f"to resume it: --flagfile={flagfile} --run_dir={path}")


@pytest.mark.parametrize(
    ("changes", "trained", "epochs"),
    [
        ({"epochs": 116}, True, 16),
        ({"epochs": 116, "precision": "mixed_bfloat16"}, True, 16),
        ({"epochs": 116}, False, None),  # nothing to start from
        ({"epochs": 50}, True, None),
        ({"epochs": 116, "seed": 1}, True, None),
    ],
)
def test_more_epochs_are_offered_as_a_run_that_starts_from_this_one(
    folder, changes, trained, epochs
):
    if trained:
        folder.best_model.touch()
    with pytest.raises(UserError) as caught:
        folder.claim(dataclasses.replace(RUN, **changes))
    message = str(caught.value)
    assert ("--init_from=" in message) == (epochs is not None)
    if epochs:
        path = shlex.quote(str(folder.path))
        flagfile = shlex.quote(f"{folder.path}/flags.flags")
        assert message.endswith(
            f"python -m rectloc_tf.train --flagfile={flagfile} --init_from={path} --epochs={epochs}"
        )


PAIRS = [(a, b) for a in PRECISIONS[1:] for b in PRECISIONS[1:] if a != b]


@pytest.mark.parametrize("given", [True, False], ids=["run_dir", "default folder"])
@pytest.mark.parametrize(("made", "here"), PAIRS)
def test_a_run_of_another_automatic_precision_is_named(tmp_path, monkeypatch, made, here, given):
    monkeypatch.chdir(tmp_path)
    auto, theirs, ours = (
        dataclasses.replace(RUN, precision=p, init_from="sha256:1") for p in ("auto", made, here)
    )
    run_dir = "mine" if given else None
    folder = RunFolder(run_dir or theirs.default_folder)
    assert locate(auto, ours, run_dir).path == Path(run_dir or ours.default_folder)
    folder.path.mkdir(parents=True)
    folder.claim(theirs)
    with pytest.raises(UserError) as caught:
        locate(auto, ours, run_dir, ", or --precision=float32 to start another")
    assert str(caught.value) == (
        f"{folder.path}: this run was made with --precision={made}, but on this machine "
        f"--precision=auto means {here}; add --precision={made} to use that run, "
        "or --precision=float32 to start another"
    )
    # Not where the precision was asked for, where something else differs too, or where the run
    # of this machine's precision is there as well.
    for asked, run in ((ours, ours), (theirs, theirs)):
        assert locate(asked, run, run_dir).path == Path(run_dir or run.default_folder)
    other = [dataclasses.replace(run, seed=5) for run in (auto, ours)]
    assert locate(*other, run_dir).path == Path(run_dir or other[1].default_folder)
    if not given:
        mine = RunFolder(ours.default_folder)
        mine.path.mkdir(parents=True)
        mine.claim(ours)
        assert locate(auto, ours, None).path == mine.path


@pytest.mark.parametrize(
    ("run", "changes"),
    [
        (RunConfig(arch="xy"), {"radius": 9.0, "sigma": 3.0, "target": "gaussian"}),
        (RunConfig(arch="deconv", target="disc"), {"sigma": 3.0}),
        (RunConfig(arch="deconv", target="gaussian"), {"radius": 9.0}),
    ],
)
def test_fields_that_a_run_ignores_do_not_matter(tmp_path, run, changes):
    folder = RunFolder(tmp_path)
    folder.claim(run)
    folder.claim(dataclasses.replace(run, **changes))
    assert folder.run_config() == run


def test_a_folder_of_other_files_is_refused_and_untouched(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="not empty") as caught:
        RunFolder(tmp_path).claim(RUN)
    assert "thesis.tex" in str(caught.value)
    assert names_in(tmp_path) == ["thesis.tex"]


def test_hidden_files_do_not_make_a_folder_full(tmp_path):
    (tmp_path / ".tmp-1-config.json").write_text("left by a kill")
    RunFolder(tmp_path).claim(RUN)
    assert RunFolder(tmp_path).run_config() == RUN


def test_a_claim_cut_short_by_a_full_disk_can_be_repeated(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)

    def fail(path, value):
        raise UserError(f"{path}: cannot be written (No space left on device)")

    with monkeypatch.context() as patch, pytest.raises(UserError, match="No space"):
        patch.setattr(rundir, "write_json", fail)
        folder.claim(RUN)
    folder.claim(RUN)
    assert folder.run_config() == RUN
    assert (tmp_path / "flags.flags").exists()


def test_no_run_here(tmp_path):
    with pytest.raises(UserError, match="no run here") as caught:
        RunFolder(tmp_path / "nowhere").run_config()
    assert str(tmp_path / "nowhere") in str(caught.value)


@pytest.mark.parametrize("inside", ["best.keras", "checkpoints/ckpt-4.index", "checkpoints"])
def test_a_path_inside_a_run_names_the_run(folder, inside):
    path = folder.path / inside
    path.parent.mkdir(exist_ok=True)
    path.touch()
    for use in (RunFolder(path).run_config, RunFolder(path).lock().__enter__):
        with pytest.raises(UserError) as caught:
            use()
        assert shlex.split(str(caught.value))[-1] == f"--run_dir={folder.path}"


def test_only_what_exists_is_inside_a_run(folder):
    with pytest.raises(UserError, match="no run here"):
        RunFolder(folder.path / "nowhere").run_config()


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"arch": "xy", ',
        "[1, 2]",
        '{"arch": "xyz"}',
        '{"domain": "three"}',
        '{"radius": "wide"}',
        '{"no_such_field": 1}',
    ],
)
def test_a_damaged_config_is_named(folder, text):
    (folder.path / "config.json").write_text(text)
    with pytest.raises(UserError) as caught:
        folder.run_config()
    assert str(folder.path / "config.json") in str(caught.value)


def test_flagfile_lists_every_field_once(folder):
    lines = (folder.path / "flags.flags").read_text().splitlines()
    values = dict(line.removeprefix("--").split("=", 1) for line in lines)
    assert len(lines) == len(values)
    fields = [f.name for f in dataclasses.fields(RunConfig) if getattr(RUN, f.name) != ""]
    assert list(values) == fields
    assert values["arch"] == "deconv"
    assert values["domain"] == "3"
    assert values["solid"] == "true"
    assert values["epochs"] == "100"


def test_flagfile_means_the_same_run_to_the_command_line(folder):
    script = (
        "import json; from rectloc_tf import cli;"
        "cli.main('train', lambda: print(json.dumps(cli.run_config().to_json())))"
    )
    flagfile = f"--flagfile={folder.path / 'flags.flags'}"
    command = [sys.executable, "-c", script, flagfile]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert RunConfig.from_json(json.loads(done.stdout)) == RUN


# The lock.

HOLD = """
import sys
from rectloc_tf.results.rundir import RunFolder
with RunFolder(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_until_the_first_is_done(tmp_path, holder):
    folder = RunFolder(tmp_path)
    with pytest.raises(UserError, match="another process") as caught, folder.lock():
        pytest.fail("the block must not run")
    assert f"--run_dir={tmp_path}" in str(caught.value)
    holder.stdin.close()
    assert holder.wait(30) == 0
    with folder.lock():
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    assert holder.wait(30) == -signal.SIGKILL
    with RunFolder(tmp_path).lock():
        assert (tmp_path / ".lock").exists()


def test_a_lock_is_free_again_after_an_error_in_its_block(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(RuntimeError), folder.lock():
        raise RuntimeError
    with folder.lock():
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    for path in (tmp_path / "taken", tmp_path / "taken" / "run"):
        with pytest.raises(UserError) as caught, RunFolder(path).lock():
            pytest.fail("the block must not run")
        assert f"--run_dir={path}: cannot be written" in str(caught.value)


# What is read back.


def bits(value):
    return "nan" if math.isnan(value) else struct.pack("<d", value)


@settings(deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 2**53), st.floats(), st.floats()), max_size=4))
@example(rows=[(0, -0.0, 5e-324), (2**53, 1e300, 0.1 + 0.2)])
def test_history_keeps_every_bit(tmp_path_factory, rows):
    history = [dict(zip(("step", "loss", "rate"), row, strict=True)) for row in rows]
    folder = RunFolder(tmp_path_factory.mktemp("history"))
    folder.write_history(history)
    read = folder.read_history()
    assert [list(row) for row in read] == [list(row) for row in history]
    for ours, theirs in zip(history, read, strict=True):
        assert [bits(v) for v in theirs.values()] == [bits(v) for v in ours.values()]


def test_history_is_a_plain_table(folder):
    folder.write_history([{"epoch": 1, "loss": 0.1}, {"epoch": 2.0, "loss": math.nan}])
    assert (folder.path / "history.csv").read_text() == "epoch,loss\n1,0.1\n2,nan\n"


def test_no_history_is_empty(folder):
    assert folder.read_history() == []


@pytest.mark.parametrize(
    "data",
    [
        b"epoch,loss\n1\n",  # a row cut off
        b"epoch,loss\n1,0.5,3\n",
        b"epoch,loss\n1,x\n",
        b"epoch,loss\n1,0.5\n2,\n",
        b"epoch,loss\n\xff\xfe,1\n",
        b"\0" * 100,  # as some file systems leave it behind a power cut
        b"\0" * 200_000,
    ],
    ids=["cut off", "too long", "no number", "empty cell", "no text", "zeros", "many zeros"],
)
def test_damaged_history_is_named(folder, data):
    (folder.path / "history.csv").write_bytes(data)
    with pytest.raises(UserError, match="damaged") as caught:
        folder.read_history()
    assert str(folder.path / "history.csv") in str(caught.value)


def test_snapshots_come_back_in_the_order_of_epochs(folder):
    rng = np.random.default_rng(0)
    written = {}
    for epoch in (100, 2, 0, 10_000_000, 13):
        written[epoch] = {
            "points": rng.normal(size=(4, 2)).astype(np.float32),
            "heatmaps": rng.integers(0, 256, (4, 8, 8), np.uint8),
        }
        folder.write_snapshot(epoch, written[epoch])
    read = folder.read_snapshots()
    assert list(read) == [0, 2, 13, 100, 10_000_000]
    for epoch, arrays in read.items():
        assert list(arrays) == ["points", "heatmaps"]
        for name, array in arrays.items():
            assert array.dtype == written[epoch][name].dtype
            np.testing.assert_array_equal(array, written[epoch][name])


def test_no_snapshots_are_none(folder):
    assert folder.read_snapshots() == {}


def test_a_damaged_snapshot_is_named(folder):
    folder.write_snapshot(3, {"points": np.zeros((4, 2), np.float32)})
    path = folder.path / "snapshots" / "epoch_00000003.npz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError) as caught:
        folder.read_snapshots()
    assert str(path) in str(caught.value)


def test_sessions_are_appended(folder):
    folder.add_session({"cores": 2})
    folder.add_session({"cores": 4})
    assert read_json(folder.path / "environment.json") == [{"cores": 2}, {"cores": 4}]


def test_the_result_makes_a_run_finished(folder):
    assert not folder.is_finished()
    result = {"schema": 1, "splits": {}, "epochs": 3}
    folder.write_result(result)
    assert folder.is_finished()
    assert folder.read_result() == result


@pytest.mark.parametrize("text", ["{}", "[1]", "3", "{"])
def test_a_damaged_result_is_named(folder, text):
    folder.result.write_text(text)
    with pytest.raises(UserError, match="result.json: damaged"):
        folder.read_result()


@pytest.mark.parametrize(
    "text", ["{}", "[1]", "{", '{"keypoints": ["a"]}', '{"keypoints": ["a"], "images": [{}]}']
)
def test_damaged_contents_are_named(folder, text):
    (folder.path / "labels.json").write_text(text)
    with pytest.raises(UserError, match="labels.json: damaged"):
        folder.read_contents()


def test_the_threshold_is_the_runs_own(folder):
    run = RunConfig(arch="deconv", labels="unordered")
    assert folder.threshold(run) == 0.5
    folder.write_result({"schema": 2, "splits": {}, "epochs": 3})
    assert folder.threshold(run) == 0.5
    folder.write_result({"schema": 2, "splits": {}, "epochs": 3, "threshold": 0.074})
    assert folder.threshold(run) == 0.074
    folder.result.write_text("{")
    assert folder.threshold(RunConfig()) == 0.5  # other points need none


@pytest.mark.parametrize("text", ["3", "{", "[{}]"])
def test_a_damaged_environment_stops_nobody(folder, text):
    (folder.path / "environment.json").write_text(text)
    folder.add_session({"cores": 2})
    sessions = json.loads((folder.path / "environment.json").read_text())
    assert sessions[-1] == {"cores": 2}


def test_a_history_without_steps_is_damaged(folder):
    (folder.path / "history.csv").write_text("epoch,loss\n1,0.5\n")
    with pytest.raises(UserError, match="history.csv: damaged"):
        folder.read_history()


def test_the_lock_clears_what_a_killed_process_left(folder):
    (folder.path / "snapshots").mkdir()
    leftovers = [folder.path / ".tmp-1-best.keras", folder.path / "snapshots" / ".tmp-1-x.npz"]
    for path in leftovers:
        path.write_bytes(b"half")
    with folder.lock():
        assert not any(path.exists() for path in leftovers)


def test_the_files_of_a_run_are_listed(folder):
    others = ["p.csv", "history.png"]
    ours = [
        "best.keras",
        "config.json",
        "flags.flags",
        "checkpoints/ckpt-1.index",
        "snapshots/epoch_1.npz",
    ]
    for name in ours + others:
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_text("x")
    assert set(folder.files()) == {folder.path / name for name in ours}


def test_a_figure_becomes_a_png(folder):
    folder.save_figure("history", Figure(figsize=(1, 1)))
    assert (folder.path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_that_cannot_be_saved_leaves_the_old_one(folder):
    folder.best_model.write_bytes(b"old")

    class Model:
        def save(self, path):
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left"):
        folder.save_model(Model(), folder.best_model)
    assert folder.best_model.read_bytes() == b"old"
    assert [n for n in names_in(folder.path) if n.startswith(".tmp")] == []


def test_a_folder_may_lie_below_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunFolder("~/runs/a").path == tmp_path / "runs" / "a"
