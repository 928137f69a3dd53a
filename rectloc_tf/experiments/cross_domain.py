"""Networks trained on one number of rectangles and tested on others.

    python -m rectloc_tf.experiments.cross_domain --flagfile=flags/study.flags

The matrix has short runs. The row of three rectangles also has the headline's plain runs, to show
what more training changes.
"""

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

TRAINED, TESTED = DOMAIN, 4  # the failures that the original shows


def runs(settings: Settings):
    """The runs, of the matrix or not, seed by seed."""
    for seed in settings.seeds:
        matrix = [
            settings.short(arch=arch, domain=domain, seed=seed)
            for domain in settings.domains
            for arch in COMPARED
        ]
        of_seed = headline.runs(settings, seed)
        plain = [run for about, run in of_seed if about["variant"] == "plain"]
        for run in dict.fromkeys([*matrix, *plain]):  # each once
            about = {"arch": run.arch, "seed": seed, "trained": run.domain}
            yield {**about, "epochs": run.epochs, "in_matrix": run in matrix}, run


def plan(settings: Settings) -> list[Task]:
    """Both heads trained on each domain, and tested on all; some failures are pictured."""
    tasks = []
    for _, run in runs(settings):
        pictured = run.domain == TRAINED and run.seed == settings.seeds[0]
        failures = (TESTED,) if pictured and TESTED in settings.domains else ()
        tested = settings.domains
        tasks.append(Task(run, tested, failures=failures, answered=tested))
    return tasks


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run and test domain."""
    rows = []
    for about, _, summary in finished(runs(settings), summaries):
        for domain in settings.domains:
            measured = tests(summary, domain)
            if "test" in measured:
                rows.append({**about, "tested": domain, **measured})
    return {"rows": rows}


EXPERIMENT = Experiment("cross_domain", plan, summarise, lists=("domains",))

if __name__ == "__main__":
    main(EXPERIMENT)
