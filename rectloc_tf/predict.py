"""Predict centres in image files: `python -m rectloc_tf.predict --run_dir=... --images='*.png'`.

Or for synthetic scenes: `... --domain=3 --num=16`. Without --run_dir, the flags that describe
the run find it. A file that cannot be read is reported, and the others are predicted.
"""

import dataclasses
import sys
from pathlib import Path

from rectloc_tf import cli
from rectloc_tf.errors import EXIT_ERROR, ConfigError, UserError
from rectloc_tf.rundir import check_writable


def predict() -> int:
    """Writes the CSV, and pictures into --overlay_dir; returns the exit code."""
    folder, run = cli.open_run()
    from rectloc_tf import prediction
    from rectloc_tf.image_files import find_images
    from rectloc_tf.serving import load_model

    pattern, failed = cli.option("images"), []

    def report(message: str) -> None:
        failed.append(message)
        sys.stderr.write(f"error: {message}\n")

    output = Path(cli.option("output") or "predictions.csv")
    overlays = cli.option("overlay_dir")
    check_writable("output", output)
    paths = find_images(pattern) if pattern is not None else []
    if overlays and Path(overlays).resolve() in {path.resolve().parent for path in paths}:
        raise ConfigError(f"--overlay_dir={overlays}: holds the pictures themselves; name another")
    model = load_model(folder, cli.option("weights"))
    if paths:
        predictions = prediction.predict_files(model, paths, report)
    else:
        domain = cli.option("domain") if cli.is_given("domain") else run.domain
        scene = dataclasses.replace(run.scene, domain=domain)
        indices = run.split_indices(cli.option("split"))[: cli.option("num")]
        predictions = prediction.predict_scenes(model, scene, indices)
    draw = prediction.OverlayWriter(Path(overlays)) if overlays else lambda _: None
    count = 0
    with prediction.csv_writer(output) as write:
        for answer in predictions:
            write(answer)
            draw(answer)
            count += 1
        if not count:
            raise UserError(f"--images={pattern}: none of the {len(paths)} files can be read")
    print(f"{output}: {count} predictions" + (f"; pictures in {overlays}" if overlays else ""))
    return EXIT_ERROR if failed else 0


if __name__ == "__main__":
    cli.main("predict", predict)
