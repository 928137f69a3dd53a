"""Runs an entry point with a narrow network: `python -m tests.narrow rectloc_tf.train ...`.

A ResNet18 of one block a stack and few filters has every part of the whole one. To build, trace,
save and load the whole one takes most of the time of a run of a few steps, and is of no matter to
a test of what is done with a network.
"""

import contextlib
import runpy
import sys
from collections.abc import Iterator
from unittest import mock

from rectloc_tf import cli

# Of 8 filters, oneDNN writes past the end of a gradient when a batch is of one (TensorFlow 2.21):
# hence whole multiples of 16, its block. All differ, or `layout.units` would leave out projections.
BLOCKS, FILTERS = {18: (1, 1, 1, 1)}, (16, 32, 48, 64)


@contextlib.contextmanager
def narrow() -> Iterator[None]:
    """Makes every ResNet18 that is built in the block a narrow one; there are no others."""
    from rectloc_tf.network import layout

    with mock.patch.multiple(layout, BLOCKS=BLOCKS, FILTERS=FILTERS):
        yield


if __name__ == "__main__":
    with contextlib.ExitStack() as stack:
        load = cli.load_tensorflow

        def load_and_narrow() -> None:
            load()
            stack.enter_context(narrow())

        cli.load_tensorflow = load_and_narrow  # what loads it first is the entry point's affair
        runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
