"""The heads compared in README.md, on the same scenes of three rectangles.

    python -m rectloc_tf.experiments.headline --flagfile=flags/study.flags

Plain runs are trained as the original did, for `--plain_epochs`; improved ones for `--epochs`,
and also see their scenes mirrored and transposed; short ones are plain, for `--short_epochs`,
and are the reference for the other experiments, which vary them.

Three more variants, of the original's heads, separate what the others mix. Longer runs are plain,
but for `--epochs`; augmented ones are as short as the plain ones; centred ones are plain, of
coordinates that are counted from the middle of the image (`--units=centred`).
"""

from rectloc_tf.config import RunConfig
from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import (
    COMPARED,
    DOMAIN,
    Experiment,
    Settings,
    Task,
    each_once,
    tested_rows,
)

HEADS = (*COMPARED, "score_map")


def runs(settings: Settings, seed: int, heads: tuple[str, ...] = COMPARED):
    """The runs of one seed; no short ones where they would be the plain ones."""
    for variant in ("short", "plain", "improved"):
        for arch in heads:
            fields = {"arch": arch, "domain": DOMAIN, "seed": seed}
            run = getattr(settings, variant)(**fields)
            if variant != "short" or run != settings.plain(**fields):
                yield _about(variant, run), run


def separate_runs(settings: Settings, seed: int):
    """The runs of one seed that separate what others mix; the longer ones of the first alone."""
    fields = {"domain": DOMAIN, "seed": seed}
    for arch in COMPARED if seed == settings.seeds[0] else ():
        longer = settings.improved(arch=arch, **fields).changed(augment=False)
        yield _about("longer", longer), longer
        augmented = settings.plain(arch=arch, **fields).changed(augment=True)
        yield _about("augmented", augmented), augmented
    centred = settings.plain(arch="xy", units="centred", **fields)
    yield _about("centred", centred), centred


def _about(variant: str, run: RunConfig) -> dict:
    return {"arch": run.arch, "variant": variant, "seed": run.seed, "epochs": run.epochs}


def all_runs(settings: Settings):
    """All runs, each once, seed by seed."""
    return each_once(
        pair
        for seed in settings.seeds
        for pair in (*runs(settings, seed, HEADS), *separate_runs(settings, seed))
    )


def plan(settings: Settings) -> list[Task]:
    """All heads, every way and seed; answers of the first seed's longer runs are pictured."""
    tasks = []
    for about, run in all_runs(settings):
        first = about["seed"] == settings.seeds[0]
        pictured = first and about["variant"] in ("plain", "improved")
        tasks.append(Task(run, pictured=(DOMAIN,) if pictured else (), answered=(DOMAIN,)))
    return tasks


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run: its metrics on its own domain, of the best and of the final weights."""
    return {"rows": tested_rows(all_runs(settings), summaries)}


EXPERIMENT = Experiment("headline", plan, summarise)

if __name__ == "__main__":
    main(EXPERIMENT)
