"""The same scenes as training goes on: what a network answers after chosen epochs.

    python -m rectloc_tf.experiments.prediction_epochs --flagfile=flags/study.flags

Needs no run of its own: it looks into the headline's plain and improved runs of the first seed.
"""

from rectloc_tf.experiments import headline
from rectloc_tf.experiments.plan import Experiment, Settings, Task


def runs(settings: Settings):
    """Variant and run."""
    for variant, run in headline.runs(settings, settings.seeds[0]):
        if variant != "short":
            yield variant, run


def plan(settings: Settings) -> list[Task]:
    """The headline's longer runs of the first seed."""
    return [Task(run, pictured=(run.domain,)) for _, run in runs(settings)]


def summarise(settings: Settings, summaries) -> dict:
    """For each run, epoch by epoch, the share of black pixels and the brightness of the rest."""
    rows = []
    for variant, run in runs(settings):
        name = Task(run).name
        if name in summaries:
            about = {"run": name, "arch": run.arch, "variant": variant, "epochs": run.epochs}
            rows.append({**about, "snapshots": summaries[name]["snapshots"]})
    return {"rows": rows}


EXPERIMENT = Experiment("prediction_epochs", plan, summarise)

if __name__ == "__main__":
    from rectloc_tf.experiments.command import main

    main(EXPERIMENT)
