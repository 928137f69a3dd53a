"""The entry point that all experiments share."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

from rectloc_tf import cli
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import EXIT_ERROR, UserError
from rectloc_tf.experiments.extend import extend, write_extended, write_summaries
from rectloc_tf.experiments.plan import Experiment, Part, Settings, Task
from rectloc_tf.experiments.ray_runner import Cluster, join
from rectloc_tf.experiments.share import own_command, read_resources, read_share
from rectloc_tf.registry import HEADS
from rectloc_tf.training.progress import format_seconds


def main(*experiments: Experiment) -> None:
    """Runs, sums up and draws the experiments that the command is about."""
    name = experiments[0].name if len(experiments) == 1 else "all"
    cli.main(f"experiments.{name}", lambda: _run(f"experiments.{name}", list(experiments)))


def read_settings(base: RunConfig) -> Settings:
    """The settings that the flags describe, around a base run.

    Raises:
        ConfigError: naming the flag that is wrong.
    """
    kinds = dict.fromkeys(("fractions", "long_fractions", "learning_rates"), float)
    kinds |= dict.fromkeys(("seeds", "batch_sizes", "depths"), int)
    lists = {name: cli.numbers(name, kind) for name, kind in kinds.items()}
    if cli.option("domains"):
        lists["domains"] = cli.numbers("domains", int)
    folders = {name: cli.folder(name) for name in ("runs_root", "results_dir")}
    sizes = ("epochs", "plain_epochs", "short_epochs", "updates", "long_updates")
    lengths = {name: cli.option(name) for name in sizes}
    return Settings(base=base, given=_given(base), **lists, **folders, **lengths)


def _given(base: RunConfig) -> dict[str, Any]:
    """Flags that only repeat a default of `base`, for which other heads have another."""
    by_head = {"loss", *(name for head in HEADS.values() for name in head.defaults)} - {"epochs"}
    usual = RunConfig()
    return {
        name: getattr(base, name)
        for name in sorted(by_head)
        if cli.is_given(name) and getattr(base, name) == getattr(usual, name)
    }


def _run(name: str, experiments: list[Experiment]) -> int:
    asked, execution = cli.run_config(), cli.execution_config()
    share, resources = read_share(), read_resources()
    read_settings(asked)  # refuses what is wrong before TensorFlow is loaded
    cli.load_tensorflow()
    from rectloc_tf.experiments.runner import Study
    from rectloc_tf.training import runtime
    from rectloc_tf.training.interrupts import stop_on_signals

    run, _ = runtime.resolve(asked, execution)
    settings = read_settings(run)
    parts = [extend(experiment, settings) for experiment in experiments]
    for part in parts:
        if part.experiment.plan(part.asked) and not part.asked_tasks:
            seed = part.settings.seeds[0]
            print(f"{part.experiment.name}: uses its first seed only ({seed}); nothing to train")
    command = own_command(name, run.precision)
    with join(resources, command) as cluster, stop_on_signals() as stop:
        study = Study(settings, execution, stop, share)
        if cli.option("dry_run"):
            _print_plan(study, parts)
            return 0
        failures = _run_on(cluster, study, parts) if cluster else study.run(parts)
    if not share.runs:
        for part in parts:
            print(write_extended(part))
        names = [experiment.name for experiment in experiments]
        draw_figures(names, settings.results_dir, cli.folder("figures_dir"))
    for failure in failures:
        print(f"failed: {failure}")
    return EXIT_ERROR if failures else 0


def _run_on(cluster: Cluster, study, parts: list[Part]) -> list[str]:
    """Makes what is missing on a cluster; returns what failed, a line each."""
    tasks, failures = {task.name: task for task in study.open_tasks(parts)}, []
    for name, problem in cluster.make([*tasks], lambda n: study.is_made(tasks[n]), study.stop):
        if problem:
            failures.append(f"{name}: {problem}")
        else:
            write_summaries(parts, name)
    return failures


def draw_figures(names: list[str], results_dir: Path, figures_dir: Path) -> None:
    """Draws the figures of experiments, in a checkout, and prints where they are.

    Raises:
        UserError: with the reason, if they cannot be drawn.
    """
    spec = importlib.util.find_spec("figures")
    # Any folder of that name is found, as --figures_dir makes: without an origin.
    if not (spec and spec.origin and Path(spec.origin).with_name("make_all.py").exists()):
        print("figures are drawn in a checkout only: python -m figures.make_all")
        return
    folders = (f"--results_dir={results_dir}", f"--figures_dir={figures_dir}")
    command = [sys.executable, "-m", "figures.make_all", *names, *folders]
    done = subprocess.run(command, capture_output=True, text=True)
    print(done.stdout, end="")
    if done.returncode:
        why = (done.stderr.splitlines() or ["ended early"])[-1].removeprefix("error: ")
        raise UserError(f"figures could not be drawn: {why}")


def _print_plan(study, parts: list[Part]) -> None:
    """Prints every run asked for, and what those that are missing will cost on this machine."""
    missing = study.open_tasks(parts)
    speeds = {shape: study.speed(task.run) for shape, task in _by_shape(missing).items()}
    seconds = {task.name: task.images / speeds[_shape(task)] for task in missing}
    names = {task.name for task in study.tasks(parts)}
    for part in parts:
        print(f"{part.experiment.name}:")
        for task in [task for task in part.asked_tasks if task.name in names]:
            cost = format_seconds(seconds[task.name]) if task.name in seconds else "done"
            print(f"  {task.name:<24} {cost:>8}  {describe(task)}")
    total = format_seconds(sum(seconds.values()))
    print(f"{len(missing)} runs to train, {total} on this machine")


def _shape(task: Task) -> tuple:
    """What the speed of a run is taken to depend on."""
    return task.run.arch, task.run.depth, task.run.image_size, task.run.precision


def _by_shape(tasks: list[Task]) -> dict[tuple, Task]:
    # Of the largest batch, or a run of a few images would stand for all.
    return {_shape(task): task for task in sorted(tasks, key=lambda t: t.run.batch_size)}


def describe(task: Task) -> str:
    """A run in words."""
    run = task.run
    words = f"{run.arch} domain {run.domain} seed {run.seed}, {run.num_train} images, "
    words += f"{run.epochs} epochs of batch {run.batch_size} at {run.learning_rate:g}, "
    words += run.precision
    usual = RunConfig()
    for name in ("depth", "labels", "target"):
        if getattr(run, name) != getattr(usual, name):
            words += f", {name} {getattr(run, name)}"
    return words + (", augmented" if run.augment else "")
