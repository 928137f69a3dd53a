"""Errors that end a command: what the user reads, and the code the shell gets."""

import re

# Documented in GUIDE.md, "Exit codes".
EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_SIGINT = 130
EXIT_SIGTERM = 143

_BUILT_AT = re.compile(r"Graph execution error|Detected at|Node: |<stack|\s|$")


class UserError(Exception):
    """Something the user can put right; its text is one line that says how."""

    exit_code = EXIT_ERROR


class BusyError(UserError):
    """Another process is at work on the same thing."""


class ConfigError(UserError, ValueError):
    """A flag (or config field) has a value that cannot work; the text names it."""

    exit_code = EXIT_USAGE


class Interrupted(Exception):
    """A signal asked a run to stop; its state is saved and `exit_code` says which signal."""

    def __init__(self, exit_code: int):
        super().__init__(f"interrupted (exit code {exit_code})")
        self.exit_code = exit_code


def reason(error: BaseException) -> str:
    """What an exception says, in one line for people."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines() or [type(error).__name__]
    if lines[0] == "Graph execution error:":
        # TensorFlow lists first where the graph was built, indented.
        lines = [line for line in lines if not _BUILT_AT.match(line)] or lines
    # It wraps the reason in the names of its ops and of temporary files.
    text = re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*?\]", "", lines[0])
    return text.rsplit("; ", 1)[-1][:120]


def one_line(text: str) -> str:
    """A message with names of files in it, as one line that a terminal shows as it is."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )
