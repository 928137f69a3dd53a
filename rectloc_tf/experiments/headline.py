"""The pair that README shows: coordinates against heatmap, three rectangles, same scenes.

    python -m rectloc_tf.experiments.headline --flagfile=flags/study.flags

Plain runs are trained as the original did, for `--plain_epochs`; improved ones for `--epochs`,
and also see their scenes mirrored and transposed; short ones are plain, for `--short_epochs`,
and tell what the other experiments, which repeat them, are to be measured by.
"""

from rectloc_tf.config import ARCHS
from rectloc_tf.experiments.plan import Experiment, Settings, Task

DOMAIN = 3


def runs(settings: Settings, seed: int):
    """Variant and run, of one seed; no short ones where they would be the plain ones."""
    for variant in ("short", "plain", "improved"):
        for arch in ARCHS:
            fields = {"arch": arch, "domain": DOMAIN, "seed": seed}
            run = getattr(settings, variant)(**fields)
            if variant != "short" or run != settings.plain(**fields):
                yield variant, run


def plan(settings: Settings) -> list[Task]:
    """Both heads, every way and seed; answers of the first seed's longer runs are pictured."""
    tasks = []
    for seed in settings.seeds:
        for variant, run in runs(settings, seed):
            pictured = seed == settings.seeds[0] and variant != "short"
            tasks.append(Task(run, pictured=(DOMAIN,) if pictured else ()))
    return tasks


def summarise(settings: Settings, summaries) -> dict:
    """A row a run: its test metrics on its own domain."""
    rows = []
    for seed in settings.seeds:
        for variant, run in runs(settings, seed):
            name = Task(run).name
            if name in summaries:
                test = summaries[name]["splits"]["test"][str(DOMAIN)]
                about = {"run": name, "arch": run.arch, "variant": variant, "seed": seed}
                rows.append({**about, "epochs": run.epochs, "test": test})
    return {"rows": rows}


EXPERIMENT = Experiment("headline", plan, summarise)

if __name__ == "__main__":
    from rectloc_tf.experiments.command import main

    main(EXPERIMENT)
