"""Runs a module without compiling its functions: `python -m tests.eagerly rectloc_tf.train ...`.

Compiling takes most of the time of a run of four steps.
"""

import runpy
import sys

from rectloc_tf import cli

if __name__ == "__main__":
    cli.load_tensorflow()
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    tf.data.experimental.enable_debug_mode()  # nor what makes batches
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
