"""Who holds a folder: one process, on whichever machine; the clock is that of the files."""

import dataclasses
import errno
import fcntl
import json
import os
import subprocess
import sys
import threading

import pytest

from rectloc_tf.errors import BusyError
from rectloc_tf.results import lease
from rectloc_tf.results.lease import EXPIRY, RENEW, Holder, hold, ourselves, seconds_left
from rectloc_tf.results.rundir import RunFolder
from tests.conftest import HANGS, ROOT

OURS = Holder("here", 5, "this kernel")
HERE, ELSEWHERE = Holder("here", 4, "this kernel"), Holder("here", 4, "another kernel")


def put(folder, number, holder, age=0.0):
    """A lease of another process, dated `age` seconds ago by the folder's own clock."""
    path = folder / f".lease.{number}"
    path.write_text(json.dumps(dataclasses.asdict(holder)))
    dated = path.stat().st_mtime - age
    os.utime(path, (dated, dated))
    return path


def leases(folder):
    return sorted(path.name for path in folder.glob(".lease*"))


@pytest.mark.parametrize(
    ("age", "theirs", "locked", "left"),
    [
        (0, ELSEWHERE, True, EXPIRY),  # machines may have the same name
        (100, ELSEWHERE, True, EXPIRY - 100),
        (EXPIRY, ELSEWHERE, True, 0),
        (1e9, ELSEWHERE, False, 0),
        (0, HERE, True, 0),  # dead, or it would have the kernel's lock
        (100, HERE, False, EXPIRY - 100),  # no such locks: it may be alive
        (0, None, True, EXPIRY),  # not written yet
        (EXPIRY, None, True, 0),
        (-3600, ELSEWHERE, True, EXPIRY + 3600),  # the file server's clock was put back
        (-3600, HERE, True, 0),
    ],
)
def test_how_long_a_lease_lasts(age, theirs, locked, left):
    assert seconds_left(age, theirs, OURS, locked) == left


def test_a_lease_lives_through_renewals_that_are_seen_late():
    assert EXPIRY >= 2 * RENEW + 60


def test_the_holder_is_named_with_its_machine(tmp_path):
    with hold(tmp_path) as held:
        values = json.loads(held.path.read_text())
        assert Holder(**values) == ourselves()
        assert values["pid"] == os.getpid()
        with pytest.raises(BusyError) as caught, hold(tmp_path):
            pytest.fail("held twice")
    text = f"another process is training in this folder (process {os.getpid()} on {values['host']})"
    assert str(caught.value) == f"--run_dir={tmp_path}: {text}"


def test_no_number_is_used_twice(tmp_path):
    for number in (1, 2, 3):
        with hold(tmp_path) as held:
            assert held.path.name == f".lease.{number}"
            assert leases(tmp_path) == [f".lease.{number}"]


def test_another_machine_keeps_us_out_while_it_dates_its_lease(tmp_path):
    put(tmp_path, 7, ELSEWHERE, age=100)
    with pytest.raises(BusyError) as caught, hold(tmp_path):
        pytest.fail("held twice")
    assert "(process 4 on here); if it was killed, the folder is free in " in str(caught.value)
    assert 0 < float(str(caught.value).split()[-2]) <= EXPIRY - 100
    assert leases(tmp_path) == [".lease.7"]
    put(tmp_path, 7, ELSEWHERE, age=EXPIRY)
    with hold(tmp_path) as held:
        assert held.path.name == ".lease.8"
        assert leases(tmp_path) == [".lease.8"]


def test_a_lease_given_back_is_free_for_every_machine(tmp_path):
    with hold(tmp_path) as held:
        pass
    values = json.loads(held.path.read_text())
    held.path.write_text(json.dumps({**values, "machine": "another kernel"}))
    held.give_back()
    with hold(tmp_path) as next_one:
        assert next_one.path.name == ".lease.2"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "a", "pid": "b", "machine": "c"}'])
def test_a_lease_that_cannot_be_read_lasts_as_long_as_others(tmp_path, text):
    path = put(tmp_path, 1, HERE)
    path.write_text(text)
    with pytest.raises(BusyError, match="in this folder; if it was killed"), hold(tmp_path):
        pytest.fail("held twice")
    os.utime(path, (0, 0))
    with hold(tmp_path) as held:
        assert held.path.name == ".lease.2"


def test_a_dead_process_of_this_machine_is_known_at_once(tmp_path):
    put(tmp_path, 3, dataclasses.replace(ourselves(), pid=1))  # a number may be another's by now
    with hold(tmp_path) as held:
        assert held.path.name == ".lease.4"


def without_kernel_locks(*_):
    raise OSError(errno.ENOLCK, "no locks available")


def test_the_lease_alone_holds_where_there_are_no_kernel_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", without_kernel_locks)
    with hold(tmp_path), pytest.raises(BusyError), hold(tmp_path):
        pytest.fail("held twice")
    with hold(tmp_path) as held:
        assert held.path.name == ".lease.2"


def test_other_errors_of_the_lock_are_reported(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(OSError, match="broken"), hold(tmp_path):
        pytest.fail("not held")


def test_of_many_that_find_it_free_only_one_gets_it(tmp_path, monkeypatch):
    # As many machines do, which the kernel's lock does not part; all look before one takes it.
    (tmp_path / ".lock").touch()
    put(tmp_path, 4, ELSEWHERE, age=EXPIRY)
    looked = threading.Barrier(8)

    def seconds_left(*_):
        looked.wait(30)
        return 0.0

    monkeypatch.setattr(lease, "seconds_left", seconds_left)
    taken, refused = [], []

    def take():
        try:
            taken.append(lease._take(tmp_path, OURS, False))
        except BusyError as error:
            refused.append(error)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in taken] == [".lease.5"]
    assert len(refused) == 7
    assert leases(tmp_path) == [".lease.5"]


def test_who_looked_long_ago_comes_too_late(tmp_path, monkeypatch):
    # It saw number 4, free; meanwhile others have held, and removed, what came after.
    put(tmp_path, 4, ELSEWHERE, age=EXPIRY)

    def meanwhile(*_):
        (tmp_path / ".lease.4").unlink()
        put(tmp_path, 6, ELSEWHERE)
        return 0.0

    monkeypatch.setattr(lease, "seconds_left", meanwhile)
    with pytest.raises(BusyError), hold(tmp_path):
        pytest.fail("held twice")
    assert leases(tmp_path) == [".lease.6"]


def test_a_holder_dates_its_lease_until_it_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "RENEW", 0.001)
    dated = threading.Event()
    monkeypatch.setattr(lease.Lease, "renew", lambda self: dated.set())
    with hold(tmp_path):
        assert dated.wait(30)
        assert "lease" in [thread.name for thread in threading.enumerate()]
    assert "lease" not in [thread.name for thread in threading.enumerate()]


def test_renewing_dates_it_now(tmp_path):
    with hold(tmp_path) as held:
        os.utime(held.path, (0, 0))
        held.renew()
        assert abs(held.path.stat().st_mtime - lease._now(tmp_path)) < EXPIRY
    held.path.unlink()
    held.renew()  # of a folder that is gone: nothing
    assert leases(tmp_path) == []


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_clock_that_jumps_is_made_up_for_by_the_next_date(tmp_path, jump):
    with hold(tmp_path) as held:
        dated = held.path.stat().st_mtime - jump  # as seen after the jump
        os.utime(held.path, (dated, dated))
        held.renew()
        age = lease._now(tmp_path) - held.path.stat().st_mtime
        assert seconds_left(age, ELSEWHERE, OURS, True) == pytest.approx(EXPIRY, abs=60)


HOST = """
import os, sys, time
from pathlib import Path
from rectloc_tf.errors import BusyError
from rectloc_tf.results.lease import Holder, Lease, _take

folder, name, other = Path(sys.argv[1]), *sys.argv[2:]
# The lock of its kernel keeps no other host out.
host = Holder(name, os.getpid(), f"the kernel of {name}")
log = os.open(folder / "log", os.O_WRONLY | os.O_APPEND)

def tell(what):
    os.write(log, f"{name} {what}\\n".encode())

def others():
    return [line for line in (folder / "log").read_text().splitlines() if line.startswith(other)]

tell("begins")
while not others():
    time.sleep(0.001)
taken = 0
while taken < 8:
    try:
        lease = Lease(_take(folder, host, True))
    except BusyError as error:
        assert "another process is training in this folder" in str(error)
        tell("is refused")
        time.sleep(0.001)
        continue
    tell(f"takes {lease.path.name}")
    taken, before = taken + 1, len(others())
    while len(others()) == before and f"{other} ends" not in others():
        time.sleep(0.001)  # until the other has tried
    assert lease.is_ours()
    tell(f"gives {lease.path.name}")
    lease.give_back()
tell("ends")
"""


def test_processes_of_two_hosts_hold_a_folder_in_turns(tmp_path):
    for name in (".lock", "log"):
        (tmp_path / name).touch()
    hosts = [
        subprocess.Popen([sys.executable, "-c", HOST, tmp_path, *names], cwd=ROOT)
        for names in (("one", "two"), ("two", "one"))
    ]
    assert [host.wait(HANGS) for host in hosts] == [0, 0]
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    held = [line for line in lines if line[1] in ("takes", "gives")]
    assert len(held) == 32
    for took, gave in zip(held[::2], held[1::2], strict=True):
        assert (took[1], gave[1]) == ("takes", "gives")
        assert (took[0], took[2]) == (gave[0], gave[2])  # no other between
    assert len({took[2] for took in held[::2]}) == 16
    # Whoever ends first was held against the other each time, but where that had just ended.
    assert sum(line[1] == "is" for line in lines) >= 7


def test_a_sleeper_whose_folder_was_taken_writes_no_more(tmp_path):
    folder = RunFolder(tmp_path)
    folder.require_held()  # nobody holds it
    with folder.lock():
        folder.require_held()
        put(tmp_path, 2, ELSEWHERE)
        with pytest.raises(BusyError, match=f"--run_dir={tmp_path}: another process has taken"):
            folder.require_held()
    assert (tmp_path / ".lease.2").stat().st_mtime > 0  # what is theirs stays
