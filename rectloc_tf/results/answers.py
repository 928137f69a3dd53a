"""What a run answered, image by image: small enough to be committed beside its summary. No TF.

`RUN.npz` has, for each set of test images and each of the two models (`best`, `final`),
`<set>/<weights>/points`, int16 [N, K, 2] in hundredths of a pixel, and, where the head has one,
`<set>/<weights>/confidence`, float16 [N, K].
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rectloc_tf.errors import UserError
from rectloc_tf.results.data_files import read_arrays
from rectloc_tf.results.output_files import atomic_path

STEPS = 100  # a pixel; int16 then reaches from -327 to 327 px


class Answers(NamedTuple):
    """The answers for N images.

    Attributes:
        points: float [N, K, 2], (x, y) in the pixels that errors are reported in.
        confidence: float [N, K], 0-1; None if the head has none.
    """

    points: np.ndarray
    confidence: np.ndarray | None


Kept = dict[tuple[str, str], Answers]  # by set and weights


def write_answers(path: Path, kept: Mapping[tuple[str, str], Answers]) -> None:
    """Writes all answers of a run, whole or not at all.

    What is farther out than int16 reaches is kept as the farthest; what is not a number as the
    least, which is no place in an image either.
    """
    arrays = {}
    for (name, weights), answers in kept.items():
        limits = np.iinfo(np.int16)
        steps = np.nan_to_num(np.round(answers.points * STEPS), nan=limits.min)
        arrays[f"{name}/{weights}/points"] = np.clip(steps, limits.min, limits.max).astype(np.int16)
        if answers.confidence is not None:
            arrays[f"{name}/{weights}/confidence"] = answers.confidence.astype(np.float16)
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_answers(path: Path) -> Kept:
    """What `write_answers` wrote, in pixels; nothing if the file is not there.

    Raises:
        UserError: if it is damaged.
    """
    if not path.exists():
        return {}
    try:
        arrays = read_arrays(path)
    except UserError as error:
        raise UserError(f"{error}; delete it to recreate it") from error
    kept = {}
    for key, steps in arrays.items():
        name, weights, what = key.split("/")
        if what == "points":
            confidence = arrays.get(f"{name}/{weights}/confidence")
            if confidence is not None:
                confidence = confidence.astype(np.float32)
            kept[name, weights] = Answers(steps.astype(np.float32) / STEPS, confidence)
    return kept
