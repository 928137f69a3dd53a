"""Ctrl-C and SIGTERM: training stops where its state can be saved, other commands clean up."""

import contextlib
import signal
import sys
from collections.abc import Iterator

from rectloc_tf.errors import EXIT_SIGINT, EXIT_SIGTERM, Interrupted

_EXIT_CODES = {signal.SIGINT: EXIT_SIGINT, signal.SIGTERM: EXIT_SIGTERM}


def exit_on_sigterm() -> None:
    """Makes SIGTERM end the process as Ctrl-C does: `finally` blocks run; the exit code is 143."""

    def handle(number, frame):
        raise SystemExit(EXIT_SIGTERM)

    signal.signal(signal.SIGTERM, handle)


class StopRequest:
    """Whether a signal has asked the process to stop."""

    def __init__(self):
        self.exit_code: int | None = None

    def __bool__(self) -> bool:
        return self.exit_code is not None

    def check(self) -> None:
        """Raises `Interrupted` if a stop was asked for."""
        if self.exit_code is not None:
            raise Interrupted(self.exit_code)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a `StopRequest`; a second one ends at once."""
    request = StopRequest()

    def handle(number, frame):
        if request:
            sys.stderr.write("\nstopped without saving again\n")
            raise SystemExit(_EXIT_CODES[number])
        request.exit_code = _EXIT_CODES[number]
        sys.stderr.write("\nstopping: saving a checkpoint first (signal again to stop at once)\n")

    previous = {number: signal.signal(number, handle) for number in _EXIT_CODES}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
