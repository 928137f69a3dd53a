"""A disc against a Gaussian density of the same mass, everything else the same.

    python -m rectloc_tf.experiments.target_density --flagfile=flags/study.flags

The original considered a true density, but left it out because of its cost.
"""

import math

from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import DOMAIN, Experiment, Settings, Task, finished
from rectloc_tf.experiments.summaries import fastest_rate


def sigma_of_equal_mass(radius: float) -> float:
    """The sigma whose Gaussian holds as much as a disc of equal peak: 2 pi s^2 = pi r^2."""
    return radius / math.sqrt(2)


def runs(settings: Settings):
    """Both targets, seed by seed; the disc's run is cross_domain's."""
    sigma = sigma_of_equal_mass(settings.base.radius)
    for seed in settings.seeds:
        for target in ("disc", "gaussian"):
            fields = {"arch": "deconv", "domain": DOMAIN, "seed": seed, "target": target}
            run = settings.short(sigma=sigma, **fields)
            yield {"target": target, "seed": seed, "sigma": run.sigma}, run


def plan(settings: Settings) -> list[Task]:
    """Both targets, every seed; the first seed's answers are pictured."""
    tasks = []
    for _, run in runs(settings):
        tasks.append(Task(run, pictured=(DOMAIN,) if run.seed == settings.seeds[0] else ()))
    return tasks


def summarise(settings: Settings, summaries) -> dict:
    """A row a run: its test metrics, and the images per second of its fastest epoch."""
    rows = []
    for about, _, summary in finished(runs(settings), summaries):
        about |= {"images_per_second": fastest_rate(summary)}
        rows.append({**about, "test": summary["splits"]["test"][str(DOMAIN)]})
    return {"rows": rows}


EXPERIMENT = Experiment("target_density", plan, summarise)

if __name__ == "__main__":
    main(EXPERIMENT)
