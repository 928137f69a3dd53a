"""How a study adds to the summaries that are there: nothing in them is lost. No TensorFlow."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError, UserError, reason
from rectloc_tf.experiments.plan import Experiment, Part, Settings
from rectloc_tf.experiments.summaries import experiment_path, read_experiment, write_experiment
from rectloc_tf.registry import EXPERIMENTS

# Fields of a run that every experiment sets itself, whatever the base run has.
_CHOSEN = {"arch", "domain", "seed", "epochs"}
UPDATES = ("updates", "long_updates")  # settings that are lengths in optimiser steps


def extend(experiment: Experiment, asked: Settings) -> Part:
    """An experiment at the settings asked for, and at those of its summary if there is one.

    Lists (seeds, domains, sizes ...) are widened by the values that the summary has, so that its
    rows stay.

    Args:
        experiment: which.
        asked: what the flags say; the precision resolved.

    Raises:
        UserError: if the summary's base run or lengths are others, or it would lose runs; it
            names the summary, the flags and the way out.
    """
    path = experiment_path(asked.results_dir, experiment)
    summary = read_experiment(path)
    if summary is None or (summary["missing"] and not summary["runs"]):  # nothing to lose
        return Part(experiment, asked, asked)
    theirs = _settings_of(path, summary, asked)
    _require_same(path, _fixed(experiment, theirs), _fixed(experiment, asked))
    part = Part(experiment, asked, _widen(experiment, asked, summary), frozenset(summary["runs"]))
    lost = part.kept - {task.name for task in part.tasks}
    if lost:
        raise UserError(
            f"{path}: holds runs that are not part of this experiment ({min(lost)}); choose "
            "another --results_dir to keep them"
        )
    return part


def _settings_of(path: Path, summary: dict[str, Any], asked: Settings) -> Settings:
    """The settings asked for, with the base run and the lengths of a summary."""
    lengths = {name: summary.get(name) for name in ("epochs", "plain_epochs", "short_epochs")}
    try:
        base = RunConfig.from_json(summary["base"])
    except (ConfigError, TypeError) as error:
        raise UserError(f"{path}: {reason(error)}") from error
    for name in UPDATES:
        lengths[name] = summary.get(name, getattr(asked, name))
    return dataclasses.replace(asked, base=base, given=summary.get("given", {}), **lengths)


def _fixed(experiment: Experiment, settings: Settings) -> dict[str, Any]:
    """What is alike in all of an experiment's runs, by flag name."""
    fixed = {n: v for n, v in settings.base.to_json().items() if n not in _CHOSEN}
    fixed["epochs"] = settings.epochs
    fixed["plain_epochs"] = settings.plain_epochs or settings.epochs
    fixed["short_epochs"] = settings.short_epochs or fixed["plain_epochs"]
    for name in UPDATES:
        if name in EXPERIMENTS[experiment.name]:
            fixed[name] = getattr(settings, name)
    return fixed | {f"{name} for all heads": value for name, value in settings.given.items()}


def _require_same(path: Path, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    differences = [
        f"--{name}={_shown(theirs.get(name))} there, {_shown(ours.get(name))} here"
        for name in theirs | ours
        if theirs.get(name) != ours.get(name)
    ]
    if differences:
        raise UserError(
            f"{path}: made with other flags ({', '.join(differences)}); use the same to add to it, "
            "or another --results_dir to start afresh"
        )


def _shown(value: Any) -> str:
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _widen(experiment: Experiment, asked: Settings, summary: dict[str, Any]) -> Settings:
    kept = lists_of(summary)
    # The first seed stays the first: some runs are of it alone.
    widened = {"seeds": tuple(dict.fromkeys([*kept["seeds"], *asked.seeds]))}
    for name in experiment.lists:
        widened[name] = tuple(sorted({*kept[name], *getattr(asked, name)}))
    return dataclasses.replace(asked, **widened)


def write_extended(part: Part) -> Path:
    """Writes an experiment's summary, with what another command has added meanwhile; its path."""
    return write_experiment(extend(part.experiment, part.asked))


def write_summaries(parts: Iterable[Part], name: str) -> None:
    """Writes the summaries of the experiments that a run is part of.

    Args:
        parts: all experiments.
        name: of the run.
    """
    for part in parts:
        if name in {task.name for task in part.tasks}:
            write_extended(part)


def lists_of(summary: dict[str, Any]) -> dict[str, list]:
    """The values of each list in a summary.

    Older summaries store only `seeds` and `domains`; the rest is read from their rows.
    """
    rows = summary.get("rows", [])

    def column(name: str, of: Iterable[dict[str, Any]]) -> list:
        return list(dict.fromkeys(row[name] for row in of if name in row))

    axes = {"batch_sizes": "batch_size", "learning_rates": "learning_rate", "depths": "depth"}
    from_rows = {
        "seeds": column("seed", rows),
        "domains": column("tested", rows),
        "fractions": column("fraction", rows),
        "epoch_fractions": column("fraction", (r for r in rows if r.get("fixed") == "epochs")),
        "long_fractions": column("fraction", (r for r in rows if r.get("fixed") == "long updates")),
        **{
            name: column("value", (r for r in rows if r.get("axis") == axis))
            for name, axis in axes.items()
        },
    }
    return {name: summary.get(name, values) for name, values in from_rows.items()}
