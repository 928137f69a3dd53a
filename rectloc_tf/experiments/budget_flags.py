"""What the flags of `label_budget` ask for. No TensorFlow."""

import sys
from dataclasses import dataclass

from rectloc_tf import cli
from rectloc_tf.cli import commands
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.experiments.plan import require_each
from rectloc_tf.registry import HEADS, NAMED


@dataclass(frozen=True)
class Asked:
    """A label budget.

    Attributes:
        bases: of each head the run that is varied, its labels not read.
        sizes: labelled images, ascending; empty: chosen by how many there are.
        folds, seeds: of each size; at least two folds.
        more: images that may be labelled next; 0: as many again.
    """

    bases: tuple[RunConfig, ...]
    sizes: tuple[int, ...]
    folds: int
    seeds: tuple[int, ...]
    more: int


def read_flags() -> Asked:
    """The flags' values.

    Raises:
        ConfigError: naming the flag that is wrong.
    """
    if not cli.option("data"):
        raise ConfigError("--data: missing; give a label file, or a folder of label files")
    able = [name for name, spec in HEADS.items() if NAMED in spec.points]
    archs = tuple(cli.option("archs"))
    if not archs or len({*archs}) < len(archs) or not {*archs} <= {*able}:
        rule = f"some of {', '.join(able)}, with commas, each once"
        raise ConfigError(f"--archs={','.join(archs)}: must be {rule}")
    bases = tuple(cli.run_config(arch=arch) for arch in archs)
    if not all(base.steps for base in bases):
        rule = "sets of all sizes are trained for the same number of steps"
        raise ConfigError(f"--epochs: {rule}; give --steps instead")
    for flag in cli.typed_flags(sys.argv[1:]):
        if problem := commands.unused_by_all(bases, flag):
            raise ConfigError(problem)
    sizes = cli.numbers("sizes", int) if cli.option("sizes") else ()
    seeds = cli.numbers("seeds", int) if cli.is_given("seeds") else (0,)
    require_each("seeds", seeds, lambda v: 0 <= v < 2**31, "whole numbers from 0")
    if sizes:
        require_each("sizes", sizes, lambda v: v > 0, "above 0")
    return Asked(
        bases,
        tuple(sorted(sizes)),
        cli.option("folds"),
        seeds,
        cli.option("more_labels"),
    )
