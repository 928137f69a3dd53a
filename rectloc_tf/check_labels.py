"""Check your labelled images: `python -m rectloc_tf.check_labels --data=CollectedData.csv`.

Reports what happened to every label, statistics of the keypoints, how the images would be split,
and which labels look wrong; --output (check_labels.png) shows some, suspicious ones first. Exit
code 1 if no image can be used.
"""

from pathlib import Path

from pipelines.labels import alike, checks
from pipelines.labels.labelled import LabelledImages
from pipelines.labels.read import read_labels
from pipelines.labels.splits import parse_fold, split_images
from rectloc_tf import cli
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.results import label_report
from rectloc_tf.results.label_sheet import choose_images, write_sheet
from rectloc_tf.results.output_files import check_foreign, check_writable, message_stream


def check_labels() -> None:
    """Prints what there is to say of the labels, and writes the sheet."""
    output = cli.path_option("output") or Path("check_labels.png")
    check_writable("output", output)
    check_foreign("output", output)
    files, images_root = cli.option("data"), cli.option("images_root")
    if not files:
        raise ConfigError("--data: missing; give a label file, or a folder of label files")
    if cli.option("fold"):
        parse_fold(cli.option("fold"))  # before anything is read
    chosen = cli.option("individual"), cli.option("keypoints")
    data, ledger = read_labels(files, images_root, *chosen)
    stream = message_stream(output)
    print("\n".join(label_report.ledger_lines(ledger)), file=stream)
    if not len(data):
        raise UserError(f"--data={files}: no usable labelled image; see the list above")
    print("\n".join(["", *label_report.statistics_lines(data), ""]), file=stream)
    mistakes, damaged, lines = _look_for_mistakes(data)
    print("\n".join([*lines, *label_report.mistake_lines(data, mistakes)]), file=stream)
    suspicious: dict[int, list[str]] = {}
    for mistake in mistakes:
        suspicious.setdefault(mistake.image, []).extend(mistake.keypoints)
    shown = [i for i in choose_images(len(data), [*suspicious]) if i not in damaged]
    if shown:
        write_sheet(output, data, shown, suspicious)
        print(f"\n{output}: {len(shown)} of {len(data)} images", file=stream)


def _look_for_mistakes(data: LabelledImages) -> tuple[list[checks.Mistake], set[int], list[str]]:
    """Likely mistakes, the images that cannot be decoded, and lines on how both were found."""
    swap = cli.option("swap")
    pairs = checks.left_right_pairs(data.names)
    if swap:
        pairs = checks.parse_swap(swap.split(","), data.names)
    mistakes = [*checks.find_mistakes(data, pairs), *alike.find_copies(data)]
    split, lines, damaged = None, [], set()
    try:
        split = split_images(data.groups, data.keys, cli.option("split_by"), cli.option("fold"))
        lines.append(label_report.split_line(split))
    except ConfigError:
        raise
    except UserError as error:
        lines.append(f"split: {error}")
    if not alike.is_cheap(data):
        return mistakes, damaged, [*lines, "not looked for: images that are nearly the same"]
    seen = alike.look_at(data.paths)
    damaged = set(seen.damaged)
    mistakes += [checks.Mistake(i, (), "cannot be decoded", 0.0) for i in seen.damaged]
    if split:
        mistakes += alike.find_near_identical(data, seen, split)
    return mistakes, damaged, lines


if __name__ == "__main__":
    cli.main("check_labels", check_labels)
