"""Measure a trained run: `python -m rectloc_tf.evaluate --run_dir=... --domains=1,2,3,4,5`.

Without --run_dir, the flags of the training command find the run.
"""

import dataclasses
from pathlib import Path

from rectloc_tf import cli
from rectloc_tf.errors import ConfigError
from rectloc_tf.report import format_result
from rectloc_tf.rundir import write_json


def evaluate() -> None:
    """Prints the metrics of each domain, and writes them to --output."""
    domains = _domains()
    folder, run = cli.open_run()
    from rectloc_tf.evaluation import Evaluator, make_report
    from rectloc_tf.progress import ProgressLine
    from rectloc_tf.serving import load_model

    targets, split = run.targets, cli.option("split")
    if cli.is_given("run_dir") and cli.is_given("labels"):
        targets = dataclasses.replace(targets, labels=cli.option("labels"))
    progress = ProgressLine()

    def show(done: int, total: int) -> None:
        if progress.due():
            progress.update(f"measured {done} of {total} images of {split}")

    measure = Evaluator(load_model(folder, cli.option("weights")), on_batch=show)
    metrics = {}
    for domain in domains or [run.domain]:
        scene = dataclasses.replace(run.scene, domain=domain)
        metrics[str(domain)] = measure(scene, targets, run.split_indices(split))
    trained = folder.read_result() if folder.is_finished() else {}
    names = ("epochs", "seconds", "images_per_second")
    report = make_report(run, {split: metrics}, {name: trained.get(name) for name in names})
    progress.print(format_result(report))
    if cli.option("output"):
        write_json(Path(cli.option("output")), report)


def _domains() -> list[int]:
    """The value of --domains as numbers, none if it is left out."""
    try:
        domains = [int(text) for text in cli.option("domains") or []]
    except ValueError as error:
        text = ",".join(cli.option("domains"))
        raise ConfigError(f"--domains={text}: must be numbers with commas, as 1,2,3") from error
    for domain in domains:
        dataclasses.replace(cli.run_config().scene, domain=domain)  # refuses what cannot be
    return domains


if __name__ == "__main__":
    cli.main(evaluate, "weights", "domains", "split", "output")
