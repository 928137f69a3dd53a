"""Decoders compared on the same trained maps: argmax and its refinements.

    python -m rectloc_tf.experiments.decoders --flagfile=flags/study.flags

Maps of heatmap networks (a disc and a Gaussian as their target), of score maps and of dsnt, on
three rectangles; all plain, for `--short_epochs`; final weights. Each decoder of `heads.decoders`
reads all of them, and so does the head's own (location refinement, of score maps). Only images
count whose brightest cell is on the right rectangle, because decoders do not differ in that choice.
"""

from typing import Any

from rectloc_tf.experiments.command import main
from rectloc_tf.experiments.plan import DOMAIN, Experiment, Settings, Task, finished
from rectloc_tf.experiments.target_density import sigma_of_equal_mass

KINDS: dict[str, dict[str, Any]] = {
    "deconv": {"arch": "deconv"},
    "deconv, Gaussian": {"arch": "deconv", "target": "gaussian"},
    "score_map": {"arch": "score_map", "batch_norm": True},
    "dsnt": {"arch": "dsnt"},
}


def runs(settings: Settings):
    """Each kind of map, seed by seed."""
    for seed in settings.seeds:
        for who, fields in KINDS.items():
            more = {"domain": DOMAIN, "seed": seed, **fields}
            if fields.get("target") == "gaussian":
                more["sigma"] = sigma_of_equal_mass(settings.varied(arch="deconv").radius)
            run = settings.short(**more)
            about = {"who": who, "arch": run.arch, "seed": seed, "stride": _stride(run)}
            yield about, run


def _stride(run) -> int:
    """Working pixels from cell to cell."""
    return run.stride if "stride" not in run.unused else 1


def plan(settings: Settings) -> list[Task]:
    """Every run, its maps read by every decoder."""
    return [Task(run, decoded=(DOMAIN,)) for _, run in runs(settings)]


def summarise(settings: Settings, summaries) -> dict:
    """A row for each run and decoder: the share within each distance, and the median error."""
    rows = []
    for about, _, summary in finished(runs(settings), summaries):
        found = summary.get("decoded", {}).get(str(DOMAIN), {})
        for decoder, measured in found.get("decoders", {}).items():
            rows.append({**about, "decoder": decoder, "images": found["images"], **measured})
    return {"rows": rows}


EXPERIMENT = Experiment("decoders", plan, summarise)

if __name__ == "__main__":
    main(EXPERIMENT)
