"""Runs command lines one after another, each in a fork of a process that is past the imports.

Importing TensorFlow takes seconds, which every command line of a test would pay. A fork is as
much a process of its own as a new interpreter: with its own modules, flags, files and exit code.

    python -m tests.forks tensorflow|toys|blocked

"toys": with TensorFlow, and with `tests.toys` registered before all else; "blocked": where neither
TensorFlow nor Keras can be imported.

Reads requests from standard input, a line of JSON each: what follows `python -m`, the working
directory, and the files that take standard output and standard error. Answers with the exit code.
"""

import gc
import importlib
import json
import os
import runpy
import signal
import sys

from tests import toys

HANGS = 1800  # seconds; ends a command that hangs, and is no measure of speed
# What commands import, with TensorFlow and before it; they themselves are run as __main__.
PRELOADED_FIRST = (
    "rectloc_tf.results.report",
    "rectloc_tf.serving.image_search",
)
PRELOADED = (
    "rectloc_tf.training.loop",
    "rectloc_tf.serving.overlays",
    "rectloc_tf.serving.prediction",
    "rectloc_tf.serving.saved_model",
    "pipelines.scenes.source",
)


def preload(kind: str) -> None:
    """Imports what is slow; that starts neither TensorFlow's devices nor its threads."""
    if kind == "toys":
        toys.register()
    from rectloc_tf import cli  # defines the flags, with the heads and sources that there are

    if kind == "blocked":
        sys.modules.update(tensorflow=None, keras=None)  # importing them is an error now
    else:
        cli.load_tensorflow()  # silently
    for name in PRELOADED_FIRST + (PRELOADED if kind != "blocked" else ()):
        importlib.import_module(name)
    gc.freeze()  # or every fork would look through all of it for garbage


def become(module: str, *flags: str, cwd: str, out: str, err: str) -> None:
    """Turns this process into one that runs `python -m module flags`."""
    signal.alarm(HANGS)
    os.chdir(cwd)
    written = os.O_WRONLY | os.O_CREAT
    for number, path, mode in ((0, os.devnull, os.O_RDONLY), (1, out, written), (2, err, written)):
        os.dup2(os.open(path, mode), number)
    sys.argv = [module, *flags]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    """Serves until standard input ends."""
    preload(sys.argv[1])
    for line in sys.stdin:
        command, files = json.loads(line)
        child = os.fork()
        if child == 0:
            become(*command, **files)
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
