"""The command line: the only module that defines and reads absl flags.

All entry points share these flags, so one flagfile serves them all. `main` turns flags into
configs before anything slow is imported: a typing mistake is answered at once.
"""

import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any, NoReturn

from absl import app, flags, logging

from rectloc_tf import config, initial_weights
from rectloc_tf.errors import (
    EXIT_ERROR,
    EXIT_SIGINT,
    EXIT_USAGE,
    ConfigError,
    Interrupted,
    UserError,
    reason,
)
from rectloc_tf.rundir import RunFolder, locate

FLAGS = flags.FLAGS
# The original's training-set sizes, as shares of 10,000 images.
FRACTIONS = "0.0005,0.001,0.002,0.003,0.005,0.0075,0.01,0.0175,0.025,0.07,0.2,0.5,1"
_RUN, _HOW = config.RunConfig(), config.ExecutionConfig()

# What the run is.
flags.DEFINE_enum("arch", _RUN.arch, config.ARCHS, "Head: coordinates or a heatmap.")
flags.DEFINE_integer("depth", _RUN.depth, "ResNet depth: 18, 34 or 50.")
flags.DEFINE_integer("domain", _RUN.domain, "Rectangles in each picture, 1 to 20.")
flags.DEFINE_integer("image_size", _RUN.image_size, "Working size, a multiple of 16, 64 to 1024.")
flags.DEFINE_integer("min_side", _RUN.min_side, "Shortest side of a rectangle, px of 224.")
flags.DEFINE_integer("max_side", _RUN.max_side, "Longest side of a rectangle, px of 224.")
flags.DEFINE_bool("solid", _RUN.solid, "Fill the rectangles.")
flags.DEFINE_enum("labels", _RUN.labels, config.LABELS, "Which rectangles are labelled.")
flags.DEFINE_enum("target", _RUN.target, config.TARGETS, "Heatmap shape (deconv only).")
flags.DEFINE_float("radius", _RUN.radius, "Radius of the disc, px of 224.")
flags.DEFINE_float("sigma", _RUN.sigma, "Sigma of the Gaussian, px of 224.")
flags.DEFINE_integer("data_seed", _RUN.data_seed, "Seed of the scenes.")
flags.DEFINE_integer("num_images", _RUN.num_images, "Image pool; 80 % of it is trained on.")
flags.DEFINE_bool("augment", _RUN.augment, "Mirror and transpose training scenes at random.")
flags.DEFINE_integer("batch_size", _RUN.batch_size, "Global batch size.")
flags.DEFINE_float("learning_rate", _RUN.learning_rate, "Adam's learning rate, at its peak.")
flags.DEFINE_enum("schedule", _RUN.schedule, config.SCHEDULES, "Learning rate over the run.")
flags.DEFINE_integer("epochs", None, "Epochs; 40 for xy and 100 for deconv if left out.")
flags.DEFINE_integer("validate_every", _RUN.validate_every, "Epochs between validations.")
flags.DEFINE_integer("seed", _RUN.seed, "Seed of the weights and of the order of images.")
flags.DEFINE_enum("precision", _RUN.precision, config.PRECISIONS, "Keras dtype policy.")
flags.DEFINE_string(
    "init_from", _RUN.init_from, "Run folder whose weights (see --weights) training starts from."
)

# How it is carried out.
flags.DEFINE_enum("strategy", _HOW.strategy, config.STRATEGIES, "tf.distribute strategy.")
flags.DEFINE_enum("jit", _HOW.jit, config.JITS, "Compile with XLA; auto: on GPU and TPU.")
flags.DEFINE_enum("renderer", _HOW.renderer, config.RENDERERS, "What draws the pictures.")
flags.DEFINE_enum("render_on", _HOW.render_on, config.PLACES, "Where training pictures are drawn.")
flags.DEFINE_bool("deterministic", _HOW.deterministic, "Bitwise repeatable training.")
flags.DEFINE_float(
    "checkpoint_minutes", _HOW.checkpoint_minutes, "Minutes between checkpoints inside an epoch."
)
flags.DEFINE_string(
    "run_dir", None, "Run folder; runs/<arch>-d<domain>-<hash of the run's flags> if left out."
)

# evaluate, predict and export.
flags.DEFINE_enum("weights", "best", ("best", "final"), "Which of the run's two models to use.")
flags.DEFINE_list(
    "domains", None,
    "evaluate: domains to test on, the run's own if left out; cross_domain: 1 to 5 if left out.",
)  # fmt: skip
flags.DEFINE_enum("split", "test", config.SPLITS, "evaluate, predict: the split of the scenes.")
flags.DEFINE_string("output", None, "evaluate, benchmark: JSON file; predict: CSV file.")
flags.DEFINE_string("images", None, "predict: pattern of PNG and JPEG files (quote it).")
flags.DEFINE_integer("num", 16, "predict: number of synthetic scenes.", lower_bound=1)
flags.DEFINE_string("overlay_dir", None, "predict: folder for pictures with the answers.")
flags.DEFINE_string("export_dir", None, "export: folder that holds the numbered versions.")

# experiments.
flags.DEFINE_list("seeds", "0,1", "experiments: seeds of the runs that are repeated.")
flags.DEFINE_list("fractions", FRACTIONS, "data_efficiency: pool sizes, shares of 10,000.")
flags.DEFINE_list("batch_sizes", "8,16,32,64,128,256,512", "hyperparameter_sweep: values.")
flags.DEFINE_list("learning_rates", "1e-5,1e-4,1e-3,1e-2,1e-1", "hyperparameter_sweep: values.")
flags.DEFINE_list("depths", "18,34,50", "hyperparameter_sweep: values.")
flags.DEFINE_integer("updates", 625, "data_efficiency: optimiser steps of a run.", lower_bound=1)
flags.DEFINE_integer(
    "plain_epochs", None, "headline: epochs of plain runs; --epochs if left out.", lower_bound=1
)
flags.DEFINE_integer(
    "short_epochs", None, "experiments: epochs of the runs that are repeated with small changes; "
    "--plain_epochs if left out.", lower_bound=1,
)  # fmt: skip
flags.DEFINE_string("runs_root", "runs", "experiments: folder of the run folders.")
flags.DEFINE_string("results_dir", "figures/results", "experiments: folder of the summaries.")
flags.DEFINE_string("figures_dir", "figures", "experiments: folder of the figures.")
flags.DEFINE_bool("dry_run", False, "experiments: print the runs and their cost, make none.")

# benchmark.
flags.DEFINE_enum(
    "suite", "all", ("input", "train", "end_to_end", "serve", "all"), "benchmark: what to measure."
)
flags.DEFINE_integer("rounds", 3, "benchmark: turns of each worker.", lower_bound=1)


def run_config() -> config.RunConfig:
    """The run that the flags describe."""
    return _from_flags(config.RunConfig)


def execution_config() -> config.ExecutionConfig:
    """How the flags say it is to be carried out."""
    return _from_flags(config.ExecutionConfig)


def _from_flags(cls: type) -> Any:
    return cls(**{field.name: FLAGS[field.name].value for field in dataclasses.fields(cls)})


def option(name: str) -> Any:
    """The value of one of the other flags."""
    return FLAGS[name].value


def is_given(name: str) -> bool:
    """Whether a flag was set on the command line or in a flagfile."""
    return bool(FLAGS[name].present)


def run_dir() -> str | None:
    """The value of --run_dir, None if it is left out.

    Raises:
        ConfigError: if it is empty, as an unset shell variable makes it.
    """
    value = option("run_dir")
    if value == "":
        raise ConfigError("--run_dir=: empty; name a folder, or leave the flag out")
    return value


def open_run() -> tuple[RunFolder, config.RunConfig]:
    """The run to use: --run_dir, or else the one that the training command's flags name.

    Loads TensorFlow.

    Raises:
        UserError: if there is no such run.
    """
    path = run_dir()
    if path:
        folder = RunFolder(path)
        run = folder.run_config()  # before TensorFlow is loaded
        load_tensorflow()
        return folder, run
    asked, execution = run_config(), execution_config()
    initial_weights.check(asked, option("weights"))
    load_tensorflow()
    from rectloc_tf import runtime

    run, _ = runtime.resolve(asked, execution)
    run, _ = initial_weights.resolve(run, option("weights"))
    folder = locate(asked, run, None)
    if not folder.path.is_dir():
        raise UserError(f"no run with these flags ({folder.path} is missing); give --run_dir")
    return folder, folder.run_config()


def main(command: Callable[[], int | None], *own_flags: str) -> None:
    """Parses the flags, runs `command` and exits; mistakes end in one line on stderr.

    Args:
        command: what to run once the flags are parsed; returns the exit code, or None for 0.
        own_flags: flags beside those of `train` that matter to it, for `--help`.

    Exit codes: 0 done, 1 an error, 2 a wrong flag, 130 Ctrl-C, 143 SIGTERM.
    """
    configs = (config.RunConfig, config.ExecutionConfig)
    fields = [field.name for cls in configs for field in dataclasses.fields(cls)]
    for name in (*fields, "run_dir", *own_flags):
        FLAGS.register_key_flag_for_module(sys.argv[0], FLAGS[name])
    # TensorFlow's start-up log is not for people who want to find rectangles.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # leave room for a second process
    _ignore_keras_settings()
    app.run(lambda argv: _run(command, argv), flags_parser=_parse)


def _ignore_keras_settings() -> None:
    """Keeps the user's Keras config and environment out of our commands.

    Our modules do not depend on them, but Keras does not even load with some values.
    """
    for name in [n for n in os.environ if n.startswith("KERAS_") and n != "KERAS_BACKEND"]:
        del os.environ[name]
    os.environ["KERAS_HOME"] = os.devnull  # a folder that has no keras.json and gets none


def _parse(argv: list[str]) -> list[str]:
    try:
        return FLAGS(argv)
    except (flags.Error, OSError, UnicodeDecodeError) as error:
        return _fail(" ".join(str(error).split()), EXIT_USAGE)


def _run(command: Callable[[], int | None], argv: list[str]) -> None:
    if not is_given("verbosity"):
        logging.set_verbosity(logging.WARNING)
    try:
        if len(argv) > 1:
            message = f"unexpected argument {argv[1]!r}: options are written --name=value"
            _fail(message, EXIT_USAGE)
        sys.exit(command() or 0)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except Interrupted as error:
        sys.stderr.write("stopped; the same command goes on from here\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_SIGINT)
    except BrokenPipeError:
        # The reader of our output went away (`| head`); the rest would only raise again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_ERROR)
    except OSError as error:
        _fail(f"{error.filename or 'system'}: {reason(error)}", EXIT_ERROR)
    except Exception as error:
        # TensorFlow's own class, which is not imported here.
        if type(error).__name__ != "ResourceExhaustedError":
            raise
        _fail(f"out of memory ({reason(error)}); a smaller --batch_size helps", EXIT_ERROR)


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"error: {message}\n")
    sys.exit(code)


def load_tensorflow() -> None:
    """Imports TensorFlow without its start-up messages, which no log level silences.

    They go to a file that is shown only if the import fails.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        try:
            os.dup2(messages.fileno(), 2)
            import tensorflow  # noqa: F401
        except Exception:
            os.dup2(saved, 2)
            messages.seek(0)
            with contextlib.suppress(OSError):
                os.write(2, messages.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
