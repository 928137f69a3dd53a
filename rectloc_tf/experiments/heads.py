"""Five heads on equal terms: the same scenes of three rectangles, the same number of epochs.

    python -m rectloc_tf.experiments.heads --flagfile=flags/study.flags

All are plain and trained for `--short_epochs`, because there are many; `headline` has longer runs
of three heads. Each head is trained once more without a label in the lower right quarter of the
image (`--withheld`), and tested everywhere: a translation-equivariant head should generalise to
positions it has not seen.

score_map, dsnt and simcc stand on the same top-down path. The study's other runs of score_map do
without batch normalisation there; one with it is the fair comparison to the two, which have it.
"""

from typing import Any

from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import DOMAIN, Experiment, Settings, Task, tested_rows

NORMALISED = "score_map, normalised"
KINDS: dict[str, dict[str, Any]] = {
    "xy": {"arch": "xy"},
    "deconv": {"arch": "deconv"},
    "score_map": {"arch": "score_map"},
    NORMALISED: {"arch": "score_map", "batch_norm": True},
    "dsnt": {"arch": "dsnt"},
    "simcc": {"arch": "simcc"},
}
VARIANTS = ("plain", "withheld")


def runs(settings: Settings):
    """Each kind of head, everything shown and a quarter withheld, seed by seed."""
    for seed in settings.seeds:
        for variant in VARIANTS:
            for who, fields in KINDS.items():
                about = {"who": who, "arch": fields["arch"], "variant": variant, "seed": seed}
                run = settings.short(
                    domain=DOMAIN, seed=seed, withheld=variant == "withheld", **fields
                )
                yield {**about, "epochs": run.epochs}, run


def plan(settings: Settings) -> list[Task]:
    """Every run, with its answers."""
    return [Task(run, answered=(DOMAIN,)) for _, run in runs(settings)]


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run: its metrics, of the best and of the final weights."""
    return {"rows": tested_rows(runs(settings), summaries)}


EXPERIMENT = Experiment("heads", plan, summarise)

if __name__ == "__main__":
    main(EXPERIMENT)
