"""Exported networks to be measured, each written once by a process of its own.

`python -m rectloc_tf.benchmarking.exports TASK FOLDER` writes one. A worker that measures it has
the format's runtime in its memory, and nothing of what wrote it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.registry import FORMATS, load
from rectloc_tf.results.output_files import temporary_path
from rectloc_tf.settings import settings_of

# What an export depends on.
_NAMING = ("arch", "target", "depth", "image_size", "precision", "format", "quantize")
_CALIBRATION = 20  # its ranges are right enough for speed
_PICTURES, _COUNT = "pictures.npy", 64  # so that drawing them takes no TensorFlow


def run_of(task: dict[str, Any]) -> RunConfig:
    """The run whose work a task measures: its keys that are settings of a run."""
    fields = {"precision": "float32", "epochs": 10_000, **task}
    return RunConfig(**{name: fields[name] for name in settings_of(RunConfig) if name in fields})


def served_model(task: dict[str, Any]):
    """A network of random weights, the same in every process, and its head.

    Its speed is a trained one's: batch normalisation gets statistics as well. As it starts, it
    adds zeros, which compilers leave out.
    """
    import keras

    from rectloc_tf.models import build_model, run_head

    run = run_of(task)
    keras.utils.set_random_seed(0)
    head, rng = run_head(run), np.random.default_rng(0)
    model = build_model(run.model, head)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([w + rng.uniform(0, 0.1, w.shape) for w in layer.get_weights()])
    return model, head


def pictures(task: dict[str, Any]) -> np.ndarray:
    """Pictures of the working size to serve: uint8 [B, S, S, 1]."""
    from pipelines.scenes.render import render_opencv
    from pipelines.scenes.sampling import scene_table

    scenes = scene_table(run_of(task).scene)[: task["batch_size"]]
    return np.ascontiguousarray(render_opencv(scenes, task["image_size"]))


def exported_pictures(folder: Path, count: int, side: int = 0) -> np.ndarray:
    """Pictures that lie beside an export: uint8 [count, S, S, 1], S the working size or `side`."""
    images = np.load(folder / _PICTURES, allow_pickle=False)[:count]
    if not side:
        return images
    return np.stack([cv2.resize(image, (side, side))[..., None] for image in images])


def exported(task: dict[str, Any]) -> Path:
    """The folder of a task's export, below its `scratch`; written if it is not there.

    Raises:
        UserError: if it cannot be written, with the last line of why.
    """
    name = "-".join(str(task[name]) for name in _NAMING if name in task)
    folder = Path(task["scratch"], name)
    if not folder.exists():
        asked = [sys.executable, "-m", __name__, json.dumps(task), str(folder)]
        done = subprocess.run(asked, capture_output=True, text=True, errors="replace")
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise UserError(f"{name}: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return folder


def write(task: dict[str, Any], folder: Path) -> None:
    """Writes the export of a task, whole or not at all; its `image_size` is the working size."""
    run_of(task)  # says what is wrong before anything slow is imported
    from rectloc_tf.serving.served import Served

    served = Served(*served_model(task))
    images = pictures({**task, "batch_size": _COUNT})
    written = temporary_path(folder)
    written.mkdir()
    np.save(written / _PICTURES, images)
    how = served.metadata(), task["quantize"], images[:_CALIBRATION]
    load(FORMATS[task["format"]].implementation)().write(served, written, *how)
    written.rename(folder)


if __name__ == "__main__":
    write(json.loads(sys.argv[1]), Path(sys.argv[2]))
