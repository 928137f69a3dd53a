"""Signals as requests to stop: the first asks, the second ends."""

import signal
import subprocess
import sys

import pytest

from rectloc_tf.errors import Interrupted
from rectloc_tf.training.interrupts import StopRequest, stop_on_signals
from tests.conftest import HANGS, ROOT

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
STOPS_WHEN_ASKED = """
import sys, time
from rectloc_tf.errors import Interrupted
from rectloc_tf.training.interrupts import stop_on_signals
with stop_on_signals() as stop:
    print("ready", flush=True)
    try:
        while True:
            time.sleep(0.01)
            stop.check()
    except Interrupted as error:
        print("saved", stop.exit_code, flush=True)
        sys.exit(error.exit_code)
"""
NEVER_LOOKS = """
import time
from rectloc_tf.training.interrupts import stop_on_signals
with stop_on_signals() as stop:
    print("ready", flush=True)
    while not stop:
        time.sleep(0.01)
    print("asked", stop.exit_code, flush=True)
    while True:
        time.sleep(600)
"""


def start(script):
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", CODES)
def test_first_signal_asks_and_the_loop_stops_by_itself(number):
    with start(STOPS_WHEN_ASKED) as process:
        process.send_signal(number)
        output, errors = process.communicate(timeout=HANGS)
    assert output == f"saved {CODES[number]}\n"
    assert process.returncode == CODES[number]
    assert "signal again to stop at once" in errors


@pytest.mark.parametrize("first", CODES)
@pytest.mark.parametrize("second", CODES)
def test_second_signal_ends_at_once_with_its_own_code(first, second):
    with start(NEVER_LOOKS) as process:
        try:
            process.send_signal(first)
            assert process.stdout.readline() == f"asked {CODES[first]}\n"
            process.send_signal(second)
            _, errors = process.communicate(timeout=HANGS)
        finally:
            process.kill()
    assert process.returncode == CODES[second]
    assert "Traceback" not in errors


@pytest.mark.parametrize("fails", [False, True])
def test_handlers_are_restored(fails):
    before = {number: signal.getsignal(number) for number in CODES}
    try:
        with stop_on_signals():
            inside = {number: signal.getsignal(number) for number in CODES}
            if fails:
                raise RuntimeError
    except RuntimeError:
        assert fails
    assert {number: signal.getsignal(number) for number in CODES} == before
    assert all(inside[number] != before[number] for number in CODES)


def test_without_a_signal_nothing_is_asked():
    with stop_on_signals() as stop:
        assert not stop
        stop.check()
        assert stop.exit_code is None


def test_check_raises_with_the_exit_code():
    stop = StopRequest()
    stop.exit_code = 143
    assert stop
    with pytest.raises(Interrupted) as caught:
        stop.check()
    assert caught.value.exit_code == 143
