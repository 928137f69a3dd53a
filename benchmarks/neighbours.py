"""Which of two rectangles a network finds, by the distance between their centres.

    python benchmarks/neighbours.py RUN_DIR ... --output=benchmarks/neighbours.json

For runs with --labels=unordered. Tested on the 1,000 test scenes of two rectangles with the final
weights; a detection counts from the threshold that the study chose for the run on (find_all.json),
and is right within 16 px. REPORT.md uses the file.
"""

import argparse
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.source import make_source
from rectloc_tf.geometry import centers
from rectloc_tf.models import load_model, run_head
from rectloc_tf.results.data_files import read_json, write_json
from rectloc_tf.results.evaluation import detect
from rectloc_tf.results.metrics import PICK_RADIUS, match_points
from rectloc_tf.results.rundir import RunFolder

EDGES = (0, 30, 60, 90, 320)  # px of 224
SUMMARY = Path(__file__).parents[1] / "figures" / "results" / "find_all.json"


def rows(found: np.ndarray, truths: np.ndarray) -> list[dict[str, Any]]:
    """For each range of distances with scenes: how many, and where both, one or none is found.

    Args:
        found: bool [N, 2].
        truths: centres [N, 2, 2], px of 224.
    """
    distances = np.linalg.norm(truths[:, 0] - truths[:, 1], axis=-1)
    made = []
    for low, high in itertools.pairwise(EDGES):
        here = found[(distances >= low) & (distances < high)].sum(axis=1)
        if not here.size:
            continue
        shares = {word: float(np.mean(here == n)) for n, word in enumerate(("none", "one", "both"))}
        made.append({"from_px": low, "to_px": high, "scenes": len(here), **shares})
    return made


def which_are_found(
    points: np.ndarray, values: np.ndarray, truths: np.ndarray, threshold: float
) -> np.ndarray:
    """Whether each centre has a detection of its own: bool [N, n].

    Args:
        points: [N, P, 2], px of 224.
        values: [N, P], of each; those below the threshold do not count.
        truths: [N, n, 2].
        threshold: least value.
    """
    found = np.zeros(truths.shape[:2], bool)
    for i, (places, certain) in enumerate(zip(points, values >= threshold, strict=True)):
        for _, truth in match_points(places[certain], truths[i], PICK_RADIUS):
            found[i, truth] = True
    return found


def measure(folder: RunFolder, about: dict[str, Any]) -> dict[str, Any]:
    """What a run's final weights find of two rectangles; `about` it, with its threshold."""
    run = folder.run_config()
    source, model = make_source(run.changed(domain=2)), load_model(folder.final_model)
    points, values, rectangles = detect(model, run_head(run), source, source.indices("test"))
    truths = centers(rectangles)
    found = which_are_found(points, values, truths, about["threshold"])
    return {**about, "rows": rows(found, truths)}


def main() -> None:
    """Measures the runs, and adds them to the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run_dir", nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    kept = "who", "trained", "seed", "threshold"
    known = {row["run"]: {k: row[k] for k in kept} for row in read_json(SUMMARY)["rows"]}
    report = read_json(asked.output) if asked.output.exists() else {}
    for folder in map(RunFolder, asked.run_dir):
        name = folder.path.name
        report[name] = measure(folder, known[name])
        print(name, *report[name]["rows"], sep="\n  ")
        write_json(asked.output, report)


if __name__ == "__main__":
    main()
