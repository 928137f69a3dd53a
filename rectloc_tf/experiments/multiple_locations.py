"""Does a heatmap trained on some rectangles' centres show the others' too?

    python -m rectloc_tf.experiments.multiple_locations --flagfile=flags/study.flags

Three trainings: on three rectangles with the largest labelled, on one, and on two with both
labelled. Each is asked for all rectangles of every domain.
"""

from rectloc_tf.config import RunConfig
from rectloc_tf.experiments.plan import Experiment, Settings, Task

TRAININGS = {
    "3, largest": (3, "largest"),
    "1": (1, "largest"),
    "2, both": (2, "largest_and_smallest"),
}


def run_of(settings: Settings, training: str, seed: int) -> RunConfig:
    """The run of one of the TRAININGS."""
    domain, labels = TRAININGS[training]
    return settings.short(arch="deconv", domain=domain, labels=labels, seed=seed)


def runs(settings: Settings):
    """Training and run, seed by seed."""
    for seed in settings.seeds:
        for training in TRAININGS:
            yield training, run_of(settings, training, seed)


def plan(settings: Settings) -> list[Task]:
    """Every training and seed, its peaks counted on all domains; the first seed's pictured."""
    tasks = []
    for _, run in runs(settings):
        pictured = settings.domains if run.seed == settings.seeds[0] else ()
        tasks.append(Task(run, pictured=pictured, located=settings.domains))
    return tasks


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run, domain and threshold."""
    rows = []
    for training, run in runs(settings):
        name = Task(run).name
        if name in summaries:
            for domain in settings.domains:
                about = {"run": name, "training": training, "seed": run.seed, "tested": domain}
                found = summaries[name]["locations"][str(domain)]
                rows += [{**about, **measured} for measured in found]
    return {"domains": list(settings.domains), "rows": rows}


EXPERIMENT = Experiment("multiple_locations", plan, summarise)

if __name__ == "__main__":
    from rectloc_tf.experiments.command import main

    main(EXPERIMENT)
