r"""How often does a map stay empty? Short runs with many seeds on small images.

    python -m rectloc_tf.experiments.collapse --flagfile=flags/study.flags \
        --seeds=0,1,2,3,4,5,6,7,8,9

Most of a map is background, so an empty map is hard to improve on. A map stays empty if its
final validation loss is at least 98 % of that of an empty map.
"""

from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import DOMAIN, Experiment, Settings, Task, finished

# Of a run, at most.
SIZES = {"image_size": 64, "num_images": 1000, "batch_size": 16}
EPOCHS = 5
# score_map has a map for each of three rectangles; deconv has one map, of one rectangle.
VARIANTS = {
    "deconv, targets 0–255": {"arch": "deconv", "domain": 1},
    "deconv, targets 0–1": {"arch": "deconv", "domain": 1, "peak": 1.0},
    "score_map": {"arch": "score_map", "domain": DOMAIN, "labels": "all"},
    "score_map, unweighted": {
        "arch": "score_map", "domain": DOMAIN, "labels": "all", "positive_weight": 1.0,
    },
}  # fmt: skip


def runs(settings: Settings):
    """A run of each of the VARIANTS, seed by seed."""
    epochs = min(EPOCHS, settings.short().epochs)
    sizes = {name: min(size, getattr(settings.base, name)) for name, size in SIZES.items()}
    sizes |= {"epochs": epochs, "validate_every": epochs}
    for seed in settings.seeds:
        for variant, fields in VARIANTS.items():
            run = settings.short(seed=seed, **fields)
            yield {"variant": variant, "seed": seed}, run.changed(**sizes)


def plan(settings: Settings) -> list[Task]:
    """Every variant and seed."""
    return [Task(run) for _, run in runs(settings)]


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run: of each map, its validation loss over that of answering nothing."""
    rows = []
    for about, run, summary in finished(runs(settings), summaries):
        validation = summary["splits"]["validation"][str(run.domain)]
        rows.append({**about, "empty_answers": validation["empty_answers"]})
    return {"rows": rows}


EXPERIMENT = Experiment("collapse", plan, summarise)

if __name__ == "__main__":
    main(EXPERIMENT)
