"""How fast the input pipeline is: the graph renderer against OpenCV, disc against Gaussian.

    python benchmarks/rendering.py [--rounds=7] [--image_size=224] [--domain=3] [--batch_size=64]

Variants take turns (A B C A B C ...), so that a change in the machine's speed hits them alike;
ratios are taken within a round. A turn warms its pipeline up for a second (tf.data tunes its
parallelism meanwhile) and then takes batches for another.
"""

import argparse
import itertools
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pipelines.datasets import training_batches
from rectloc_tf.config import RunConfig

SECONDS = 1.0
VARIANTS = tuple(itertools.product(("graph", "opencv"), ("xy", "disc", "gaussian")))


def make_pipeline(renderer: str, kind: str, options: argparse.Namespace):
    """An iterator over the batches of a run that is long enough for all rounds."""
    run = RunConfig(
        arch="xy" if kind == "xy" else "deconv",
        target="disc" if kind == "xy" else kind,
        domain=options.domain,
        image_size=options.image_size,
        batch_size=options.batch_size,
        epochs=1000,
    )
    return iter(training_batches(run, renderer=renderer))


def images_per_second(batches, options: argparse.Namespace) -> float:
    """Speed of a pipeline over SECONDS, after as long a warm-up."""
    _count_batches(batches, SECONDS)
    began = time.perf_counter()
    count = _count_batches(batches, SECONDS)
    return count * options.batch_size / (time.perf_counter() - began)


def _count_batches(batches, seconds: float) -> int:
    count, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        next(batches)
        count += 1
    return count


def main() -> None:
    """Measures, and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("rounds", 7), ("image_size", 224), ("domain", 3), ("batch_size", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    rates = {variant: [] for variant in VARIANTS}
    for _ in range(options.rounds):
        for variant in VARIANTS:
            # A pipeline of its own each time: idle ones would go on prefetching beside it.
            rates[variant].append(images_per_second(make_pipeline(*variant, options), options))
    print(f"{options.image_size} px, domain {options.domain}, batch {options.batch_size}")
    print("| target | graph, images/s | opencv, images/s | graph / opencv (median, range) |")
    print("|---|---|---|---|")
    for kind in ("xy", "disc", "gaussian"):
        ours, theirs = rates["graph", kind], rates["opencv", kind]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        print(
            f"| {kind} | {statistics.median(ours):,.0f} | {statistics.median(theirs):,.0f} | "
            f"{statistics.median(ratios):.1f} ({min(ratios):.1f}–{max(ratios):.1f}) |"
        )
    costs = [a / b for a, b in zip(rates["graph", "disc"], rates["graph", "gaussian"], strict=True)]
    print(
        f"\ncost of a Gaussian over a disc: {statistics.median(costs):.2f} "
        f"({min(costs):.2f}–{max(costs):.2f})"
    )


if __name__ == "__main__":
    main()
