"""Which of a command's runs this process makes, and on what: the flags' values. No TensorFlow."""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rectloc_tf import cli
from rectloc_tf.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """A part of the runs that a command asks for.

    Attributes:
        part: which of `count` parts of about equal size, from 1.
        count: of the parts, which have no run in common and all runs together.
        runs: names; of the part only these, if there are any.
    """

    part: int = 1
    count: int = 1
    runs: tuple[str, ...] = ()

    def of(self, names: Sequence[str]) -> list[str]:
        """The part of `names`, each of which occurs once.

        Raises:
            ConfigError: if `runs` has others.
        """
        for name in self.runs:
            if name not in names:
                raise ConfigError(f"--runs={name}: no run of this command; --dry_run lists them")
        part = names[self.part - 1 :: self.count]
        return [name for name in part if not self.runs or name in self.runs]


EVERYTHING = Share()


@dataclass(frozen=True)
class Resources:
    """What each run on a cluster gets.

    Attributes:
        cpus: cores.
        gpus: GPUs, or a share of one; None: one if the cluster has any.
    """

    cpus: int
    gpus: float | None


def parse_shard(text: str) -> tuple[int, int]:
    """Reads "2/5" as (2, 5).

    Raises:
        ConfigError: naming the flag, if it is something else.
    """
    found = re.fullmatch(r"([1-9]\d{0,4})/([1-9]\d{0,4})", text, re.ASCII)
    if not found or int(found[1]) > int(found[2]):
        raise ConfigError(f"--shard={text}: must be i/n with i from 1 to n, as 2/5")
    return int(found[1]), int(found[2])


def read_share() -> Share:
    """What --shard and --runs say.

    Raises:
        ConfigError: naming the flag that is wrong.
    """
    shard = cli.option("shard")
    return Share(*(parse_shard(shard) if shard else (1, 1)), tuple(cli.option("runs") or ()))


def read_resources() -> Resources | None:
    """What --runner, --task_cpus and --task_gpus say; None if the runs are made in this process.

    Raises:
        ConfigError: naming the flag that is wrong.
    """
    names = ("task_cpus", "task_gpus")
    if cli.option("runner") == "local" and not cli.option("runs"):
        for name in filter(cli.is_given, names):
            raise ConfigError(f"--{name}: has no effect without --runner=ray; leave it out")
    cpus, gpus = map(cli.option, names)
    if gpus is not None and gpus > 1 and gpus != int(gpus):
        raise ConfigError(f"--task_gpus={gpus:g}: must be a whole number, or a share below 1")
    distributed = cli.option("runner") != "local" and not cli.option("dry_run")
    return Resources(cpus, gpus) if distributed else None


def own_command(name: str, precision: str) -> list[str]:
    """What Python has to be given to run this command again, on any machine.

    Args:
        name: of the command, as `experiments.all`.
        precision: that "auto" means here; the names of runs depend on it.
    """
    changed = ("--runner=local", f"--precision={precision}")
    return ["-m", f"rectloc_tf.{name}", *sys.argv[1:], *changed]
