"""Networks of runs as what the server answers with."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import tensorflow as tf

from pipelines.resampling import PLACES
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import reason
from rectloc_tf.models import load_model, run_head
from rectloc_tf.registry import SOURCES
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving.inference import make_answer_images
from rectloc_tf.serving.prediction import answer_placed, make_prepare, to_prediction
from rectloc_tf.serving.rest.pictures import check_files, check_images
from rectloc_tf.serving.rest.protocol import DEFAULT_SIGNATURE, Signature, TensorInfo
from rectloc_tf.serving.rest.values import ServingError, finite_or_none

ENCODED = "encoded"
_LEAST = 1e-6  # there are no detections where the confidence is 0


@dataclass(frozen=True)
class Endpoint:
    """A signature that can be called.

    Attributes:
        signature: with one input.
        check: an array of the input -> the pixels of each row; raises ServingError.
        answer: such an array -> outputs; raises ServingError where the data is at fault.
    """

    signature: Signature
    check: Callable[[np.ndarray], Sequence[int]]
    answer: Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Network:
    """A network that is served.

    Attributes:
        name: in URLs.
        signatures: all of them, also those without an endpoint.
        endpoints: by the names of their signatures.
        about: what the page must know of it, for JSON.
        picture: outputs of `encoded` for one file -> what the page shows, for JSON: points and
            confidences as `predict` has them, with all detections, and the heatmap.
    """

    name: str
    signatures: Mapping[str, Signature]
    endpoints: Mapping[str, Endpoint]
    about: Mapping[str, Any]
    picture: Callable[[Mapping[str, np.ndarray]], dict[str, Any]]


def open_network(
    name: str, folder: RunFolder, run: RunConfig, weights: str, threshold: float | None = None
) -> Network:
    """Loads the network of a run and warms it up; image files are handled as by `predict`.

    Args:
        name: what it is called in URLs.
        folder: of the run.
        run: what it is.
        weights: best or final.
        threshold: minimum confidence of a detection that the page shows at first, for points of
            one class; by default the run's own.
    """
    head, source = run_head(run), SOURCES[run.source]
    model, place = load_model(folder.model_path(weights), run), PLACES[source.place]
    answer, prepare = make_answer_images(model, head, place), make_prepare(model, place)
    concrete = answer.get_concrete_function()
    outputs = {key: _info(output) for key, output in concrete.structured_outputs.items()}
    _, size, _, channels = model.input_shape
    black = np.zeros([1, size, size, channels], np.uint8)

    def answer_images(images: np.ndarray) -> dict[str, np.ndarray]:
        return {key: output.numpy() for key, output in concrete(tf.constant(images)).items()}

    def answer_files(files: np.ndarray) -> dict[str, np.ndarray]:
        if not len(files):
            return answer_images(black[:0])
        try:
            _, prepared, affines = zip(*(prepare(tf.constant(data)) for data in files), strict=True)
        except (tf.errors.InvalidArgumentError, ValueError) as error:
            message = f"image_bytes: truncated or damaged image ({reason(error)})"
            raise ServingError(message) from error
        return answer_placed(answer, prepared, affines)

    images = {"images": TensorInfo("uint8", (-1, -1, -1, -1))}
    files = {"image_bytes": TensorInfo("string", (-1,))}
    endpoints = {
        DEFAULT_SIGNATURE: Endpoint(Signature(images, outputs), check_images, answer_images),
        ENCODED: Endpoint(Signature(files, outputs), check_files, answer_files),
    }
    names = Signature(outputs={"names": TensorInfo("string", (len(head.keypoints.names),))})
    signatures = {key: endpoint.signature for key, endpoint in endpoints.items()}
    answer_files(np.array([cv2.imencode(".png", black[0])[1].tobytes()], object))
    about = {
        "name": name,
        "title": f"{run.arch} · {source.label(run)} · {size} px",
        "size": size,
        "place": source.place,
        "keypoints": list(head.keypoints.names),
        "kind": head.keypoints.kind,
        "ranks": list(run.scene.ranks) if run.source == "scenes" else None,
        "threshold": folder.threshold(run) if threshold is None else threshold,
    }
    return Network(name, {**signatures, "keypoints": names}, endpoints, about, _picture)


def _info(spec: Any) -> TensorInfo:
    kind = "float" if spec.dtype == tf.float32 else spec.dtype.name
    return TensorInfo(kind, tuple(-1 if size is None else size for size in spec.shape))


def _picture(outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    found = to_prediction(outputs, 0, _LEAST, "", np.zeros([0, 0], np.uint8))
    confidences = None if found.confidences is None else finite_or_none(found.confidences)
    answer = {"points": finite_or_none(found.points), "confidences": confidences, "map": None}
    if found.heatmap is not None:
        levels = np.clip(np.rint(np.nan_to_num(found.heatmap)), 0, 255).astype(np.uint8)
        answer["map"] = base64.b64encode(levels.tobytes()).decode("ascii")
    return answer
