"""How outputs are written: whole or not at all, into what is there, and over nothing else."""

import os
import signal
import stat
import subprocess
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.results.output_files import (
    atomic_path,
    check_folder,
    check_not_input,
    check_writable,
    clear_leftovers,
    fit_name,
    message_stream,
    temporary_path,
)
from tests.conftest import ROOT


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def write(path, text):
    with atomic_path(path) as temporary:
        temporary.write_text(text)


def test_atomic_path_writes_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "deep" / "er" / "file.png"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == path.parent
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names_in(path.parent) == ["file.png"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, UserError])
def test_atomic_path_keeps_the_old_file_on_any_error(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file.txt"]


def test_atomic_path_names_the_file_that_did_not_fit_on_the_disk(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(UserError) as caught, atomic_path(path) as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")
    assert str(caught.value) == f"{path}: cannot be written (No space left on device)"
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["file.txt"]


def test_atomic_path_names_the_folder_that_cannot_be_created(tmp_path):
    (tmp_path / "taken").write_text("a file")
    path = tmp_path / "taken" / "file.txt"
    with pytest.raises(UserError) as caught, atomic_path(path):
        pytest.fail("the block must not run")
    assert str(path) in str(caught.value)
    assert (tmp_path / "taken").read_text() == "a file"


def test_an_output_is_checked_before_the_work(tmp_path):
    check_writable("output", tmp_path / "new" / "a.json")
    assert names_in(tmp_path / "new") == []
    for bad in (tmp_path, tmp_path / "new"):
        with pytest.raises(UserError, match=f"--output={bad}: cannot be written"):
            check_writable("output", bad)


def test_the_mode_of_a_file_stays(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(0o600)
    write(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# Links and files that are no regular ones.


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path, exists):
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    target, first, second = tmp_path / "far" / "a.csv", tmp_path / "near" / "b", tmp_path / "c"
    if exists:
        target.write_text("old")
    first.symlink_to("../far/a.csv")
    second.symlink_to(first)
    check_writable("output", second)
    with atomic_path(second) as temporary:
        assert temporary.parent == target.parent
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert first.is_symlink()
    assert second.is_symlink()
    assert names_in(tmp_path / "far") == ["a.csv"]
    assert names_in(tmp_path / "near") == ["b"]


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UserError, match="circle"):
        check_writable("output", tmp_path / "a")
    with pytest.raises(UserError, match="circle"):
        write(tmp_path / "a", "x")
    assert (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("link", [False, True])
def test_a_pipe_is_written_into(tmp_path, link):
    pipe = path = tmp_path / "pipe"
    os.mkfifo(pipe)
    if link:
        path = tmp_path / "link"
        path.symlink_to(pipe)
    check_writable("output", path)  # does not wait for a reader
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write(path, "some\nrows\n")
    reader.join(timeout=20)
    assert read == ["some\nrows\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert len(names_in(tmp_path)) == 1 + link


def test_a_device_is_written_into(tmp_path):
    ours, theirs = os.openpty()  # a device that cannot be replaced by accident
    path = tmp_path / "link"
    path.symlink_to(os.ttyname(theirs))
    for name in (path, path.resolve()):
        check_writable("output", name)
        write(name, "x")
        assert os.read(ours, 10) == b"x"
    os.close(ours)
    os.close(theirs)
    assert path.is_symlink()


def test_nothing_goes_into_a_pipe_if_the_block_raises(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "pipe") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert names_in(tmp_path) == ["pipe"]


STDOUT = """
import sys
from pathlib import Path
from rectloc_tf.results.output_files import atomic_path, check_writable, message_stream
path = Path(sys.argv[1])
print("before")
check_writable("output", path)
print("a message", file=message_stream(path))
with atomic_path(path) as temporary:
    temporary.write_text("row\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "link"])
@pytest.mark.parametrize("to", ["pipe", "file"])
def test_standard_output_takes_results_in_turn(tmp_path, name, to):
    (tmp_path / "link").symlink_to("/dev/stdout")
    path = tmp_path / "link" if name == "link" else name
    command = [sys.executable, "-c", STDOUT, str(path)]
    with open(tmp_path / "out.txt", "w") as file:
        stdout = file if to == "file" else subprocess.PIPE
        done = subprocess.run(
            command,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": ""},
        )
    printed = (tmp_path / "out.txt").read_text() if to == "file" else done.stdout
    assert done.stderr == "a message\n"
    assert printed == "before\nrow\nafter\n"


def test_messages_go_to_standard_output_otherwise(tmp_path):
    assert message_stream(tmp_path / "1") is sys.stdout
    assert message_stream(None) is sys.stdout


# Inputs are no outputs.


@pytest.mark.parametrize("how", ["itself", "relative", "link", "hard link"])
def test_an_input_is_never_an_output(tmp_path, how, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "a.png"
    source.write_text("a picture")
    path = {"itself": source, "relative": source.relative_to(tmp_path)}.get(how, tmp_path / "o")
    if how == "link":
        path.symlink_to(source)
    elif how == "hard link":
        path.hardlink_to(source)
    with pytest.raises(ConfigError) as caught:
        check_not_input("output", path, [tmp_path / "missing.png", source])
    assert str(caught.value).startswith(f"--output={path}: this is one of the inputs ({source})")
    check_not_input("output", tmp_path / "b.csv", [source])


# Names.


@pytest.mark.parametrize("length", [243, 244, 251, 255])
@pytest.mark.parametrize("letter", ["a", "é", "界"])
def test_the_longest_names_can_be_written(tmp_path, letter, length):
    size = len(letter.encode())
    name = "x" * ((length - 4) % size) + letter * ((length - 4) // size) + ".csv"
    assert len(name.encode()) == length
    check_writable("output", tmp_path / name)
    write(tmp_path / name, "new")
    assert names_in(tmp_path) == [name]


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path):
    path = tmp_path / ("é" * 126 + ".csv")
    with pytest.raises(UserError, match="File name too long"):
        check_writable("output", path)
    with pytest.raises(UserError, match="File name too long"):
        write(path, "x")
    assert names_in(tmp_path) == []


@settings(deadline=None)
@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=400))
def test_names_fit_and_stay_apart(name):
    fitted = fit_name(name)
    assert len(os.fsencode(fitted)) <= 255
    assert (fitted == name) == (len(os.fsencode(name)) <= 255)
    assert fit_name(name + "a") != fitted


def test_a_shortened_name_keeps_its_suffix_and_bytes_that_are_no_text():
    assert fit_name("é" * 300 + ".keras").endswith(".keras")
    name = b"\xe9".decode("utf-8", "surrogateescape")
    assert fit_name(name) == name
    assert fit_name(name * 300) != fit_name(name * 301)


# What dead processes left.


def a_dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_leftovers_of_dead_processes_are_cleared_and_no_others(tmp_path):
    dead, alive = a_dead_process(), os.getpid()
    ours = temporary_path(tmp_path / "a.csv").name
    file, folder = ours.replace(f"{alive}", f"{dead}", 1), f".tmp-{dead}-{ours.split('-')[2]}-1"
    elsewhere = f".tmp-{dead}-00000000-a.csv"
    kept = [ours, elsewhere, ".tmp-notes", f"tmp-{dead}-a.csv", "a.csv"]
    for name in [file, *kept]:
        (tmp_path / name).write_text("half")
    (tmp_path / folder / "variables").mkdir(parents=True)
    clear_leftovers(tmp_path)
    assert names_in(tmp_path) == sorted(kept)


@pytest.mark.parametrize(
    "use",
    [
        lambda folder: write(folder / "b.csv", "x"),
        lambda folder: check_writable("output", folder / "b.csv"),
        lambda folder: check_folder("overlay_dir", folder),
    ],
    ids=["write", "check_writable", "check_folder"],
)
def test_whatever_writes_in_a_folder_clears_them(tmp_path, use):
    path = temporary_path(tmp_path / "a.csv")
    leftover = path.with_name(path.name.replace(f"{os.getpid()}", f"{a_dead_process()}", 1))
    leftover.write_text("half")
    use(tmp_path)
    assert not leftover.exists()


WRITES_FOR_EVER = """
import sys, time
from pathlib import Path
from rectloc_tf.training.interrupts import exit_on_sigterm
from rectloc_tf.results.output_files import atomic_path
exit_on_sigterm()
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_of_a_process_that_is_stopped(tmp_path, number):
    command = [sys.executable, "-c", WRITES_FOR_EVER, str(tmp_path / "a.csv")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout.readline() == "writing\n"
        assert len(names_in(tmp_path)) == 1
        process.send_signal(number)
    if number == signal.SIGTERM:
        assert process.returncode == 143
    else:
        assert len(names_in(tmp_path)) == 1
        check_folder("export_dir", tmp_path)
    assert names_in(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    for path in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(UserError, match=f"--overlay_dir={path}: cannot be written"):
            check_folder("overlay_dir", path)
    check_folder("overlay_dir", tmp_path / "new")
    assert names_in(tmp_path / "new") == []
