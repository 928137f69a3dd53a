"""Full and read-only disks, at every place that writes; losses that are none; clocks that jump."""

import ast
import contextlib
import errno
import os
import resource
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines.labels.read import read_labels
from pipelines.video_files import open_video
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.experiments import summaries
from rectloc_tf.results import budget_report, data_files, label_conversion, label_writers
from rectloc_tf.results.answers import Answers, write_answers
from rectloc_tf.results.label_sheet import write_sheet
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving.overlay_video import overlay_writer
from rectloc_tf.serving.overlays import write_overlay
from rectloc_tf.serving.suggestions import write_suggestions
from rectloc_tf.serving.tables import open_table
from rectloc_tf.training import loop
from rectloc_tf.training.board import Board
from rectloc_tf.training.checkpoints import Checkpointer
from rectloc_tf.training.interrupts import StopRequest
from rectloc_tf.training.team import ALONE
from tests.conftest import ROOT
from tests.exported import export_model
from tests.label_files import write_project
from tests.test_label_budget import falling, kept
from tests.test_security import FILES, dotted, full_names
from tests.training import small_head
from tests.videos import write_video

RUN = RunConfig(arch="xy", image_size=64, precision="float32")
IMAGE = np.zeros((20, 30, 3), np.uint8)
POINTS = np.full((1, 2), 5, np.float32)
ANSWERS = Answers(POINTS[None], None)
BUDGET = kept(falling, sizes=(10, 20), folds=2)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What is written: a model, a video and labelled images."""
    folder = tmp_path_factory.mktemp("given")
    images = keras.Input((64, 64, 1), dtype="uint8")
    flat = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1.0)(images))
    video = open_video(write_video(folder / "clip.avi", [IMAGE] * 4))
    labels, _ = read_labels(str(write_project(folder / "labels", [["5", "6", "7", "8"]])))
    model = keras.Model(images, keras.layers.Dense(2)(flat))
    return SimpleNamespace(model=model, video=video, labels=labels)


def save_table(folder):
    with open_table(folder / "a.csv", ["nose"], "scorer", ("x", "y")) as write_row:
        for number in range(9):
            write_row([f"{number}.png", "1", "2"])


def save_checkpoint(folder):
    Checkpointer(folder / "checkpoints", noise=tf.Variable(np.zeros(99))).save(7)


def save_overlay_video(folder, video):
    with overlay_writer(folder / "a.mp4", video) as draw:
        for number in range(4):
            draw(number, IMAGE, POINTS)


WRITES = {  # (folder, what is given) -> None
    "text": lambda f, _: data_files.write_text(f / "a.txt", "text" * 99),
    "JSON": lambda f, _: data_files.write_json(f / "a.json", [*range(99)]),
    "config": lambda f, _: RunFolder(f).claim(RUN),
    "result": lambda f, _: RunFolder(f).write_result({"splits": {}, "epochs": [*range(99)]}),
    "history": lambda f, _: RunFolder(f).write_history([{"step": 1, "loss": 0.123456789}] * 9),
    "session": lambda f, _: RunFolder(f).add_session({"cores": 2, "processor": "x" * 99}),
    "snapshot": lambda f, _: RunFolder(f).write_snapshot(1, {"points": POINTS}),
    "figure": lambda f, _: RunFolder(f).save_figure("history", Figure((1, 1))),
    "model": lambda f, given: RunFolder(f).save_model(given.model, f / "best.keras"),
    "checkpoint": lambda f, _: save_checkpoint(f),
    "TensorBoard, numbers": lambda f, _: Board(f / "board").add_numbers(1, {"loss": 1.0}),
    "TensorBoard, picture": lambda f, _: Board(f / "board").add_picture(1, "seen", IMAGE),
    "table": lambda f, _: save_table(f),
    "overlay": lambda f, _: write_overlay(f / "a.png", IMAGE, POINTS),
    "labels": lambda f, _: label_writers._write(f / "a.csv", "a.png,1,2\n" * 99),
    "answers": lambda f, _: write_answers(f / "a.npz", {("3", "best"): ANSWERS}),
    "scenes": lambda f, _: summaries.write_scenes(f, RUN, np.zeros((3, 1, 4))),
    "sheet": lambda f, _: summaries.write_sheet(f / "a.png", [IMAGE[None, ..., 0]]),
    "export": lambda f, given: export_model(given.model, small_head("xy"), f),
    "contents": lambda f, _: RunFolder(f).claim(RUN, None, {"labels.csv": "0" * 99}),
    "suggested frames": lambda f, given: write_suggestions(f / "clip", given.video, [0], "a", "me"),
    "overlay video": lambda f, given: save_overlay_video(f, given.video),
    "label sheet": lambda f, given: write_sheet(f / "a.png", given.labels, [0], {}),
    "label budget": lambda f, _: budget_report.write(f, BUDGET, {("1/2", 0), ("2/2", 0)}, 40, 0),
    "converted image": lambda f, _: label_conversion._write_once(f / "a.png", b"PNG" * 99),
}  # fmt: skip
# What is there already is not written again.
ONCE = {"config", "contents", "scenes", "suggested frames", "converted image"}
BY_TENSORFLOW = {"TensorBoard, numbers", "TensorBoard, picture"}
PLACES = pytest.mark.parametrize("place", WRITES)


def files_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextlib.contextmanager
def disk_with_room_for(size):
    """Files of this process cannot become larger: writing fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_refused(folder, write):
    """One line that names a file below `folder`, where everything is as it was."""
    before = files_in(folder)
    with pytest.raises(UserError) as caught:
        write()
    message = str(caught.value)
    assert str(folder) in message
    assert "cannot be written" in message
    assert "\n" not in message
    after = files_in(folder)
    for path in [*after]:
        if "events.out" in path.name and path not in before:  # TensorFlow's, and never read again
            del after[path]
    assert after == before


@pytest.mark.parametrize("size", [0, 64])
@PLACES
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path, given, place, size):
    write, folder = WRITES[place], tmp_path / "outputs"
    folder.mkdir()
    if place not in ONCE:
        write(folder, given)
        assert files_in(folder)
    with disk_with_room_for(size):
        assert_refused(folder, lambda: write(folder, given))
    write(folder, given)  # as soon as there is room
    assert files_in(folder)


@PLACES
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, given, place):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    below = taken / "below"
    if first := {"config": "flags.flags", "contents": "labels.json"}.get(place):
        below = tmp_path / "locked"  # the run's folder has been made by then
        (below / first).mkdir(parents=True)
    assert_refused(tmp_path, lambda: WRITES[place](below, given))


@pytest.mark.parametrize("place", [name for name in WRITES if name not in BY_TENSORFLOW])
def test_no_room_for_the_last_step_is_one_line(tmp_path, given, place, monkeypatch):
    """The file is whole under its temporary name, and cannot be renamed."""

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        patch.setattr(os, "rename", fail)
        assert_refused(tmp_path, lambda: WRITES[place](tmp_path, given))


# Numbers that are none.


@pytest.fixture
def trainer(tmp_path):
    """What `Trainer.fit` and `save` need of a trainer; `saved` lists its checkpoints."""
    trainer = object.__new__(loop.Trainer)
    trainer.run, trainer.folder, trainer.stop = RUN, RunFolder(tmp_path), StopRequest()
    trainer.source = trainer.head = None
    trainer.team = ALONE
    trainer.runtime = SimpleNamespace(strategy=None, jit=False, steps_per_call=1)
    trainer.execution = SimpleNamespace(checkpoint_minutes=0.0)  # after every call
    trainer.progress = SimpleNamespace(print=len, due=lambda: False)
    trainer.history, trainer.saved, trainer._clock = [], [], 0.0
    trainer.checkpointer = SimpleNamespace(save=trainer.saved.append)
    weights = SimpleNamespace(get_weights=lambda: [trainer.weights])
    trainer.weights = np.ones(3)
    trainer.state = SimpleNamespace(
        step=0, model=weights, seconds=tf.Variable(0.0, dtype="float64")
    )

    def add_steps(losses, seconds):
        trainer.state.step += len(losses)

    trainer.state.add_steps = add_steps
    return trainer


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("step", "steps_per_call", "saved"), [(1, 1, []), (3, 1, [1, 2]), (6, 3, [1, 4])]
)
def test_a_loss_that_is_none_at_some_step_stops_the_run(
    trainer, monkeypatch, bad, step, steps_per_call, saved
):
    trainer.runtime.steps_per_call = steps_per_call  # after the first step, which is alone
    monkeypatch.setattr(loop, "choose_place", lambda *_: ("host", "as asked"))
    monkeypatch.setattr(loop, "distributed_batches", lambda *_: tf.data.Dataset.range(1, 9))
    losses = tf.constant([bad if number == step else 1.0 for number in range(9)])
    monkeypatch.setattr(loop, "make_train_step", lambda *_: lambda number: [losses[number]])
    with pytest.raises(UserError) as caught:
        trainer.fit()
    assert f"{trainer.folder.path}: the loss is {bad} at step {step}; stopped" in str(caught.value)
    assert trainer.saved == saved


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_none_are_not_saved(trainer, bad):
    trainer.save()
    trainer.weights = np.array([1.0, bad, 1.0])
    trainer.state.step = 7
    with pytest.raises(UserError, match="the weights are not finite after step 7; stopped"):
        trainer.save()
    assert trainer.saved == [0]


# Which functions write, and what times are taken from.

WRITING = {
    "write_text", "write_bytes", "savez", "savez_compressed", "save", "savefig", "imwrite",
    "replace", "rename", "VideoWriter", "create_file_writer",
}  # fmt: skip
# Besides what is inside `with atomic_path`: folders under a temporary name that are renamed,
# TensorFlow's own writers, and files of a benchmark in its temporary folder.
OTHERWISE = {
    "bootstrap.py": {"write_text"},
    "rectloc_tf/benchmarking/exports.py": {"rename", "save"},
    "rectloc_tf/benchmarking/labelled.py": {"imwrite", "write_text"},
    "rectloc_tf/results/output_files.py": {"replace"},
    "rectloc_tf/serving/check_export.py": {"savez"},
    "rectloc_tf/serving/exporting.py": {"savez", "write_text"},
    "rectloc_tf/serving/formats/litert.py": {"write_bytes"},
    "rectloc_tf/serving/formats/onnx.py": {"save"},
    "rectloc_tf/serving/saved_model.py": {"save"},
    "rectloc_tf/serving/served.py": {"save"},
    "rectloc_tf/serving/suggestions.py": {"write_bytes", "rename"},
    "rectloc_tf/serving/versions.py": {"rename"},
    "rectloc_tf/training/board.py": {"create_file_writer"},
    "rectloc_tf/training/checkpoints.py": {"replace"},
    "rectloc_tf/training/loop.py": {"save"},
}


def writing_calls(node, is_atomic=False):
    """Names of calls that write, outside `with atomic_path`."""
    if isinstance(node, ast.With):
        is_atomic = is_atomic or any("atomic_path(" in ast.unparse(i) for i in node.items)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not is_atomic:
        name, of = node.func.attr, ast.unparse(node.func.value)
        if name in WRITING and not (name == "replace" and of != "os"):
            yield name
    for child in ast.iter_child_nodes(node):
        yield from writing_calls(child, is_atomic)


def test_what_writes_is_whole_or_not_at_all():
    found = {}
    for path in FILES:
        name = path.relative_to(ROOT).as_posix()
        calls = {*writing_calls(ast.parse(path.read_text()))}
        if calls and not name.startswith(("benchmarks/", "examples/")):
            found[name] = calls
    assert found == OTHERWISE


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("path.write_text('x')", ["write_text"]),
        ("with open(path) as file:\n    np.savez(file)", ["savez"]),
        ("with atomic_path(path) as t:\n    t.write_text('x')", []),
        ("text.replace('a', 'b')", []),
        ("os.replace(a, b)", ["replace"]),
    ],
)
def test_a_write_is_seen(text, calls):
    assert [*writing_calls(ast.parse(text))] == calls


WALL_CLOCKS = {
    "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime", "time.strftime",
    "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today",
    "datetime.date.today",
}  # fmt: skip


def clocks(text):
    """Calls that tell the time of day."""
    tree = ast.parse(text)
    names = full_names(tree)
    calls = (dotted(node.func, names) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [name for name in calls if name in WALL_CLOCKS]


def test_nothing_depends_on_the_time_of_day():
    """A clock that is put back, or jumps with the season, changes no run and no estimate."""
    assert clocks("import time\ntime.time()") == ["time.time"]
    assert clocks("from datetime import datetime as d\nd.now()") == ["datetime.datetime.now"]
    found = {str(path.relative_to(ROOT)): clocks(path.read_text()) for path in FILES}
    assert {name: calls for name, calls in found.items() if calls} == {}
