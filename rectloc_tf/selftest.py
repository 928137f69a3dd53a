"""See in the first minute whether a new device trains: `python -m rectloc_tf.selftest`.

Takes 20 steps of a small run on the devices and compares the losses with the CPU's, measures speed
and memory, tries XLA on a GPU (or with --jit=on) in a process of its own, since it may abort on new
cards, and ends with a line of advice. Exit code 0: `train` works here with these flags; 1: it does
not, and the line says what may.
"""

from rectloc_tf import cli
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.training.device_check import check_device


def selftest() -> None:
    """Tries what `train` would do with these flags."""
    strategy = cli.option("strategy")
    if strategy == "multi_worker":
        raise ConfigError("--strategy=multi_worker: only train works on several machines")
    asked = strategy, cli.option("precision"), cli.option("jit")
    verdict = check_device(*asked, show=lambda line: print(line, flush=True))
    if not verdict.works:
        raise UserError(verdict.advice)
    print(f"advice     {verdict.advice}")


if __name__ == "__main__":
    cli.main("selftest", selftest)
