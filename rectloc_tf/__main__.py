"""`python -m rectloc_tf` lists the commands; `python -m rectloc_tf train ...` runs one."""

import runpy
import sys

from rectloc_tf import cli
from rectloc_tf.cli.commands import COMMANDS, did_you_mean, list_commands
from rectloc_tf.errors import EXIT_USAGE


def main() -> None:
    """Prints the list, or runs the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "-h"
    if name.startswith("-"):
        cli.show(list_commands())
    elif name in COMMANDS:
        del sys.argv[1]
        runpy.run_module(f"rectloc_tf.{name}", run_name="__main__", alter_sys=True)
    else:
        hint = did_you_mean(name, COMMANDS) or "; python -m rectloc_tf lists the commands"
        sys.stderr.write(f"error: no command {name!r}{hint}\n")
        sys.exit(EXIT_USAGE)


if __name__ == "__main__":
    main()
