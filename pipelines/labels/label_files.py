"""Label files of every format, recognised by their contents."""

from pathlib import Path

from pipelines.labels.coco_labels import is_coco, read_coco_file
from pipelines.labels.csv_labels import read_csv_file
from pipelines.labels.labelled import LabelFile
from pipelines.labels.slp_labels import is_slp, read_slp_file
from rectloc_tf.errors import UserError, reason

_START = 64  # bytes that identify a format


def read_label_file(path: Path, individual: str = "") -> LabelFile:
    """Reads a label file of DeepLabCut or Lightning Pose (CSV), COCO (JSON) or SLEAP (HDF5).

    Args:
        path: the file.
        individual: whose keypoints, in a file of several animals, categories or tracks.

    Raises:
        UserError: naming the file, the place in it and what would be right.
        ConfigError: if an animal must be chosen, or another one.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from error
    if is_slp(start):
        return read_slp_file(path, individual)
    if path.suffix.lower() == ".slp":
        raise UserError(f"{path}: not an HDF5 file, as labels of SLEAP are; was it copied whole?")
    return (read_coco_file if is_coco(start) else read_csv_file)(path, individual)
