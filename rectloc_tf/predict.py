"""Predict keypoints in image files: `python -m rectloc_tf.predict --run_dir=... --images='*.png'`.

Or in the frames of a video, `... --video=clip.mp4 --overlay_video=drawn.mp4`, or in the run's own
test images, `... --domain=3 --num=16`. Without --run_dir, the run is found from the flags that
describe it. A file or frame that cannot be read is reported and skipped. For named keypoints,
DeepLabCut can read the CSV.
"""

import dataclasses
import sys
from pathlib import Path

from rectloc_tf import cli
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import EXIT_ERROR, ConfigError, one_line
from rectloc_tf.registry import NAMED, SOURCES
from rectloc_tf.results.output_files import (
    check_folder,
    check_not_input,
    check_writable,
    message_stream,
)
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving.image_search import find_images


def predict() -> int:
    """Writes the CSV, and pictures into --overlay_dir; returns the exit code."""
    if video := cli.path_option("video"):
        return _predict_video(video)
    if cli.option("overlay_video"):
        raise ConfigError("--overlay_video: works with --video; name the video to draw on")
    output = cli.path_option("output") or Path("predictions.csv")
    overlay_dir, images = cli.path_option("overlay_dir"), cli.option("images")
    paths = find_images(images) if images is not None else []
    check_not_input("output", output, paths)
    check_writable("output", output)
    folder, run = cli.open_run()
    threshold = cli.threshold(folder, run)
    from pipelines.resampling import PLACES
    from rectloc_tf.models import load_model, run_head
    from rectloc_tf.serving import answer_files, prediction
    from rectloc_tf.serving.overlays import check_overlays, overlay_paths
    from rectloc_tf.training.run_files import check_output

    source, indices, truths = None, range(0), None
    if paths:
        check_output("output", output, folder, cli.option("data"))
    else:
        source, indices, truths = _own_images(folder, run, output)
        paths = [*truths]
    names = [source.label(i) for i in indices] if source and not paths else [*map(str, paths)]
    overlays = overlay_paths(overlay_dir, names) if overlay_dir else {}
    if overlay_dir:
        check_overlays(overlay_dir, overlays.values(), paths)
        check_folder("overlay_dir", overlay_dir)
    failed = []

    def report(message: str) -> None:
        failed.append(message)
        sys.stderr.write(f"error: {one_line(message)}\n")

    def warn(message: str) -> None:
        sys.stderr.write(f"warning: {one_line(message)}\n")

    model = load_model(folder.model_path(cli.option("weights")), run)
    head = run_head(run)
    if source and not paths:
        predictions = prediction.predict_source(model, head, source, indices, threshold)
    else:
        how = cli.option("ignore_exif"), threshold, PLACES[SOURCES[run.source].place], truths
        predictions = prediction.predict_files(model, head, paths, report, warn, *how)
    keypoints = head.keypoints.names if head.keypoints.kind == NAMED else ()
    about = keypoints, folder.path.resolve().name, cli.option("min_confidence")
    count, rows, turned = answer_files.write_answers(predictions, output, overlays, report, *about)
    text = f"{output}: {rows} predictions"
    if rows != count:
        text += f" in {count} images"
    if overlay_dir:
        text += f"; pictures in {overlay_dir}"
    if turned:
        text += f"\nrotated by their EXIF orientation: {turned} of {count} files; x and y are in "
        text += "the rotated image (--ignore_exif: in the image as stored)"
    print(text, file=message_stream(output))
    return EXIT_ERROR if failed else 0


def _predict_video(path: Path) -> int:
    """Writes a CSV with a row for each frame, and --overlay_video; returns the exit code."""
    from pipelines.video_files import open_video
    from rectloc_tf.serving.overlay_video import check_overlay_video

    output = cli.path_option("output") or Path("predictions.csv")
    overlay = cli.path_option("overlay_video")
    video = open_video(path)
    check_not_input("output", output, [path])
    check_writable("output", output)
    if overlay:
        check_overlay_video(overlay, video, output)
    folder, run = cli.open_run()
    threshold = cli.threshold(folder, run)
    from pipelines.resampling import PLACES
    from rectloc_tf.models import load_model, run_head
    from rectloc_tf.serving.video_prediction import VideoRun, write_video_answers
    from rectloc_tf.training.run_files import check_output

    for flag, written in (("output", output), ("overlay_video", overlay)):
        if written:
            check_output(flag, written, folder, cli.option("data"))
    head = run_head(run)
    model = load_model(folder.model_path(cli.option("weights")), run)
    how = VideoRun(
        model,
        head,
        PLACES[SOURCES[run.source].place],
        folder.path.resolve().name,
        threshold,
        cli.option("min_confidence"),
    )
    lines, is_whole = write_video_answers(how, video, output, overlay, sys.stderr)
    print("\n".join(lines), file=message_stream(output))
    return 0 if is_whole else EXIT_ERROR


def _own_images(folder: RunFolder, run: RunConfig, output: Path):
    """Images of the run's source: the source, their indices and, of files, path -> true points."""
    from pipelines.source import make_source
    from rectloc_tf.training.run_files import check_output, open_files

    if cli.option("ignore_exif"):
        raise ConfigError("--ignore_exif: works with --images only; labels refer to rotated images")
    domain = cli.option("domain") if cli.is_given("domain") else run.domain
    files = open_files(run, folder, cli.option("data"), cli.option("images_root"))
    check_output("output", output, folder, cli.option("data"), files)
    source = make_source(dataclasses.replace(run, domain=domain), files=files)
    indices = _first(source.indices(cli.option("split")), run)
    labels = files and files.labels
    return source, indices, {labels.paths[i]: labels.points[i] for i in indices if labels}


def _first(indices: range, run: RunConfig) -> range:
    """The first --num of a split's images; all of them where it is left out and there are fewer."""
    number = cli.option("num")
    if number > len(indices) and cli.is_given("num"):
        flags = f"--num={number}: --split={cli.option('split')}"
        raise ConfigError(f"{flags} has {len(indices)} {SOURCES[run.source].words.image}s")
    return indices[:number]


if __name__ == "__main__":
    cli.main("predict", predict)
