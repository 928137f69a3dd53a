"""Measure a trained run: `python -m rectloc_tf.evaluate --run_dir=... --domains=1,2,3,4,5`.

Without --run_dir, the flags that describe the run find it.
"""

import dataclasses

from rectloc_tf import cli
from rectloc_tf.config import MAX_DOMAIN
from rectloc_tf.errors import ConfigError
from rectloc_tf.results.output_files import check_not_input, check_writable, message_stream
from rectloc_tf.results.report import format_result
from rectloc_tf.results.rundir import write_json


def evaluate() -> None:
    """Prints the metrics of each domain, and writes them to --output."""
    domains, output = _domains(), cli.path_option("output")
    if output:
        check_writable("output", output)
    folder, run = cli.open_run()
    if output:
        check_not_input("output", output, folder.files())
    from pipelines.scenes.sampling import scene_table
    from rectloc_tf.results.evaluation import Evaluator, make_report, match_outputs
    from rectloc_tf.serving.saved_model import load_model
    from rectloc_tf.training.progress import ProgressLine

    targets, split = run.targets, cli.option("split")
    if cli.is_given("run_dir") and cli.is_given("labels"):
        targets = dataclasses.replace(targets, labels=cli.option("labels"))
    progress = ProgressLine(message_stream(output))

    def show(done: int, total: int) -> None:
        if progress.due():
            progress.update(f"measured {done} of {total} images of {split}")

    trained = folder.read_result() if folder.is_finished() else {}
    names = ("epochs", "seconds", "images_per_second")
    about = {"weights": cli.option("weights"), "labels": targets.labels}
    about |= {name: trained.get(name) for name in names}
    model = load_model(folder, cli.option("weights"))
    scenes = [dataclasses.replace(run.scene, domain=n) for n in domains or [run.domain]]
    for scene in scenes:  # refuse what cannot be measured before anything is
        scene_table(scene)
        if not targets.is_heatmap:
            match_outputs(model.output_shape[1], targets, scene)
    measure, metrics = Evaluator(model, on_batch=show), {}
    for scene in scenes:
        metrics[str(scene.domain)] = measure(scene, targets, run.split_indices(split))
    report = make_report(run, {split: metrics}, about)
    progress.print(format_result(report))
    if output:
        write_json(output, report)


def _domains() -> list[int]:
    """The value of --domains as numbers, none if it is left out."""
    given = cli.option("domains") or []
    flag = f"--domains={','.join(given)}"
    try:
        domains = [int(text) for text in given]
    except ValueError as error:
        raise ConfigError(f"{flag}: must be numbers with commas, as 1,2,3") from error
    if not all(1 <= domain <= MAX_DOMAIN for domain in domains):
        raise ConfigError(f"{flag}: must be from 1 to {MAX_DOMAIN}")
    return domains


if __name__ == "__main__":
    cli.main("evaluate", evaluate)
