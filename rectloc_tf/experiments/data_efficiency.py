"""Error against the number of labelled training images.

    python -m rectloc_tf.experiments.data_efficiency --flagfile=flags/study.flags

The main series has a fixed number of updates, so small sets are only seen more often. A smaller
series, with the first seed only, has a fixed number of epochs, so small sets also train for less.
A third repeats some sizes with more updates, to show the effect of the training's length. A batch
is at most half the training set: if all batches are the same, batch normalisation memorises their
statistics, and coordinates in other images are far off.
"""

import dataclasses

from rectloc_tf.config import IMAGES_PER_DOMAIN, RunConfig
from rectloc_tf.experiments import headline
from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import (
    COMPARED,
    DOMAIN,
    Experiment,
    Settings,
    Task,
    finished,
    tests,
)

VALIDATIONS = 5  # of a run, about


HEADS = headline.HEADS


def _short(settings: Settings, arch: str, fraction: float, seed: int) -> RunConfig:
    num_images = max(1, round(fraction * IMAGES_PER_DOMAIN))
    run = settings.short(arch=arch, domain=DOMAIN, seed=seed, num_images=num_images)
    return dataclasses.replace(run, batch_size=min(run.batch_size, max(1, run.num_train // 2)))


def fixed_updates(
    settings: Settings, arch: str, fraction: float, seed: int, updates: int
) -> RunConfig:
    """A run of about `updates` optimiser steps, in whole epochs."""
    run = _short(settings, arch, fraction, seed)
    epochs = max(1, round(updates * run.batch_size / run.num_train))
    return dataclasses.replace(run, epochs=epochs, validate_every=max(1, epochs // VALIDATIONS))


def fixed_epochs(settings: Settings, arch: str, fraction: float) -> RunConfig:
    """A short run, of the first seed."""
    return _short(settings, arch, fraction, settings.seeds[0])


def runs(settings: Settings):
    """The runs of fixed updates, small sets first, seed by seed; then those of fixed epochs."""
    lengths = (
        ("updates", settings.updates, settings.fractions),
        ("long updates", settings.long_updates or settings.updates, settings.long_fractions),
    )
    for seed in settings.seeds:
        for fixed, updates, fractions in lengths:
            for fraction in fractions:
                for arch in HEADS:
                    run = fixed_updates(settings, arch, fraction, seed, updates)
                    yield _about(fixed, fraction, run), run
    for fraction in settings.epoch_fractions:
        for arch in COMPARED:
            run = fixed_epochs(settings, arch, fraction)
            yield _about("epochs", fraction, run), run


def _about(fixed: str, fraction: float, run: RunConfig) -> dict:
    about = {"fixed": fixed, "fraction": fraction, "arch": run.arch, "seed": run.seed}
    about |= {"num_images": run.num_images, "num_train": run.num_train}
    return about | {"epochs": run.epochs, "steps": run.total_steps}


def plan(settings: Settings) -> list[Task]:
    """Every size, all heads, every seed; and the smaller series of fixed epochs."""
    return [Task(run, answered=(DOMAIN,)) for _, run in runs(settings)]


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run: metrics on the training images and on the test split."""
    rows = []
    for about, _, summary in finished(runs(settings), summaries):
        train = summary["splits"]["train"][str(DOMAIN)]
        rows.append({**about, "train": train, **tests(summary, DOMAIN)})
    return {"rows": rows}


EXPERIMENT = Experiment(
    "data_efficiency",
    plan,
    summarise,
    lists=("fractions", "epoch_fractions", "long_fractions"),
)

if __name__ == "__main__":
    main(EXPERIMENT)
