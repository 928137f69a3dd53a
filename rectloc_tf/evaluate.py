"""Measure a trained run: `python -m rectloc_tf.evaluate --run_dir=... --domains=1,2,3,4,5`.

Without --run_dir, the run is found from the flags that describe it.
"""

import dataclasses

from rectloc_tf import cli
from rectloc_tf.config import MAX_DOMAIN
from rectloc_tf.experiments.plan import require_each
from rectloc_tf.results.data_files import write_json
from rectloc_tf.results.output_files import check_writable, message_stream
from rectloc_tf.results.report import format_result


def evaluate() -> None:
    """Prints the metrics of each domain, and writes them to --output."""
    domains, output = _domains(), cli.path_option("output")
    if output:
        check_writable("output", output)
    folder, run = cli.open_run()
    from pipelines.source import make_source
    from rectloc_tf.models import load_model, run_head
    from rectloc_tf.registry import UNORDERED
    from rectloc_tf.results.evaluation import Evaluator, detect, make_report, measure_detections
    from rectloc_tf.training.progress import ProgressLine
    from rectloc_tf.training.run_files import check_output, open_files

    split, labels = cli.option("split"), run.labels
    if cli.is_given("run_dir") and cli.is_given("labels"):
        labels = cli.option("labels")
    progress = ProgressLine(message_stream(output))

    def show(done: int, total: int) -> None:
        if progress.due():
            progress.update(f"measured {done} of {total} images of {split}")

    trained = folder.read_result() if folder.is_finished() else {}
    names = ("epochs", "steps", "seconds", "images_per_second")
    about = {"weights": cli.option("weights"), "labels": labels}
    about |= {name: trained.get(name) for name in names}
    model = load_model(folder.model_path(cli.option("weights")), run)
    head = run_head(run)
    asked = dataclasses.replace(run, labels=labels)
    threshold = cli.threshold(folder, asked)
    if "domain" in run.unused:
        domains = ()  # from a flagfile, which serves all sources
    files = open_files(run, folder, cli.option("data"), cli.option("images_root"))
    if output:
        check_output("output", output, folder, cli.option("data"), files)
    runs = [dataclasses.replace(asked, domain=n) for n in domains or [run.domain]]
    sources = [make_source(other, files=files) for other in runs]
    for source in sources:  # refuse what cannot be measured before anything is
        source.check()
        head.of(source.keypoints)
    measure, metrics = Evaluator(model, head, on_batch=show).measure, {}
    for source in sources:
        indices = source.indices(split)
        found, _ = measure(source, indices, intervals=True)
        if labels == UNORDERED:
            detected = detect(model, head.of(source.keypoints), source, indices, show)
            found["detections"] = measure_detections(detected, threshold)
        metrics[source.set_name] = found
    report = make_report(run, {split: metrics}, about)
    progress.print(format_result(report))
    if output:
        write_json(output, report)


def _domains() -> tuple[int, ...]:
    """The value of --domains as numbers, none if it is left out."""
    if not cli.option("domains"):
        return ()
    domains = cli.numbers("domains", int)
    require_each("domains", domains, lambda v: 1 <= v <= MAX_DOMAIN, f"from 1 to {MAX_DOMAIN}")
    return domains


if __name__ == "__main__":
    cli.main("evaluate", evaluate)
