"""The original's heads at its own settings: twice the image size, constant learning rate.

    python -m rectloc_tf.experiments.original_settings --flagfile=flags/study.flags

The other experiments use smaller images and a cosine schedule. These runs have only the first
seed, because they cost the most: coordinates for `--epochs`, the heatmap for 2.5
times as many, as in the original.
"""

from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import (
    COMPARED,
    DOMAIN,
    Experiment,
    Settings,
    Task,
    tested_rows,
)

LENGTHS = {"xy": 1.0, "deconv": 2.5}  # of the training, in `--epochs`
SIZE = 2  # times `--image_size`


def runs(settings: Settings):
    """A run of each head."""
    for arch in COMPARED:
        run = settings.improved(arch=arch, domain=DOMAIN, seed=settings.seeds[0])
        epochs = run.epochs if settings.epochs is None else round(LENGTHS[arch] * run.epochs)
        size = SIZE * settings.base.image_size
        run = run.changed(augment=False, schedule="constant", image_size=size, epochs=epochs)
        yield {"arch": arch, "seed": run.seed, "epochs": epochs, "image_size": size}, run


def plan(settings: Settings) -> list[Task]:
    """Both heads, the first seed."""
    return [Task(run, answered=(DOMAIN,)) for _, run in runs(settings)]


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run: its metrics on its own domain, of the best and of the final weights."""
    return {"rows": tested_rows(runs(settings), summaries)}


EXPERIMENT = Experiment("original_settings", plan, summarise)

if __name__ == "__main__":
    main(EXPERIMENT)
