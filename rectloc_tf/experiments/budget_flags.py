"""What the flags of `label_budget` ask for. No TensorFlow."""

from dataclasses import dataclass

from rectloc_tf import cli
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.registry import HEADS, NAMED


@dataclass(frozen=True)
class Asked:
    """A label budget.

    Attributes:
        base: the run that is varied, its labels not read.
        archs: the heads.
        sizes: labelled images, ascending; empty: chosen by how many there are.
        folds, seeds: of each size; at least two folds.
        more: images that may be labelled next; 0: as many again.
    """

    base: RunConfig
    archs: tuple[str, ...]
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
    base = cli.run_config()
    able = [name for name, spec in HEADS.items() if NAMED in spec.points]
    archs = tuple(cli.option("archs"))
    if not archs or len({*archs}) < len(archs) or not {*archs} <= {*able}:
        rule = f"some of {', '.join(able)}, with commas, each once"
        raise ConfigError(f"--archs={','.join(archs)}: must be {rule}")
    seeds = cli.numbers("seeds", int) if cli.is_given("seeds") else (0,)
    return Asked(
        base,
        archs,
        tuple(sorted(cli.numbers("sizes", int))) if cli.option("sizes") else (),
        cli.option("folds"),
        seeds,
        cli.option("more_labels"),
    )
