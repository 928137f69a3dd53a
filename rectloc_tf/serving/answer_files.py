"""What `predict` writes: a CSV, and a picture for each image."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rectloc_tf.errors import UserError
from rectloc_tf.serving.overlays import write_overlay
from rectloc_tf.serving.prediction import Prediction
from rectloc_tf.serving.tables import open_csv, open_table

Write = Callable[[Prediction], None]
_COORDS = ("x", "y", "likelihood")


def write_answers(
    predictions: Iterable[Prediction],
    output: Path,
    overlays: Mapping[str, Path],
    on_error: Callable[[str], None],
    names: Sequence[str] = (),
    scorer: str = "",
    min_confidence: float = 0.0,
    first: str = "file",
) -> tuple[int, int, int]:
    """Writes the CSV, and the overlay of each prediction that has one.

    Args:
        predictions: the answers, as they are made.
        output: the CSV.
        overlays: name of a picture -> its overlay.
        on_error: called with a line for each overlay that cannot be written.
        names: of the keypoints, if they are named; the CSV is then one that DeepLabCut reads.
        scorer: who answered, for such a CSV.
        min_confidence: points that are less certain are not drawn.
        first: name of the first column of a CSV of points without names.

    Returns:
        The number of images with predictions, of rows, and of images rotated by EXIF.

    Raises:
        UserError: if there are none, or the CSV cannot be written.
    """
    count = rows = turned = 0
    writer = keypoint_writer(output, names, scorer) if names else csv_writer(output, first)
    with writer as write:
        for answer in predictions:
            write(answer)
            count += 1
            rows += answer.rows
            turned += answer.orientation != 1
            if answer.name in overlays:
                certain = answer.certain(min_confidence)
                drawn = (answer.image, certain, answer.heatmap, answer.truths, names)
                try:
                    write_overlay(overlays[answer.name], *drawn, answer.square)
                except UserError as error:
                    on_error(str(error))
        if not count:
            raise UserError(f"{output}: not written: none of the files can be read")
    return count, rows, turned


@contextlib.contextmanager
def csv_writer(path: Path, first: str = "file") -> Iterator[Write]:
    """Yields a function that adds rows `file,x,y,confidence`; the file appears at the end.

    `first` is another name for the first column.

    x and y, of the first keypoint or of each detection, are in the picture's own pixels;
    confidence is empty where there is none.
    """
    with open_csv(path, [[first, "x", "y", "confidence"]]) as write_row:

        def write(prediction: Prediction) -> None:
            for number in range(prediction.rows):
                x, y = (f"{value:.3f}" for value in prediction.points[number])
                write_row([prediction.name, x, y, _confidence(prediction, number)])

        yield write


@contextlib.contextmanager
def keypoint_writer(path: Path, names: Sequence[str], scorer: str) -> Iterator[Write]:
    """Yields a function that adds rows to a table as DeepLabCut's; the file appears at the end.

    Its header rows are scorer, bodyparts and coords. Each image has a row: its path, and x, y and
    likelihood of each keypoint, likelihood empty where the head has none. As in DeepLabCut's
    files x and y count from the centre of the first pixel, which is half a pixel less than
    elsewhere in this program.
    """
    with open_table(path, names, scorer, _COORDS) as write_row:

        def write(prediction: Prediction) -> None:
            cells = [prediction.name]
            for number in range(len(names)):
                cells += [f"{value - 0.5:.3f}" for value in prediction.points[number].tolist()]
                cells.append(_confidence(prediction, number))
            write_row(cells)

        yield write


def _confidence(prediction: Prediction, number: int) -> str:
    known = prediction.confidences
    return "" if known is None else f"{known[number]:.4f}"
