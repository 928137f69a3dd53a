"""Predict centres in image files: `python -m rectloc_tf.predict --run_dir=... --images='*.png'`.

Or in images of the run's source, as scenes: `... --domain=3 --num=16`. Without --run_dir, the
flags that describe the run find it. A file that cannot be read is reported, and the others are
predicted.
"""

import dataclasses
import sys
from pathlib import Path

from rectloc_tf import cli
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import EXIT_ERROR, ConfigError
from rectloc_tf.registry import SOURCES
from rectloc_tf.results.output_files import (
    check_folder,
    check_not_input,
    check_writable,
    message_stream,
)
from rectloc_tf.serving.image_search import find_images


def predict() -> int:
    """Writes the CSV, and pictures into --overlay_dir; returns the exit code."""
    output = cli.path_option("output") or Path("predictions.csv")
    overlay_dir, images = cli.path_option("overlay_dir"), cli.option("images")
    paths = find_images(images) if images is not None else []
    check_not_input("output", output, paths)
    check_writable("output", output)
    folder, run = cli.open_run()
    check_not_input("output", output, folder.files())
    from pipelines.resampling import PLACES
    from pipelines.source import make_source
    from rectloc_tf.models import load_model, run_head
    from rectloc_tf.serving import prediction
    from rectloc_tf.serving.overlays import check_overlays, overlay_paths
    from rectloc_tf.training.run_files import open_files

    domain = cli.option("domain") if cli.is_given("domain") else run.domain
    source, indices = None, range(0)
    if not paths:
        files = open_files(run, folder, cli.option("data"), cli.option("images_root"))
        source = make_source(dataclasses.replace(run, domain=domain), files=files)
        indices = _first(source.indices(cli.option("split")), run)
    names = [source.label(index) for index in indices] if source else [*map(str, paths)]
    overlays = overlay_paths(overlay_dir, names) if overlay_dir else {}
    if overlay_dir:
        check_overlays(overlay_dir, overlays.values(), paths)
        check_folder("overlay_dir", overlay_dir)
    failed = []

    def report(message: str) -> None:
        failed.append(message)
        sys.stderr.write(f"error: {message}\n")

    def warn(message: str) -> None:
        sys.stderr.write(f"warning: {message}\n")

    model = load_model(folder.model_path(cli.option("weights")))
    head = run_head(run)
    threshold = cli.option("threshold")
    if source:
        predictions = prediction.predict_source(model, head, source, indices, threshold)
    else:
        how = cli.option("ignore_exif"), threshold, PLACES[SOURCES[run.source].place]
        predictions = prediction.predict_files(model, head, paths, report, warn, *how)
    count, rows, turned = prediction.write_answers(predictions, output, overlays, report)
    text = f"{output}: {rows} predictions"
    if rows != count:
        text += f" in {count} images"
    if overlay_dir:
        text += f"; pictures in {overlay_dir}"
    if turned:
        text += f"\nturned as their EXIF data says: {turned} of {count} files; x and y are in the "
        text += "turned picture (--ignore_exif: in the picture as it is stored)"
    print(text, file=message_stream(output))
    return EXIT_ERROR if failed else 0


def _first(indices: range, run: RunConfig) -> range:
    """The first --num of a split's images; all of them where it is left out and there are fewer."""
    number = cli.option("num")
    if number > len(indices) and cli.is_given("num"):
        flags = f"--num={number}: --split={cli.option('split')}"
        raise ConfigError(f"{flags} has {len(indices)} {SOURCES[run.source].words.image}s")
    return indices[:number]


if __name__ == "__main__":
    cli.main("predict", predict)
