"""Does labelling both rectangles help to find the one in images of a single rectangle?

    python -m rectloc_tf.experiments.more_labels --flagfile=flags/study.flags

Networks trained on two rectangles, with the larger labelled or with both, are tested on
pictures of one; seeds are compared in pairs. Short runs, and the heatmap's of plain length.
"""

from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import (
    COMPARED,
    Experiment,
    Settings,
    Task,
    each_once,
    finished,
    tests,
)

TRAINED, TESTED = 2, 1
LABELS = {"one": "largest", "both": "largest_and_smallest"}


def runs(settings: Settings):
    """Runs with one label and with both, seed by seed: short ones, and the heatmap's plain ones.

    No plain ones where they would be the short ones.
    """
    return each_once(_every_run(settings))


def _every_run(settings: Settings):
    for seed in settings.seeds:
        for make, heads in ((settings.short, COMPARED), (settings.plain, ("deconv",))):
            for arch in heads:
                for number, labels in LABELS.items():
                    run = make(arch=arch, domain=TRAINED, labels=labels, seed=seed)
                    yield (
                        {"arch": arch, "labelled": number, "seed": seed, "epochs": run.epochs},
                        run,
                    )


def plan(settings: Settings) -> list[Task]:
    """Both heads, one label and both, every seed; tested on pictures of one rectangle."""
    tested = (TESTED, TRAINED)
    return [Task(run, domains=(TESTED,), answered=tested) for _, run in runs(settings)]


def summarise(settings: Settings, summaries) -> dict:
    """A row a run: its test metrics on the other domain and on its own."""
    rows = []
    for about, _, summary in finished(runs(settings), summaries):
        own = tests(summary, TRAINED)
        both = {"own": own["test"], "own_final": own.get("final")}
        rows.append({**about, **tests(summary, TESTED), **both})
    return {"rows": rows}


EXPERIMENT = Experiment("more_labels", plan, summarise)

if __name__ == "__main__":
    main(EXPERIMENT)
