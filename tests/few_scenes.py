"""Runs an entry point that measures few scenes: `python -m tests.few_scenes rectloc_tf.train ...`.

The validation and the test split are cut from 1000 scenes to the first 50, and a run's own pictures
show a few of them: their number matters to what a run costs, and to hardly anything that a test
looks at.
"""

import runpy
import sys

from rectloc_tf.config import SPLITS, RunConfig
from rectloc_tf.results import plots

FEW = 50  # a batch of the evaluator
PICTURED = 3


def split_indices(run: RunConfig, split: str, whole=RunConfig.split_indices) -> range:
    """In place of `RunConfig.split_indices`."""
    return whole(run, split) if split == SPLITS[0] else whole(run, split)[:FEW]


if __name__ == "__main__":
    RunConfig.split_indices = split_indices
    plots.NUM_PICTURED_SCENES = plots.NUM_SNAPSHOT_SCENES = PICTURED
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
