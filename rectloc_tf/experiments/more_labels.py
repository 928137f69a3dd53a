"""Does labelling both rectangles of a picture help to find the one of another picture?

    python -m rectloc_tf.experiments.more_labels --flagfile=flags/study.flags

Networks trained on two rectangles, with the larger labelled or with both, are tested on
pictures of one; seeds are compared in pairs.
"""

from rectloc_tf.config import ARCHS
from rectloc_tf.experiments.plan import Experiment, Settings, Task

TRAINED, TESTED = 2, 1
LABELS = {"one": "largest", "both": "largest_and_smallest"}


def runs(settings: Settings):
    """Number of labels and run, seed by seed."""
    for seed in settings.seeds:
        for arch in ARCHS:
            for number, labels in LABELS.items():
                fields = {"arch": arch, "domain": TRAINED, "labels": labels, "seed": seed}
                yield number, settings.short(**fields)


def plan(settings: Settings) -> list[Task]:
    """Both heads, one label and both, every seed; tested on pictures of one rectangle."""
    return [Task(run, domains=(TESTED,)) for _, run in runs(settings)]


def summarise(settings: Settings, summaries) -> dict:
    """A row a run: its test metrics on the other domain and on its own."""
    rows = []
    for number, run in runs(settings):
        name = Task(run).name
        if name in summaries:
            test = summaries[name]["splits"]["test"]
            about = {"run": name, "arch": run.arch, "labelled": number, "seed": run.seed}
            rows.append({**about, "test": test[str(TESTED)], "own": test[str(TRAINED)]})
    return {"rows": rows}


EXPERIMENT = Experiment("more_labels", plan, summarise)

if __name__ == "__main__":
    from rectloc_tf.experiments.command import main

    main(EXPERIMENT)
