"""The command line: the only module that reads absl flags; `definitions` has all of them.

All entry points share these flags, so one flagfile serves them all; `commands` says which of them
a command uses. Mistakes are answered before anything slow is imported.
"""

import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags, logging

from rectloc_tf import config
from rectloc_tf.cli import commands
from rectloc_tf.cli import definitions as definitions  # makes the flags
from rectloc_tf.cli.help import help_text
from rectloc_tf.errors import (
    EXIT_ERROR,
    EXIT_SIGINT,
    EXIT_USAGE,
    ConfigError,
    Interrupted,
    UserError,
    one_line,
    reason,
)
from rectloc_tf.registry import UNORDERED
from rectloc_tf.results.rundir import RunFolder, locate
from rectloc_tf.settings import settings_of
from rectloc_tf.training import initial_weights
from rectloc_tf.training.interrupts import exit_on_sigterm

FLAGS = flags.FLAGS
_HELP = {"-h", "-help", "--help", "--helpshort", "--helpfull"}


def run_config(**changes: Any) -> config.RunConfig:
    """The run that the flags describe, with some of their values changed."""
    return _from_flags(config.RunConfig, **changes)


def execution_config() -> config.ExecutionConfig:
    """How the flags say it is to be carried out."""
    return _from_flags(config.ExecutionConfig)


def _from_flags(cls: type, **changes: Any) -> Any:
    return cls(**config.implied({name: option(name) for name in settings_of(cls)} | changes))


def option(name: str) -> Any:
    """The value of one of the other flags."""
    return FLAGS[name].value


def numbers(name: str, kind: type) -> tuple:
    """The value of a flag that is a list, as numbers.

    Raises:
        ConfigError: if some are none.
    """
    given = option(name)
    try:
        return tuple(kind(text) for text in given)
    except ValueError as error:
        message = f"--{name}={','.join(given)}: must be numbers separated by commas"
        raise ConfigError(message) from error


def path_option(name: str) -> Path | None:
    """The value of a flag that names a file or folder, `~` expanded; None if it is left out."""
    return None if option(name) is None else folder(name)


def folder(name: str) -> Path:
    """The value of a flag that names a folder and has a default, `~` expanded."""
    return Path(os.path.expanduser(option(name)))


def is_given(name: str) -> bool:
    """Whether a flag was set on the command line or in a flagfile."""
    return bool(FLAGS[name].present)


def run_dirs() -> list[str]:
    """All values of --run_dir, none if it is left out.

    Raises:
        ConfigError: if one is empty, as an unset shell variable makes it.
    """
    values = option("run_dir") or []
    if "" in values:
        raise ConfigError("--run_dir=: empty; give a folder, or leave the flag out")
    return [os.path.expanduser(value) for value in values]


def run_dir() -> str | None:
    """The last value of --run_dir, None if it is left out; errors as of `run_dirs`."""
    return next(reversed(run_dirs()), None)


def open_runs() -> dict[str, tuple[RunFolder, config.RunConfig]]:
    """The runs that --run_dir names, each once, by the names of their folders. Loads TensorFlow.

    Raises:
        UserError: if one is no run, two have the same name, or none is named.
    """
    folders = {os.path.abspath(path): RunFolder(os.path.abspath(path)) for path in run_dirs()}
    if not folders:
        raise ConfigError("--run_dir: missing; give a run folder, or repeat the flag for several")
    runs: dict[str, tuple[RunFolder, config.RunConfig]] = {}
    for path, folder in folders.items():
        name = folder.path.name
        if name in runs:
            hint = f"two run folders are named {name}; pass one through a link with another name"
            raise ConfigError(f"--run_dir={path}: {hint}")
        runs[name] = folder, folder.run_config()
    load_tensorflow()
    return runs


def threshold(folder: RunFolder, run: config.RunConfig) -> float:
    """The value of --threshold; if it is left out, the one that the run's training chose.

    Raises:
        ConfigError: if it is given for a run without detections.
    """
    given = option("threshold")
    if given is None:
        return folder.threshold(run)
    if run.labels != UNORDERED:
        hint = f"--labels={run.labels} has no detections; leave it out"
        raise ConfigError(f"--threshold: is for --labels={UNORDERED}, and {hint}")
    return given


def open_run() -> tuple[RunFolder, config.RunConfig]:
    """The run to use: --run_dir, or else the one that the other flags describe.

    Loads TensorFlow.

    Raises:
        UserError: if there is no such run, or it does not use a flag on the command line.
    """
    path = run_dir()
    if path:
        folder = RunFolder(path)
        run = folder.run_config()  # before TensorFlow is loaded
        if problem := commands.unused_by(run, typed_flags(sys.argv[1:])):
            raise ConfigError(problem)
        load_tensorflow()
        return folder, run
    asked, execution = run_config(), execution_config()
    initial_weights.check(asked, option("weights"))
    load_tensorflow()
    from pipelines.source import read_files
    from rectloc_tf.training import runtime

    run, _ = runtime.resolve(asked, execution)
    run, _ = initial_weights.resolve(run, option("weights"))
    run, _ = read_files(run, option("images_root"))
    folder = locate(asked, run, None)
    if not folder.path.is_dir():
        raise UserError(f"no run with these flags ({folder.path} is missing); give --run_dir")
    return folder, folder.run_config()


def main(name: str, command: Callable[[], int | None]) -> None:
    """Parses the flags, runs `command` and exits; mistakes end in one line on stderr.

    Args:
        name: its name in `commands.COMMANDS`, which says what flags it uses.
        command: what to run once the flags are parsed; returns the exit code, or None for 0.

    Exit codes: 0 done, 1 an error, 2 a wrong flag, 130 Ctrl-C, 143 SIGTERM.
    """
    if _HELP.intersection(sys.argv[1:]):
        show(help_text(name, FLAGS, full="--helpfull" in sys.argv))
    # TensorFlow's start-up log is not for people who want to find rectangles.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # leave room for a second process
    _ignore_keras_settings()
    app.run(lambda argv: _run(command), flags_parser=lambda argv: _parse(name, argv))


def _ignore_keras_settings() -> None:
    """Keeps the user's Keras config and environment out of our commands.

    Our modules do not depend on them, but Keras does not even load with some values.
    """
    for name in [n for n in os.environ if n.startswith("KERAS_") and n != "KERAS_BACKEND"]:
        del os.environ[name]
    os.environ["KERAS_HOME"] = os.devnull  # a folder that has no keras.json and gets none


def show(text: str) -> NoReturn:
    """Prints a text and exits."""
    _run(lambda: print(text, flush=True))


def _parse(name: str, argv: list[str]) -> list[str]:
    try:
        rest = FLAGS(argv)
        _check_values_are_given()
        given = {flag: option(flag) for flag in FLAGS if is_given(flag) and option(flag) != ""}
        typed = typed_flags(argv[1:])
        problem = commands.refusal(name, typed, given)
        problem = problem or commands.unused_setting(name, typed, given)
    except flags.UnrecognizedFlagError as error:
        known = (*commands.COMMANDS[name].flags, "flagfile", "help", "verbosity")
        hint = commands.did_you_mean(error.flagname, known, "--")
        return _fail(f"unknown flag --{error.flagname}{hint}", EXIT_USAGE)
    except (flags.Error, OSError, UnicodeDecodeError, ConfigError) as error:
        return _fail(" ".join(str(error).removeprefix("ERROR:: ").split()), EXIT_USAGE)
    if not problem and rest[1:]:
        problem = f"unexpected argument {rest[1]!r}: options are written --name=value"
        if "images" in commands.COMMANDS[name].flags and os.path.isfile(rest[1]):
            pattern = Path(rest[1]).with_name(f"*{Path(rest[1]).suffix}")
            problem = (
                f"unexpected argument {rest[1]!r}: images are named by one pattern in quotes, "
                f"--images='{pattern}' (without quotes the shell expands it)"
            )
    return _fail(problem, EXIT_USAGE) if problem else rest


def _check_values_are_given() -> None:
    """Refuses `--output --images=a.png` (absl takes the second as the first's value), `--output=`.

    Raises:
        ConfigError: naming the flag.
    """
    for name in FLAGS:
        value = option(name) if is_given(name) else None
        texts = value if isinstance(value, list) else [value]
        if not isinstance(FLAGS[name], flags.MultiFlag):
            texts = texts[:1]
        for text in texts:
            if isinstance(text, str) and text.startswith("--"):
                raise ConfigError(f"--{name}: has no value; write --{name}=VALUE before {text}")
        if value in ("", []) or "" in texts:
            raise ConfigError(f"--{name}=: empty; give a value, or leave the flag out")


def typed_flags(arguments: list[str]) -> list[str]:
    """The names of the flags on the command line itself, without those in flagfiles.

    Args:
        arguments: of a command line that absl has parsed without an error.
    """
    typed, rest = [], iter(arguments)
    for argument in rest:
        if not argument.startswith("-") or not argument.strip("-"):
            break  # absl parses no flag after it
        name, equals, _ = argument.lstrip("-").partition("=")
        name = name if name in FLAGS else name.removeprefix("no")
        if name in FLAGS:
            typed.append(FLAGS[name].name)
        # --flagfile and --undefok are not among FLAGS, but have values too.
        if not equals and (name not in FLAGS or not FLAGS[name].boolean):
            next(rest, None)
    return typed


def _run(command: Callable[[], int | None]) -> NoReturn:
    if not is_given("verbosity"):
        logging.set_verbosity(logging.WARNING)
    exit_on_sigterm()
    try:
        sys.exit(command() or 0)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except Interrupted as error:
        sys.stderr.write("stopped; the same command resumes from here\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_SIGINT)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); the rest would only raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_ERROR)
    except OSError as error:
        _fail(f"{error.filename or 'system'}: {reason(error)}", EXIT_ERROR)
    except Exception as error:
        # TensorFlow's own class, which is not imported here.
        if type(error).__name__ != "ResourceExhaustedError":
            raise
        _fail(f"out of memory ({reason(error)}); a smaller --batch_size helps", EXIT_ERROR)


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"error: {one_line(message)}\n")
    sys.exit(code)


def load_tensorflow() -> None:
    """Imports TensorFlow without its start-up messages, which no log level silences.

    They go to a file that is shown only if the import fails. All that is imported stays until the
    end, so the garbage collector need not look for what of it can go: that took a sixth of the time
    of the import, and as much again whenever a study begins a run.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    gc.disable()
    with tempfile.TemporaryFile() as messages:
        try:
            os.dup2(messages.fileno(), 2)
            import tensorflow  # noqa: F401
        except Exception:
            os.dup2(saved, 2)
            messages.seek(0)
            with contextlib.suppress(OSError):
                os.write(2, messages.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            gc.freeze()
            gc.enable()
