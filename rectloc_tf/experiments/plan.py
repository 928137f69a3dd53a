"""What an experiment is: settings in, runs to make, a summary out. No TensorFlow."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from rectloc_tf.config import DEPTHS, MAX_DOMAIN, RunConfig
from rectloc_tf.errors import ConfigError

COMPARED = ("xy", "deconv")  # the heads of the original, which the experiments compare
DOMAIN = 3  # rectangles in a picture, where an experiment is of one number of them


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A profile: how large the study is made.

    Attributes:
        base: the run that experiments vary; its precision resolved.
        epochs: of the improved runs; None means each head's default.
        plain_epochs: of the plain runs that they are compared with; None means `epochs`.
        short_epochs: of the runs that most experiments repeat many times; None means
            `plain_epochs`.
        seeds: one run each wherever an experiment repeats.
        domains: of cross_domain, to train and to test on.
        fractions: of data_efficiency, shares of 10,000 images.
        epoch_fractions: of its smaller series; None means every other of `fractions`, the largest
            among them.
        batch_sizes, learning_rates, depths: of hyperparameter_sweep.
        updates: optimiser steps of data_efficiency's runs.
        long_fractions, long_updates: of its series of longer runs; `updates` if None.
        runs_root: folder of the run folders.
        results_dir: folder of the summaries.
        given: of the settings whose default differs between heads, those that every head takes from
            the flags, although `base` has them by default.
    """

    base: RunConfig
    epochs: int | None
    plain_epochs: int | None
    short_epochs: int | None
    seeds: tuple[int, ...]
    domains: tuple[int, ...] = (1, 2, 3, 4, 5)
    fractions: tuple[float, ...]
    epoch_fractions: tuple[float, ...] = cast(tuple, None)  # filled in below
    batch_sizes: tuple[int, ...]
    learning_rates: tuple[float, ...]
    depths: tuple[int, ...] = DEPTHS
    updates: int
    long_fractions: tuple[float, ...] = ()
    long_updates: int | None = None
    runs_root: Path
    results_dir: Path
    given: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        require_each("seeds", self.seeds, lambda v: 0 <= v < 2**31, "whole numbers from 0")
        require_each(
            "domains", self.domains, lambda v: 1 <= v <= MAX_DOMAIN, f"from 1 to {MAX_DOMAIN}"
        )
        for name in ("batch_sizes", "learning_rates", "depths"):  # checked as runs are planned
            require_each(name, getattr(self, name), lambda v: v > 0, "above 0")
        for name in ("fractions", "long_fractions")[: 2 if self.long_fractions else 1]:
            require_each(name, getattr(self, name), lambda v: 1e-4 <= v <= 1, "from 0.0001 to 1")
        if self.epoch_fractions is None:
            object.__setattr__(self, "epoch_fractions", tuple(sorted(self.fractions)[::-2][::-1]))

    def varied(self, **changes: Any) -> RunConfig:
        """The base run with some fields changed; another head has its own defaults."""
        return self.base.changed(**{**self.given, **changes})

    def improved(self, **changes: Any) -> RunConfig:
        """The base run with some fields changed, of `epochs`, augmented."""
        return self.varied(epochs=self.epochs, augment=True, **changes)

    def plain(self, **changes: Any) -> RunConfig:
        """The base run with some fields changed, of `plain_epochs`."""
        return self.varied(epochs=self.plain_epochs or self.epochs, **changes)

    def short(self, **changes: Any) -> RunConfig:
        """The base run with some fields changed, of `short_epochs`."""
        run = self.plain(**changes)
        return dataclasses.replace(run, epochs=self.short_epochs or run.epochs)


def require_each(name: str, values: tuple, test: Callable[[Any], bool], rule: str) -> None:
    """Refuses a list that is empty, has a value twice, or one that fails the test.

    Raises:
        ConfigError: naming the flag and the rule.
    """
    if not values or not all(test(value) for value in values) or len(set(values)) < len(values):
        given = ",".join(map(str, values))
        raise ConfigError(f"--{name}={given}: must be {rule}, separated by commas, each once")


ASKED = (
    "domains",
    "pictured",
    "failures",
    "located",
    "detected",
    "answered",
    "decoded",
)  # what a task lists domains for


@dataclass(frozen=True)
class Task:
    """A run to train, and what is to be known of it.

    Attributes:
        run: what to train.
        domains: test domains beside its own.
        pictured: test domains of which some scenes and answers are kept as pictures.
        failures: test domains of which the scenes with the largest errors are.
        located: test domains in which all rectangles are looked for (heatmaps only).
        detected: test domains in which points of one class are (`--labels=unordered`).
        answered: test domains of which every answer is kept, of the best weights and of the
            final ones, with the final ones' metrics.
        decoded: test domains whose maps are read by every decoder.
    """

    run: RunConfig
    domains: tuple[int, ...] = ()
    pictured: tuple[int, ...] = ()
    failures: tuple[int, ...] = ()
    located: tuple[int, ...] = ()
    detected: tuple[int, ...] = ()
    answered: tuple[int, ...] = ()
    decoded: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The run's name: that of its folder and of its summary."""
        return Path(self.run.default_folder).name

    @property
    def images(self) -> int:
        """Training images that the run sees, repeats counted."""
        return self.run.total_steps * self.run.batch_size

    def asks_no_more_than(self, other: "Task") -> bool:
        """Whether another task requests everything that this one does of the run."""
        return all(set(getattr(self, name)) <= set(getattr(other, name)) for name in ASKED)


def merge(tasks: list[Task]) -> list[Task]:
    """Each run once, in order of first appearance, with all results requested of it."""
    merged: dict[str, Task] = {}
    for task in tasks:
        before = merged.get(task.name, task)
        asked = {
            name: tuple(sorted({*getattr(before, name), *getattr(task, name)})) for name in ASKED
        }
        merged[task.name] = dataclasses.replace(before, **asked)
    return list(merged.values())


@dataclass(frozen=True)
class Experiment:
    """A question of the study.

    Attributes:
        name: of its module, its summary and its figures.
        plan: settings -> the runs that it needs.
        summarise: settings and the summaries of its finished runs by name -> the part of the
            experiment's summary that is its own.
        lists: the settings beside `seeds` whose values it goes through.
    """

    name: str
    plan: Callable[[Settings], list[Task]]
    summarise: Callable[[Settings, Mapping[str, dict[str, Any]]], dict[str, Any]]
    lists: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """An experiment as a part of a study that adds to what is there.

    Attributes:
        experiment: which.
        asked: the settings that a command asks for.
        settings: those that it is summed up at: with the values that its summary has already.
        kept: names of the runs that its summary has already.
    """

    experiment: Experiment
    asked: Settings
    settings: Settings
    kept: frozenset[str] = frozenset()

    @property
    def tasks(self) -> list[Task]:
        """All its runs, each once."""
        return merge(self.experiment.plan(self.settings))

    @property
    def asked_tasks(self) -> list[Task]:
        """Those of its runs that the command asks for."""
        names = {task.name for task in self.experiment.plan(self.asked)}
        return [task for task in self.tasks if task.name in names]


def each_once(
    pairs: Iterable[tuple[dict[str, Any], RunConfig]],
) -> list[tuple[dict[str, Any], RunConfig]]:
    """An experiment's runs, each once: where lengths are alike, some of its variants are the same.

    Args:
        pairs: the first columns of a run's rows, and the run; of equal runs the first stays.
    """
    found: dict[RunConfig, dict[str, Any]] = {}
    for about, run in pairs:
        found.setdefault(run, about)
    return [(about, run) for run, about in found.items()]


def finished(
    pairs: Iterable[tuple[dict[str, Any], RunConfig]], summaries: Mapping[str, dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], RunConfig, dict[str, Any]]]:
    """Those of an experiment's runs that are finished.

    Args:
        pairs: the first columns of a run's rows, and the run.
        summaries: of the finished runs by name.

    Yields:
        The columns with the run's name before them, the run and its summary.
    """
    for about, run in pairs:
        name = Task(run).name
        if name in summaries:
            yield {"run": name, **about}, run, summaries[name]


def tests(summary: dict[str, Any], domain: int) -> dict[str, dict[str, Any]]:
    """The metrics of a run on the test scenes of a domain, by the weights that were measured.

    Returns:
        `test`: of the weights that did best on validation; `final`: of the last ones, where they
        were measured too.
    """
    found = {"test": summary["splits"]["test"], "final": summary.get("final", {}).get("test", {})}
    return {name: by[str(domain)] for name, by in found.items() if str(domain) in by}


def tested_rows(
    pairs: Iterable[tuple[dict[str, Any], RunConfig]], summaries: Mapping[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """A row for each finished run: its columns and its `tests` on its own domain.

    Args:
        pairs, summaries: as `finished`.
    """
    return [
        {**about, **tests(summary, run.domain)}
        for about, run, summary in finished(pairs, summaries)
    ]
