"""Networks trained on one number of rectangles and tested on others.

    python -m rectloc_tf.experiments.cross_domain --flagfile=flags/study.flags

The matrix is of short runs; the row of three rectangles also of the headline's plain ones, to
see what more training would change.
"""

from rectloc_tf.config import ARCHS
from rectloc_tf.experiments import headline
from rectloc_tf.experiments.plan import Experiment, Settings, Task

TRAINED, TESTED = 3, 4  # the failures that the original shows


def runs(settings: Settings):
    """Whether a run is of the matrix, and the run, seed by seed."""
    for seed in settings.seeds:
        matrix = [
            settings.short(arch=arch, domain=domain, seed=seed)
            for domain in settings.domains
            for arch in ARCHS
        ]
        yield from ((True, run) for run in matrix)
        for variant, run in headline.runs(settings, seed):
            if variant == "plain" and run not in matrix:
                yield False, run


def plan(settings: Settings) -> list[Task]:
    """Both heads trained on each domain, and tested on all; some failures are pictured."""
    tasks = []
    for _, run in runs(settings):
        pictured = run.domain == TRAINED and run.seed == settings.seeds[0]
        failures = (TESTED,) if pictured and TESTED in settings.domains else ()
        tasks.append(Task(run, settings.domains, failures=failures))
    return tasks


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run and test domain."""
    rows = []
    for in_matrix, run in runs(settings):
        name = Task(run).name
        if name in summaries:
            about = {"run": name, "arch": run.arch, "seed": run.seed, "trained": run.domain}
            about |= {"epochs": run.epochs, "in_matrix": in_matrix}
            for domain in settings.domains:
                test = summaries[name]["splits"]["test"][str(domain)]
                rows.append({**about, "tested": domain, "test": test})
    return {"domains": list(settings.domains), "rows": rows}


EXPERIMENT = Experiment("cross_domain", plan, summarise)

if __name__ == "__main__":
    from rectloc_tf.experiments.command import main

    main(EXPERIMENT)
