"""Finding every rectangle: heads trained on unordered points of one class.

    python -m rectloc_tf.experiments.find_all --flagfile=flags/study.flags

Networks trained on one, two or three rectangles, all labelled alike (`--labels=unordered`) and
augmented, are tested on other numbers of them. A detection counts from a threshold on, which is
chosen on validation scenes of the number trained on. Final weights.

Both heads have short runs. A sharper score map sees as many images in smaller batches, since it
is updates that sharpen a map. Its cells weigh alike, its discs are smaller, so that those of
neighbours merge less, and its top-down path is normalised, without which such small discs are
learnt too slowly. This was chosen on validation images (seed 0; F1 within 16 and 5 px on three and
on five rectangles): radius 10, not normalised .972, .940, .924, .853; radius 10, normalised .973,
.959, .915, .889; radius 6, not normalised .949, .865, .859, .709; radius 7, normalised .973, .952,
.947, .902.
"""

import statistics
from typing import Any

from rectloc_tf.config import RunConfig
from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import Experiment, Settings, Task, finished
from rectloc_tf.geometry import FRAME

HEADS = ("deconv", "score_map")
TRAINED = (1, 2, 3)
MOST = max(TRAINED)  # on which the sharper score map is trained
SHARP = "score_map, sharper"
BATCHES = 4  # of its run, for one of a short run
SHARP_RADIUS = 7 / 8  # of a cell, of its discs; 7 px at 112 px
SHARES = ("f1", "f1_5px", "count_error")  # whose spread over seeds is kept beside their mean


def runs(settings: Settings):
    """A short run of each head and a sharper one of the last, seed by seed."""
    for seed in settings.seeds:
        for trained in sorted(TRAINED, reverse=True):
            for arch in HEADS:
                fields = {"arch": arch, "domain": trained, "seed": seed, "augment": True}
                about = {"who": arch, "arch": arch, "trained": trained, "seed": seed}
                run = settings.short(labels="unordered", **fields)
                yield about, run
            if trained == MOST:
                yield {**about, "who": SHARP}, _sharper(run)


def _sharper(run: RunConfig) -> RunConfig:
    """The same run with more updates, and with discs that merge less."""
    batch_size = max(1, run.batch_size // BATCHES)
    radius = SHARP_RADIUS * run.stride * FRAME / run.image_size
    return run.changed(batch_size=batch_size, positive_weight=1.0, radius=radius, batch_norm=True)


def plan(settings: Settings) -> list[Task]:
    """Every run, its detections measured on all domains; some of the first seed's pictured."""
    tasks = []
    for _, run in runs(settings):
        shown = run.seed == settings.seeds[0] and run.domain == MOST
        pictured = settings.domains if shown else ()
        tasks.append(Task(run, pictured=pictured, detected=settings.domains))
    return tasks


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run and domain; and by kind, trained and tested the mean over seeds."""
    rows = []
    for about, _, summary in finished(runs(settings), summaries):
        found = summary["detections"]
        for tested in settings.domains:
            if str(tested) in found["domains"]:
                measured = {"threshold": found["threshold"], **found["domains"][str(tested)]}
                rows.append({**about, "tested": tested, **measured})
    means: dict[str, Any] = {who: {} for who in (*HEADS, SHARP)}
    for row in rows:
        tested = means[row["who"]].setdefault(str(row["trained"]), {})
        tested.setdefault(str(row["tested"]), []).append(row)
    for by_trained in means.values():
        for by_tested in by_trained.values():
            by_tested.update({tested: _mean(alike) for tested, alike in by_tested.items()})
    return {"rows": rows, **means}


def _mean(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Of rows that differ in their seed: means and, of SHARES, least and greatest too."""
    means: dict[str, Any] = {}
    for name in ("precision", "recall", *SHARES):
        values = [row[name] for row in rows]
        means[name] = statistics.fmean(values)
        if name in SHARES:
            means[name] = {"mean": means[name], "min": min(values), "max": max(values)}
    return means


EXPERIMENT = Experiment("find_all", plan, summarise, lists=("domains",))

if __name__ == "__main__":
    main(EXPERIMENT)
