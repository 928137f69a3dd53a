"""Runs an entry point that is killed half-way:

    python -m tests.killed os.replace runs/ 2 rectloc_tf.train ...

It kills itself (SIGKILL) in place of the second call of that function that names `runs/` in its
arguments: at a moment that does not depend on the machine's speed, and as hard as from outside.
"""

import importlib
import os
import runpy
import signal
import sys


def die_at(name: str, text: str, number: int) -> None:
    """Puts a function that kills the process in the place of `module.function`."""
    module, _, function = name.rpartition(".")
    place = importlib.import_module(module)
    whole, calls = getattr(place, function), []

    def counted(*args, **named):
        calls.append(any(text in str(arg) for arg in args))
        if sum(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(*args, **named)

    setattr(place, function, counted)


if __name__ == "__main__":
    what, text, number = (sys.argv.pop(1) for _ in range(3))
    die_at(what, text, int(number))
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
