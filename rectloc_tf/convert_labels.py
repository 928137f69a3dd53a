"""Write labels in another format: `python -m rectloc_tf.convert_labels --data=... --output=a.csv`.

--output ends in .csv (DeepLabCut) or .json (COCO's keypoints). Coordinates are kept
to the last digit. Images inside a SLEAP package, and frames of videos, are written as PNG files
into --images_dir.
"""

import dataclasses
from pathlib import Path

from pipelines.labels.read import read_label_files
from rectloc_tf import cli
from rectloc_tf.errors import ConfigError
from rectloc_tf.results.label_conversion import (
    each_image_once,
    find_every_image,
    join_rows,
    read_sizes,
    take_out,
)
from rectloc_tf.results.label_writers import WRITERS, count_labels
from rectloc_tf.results.output_files import (
    check_folder,
    check_not_input,
    check_writable,
    message_stream,
)


def convert_labels() -> None:
    """Writes the label file, and images that lie inside other files."""
    output, folder = cli.path_option("output"), cli.path_option("images_dir")
    data, images_root = cli.option("data"), cli.option("images_root")
    if not data:
        raise ConfigError("--data: missing; give a label file, or a folder of label files")
    write = WRITERS.get((output or Path()).suffix.lower())
    if output is None or write is None:
        raise ConfigError(f"--output={output or ''}: must end in .csv (DeepLabCut) or .json (COCO)")
    individual = cli.option("individual")
    files, names, notes = read_label_files(data, individual, cli.option("keypoints"))
    check_not_input("output", output, [file.path for file in files])
    check_writable("output", output)
    if folder:
        check_folder("images_dir", folder)
    has_sizes = output.suffix.lower() == ".json"
    images = find_every_image(files, images_root, everywhere=has_sizes)
    sizes = read_sizes(images)  # before anything is written
    rows = dataclasses.replace(
        join_rows(files, names, individual),
        sizes=sizes if has_sizes else (),
        images=take_out(images, folder, output),
    )
    rows = each_image_once(rows, files)
    write(output, rows)
    stream = message_stream(output)
    print("\n".join([*notes, f"{output}: {count_labels(rows)}"]), file=stream)


if __name__ == "__main__":
    cli.main("convert_labels", convert_labels)
