"""The heads that README compares: three rectangles, the same scenes.

    python -m rectloc_tf.experiments.headline --flagfile=flags/study.flags

Plain runs are trained as the original did, for `--plain_epochs`; improved ones for `--epochs`,
and also see their scenes mirrored and transposed; short ones are plain, for `--short_epochs`,
and tell what the other experiments, which repeat them, are to be measured by.
"""

from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import COMPARED, DOMAIN, Experiment, Settings, Task, finished

HEADS = (*COMPARED, "score_map")


def runs(settings: Settings, seed: int, heads: tuple[str, ...] = COMPARED):
    """The runs of one seed; no short ones where they would be the plain ones."""
    for variant in ("short", "plain", "improved"):
        for arch in heads:
            fields = {"arch": arch, "domain": DOMAIN, "seed": seed}
            run = getattr(settings, variant)(**fields)
            if variant != "short" or run != settings.plain(**fields):
                yield {"arch": arch, "variant": variant, "seed": seed, "epochs": run.epochs}, run


def plan(settings: Settings) -> list[Task]:
    """All heads, every way and seed; answers of the first seed's longer runs are pictured."""
    tasks = []
    for seed in settings.seeds:
        for about, run in runs(settings, seed, HEADS):
            pictured = seed == settings.seeds[0] and about["variant"] != "short"
            tasks.append(Task(run, pictured=(DOMAIN,) if pictured else ()))
    return tasks


def summarise(settings: Settings, summaries) -> dict:
    """A row a run: its test metrics on its own domain."""
    pairs = (pair for seed in settings.seeds for pair in runs(settings, seed, HEADS))
    return {
        "rows": [
            {**about, "test": summary["splits"]["test"][str(DOMAIN)]}
            for about, _, summary in finished(pairs, summaries)
        ]
    }


EXPERIMENT = Experiment("headline", plan, summarise)

if __name__ == "__main__":
    main(EXPERIMENT)
