"""Does a heatmap trained on some rectangles show the others too?

    python -m rectloc_tf.experiments.multiple_locations --flagfile=flags/study.flags

Three kinds of run: trained on three rectangles with the largest labelled, on one, and on two with
both labelled. Each is asked for all rectangles of every domain. The brightness threshold of a peak
is the one that finds the most on a run's own validation scenes.
"""

import functools
import operator

from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import Experiment, Settings, Task, each_once, finished

TRAININGS = {
    "3, largest": (3, "largest"),
    "1": (1, "largest"),
    "2, both": (2, "largest_and_smallest"),
}


def runs(settings: Settings):
    """A short run of each of the TRAININGS, seed by seed; plain ones, if others, of the first."""
    return each_once(_every_run(settings))


def _every_run(settings: Settings):
    for seed in settings.seeds:
        first = seed == settings.seeds[0]
        for make in (settings.short, settings.plain) if first else (settings.short,):
            for training, (domain, labels) in TRAININGS.items():
                run = make(arch="deconv", domain=domain, labels=labels, seed=seed)
                yield {"training": training, "seed": seed, "epochs": run.epochs}, run


def plan(settings: Settings) -> list[Task]:
    """Every training and seed, its peaks counted on all domains; the first seed's pictured."""
    tasks = []
    for _, run in runs(settings):
        short = run.epochs == settings.short().epochs
        pictured = settings.domains if short and run.seed == settings.seeds[0] else ()
        tasks.append(Task(run, pictured=pictured, located=settings.domains))
    return tasks


def agreement(found: list[list[int]]) -> float | None:
    """Of the rectangles that any run finds, the share that all find; None if there are none.

    Args:
        found: for each run and image a number, whose bit r says whether rank r was found.
    """
    images = list(zip(*found, strict=True))
    by_any = sum(functools.reduce(operator.or_, image).bit_count() for image in images)
    by_all = sum(functools.reduce(operator.and_, image).bit_count() for image in images)
    return by_all / by_any if by_any else None


def chosen_threshold(summary: dict) -> int | None:
    """The brightness with the greatest F1 on a run's validation scenes; None if not measured."""

    def f1(measured):
        precision, recall = measured["precision"] or 0.0, measured["recall"]
        return 2 * precision * recall / max(precision + recall, 1e-9)

    measured = summary.get("validation_locations")
    return max(measured, key=f1)["threshold"] if measured else None


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run, domain and threshold; and how far the seeds of a training agree."""
    rows, found_by = [], {}
    for about, _, summary in finished(runs(settings), summaries):
        about |= {"chosen": chosen_threshold(summary)}
        for domain in settings.domains:
            for measured in summary["locations"].get(str(domain), ()):
                found = [int(bits, 16) for bits in measured["found"].split()]
                kind = (about["training"], about["epochs"], domain, measured["threshold"])
                found_by.setdefault(kind, []).append(found)
                rows.append({**about, "tested": domain, **measured})
                del rows[-1]["found"]
    agreements = []
    for (training, epochs, domain, threshold), found in found_by.items():
        if len(found) > 1:
            about = {"training": training, "epochs": epochs, "tested": domain}
            about |= {"threshold": threshold, "agreement": agreement(found)}
            agreements.append(about)
    return {"rows": rows, "agreements": agreements}


EXPERIMENT = Experiment("multiple_locations", plan, summarise, lists=("domains",))

if __name__ == "__main__":
    main(EXPERIMENT)
