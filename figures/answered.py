"""What runs answered on test scenes, as arrays: read from the files beside their summaries."""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.experiments.summaries import answers_path, scenes_path
from rectloc_tf.geometry import centers, working_to_frame
from rectloc_tf.results.answers import Kept, read_answers
from rectloc_tf.results.choice import chosen
from rectloc_tf.results.data_files import read_arrays
from rectloc_tf.results.metrics import PICK_RADIUS


@functools.lru_cache(maxsize=512)
def _answers(results_dir: Path, name: str) -> Kept:
    return read_answers(answers_path(results_dir, name))


@functools.lru_cache(maxsize=64)
def _rectangles(path: Path) -> np.ndarray:
    arrays = read_arrays(path)
    return working_to_frame(arrays["rectangles"].astype(np.float64), int(arrays["image_size"]))


class Answered:
    """One run's answers on the test scenes of a domain; lengths in px of 224.

    Attributes:
        points: float [N, 2], the answer.
        confidence: float [N], 0-1; None if the head has none.
        rectangles: float [N, n, 4], largest first.

    Args:
        run: the run's summary.
        name: its name.
        domain: number of rectangles in the scenes.
        results_dir: folder of the summaries.
        weights: "final" or "best".

    Raises:
        UserError: if the answers were not kept.
    """

    def __init__(
        self, run: dict, name: str, domain: int, results_dir: Path, weights: str = "final"
    ):
        kept = _answers(results_dir, name).get((str(domain), weights))
        if kept is None:
            path = answers_path(results_dir, name)
            raise UserError(f"{path}: has no answers of {weights} weights on domain {domain}")
        config = RunConfig.from_json(run["config"]).changed(domain=domain)
        self.points = kept.points[:, 0]
        self.confidence = None if kept.confidence is None else kept.confidence[:, 0]
        self.rectangles = _rectangles(scenes_path(results_dir, config))

    @property
    def errors(self) -> np.ndarray:
        """Distance from the largest rectangle's centre: float [N]."""
        return np.linalg.norm(self.points - centers(self.rectangles[:, 0]), axis=1)

    @property
    def right(self) -> np.ndarray:
        """1 within 16 px of the largest's centre, else 0: float [N]."""
        return (self.errors <= PICK_RADIUS).astype(float)

    @property
    def chosen(self) -> np.ndarray:
        """Rank of the rectangle that was answered, -1 for none: int [N]."""
        return chosen(self.points, self.rectangles)

    @property
    def errors_where_right(self) -> np.ndarray:
        """`errors` where the answer is right, NaN elsewhere: float [N]."""
        return np.where(self.right > 0, self.errors, np.nan)


def stacked(answers: Iterable[Answered], value: Callable[[Answered], np.ndarray]) -> np.ndarray:
    """A value of several runs on the same scenes: [S, N]."""
    return np.stack([value(answered) for answered in answers])
