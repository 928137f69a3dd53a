"""Runs an export in its format's own runtime, in a process that loads nothing else.

`python -m rectloc_tf.serving.check_export FOLDER PICTURES.npz ANSWERS.npz`: FOLDER has
`metadata.json`; PICTURES has arrays uint8 [N, H, W, C]; ANSWERS gets `<array>/<answer>`, and
`milliseconds`, the median time of one picture of the first array by itself.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from rectloc_tf.registry import FORMATS, load
from rectloc_tf.serving.formats.format import Answer

METADATA = "metadata.json"
_BATCH = 20
_TIMED = 20


def check(folder: Path, pictures: Path, answers: Path) -> None:
    """Answers all pictures, and an empty batch."""
    name = json.loads((folder / METADATA).read_text())["format"]
    answer = load(FORMATS[name].implementation)().load(folder)
    found = {}
    with np.load(pictures, allow_pickle=False) as arrays:
        for key in arrays:
            for name, value in answer_all(answer, arrays[key]).items():
                found[f"{key}/{name}"] = value
        found["milliseconds"] = np.array(median_milliseconds(answer, arrays[next(iter(arrays))]))
    np.savez(answers, **found)


def answer_all(answer: Answer, images: np.ndarray) -> dict[str, np.ndarray]:
    """Answers images in batches, the first of them empty."""
    starts = [0, *range(0, len(images), _BATCH)]
    parts = [answer(images[:0]), *(answer(images[at : at + _BATCH]) for at in starts[1:])]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[-1]}


def median_milliseconds(answer: Answer, images: np.ndarray) -> float:
    """The median time of one image by itself, after two others."""
    times = []
    for number in range(_TIMED + 2):
        at = number % len(images)
        start = time.perf_counter()
        answer(images[at : at + 1])
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times[2:]))


if __name__ == "__main__":
    check(*map(Path, sys.argv[1:]))
