"""Progress on a terminal, or as an occasional line in a log."""

import shutil
import sys
import time
from typing import TextIO


def format_seconds(seconds: float) -> str:
    """3725 -> '1:02:05', 65 -> '1:05'."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class ProgressLine:
    """One line, rewritten in place on a terminal, printed every `log_seconds` elsewhere."""

    def __init__(self, stream: TextIO | None = None, log_seconds: float = 30.0):
        self._stream = stream or sys.stdout
        self._is_terminal = self._stream.isatty()
        self._pause = 0.2 if self._is_terminal else log_seconds
        self._next = time.monotonic() + (0.0 if self._is_terminal else log_seconds)
        self._width = 0

    def due(self) -> bool:
        """Whether it is time for an update; check before formatting the text."""
        return time.monotonic() >= self._next

    def update(self, text: str, seconds_left: float | None = None) -> None:
        """Shows `text` in place of the last update.

        Args:
            text: what to show.
            seconds_left: of the run, if known; not shown here, since `text` has it.
        """
        self._next = time.monotonic() + self._pause
        if self._is_terminal:
            # A line that wraps cannot be written over.
            text = text[: shutil.get_terminal_size().columns - 1]
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def print(self, text: str) -> None:
        """Prints a line that stays."""
        self.clear()
        self._stream.write(text + "\n")
        self._stream.flush()

    def clear(self) -> None:
        """Erases the last update on a terminal."""
        if self._is_terminal and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0

    def warn(self, text: str) -> None:
        """Prints a line that stays, marked as a warning."""
        self.print(f"warning: {text}")


class WarningsOnly(ProgressLine):
    """For cluster workers other than the chief, which prints everything else."""

    def due(self) -> bool:
        """Never."""
        return False

    def update(self, text: str, seconds_left: float | None = None) -> None:
        """Shows nothing."""

    def print(self, text: str) -> None:
        """Prints nothing."""

    def warn(self, text: str) -> None:
        """Prints a warning."""
        super().print(f"warning: {text}")
