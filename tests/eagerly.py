"""Runs a module without compiling its functions: `python -m tests.eagerly rectloc_tf.train ...`.

Compiling takes most of the time of a run of four steps, and to trace what makes batches most of
the rest. Nor does such a run draw its own pictures, which no test that runs it so looks at.
"""

import contextlib
import runpy
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

from rectloc_tf import cli


@dataclass(frozen=True)
class Batches:
    """In place of `streams._prepared`: makes each batch as it is asked for."""

    numbers: Iterable[Any]
    make: Callable[[Any], Any]

    def __iter__(self) -> Iterator[Any]:
        return map(self.make, self.numbers)


@contextlib.contextmanager
def eagerly() -> Iterator[None]:
    """Compiles nothing in the block; on one device, where nothing distributes the batches."""
    import tensorflow as tf

    from pipelines import streams

    tf.config.run_functions_eagerly(True)
    try:
        with mock.patch.object(streams, "_prepared", Batches):
            yield
    finally:
        tf.config.run_functions_eagerly(False)


@contextlib.contextmanager
def without_own_pictures() -> Iterator[None]:
    """Puts an empty figure in the place of those that a run draws of itself."""
    from rectloc_tf.results import plots

    def nothing(*args: Any, **named: Any) -> Any:
        return plots.new_figure(1, 1)

    names = ("prediction_grid", "history_curves", "epoch_strip")
    with mock.patch.multiple(plots, **dict.fromkeys(names, nothing)):
        yield


if __name__ == "__main__":
    cli.load_tensorflow()
    with eagerly(), without_own_pictures():
        runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
