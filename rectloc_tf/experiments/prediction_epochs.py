"""The same scenes over training: what a network predicts after chosen epochs.

    python -m rectloc_tf.experiments.prediction_epochs --flagfile=flags/study.flags

Needs no run of its own: it looks into the headline's plain and improved runs of the first seed.
"""

from rectloc_tf.experiments import headline
from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import Experiment, Settings, Task, finished


def runs(settings: Settings):
    """The headline's longer runs of the first seed."""
    for about, run in headline.runs(settings, settings.seeds[0]):
        if about["variant"] != "short":
            yield {name: about[name] for name in ("arch", "variant", "epochs")}, run


def plan(settings: Settings) -> list[Task]:
    """Those runs, pictured."""
    return [Task(run, pictured=(run.domain,)) for _, run in runs(settings)]


def summarise(settings: Settings, summaries) -> dict:
    """For each run, epoch by epoch, the share of black pixels and the brightness of the rest."""
    return {
        "rows": [
            {**about, "snapshots": summary["snapshots"]}
            for about, _, summary in finished(runs(settings), summaries)
        ]
    }


EXPERIMENT = Experiment("prediction_epochs", plan, summarise)

if __name__ == "__main__":
    main(EXPERIMENT)
