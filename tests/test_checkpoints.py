"""Checkpoints: the newest that can be read, and what happens to damaged ones."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from rectloc_tf.errors import UserError
from rectloc_tf.training.checkpoints import Checkpointer

SIZE = 1000


class State:
    """Two variables whose values tell the step."""

    def __init__(self, folder):
        self.noise = tf.Variable(np.zeros(SIZE))
        self.step = tf.Variable(0, dtype=tf.int64)
        self.checkpointer = Checkpointer(folder, noise=self.noise, step=self.step)
        self.warnings = []

    def at(self, step):
        return np.random.default_rng(step).normal(size=SIZE)

    def save(self, *steps):
        for step in steps:
            self.noise.assign(self.at(step))
            self.step.assign(step)
            self.checkpointer.save(step)

    def restore(self):
        return self.checkpointer.restore_latest(self.warnings.append)

    def assert_is_at(self, step):
        assert int(self.step) == step
        np.testing.assert_array_equal(self.noise.numpy(), self.at(step))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "checkpoints"
    State(folder).save(9, 10, 100)
    return folder


def data_file(folder, step):
    return folder / f"ckpt-{step}.data-00000-of-00001"


def truncate(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


def flip_middle(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


DAMAGES = {
    "data cut in half": lambda folder, step: truncate(data_file(folder, step), 0.5),
    "data nearly whole": lambda folder, step: truncate(data_file(folder, step), 0.99),
    "data empty": lambda folder, step: truncate(data_file(folder, step), 0),
    "data missing": lambda folder, step: data_file(folder, step).unlink(),
    "one byte of data wrong": lambda folder, step: flip_middle(data_file(folder, step)),
    "index cut in half": lambda folder, step: truncate(folder / f"ckpt-{step}.index", 0.5),
    "index nearly whole": lambda folder, step: truncate(folder / f"ckpt-{step}.index", 0.99),
    "index empty": lambda folder, step: truncate(folder / f"ckpt-{step}.index", 0),
    "one byte of index wrong": lambda folder, step: flip_middle(folder / f"ckpt-{step}.index"),
}


def test_the_newest_is_restored_by_number_and_not_by_name(folder):
    state = State(folder)
    assert state.restore() is True
    state.assert_is_at(100)
    assert state.warnings == []


def test_the_last_three_are_kept(folder):
    State(folder).save(101)
    steps = {path.name.split("-")[1].split(".")[0] for path in folder.glob("ckpt-*")}
    assert steps == {"10", "100", "101"}


def test_no_checkpoint(tmp_path):
    state = State(tmp_path / "checkpoints")
    assert state.restore() is False
    assert int(state.step) == 0
    assert state.warnings == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_falls_back_to_the_one_before(folder, damage):
    DAMAGES[damage](folder, 100)
    state = State(folder)
    assert state.restore() is True
    state.assert_is_at(10)
    (warning,) = state.warnings
    assert str(folder / "ckpt-100") in warning
    assert "\n" not in warning


FILES = pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])


def flip(path, seed, count):
    data = bytearray(path.read_bytes())
    for place in np.random.default_rng(seed).choice(len(data), count, replace=False):
        data[place] ^= 0xFF
    path.write_bytes(data)


@FILES
@pytest.mark.parametrize("share", [0, 0.25, 0.5, 0.99])
def test_a_newest_that_is_cut_falls_back(folder, suffix, share):
    truncate(folder / f"ckpt-100.{suffix}", share)
    state = State(folder)
    assert state.restore() is True
    state.assert_is_at(10)
    (warning,) = state.warnings
    assert warning.startswith(f"{folder / 'ckpt-100'}: damaged, trying the previous one (")


@FILES
@pytest.mark.parametrize("seed", range(5))
def test_twenty_bytes_flipped_anywhere_fall_back(folder, suffix, seed):
    flip(folder / f"ckpt-100.{suffix}", seed, 20)
    state = State(folder)
    assert state.restore() is True
    state.assert_is_at(10)
    assert len(state.warnings) == 1


@FILES
def test_no_flipped_byte_gives_other_weights(folder, suffix):
    """TensorFlow's checksums cover all but bytes that mean nothing: padding of the index."""
    state, seen = State(folder), 0
    whole = {path: path.read_bytes() for path in folder.glob("ckpt-100.*")}
    (folder / "ckpt-10.index").unlink()  # which leaves 9
    for seed in range(40):
        for path, data in whole.items():  # a damaged one has been removed
            path.write_bytes(data)
        flip(folder / f"ckpt-100.{suffix}", seed, 1)
        state.warnings.clear()
        assert state.restore() is True
        state.assert_is_at(9 if state.warnings else 100)
        seen += len(state.warnings)
    assert seen >= 20


def test_a_save_cut_short_by_a_kill_is_no_checkpoint(folder):
    (folder / "ckpt-100.index").unlink()  # it is written last
    state = State(folder)
    assert state.restore() is True
    state.assert_is_at(10)
    assert state.warnings == []


@pytest.mark.parametrize("suffix", ["data-00000-of-00001", "index"])
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_kill_inside_tensorflows_writing_leaves_no_checkpoint(folder, monkeypatch, suffix, share):
    """It writes the index under the name that it is given, and may be killed half-way."""
    state = State(folder)
    write = state.checkpointer._checkpoint.write

    def killed(path):
        write(path)
        truncate(Path(f"{path}.{suffix}"), share)
        raise KeyboardInterrupt  # which nothing tidies up after

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(state.checkpointer._checkpoint, "write", killed)
        state.save(101)
    assert any("101" in path.name for path in folder.iterdir())
    assert state.restore() is True
    state.assert_is_at(100)
    assert state.warnings == []
    assert not any("101" in path.name for path in folder.iterdir())


@pytest.mark.parametrize("removed", [1, 2, 3])
def test_a_kill_while_old_ones_are_removed_leaves_whole_checkpoints(folder, monkeypatch, removed):
    state, unlink, calls = State(folder), Path.unlink, []

    def killed(path, **how):
        calls.append(path)
        if len(calls) > removed:
            raise KeyboardInterrupt
        unlink(path, **how)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", killed)
        state.checkpointer._remove([10, 9])
    steps = {int(path.stem.split("-")[1]) for path in folder.glob("*.index")}
    assert steps == [{100, 9}, {100, 9}, {100}][removed - 1]
    for step in steps:
        state.checkpointer.restore(step)
    assert state.restore() is True
    state.assert_is_at(100)
    assert {path.name for path in folder.iterdir()} == {
        name for step in steps for name in (f"ckpt-{step}.index", data_file(folder, step).name)
    }


@pytest.mark.parametrize("name", [".tmp-ckpt-101_temp", "ckpt-101_temp"])  # now, and before
def test_what_a_killed_save_left_behind_goes_away(folder, name):
    left = folder / name
    left.mkdir()
    (left / "part-00000-of-00001.data-00000-of-00001").write_bytes(b"half")
    state = State(folder)
    assert state.restore() is True
    state.assert_is_at(100)
    assert not left.exists()


def test_two_damaged_fall_back_twice(folder):
    DAMAGES["data cut in half"](folder, 100)
    DAMAGES["index empty"](folder, 10)
    state = State(folder)
    assert state.restore() is True
    state.assert_is_at(9)
    assert [w.split(":")[0] for w in state.warnings] == [
        str(folder / "ckpt-100"),
        str(folder / "ckpt-10"),
    ]


@pytest.mark.parametrize("damage", DAMAGES)
def test_all_damaged(folder, damage):
    for step in (9, 10, 100):
        DAMAGES[damage](folder, step)
    state = State(folder)
    with pytest.raises(UserError, match="none of the checkpoints can be read") as caught:
        state.restore()
    assert str(folder) in str(caught.value)
    assert len(state.warnings) == 3


@pytest.mark.parametrize("text", ["", "\0\1garbage", 'model_checkpoint_path: "ckpt-999"\n'])
def test_a_damaged_list_of_checkpoints_does_not_matter(folder, text):
    (folder / "checkpoint").write_text(text)
    state = State(folder)
    assert state.restore() is True
    state.assert_is_at(100)
    state.save(101)
    again = State(folder)
    assert again.restore() is True
    again.assert_is_at(101)


def test_a_missing_list_of_checkpoints_does_not_matter(folder):
    (folder / "checkpoint").unlink(missing_ok=True)
    state = State(folder)
    assert state.restore() is True
    state.assert_is_at(100)


def test_a_checkpoint_of_other_objects_is_no_checkpoint(folder):
    warnings = []
    other = Checkpointer(folder, another=tf.Variable(0.0))
    with pytest.raises(UserError, match="none of the checkpoints"):
        other.restore_latest(warnings.append)
    assert len(warnings) == 3


def test_saving_continues_after_a_fallback(folder):
    DAMAGES["data cut in half"](folder, 100)
    state = State(folder)
    assert state.restore() is True
    state.save(100)
    again = State(folder)
    assert again.restore() is True
    again.assert_is_at(100)
    assert again.warnings == []


def test_prune_leaves_the_newest(folder):
    state = State(folder)
    state.checkpointer.prune()
    assert sorted(path.name for path in folder.glob("ckpt-*")) == [
        "ckpt-100.data-00000-of-00001",
        "ckpt-100.index",
    ]
    assert state.restore() is True
    state.assert_is_at(100)


def test_prune_of_one_and_of_none(tmp_path):
    state = State(tmp_path / "checkpoints")
    state.checkpointer.prune()
    state.save(3)
    state.checkpointer.prune()
    assert state.restore() is True
    state.assert_is_at(3)


def test_a_folder_that_cannot_be_written(tmp_path):
    state = State(tmp_path / "checkpoints")
    (tmp_path / "checkpoints").write_text("a file")
    with pytest.raises(UserError, match="checkpoint cannot be written") as caught:
        state.save(1)
    assert str(tmp_path / "checkpoints") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_full_disk_keeps_the_older_ones(folder, monkeypatch):
    state = State(folder)

    def fail(*args, **kwargs):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device\nmore")

    with monkeypatch.context() as patch, pytest.raises(UserError, match="No space left"):
        patch.setattr(tf.train.Checkpoint, "_write", fail)
        state.save(101)
    assert state.restore() is True
    state.assert_is_at(100)


def test_damaged_ones_do_not_push_good_ones_out(folder):
    for step in (10, 100):
        truncate(data_file(folder, step), 0.5)
    state = State(folder)
    assert state.restore() is True
    state.assert_is_at(9)
    state.save(11)
    assert {p.name for p in folder.glob("*.index")} == {"ckpt-9.index", "ckpt-11.index"}


def test_a_worker_restores_the_step_that_its_chief_names(folder):
    state = State(folder)
    state.checkpointer.restore(10)
    state.assert_is_at(10)
    with pytest.raises(
        UserError, match=r"ckpt-11: cannot be read .* a disk that all workers share"
    ):
        state.checkpointer.restore(11)
