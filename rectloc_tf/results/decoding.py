"""How finely points are read from a model's maps, by each decoder."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.source import Source
from pipelines.streams import evaluation_batches
from rectloc_tf.geometry import FRAME
from rectloc_tf.heads.decoders import DECODERS
from rectloc_tf.heads.head import Head
from rectloc_tf.results.metrics import PICK_RADIUS, finite_or_none

WITHIN = (0.5, 1.0, 2.0, 5.0)  # px of 224
OWN, FLOOR = "the head's own", "the true cell's centre"
_BATCH_SIZE = 50


def measure_decoders(
    model: keras.Model,
    head: Head,
    source: Source,
    indices: range,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Reads a model's maps with every decoder, with its head's own, and with perfect knowledge.

    The latter, the centre of the cell that holds the true point, bounds what cells can give without
    refinement.

    Args:
        model: a network.
        head: its head, of one point and with maps.
        source: of scenes.
        indices: which of them.
        on_batch: as in `evaluation.Evaluator`.

    Raises:
        ValueError: if the head has no maps.

    Returns:
        images: how many count, those whose brightest cell lies within 16 px of the point; and
        decoders: by name `summary` of the errors in px of 224.
    """

    @tf.function
    def read(images, truths):
        outputs = model(images, training=False)
        found = head.cell_maps(outputs)
        if found is None:
            raise ValueError(f"{head.name} has no maps")
        maps, stride = found
        points = {name: decode(maps[..., 0]) * stride for name, decode in DECODERS.items()}
        points[OWN] = head.decode(outputs).xy[:, 0]
        return points | {FLOOR: (tf.floor(truths / stride) + 0.5) * stride}

    scale = FRAME / source.image_size
    errors: dict[str, list[np.ndarray]] = {}
    for number, batch in enumerate(evaluation_batches(source, indices, _BATCH_SIZE)):
        on_batch(number * _BATCH_SIZE, len(indices))
        valid, truths = batch["valid"].numpy(), batch["points"][:, 0]
        for name, points in read(batch["images"], truths).items():
            away = scale * np.linalg.norm(points.numpy() - truths.numpy(), axis=-1)
            errors.setdefault(name, []).append(away[valid])
    joined = {name: np.concatenate(parts) for name, parts in errors.items()}
    counted = joined["argmax"] <= PICK_RADIUS
    found = {name: summary(values[counted]) for name, values in joined.items()}
    return {"images": int(counted.sum()), "decoders": found}


def summary(errors: np.ndarray) -> dict[str, float | None]:
    """median, mean and, for each of WITHIN, the share of errors [N] that are no greater.

    None each where there are none.
    """
    if not errors.size:
        return dict.fromkeys(["median", "mean", *map(_key, WITHIN)])
    shares = {_key(limit): float((errors <= limit).mean()) for limit in WITHIN}
    middle = {"median": float(np.median(errors)), "mean": finite_or_none(errors.mean())}
    return {**middle, **shares}


def _key(limit: float) -> str:
    return f"within_{limit:g}"
