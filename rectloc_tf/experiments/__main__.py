"""`python -m rectloc_tf.experiments` lists the experiments."""

from rectloc_tf import cli
from rectloc_tf.cli.commands import list_commands

if __name__ == "__main__":
    cli.show(list_commands("experiments."))
