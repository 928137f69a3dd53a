"""Who is at work in a folder: one process, on whichever machine that shares it. No TensorFlow.

Two locks, since neither is enough alone. `.lock` is locked by the kernel and goes with the process,
however that ends; but it may hold on one machine only, and some network folders have none.
`.lease.N` holds on every machine. Its holder dates it anew every RENEW seconds; once it has not
been dated for EXPIRY seconds, by the clock of the file server alone, it is free. A process takes
it over by making the file of the next number, which the file system grants to one only; the
highest number holds. No number is used twice, so that a process that has looked early and acts
late is refused: the last file stays when it is given back, dated long ago.
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
import os
import platform
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rectloc_tf.errors import BusyError

RENEW, EXPIRY = 30.0, 180.0  # seconds; clients of a network folder may see dates 60 s late
_LOCK, _LEASE = ".lock", ".lease."
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


@dataclass(frozen=True)
class Holder:
    """A process that holds a folder.

    Attributes:
        host: name of its machine, for people.
        pid: its number there.
        machine: equal for processes of one running kernel, whose locks exclude each other; names
            of machines need not differ.
    """

    host: str
    pid: int
    machine: str


def ourselves() -> Holder:
    """This process."""
    try:
        machine = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        machine = str(uuid.getnode())
    return Holder(platform.node(), os.getpid(), machine)


def seconds_left(age: float, theirs: Holder | None, ours: Holder, locked: bool) -> float:
    """How long a lease still keeps others out; 0 if it is free.

    Args:
        age: seconds since it was dated.
        theirs: who holds it; None if that cannot be read.
        ours: who asks.
        locked: whether the asking process has locked `.lock`: then no other of its machine has,
            and those that died are known.
    """
    if locked and theirs is not None and theirs.machine == ours.machine:
        return 0.0
    return max(EXPIRY - age, 0.0)


class Lease:
    """A folder that this process holds; `hold` makes it.

    Attributes:
        path: its file.
    """

    def __init__(self, path: Path):
        self.path = path
        self._ended = threading.Event()

    def is_ours(self) -> bool:
        """Whether no other process has taken the folder over, as after a long sleep."""
        return _newest(self.path.parent) in (self.path, None)  # None: somebody deleted it all

    def renew(self) -> None:
        """Dates it with the time of the file server, in which all ages are counted."""
        with contextlib.suppress(OSError):  # taken over or no file server: see is_ours
            os.utime(self.path)

    def give_back(self) -> None:
        """Dates it long ago."""
        with contextlib.suppress(OSError):
            os.utime(self.path, (0, 0))

    @contextlib.contextmanager
    def renewed(self) -> Iterator[None]:
        """Keeps it dated while the block runs."""

        def keep() -> None:
            while not self._ended.wait(RENEW):
                self.renew()

        thread = threading.Thread(target=keep, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[Lease]:
    """Holds a folder that is there, against processes of this machine and of all others.

    Raises:
        OSError: if it cannot be written.
        BusyError: if another process holds it, which is named.
    """
    with open(folder / _LOCK, "a") as handle:
        lease = Lease(_take(folder, ourselves(), _locks(handle, folder)))
        try:
            with lease.renewed():
                yield lease
        finally:
            lease.give_back()


def _locks(handle: TextIO, folder: Path) -> bool:
    """Locks `.lock`; returns whether the file system has such locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _busy(folder) from error
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return False
    return True


def _take(folder: Path, ours: Holder, locked: bool) -> Path:
    """Makes the next lease, if the last one is free; returns its file."""
    last = _newest(folder)
    if last is not None:
        now = _now(folder)
        try:
            age = now - last.stat().st_mtime
        except FileNotFoundError as error:  # another process was faster
            raise _busy(folder) from error
        if left := seconds_left(age, _read(last), ours, locked):
            raise _busy(folder, left)
    path = folder / f"{_LEASE}{_number(last) + 1}"
    try:
        with open(path, "x", encoding="utf-8") as handle:
            json.dump(dataclasses.asdict(ours), handle)
    except FileExistsError as error:
        raise _busy(folder) from error
    except OSError:
        path.unlink(missing_ok=True)
        raise
    if _newest(folder) != path:
        path.unlink(missing_ok=True)
        raise _busy(folder)
    for older in _leases(folder):
        if older != path:
            older.unlink(missing_ok=True)
    return path


def _leases(folder: Path) -> list[Path]:
    return [path for path in folder.glob(f"{_LEASE}*") if path.suffix[1:].isdecimal()]


def _number(path: Path | None) -> int:
    return int(path.suffix[1:]) if path else 0


def _newest(folder: Path) -> Path | None:
    return max(_leases(folder), key=_number, default=None)


def _now(folder: Path) -> float:
    """The time of the file server: what it dates a file with."""
    os.utime(folder / _LOCK)
    return (folder / _LOCK).stat().st_mtime


def _read(path: Path) -> Holder | None:
    """Who holds a lease; None if it is not written yet, damaged or gone."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Holder(str(values["host"]), int(values["pid"]), str(values["machine"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _busy(folder: Path, left: float = 0.0) -> BusyError:
    newest = _newest(folder)
    theirs = _read(newest) if newest else None
    text = f"--run_dir={folder}: another process is training in this folder"
    if theirs:
        text += f" (process {theirs.pid} on {theirs.host})"
    if left:
        text += f"; if it was killed, the folder is free in {left:.0f} s"
    return BusyError(text)
