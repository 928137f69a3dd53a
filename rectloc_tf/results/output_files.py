"""How any output is written: the one place that decides. Imports no TensorFlow.

A file is written beside its place under a temporary name, and renamed when it is whole. Links
are followed. What is no regular file (a device, a pipe, /dev/stdout) is written into, not
replaced. Temporary files that dead processes left in a folder are removed when something is
written there.
"""

import contextlib
import hashlib
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from rectloc_tf.errors import ConfigError, UserError, reason

SOFTWARE = "rectloc_tf"  # in the PNG data of pictures, so that we know our own
MAX_NAME = 255  # bytes of a file's name, on Linux and macOS
_TEMPORARY = re.compile(r"\.tmp-(\d{1,9})-([0-9a-f]{8})-")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary name (same suffix); puts it in the place of `path` when the block ends.

    Raises:
        UserError: if `path` cannot be written or the disk is full; what was there is untouched.
    """
    try:
        if is_special(path):
            with tempfile.TemporaryDirectory() as folder:
                temporary = Path(folder) / fit_name(path.name)
                yield temporary
                _copy_into(temporary, path)
            return
        target = _follow_links(path)
        temporary = temporary_path(target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            clear_leftovers(target.parent)
            yield temporary
            if target.exists():
                shutil.copymode(target, temporary)
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({reason(error)})") from error


def check_writable(flag: str, path: Path) -> None:
    """Refuses an output that cannot be written, before the work is done.

    Raises:
        UserError: naming the flag.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.stat().st_mode):
                raise OSError(0, "it is a socket")
            if not os.access(path, os.W_OK):
                raise PermissionError(0, "it is read-only")
        if not is_special(path):
            _probe(_follow_links(path))
    except OSError as error:
        raise UserError(f"--{flag}={path}: cannot be written ({reason(error)})") from error


def check_folder(flag: str, folder: Path) -> None:
    """Makes a folder for outputs, and refuses one that cannot be written.

    Raises:
        UserError: naming the flag.
    """
    try:
        _probe(folder / "probe")
    except OSError as error:
        raise UserError(f"--{flag}={folder}: cannot be written ({reason(error)})") from error


def _probe(target: Path) -> None:
    temporary = temporary_path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(target.parent)
    temporary.touch()
    temporary.unlink()


def check_not_input(flag: str, path: Path, inputs: Iterable[Path]) -> None:
    """Refuses an output that is one of the files to be read, under whatever name.

    Raises:
        ConfigError: naming both.
    """
    for source in inputs:
        with contextlib.suppress(OSError):
            if os.path.samefile(path, source):
                raise ConfigError(
                    f"--{flag}={path}: this is one of the inputs ({source}); name another file"
                )


def is_there(path: Path, data: bytes, named: str, hint: str) -> bool:
    """Whether a file with these contents is there already.

    Args:
        path: of the file.
        data: what it is to hold.
        named: how it is called in messages.
        hint: what to choose another of.

    Raises:
        UserError: if it holds something else, which may be somebody's work, or cannot be read.
    """
    try:
        there = path.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UserError(f"{named}: cannot be written ({reason(error)})") from error
    if there != data:
        raise UserError(f"{named}: already exists and differs; choose another {hint}")
    return True


def check_foreign(flag: str, path: Path) -> None:
    """Refuses to replace a file that is not one of our pictures.

    Raises:
        ConfigError: naming the flag.
    """
    if is_foreign(path):
        raise ConfigError(
            f"--{flag}={path}: exists and was not written by rectloc_tf; choose another file"
        )


def is_foreign(path: Path) -> bool:
    """Whether the file exists and its PNG metadata does not mark it as one of our pictures."""
    if is_special(path):
        return False
    try:
        with open(path, "rb") as handle:
            return f"tEXtSoftware\0{SOFTWARE}".encode() not in handle.read(4096)
    except FileNotFoundError:
        return False
    except OSError:  # a folder, or not ours to read; a name too long shows when it is written
        return os.path.lexists(path)


def is_special(path: Path) -> bool:
    """Whether `path` is there and neither a regular file nor a folder: it is written into."""
    if _descriptor(path) is not None:
        return True
    return path.exists() and not path.is_file() and not path.is_dir()


def message_stream(output: Path | None) -> TextIO:
    """Where to print messages: not among the results if those go to standard output."""
    if output is not None and _descriptor(output) == 1:
        return sys.stderr
    return sys.stdout


def _descriptor(path: Path) -> int | None:
    """N if `path` leads to this process's open file N, as /dev/stdout does; else None."""
    own = {os.path.realpath("/proc/self/fd"), os.path.realpath("/dev/fd")}
    for _ in range(40):  # links may lead round in circles
        folder = os.path.realpath(path.parent)
        if folder in own and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(folder, os.readlink(path))
    return None


def _copy_into(source: Path, target: Path) -> None:
    number = _descriptor(target)
    sys.stdout.flush()  # what was printed before comes first
    opened = os.open(target, os.O_WRONLY) if number is None else os.dup(number)
    with open(source, "rb") as reader, open(opened, "wb") as writer:
        shutil.copyfileobj(reader, writer)


def _follow_links(path: Path) -> Path:
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(0, "its symbolic links form a loop")
    return target


def temporary_path(target: Path) -> Path:
    """A name beside `target` to write it under; `clear_leftovers` knows such names."""
    return target.with_name(fit_name(f".tmp-{os.getpid()}-{_where()}-{target.name}"))


def fit_name(name: str) -> str:
    """A file name, shortened if it has too many bytes; equal only for equal names."""
    encoded = os.fsencode(name)
    if len(encoded) <= MAX_NAME:
        return name
    suffix = Path(name).suffix if len(os.fsencode(Path(name).suffix)) < 20 else ""
    tail = f"~{hashlib.sha256(encoded).hexdigest()[:16]}{suffix}"
    kept = encoded[: MAX_NAME - len(os.fsencode(tail))]
    return kept.decode("utf-8", "ignore") + tail  # no half characters


def clear_leftovers(folder: Path) -> None:
    """Removes temporary files and folders of processes that are no longer alive."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _TEMPORARY.match(entry.name)
            if not match or match[2] != _where() or _is_alive(int(match[1])):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _where() -> str:
    """Names the machine and container whose process numbers ours is one of.

    A folder may be shared: numbers that are dead here may be alive elsewhere.
    """
    try:
        container = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        container = ""
    return hashlib.sha256(f"{platform.node()} {container}".encode()).hexdigest()[:8]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another user's
        return True
    return True
