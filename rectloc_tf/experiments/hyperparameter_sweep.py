"""Batch size, learning rate and depth, one at a time, around the profile's own values.

python -m rectloc_tf.experiments.hyperparameter_sweep --flagfile=flags/study.flags
"""

from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import COMPARED, DOMAIN, Experiment, Settings, Task, finished
from rectloc_tf.experiments.summaries import fastest_rate


def axes(settings: Settings) -> dict[str, tuple]:
    """The values of each axis."""
    return {
        "batch_size": settings.batch_sizes,
        "learning_rate": settings.learning_rates,
        "depth": settings.depths,
    }


def runs(settings: Settings):
    """A run a value of each axis; the centre of all axes is cross_domain's run on three."""
    for arch in COMPARED:
        for axis, values in axes(settings).items():
            for value in values:
                fields = {"arch": arch, "domain": DOMAIN, "seed": settings.seeds[0], axis: value}
                yield {"arch": arch, "axis": axis, "value": value}, settings.short(**fields)


def plan(settings: Settings) -> list[Task]:
    """Every value of every axis, both heads, the first seed."""
    return [Task(run) for _, run in runs(settings)]


def _train_variance(summary: dict) -> float | None:
    """Variance of the training targets: what turns a training loss into an R²."""
    train = summary["splits"]["train"][str(DOMAIN)]
    return train["mse"] / (1 - train["r2"]) if train["r2"] < 1 else None


def summarise(settings: Settings, summaries) -> dict:
    """A row a value: what it reached, and the seconds of its fastest epoch."""
    rows = []
    for about, run, summary in finished(runs(settings), summaries):
        rate = fastest_rate(summary)
        about |= {"seconds_per_epoch": run.num_train / rate if rate else None}
        about |= {"train_variance": _train_variance(summary)}
        splits = ("validation", "test")
        metrics = {split: summary["splits"][split][str(DOMAIN)] for split in splits}
        rows.append({**about, **metrics})
    centre = {axis: getattr(settings.base, axis) for axis in axes(settings)}
    return {"centre": centre, "rows": rows}


EXPERIMENT = Experiment(
    "hyperparameter_sweep", plan, summarise, lists=("batch_sizes", "learning_rates", "depths")
)

if __name__ == "__main__":
    main(EXPERIMENT)
