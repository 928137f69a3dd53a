"""A folder of summaries with answers, made of given points."""

from pathlib import Path

import numpy as np

from rectloc_tf.config import RunConfig
from rectloc_tf.experiments.summaries import answers_path, write_scenes
from rectloc_tf.results.answers import Answers, write_answers

SIZE = 112  # of the images; points and errors are in px of 224


def metrics(mean: float, right: float = 0.5, **more) -> dict:
    """Metrics as summaries have them."""
    found = {"center_error_px": {"mean": mean, "median": mean / 2}, "right_rate": right}
    found |= {"wrong_rate": 0.25, "nowhere_rate": 0.75 - right, "mse": 1.0, "ln_mse": 0.0}
    return {**found, **more}


def keep(results_dir: Path, name: str, rectangles: np.ndarray, errors, **fields) -> dict:
    """Keeps final answers that are `errors` px to the right of the largest's centre.

    Returns:
        The run's summary, as far as answers are read with it.
    """
    domain = rectangles.shape[1]
    config = RunConfig.from_json({"arch": "xy", "image_size": SIZE, "domain": domain, **fields})
    write_scenes(results_dir, config, rectangles)
    truth = (rectangles[:, 0, :2] + rectangles[:, 0, 2:]).astype(float)  # twice the middle: of 224
    points = truth + np.stack([np.asarray(errors, float), np.zeros(len(truth))], axis=1)
    path = answers_path(results_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_answers(path, {(str(domain), "final"): Answers(points[:, None], None)})
    return {"config": config.to_json()}
