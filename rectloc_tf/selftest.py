"""Check in a minute whether training works on a new device: `python -m rectloc_tf.selftest`.

Makes 20 steps of a small run, compares the losses with the CPU's, measures speed and memory, and
tries XLA on a GPU (or with --jit=on) in a separate process, because it may abort on new cards. The
last line names the flags to use. Exit code 0: `train` works here with these flags; 1: it does not,
and the line says what may.
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
