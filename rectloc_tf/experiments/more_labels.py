"""Does labelling both rectangles of a picture help to find the one of another picture?

    python -m rectloc_tf.experiments.more_labels --flagfile=flags/study.flags

Networks trained on two rectangles, with the larger labelled or with both, are tested on
pictures of one; seeds are compared in pairs.
"""

from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import COMPARED, Experiment, Settings, Task, finished

TRAINED, TESTED = 2, 1
LABELS = {"one": "largest", "both": "largest_and_smallest"}


def runs(settings: Settings):
    """The runs with one label and with both, seed by seed."""
    for seed in settings.seeds:
        for arch in COMPARED:
            for number, labels in LABELS.items():
                run = settings.short(arch=arch, domain=TRAINED, labels=labels, seed=seed)
                yield {"arch": arch, "labelled": number, "seed": seed}, run


def plan(settings: Settings) -> list[Task]:
    """Both heads, one label and both, every seed; tested on pictures of one rectangle."""
    return [Task(run, domains=(TESTED,)) for _, run in runs(settings)]


def summarise(settings: Settings, summaries) -> dict:
    """A row a run: its test metrics on the other domain and on its own."""
    rows = []
    for about, _, summary in finished(runs(settings), summaries):
        test = summary["splits"]["test"]
        rows.append({**about, "test": test[str(TESTED)], "own": test[str(TRAINED)]})
    return {"rows": rows}


EXPERIMENT = Experiment("more_labels", plan, summarise)

if __name__ == "__main__":
    main(EXPERIMENT)
