"""Networks trained on one number of rectangles and tested on others.

python -m rectloc_tf.experiments.cross_domain --flagfile=flags/study.flags
"""

from rectloc_tf.config import ARCHS, RunConfig
from rectloc_tf.experiments.plan import Experiment, Settings, Task

PICTURED = (3, 4)  # trained on, tested on: the failures that the original shows


def runs(settings: Settings):
    """Every run of the matrix, seed by seed."""
    for seed in settings.seeds:
        for domain in settings.domains:
            for arch in ARCHS:
                yield settings.run(short=True, arch=arch, domain=domain, seed=seed)


def _pictured(run: RunConfig, settings: Settings) -> tuple[int, ...]:
    trained, tested = PICTURED
    wanted = run.domain == trained and run.seed == settings.seeds[0]
    return (tested,) if wanted and tested in settings.domains else ()


def plan(settings: Settings) -> list[Task]:
    """Both heads trained on each domain, and tested on all."""
    return [Task(run, settings.domains, _pictured(run, settings)) for run in runs(settings)]


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run and test domain."""
    rows = []
    for run in runs(settings):
        name = Task(run).name
        if name in summaries:
            about = {"run": name, "arch": run.arch, "seed": run.seed, "trained": run.domain}
            for domain in settings.domains:
                test = summaries[name]["splits"]["test"][str(domain)]
                rows.append({**about, "tested": domain, "test": test})
    return {"domains": list(settings.domains), "rows": rows}


EXPERIMENT = Experiment("cross_domain", plan, summarise)

if __name__ == "__main__":
    from rectloc_tf.experiments.command import main

    main(EXPERIMENT)
