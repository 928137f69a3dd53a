"""Who holds a folder: one process, on whichever machine; the clock is that of the files."""

import dataclasses
import errno
import fcntl
import json
import os
import threading

import pytest

from rectloc_tf.errors import BusyError
from rectloc_tf.results import lease
from rectloc_tf.results.lease import EXPIRY, RENEW, Holder, hold, ourselves, seconds_left
from rectloc_tf.results.rundir import RunFolder

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


def test_other_errors_of_the_lock_are_told(tmp_path, monkeypatch):
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


def test_a_sleeper_whose_folder_was_taken_writes_no_more(tmp_path):
    folder = RunFolder(tmp_path)
    folder.require_held()  # nobody holds it
    with folder.lock():
        folder.require_held()
        put(tmp_path, 2, ELSEWHERE)
        with pytest.raises(BusyError, match=f"--run_dir={tmp_path}: another process has taken"):
            folder.require_held()
    assert (tmp_path / ".lease.2").stat().st_mtime > 0  # what is theirs stays
