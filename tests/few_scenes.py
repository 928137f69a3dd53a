"""Runs an entry point that measures few scenes: `python -m tests.few_scenes rectloc_tf.train ...`.

The validation and the test split are cut from 1000 scenes to the first 50: the size of the splits
matters to what a run costs, and to hardly anything that a test looks at.
"""

import runpy
import sys

from rectloc_tf.config import SPLITS, RunConfig

FEW = 50  # a batch of the evaluator


def split_indices(run: RunConfig, split: str, whole=RunConfig.split_indices) -> range:
    """In place of `RunConfig.split_indices`."""
    return whole(run, split) if split == SPLITS[0] else whole(run, split)[:FEW]


if __name__ == "__main__":
    RunConfig.split_indices = split_indices
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
