"""The pair that README shows: coordinates against heatmap, three rectangles, same scenes.

    python -m rectloc_tf.experiments.headline --flagfile=flags/study.flags

Plain runs are trained as the original did, for `--short_epochs`; improved ones for `--epochs`,
and also see their scenes mirrored and transposed.
"""

from rectloc_tf.config import ARCHS
from rectloc_tf.experiments.plan import Experiment, Settings, Task

DOMAIN = 3


def runs(settings: Settings, seed: int):
    """Variant and run, of one seed; the plain ones are also cross_domain's."""
    for variant in ("plain", "improved"):
        for arch in ARCHS:
            fields = {"arch": arch, "domain": DOMAIN, "seed": seed}
            improved = variant == "improved"
            yield variant, settings.run(short=not improved, augment=improved, **fields)


def plan(settings: Settings) -> list[Task]:
    """Both heads, plain and improved, every seed; the first seed's answers are pictured."""
    tasks = []
    for seed in settings.seeds:
        pictured = (DOMAIN,) if seed == settings.seeds[0] else ()
        tasks += [Task(run, pictured=pictured) for _, run in runs(settings, seed)]
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
