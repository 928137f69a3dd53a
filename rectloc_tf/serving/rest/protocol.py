"""TensorFlow Serving's REST API without a server: paths, requests and responses. No TensorFlow.

After its documentation "RESTful API"; errors are worded as its model server words them. Each model
has one version, 1, and no labels. `classify` and `regress` are refused as they are there of a
model without such signatures. What follows the JSON object in a body is ignored, as there.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import numpy as np

from rectloc_tf.serving.rest.values import (
    ServingError,
    debug_string,
    is_bytes,
    to_array,
    to_text,
)

VERSION = 1
DEFAULT_SIGNATURE = "serving_default"
MAX_INSTANCES = 4096
NOT_FOUND = 404

_WHICH = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(
    rf"/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<verb>classify|regress|predict)", re.IGNORECASE
)
_GET = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?:/(?P<verb>metadata))?", re.I)
_SPACE = re.compile(r"[ \t\r\n]*")
# Python's words for what is wrong with JSON, and RapidJSON's.
_PARSE_ERRORS = {
    "Expecting value": "Invalid value.",
    "Expecting property name": "Missing a name for object member.",
    "Expecting ':'": "Missing a colon after a name of object member.",
    "Expecting ','": "Missing a comma or a closing bracket.",
    "Illegal trailing comma": "Invalid value.",
    "Unterminated string": "Missing a closing quotation mark in string.",
    "Invalid \\": "Invalid escape character in string.",
    "Invalid control": "Invalid encoding in string.",
}


@dataclass(frozen=True)
class TensorInfo:
    """An input or output: `kind` as in `values.KINDS`, and a shape with -1 for any size."""

    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """What a signature takes and returns, by name."""

    inputs: Mapping[str, TensorInfo] = field(default_factory=dict)
    outputs: Mapping[str, TensorInfo] = field(default_factory=dict)


@dataclass(frozen=True)
class Target:
    """What a path asks for.

    Attributes:
        name: of the model.
        version: None: the newest.
        verb: predict, classify, regress, metadata or status.
    """

    name: str
    version: int | None
    verb: str


@dataclass(frozen=True)
class PredictRequest:
    """What a request gives a signature: arrays by the names of its inputs, in rows or columns."""

    signature: str
    inputs: Mapping[str, np.ndarray]
    is_row: bool


def parse_path(method: str, path: str) -> Target:
    """What a request asks for.

    Args:
        method: of HTTP.
        path: as it was sent, with % escapes.

    Raises:
        ServingError: if it is none of the API's paths, or names a label.
    """
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    found = pattern.fullmatch(path) if pattern else None
    if not found:
        raise ServingError(f"Malformed request: {method} {path}")
    if not found["name"]:
        raise ServingError("Missing model name in request.")
    version = found["version"]
    if version and (len(version) > 19 or int(version) >= 2**63):
        raise ServingError(f"Failed to convert version: {version} to numeric.")
    if found["label"]:
        raise ServingError(f"Unrecognized servable version label: {unquote(found['label'])}")
    verb = (found["verb"] or "status").lower()
    return Target(unquote(found["name"]), int(version) if version else None, verb)


def check_served(target: Target, names: Collection[str]) -> None:
    """Raises a ServingError if no such model, or version of it, is served."""
    if target.name in names and target.version in (None, VERSION):
        return
    if target.verb == "status":
        which = "any versions" if target.version is None else f"version {target.version}"
        raise ServingError(f"Could not find {which} of model {target.name}", NOT_FOUND)
    which = f"Latest({target.name})"
    if target.version is not None:
        which = f"Specific({target.name}, {target.version})"
    raise ServingError(f"Servable not found for request: {which}", NOT_FOUND)


def check_verb(target: Target) -> None:
    """Refuses `classify` and `regress`, which our models have no signatures for."""
    kinds = {"classify": "classification", "regress": "regression"}
    if kind := kinds.get(target.verb):
        wanted = f"Expected {kind} signature method_name to be tensorflow/serving/{target.verb}"
        raise ServingError(f"{wanted}. Was: tensorflow/serving/predict")


def status() -> dict[str, Any]:
    """The answer to a model's status."""
    about = {"error_code": "OK", "error_message": ""}
    state = {"version": str(VERSION), "state": "AVAILABLE", "status": about}
    return {"model_version_status": [state]}


def metadata(name: str, signatures: Mapping[str, Signature]) -> dict[str, Any]:
    """The answer to a model's metadata."""

    def tensors(infos: Mapping[str, TensorInfo], signature: str) -> dict[str, Any]:
        return {
            key: {
                "dtype": f"DT_{info.kind.upper()}",
                "tensor_shape": {
                    "dim": [{"size": str(size), "name": ""} for size in info.shape],
                    "unknown_rank": False,
                },
                "name": f"{signature}_{key}:0",
            }
            for key, info in infos.items()
        }

    described = {
        key: {
            "inputs": tensors(signature.inputs, key),
            "outputs": tensors(signature.outputs, key),
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }
        for key, signature in signatures.items()
    }
    spec = {"name": name, "signature_name": "", "version": str(VERSION)}
    return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": described}}}


def parse_predict(body: bytes, signatures: Mapping[str, Signature]) -> PredictRequest:
    """The arrays of a `predict` request.

    Args:
        body: JSON with `instances` (rows) or `inputs` (columns).
        signatures: of the model.

    Raises:
        ServingError: saying what is wrong with it.
    """
    try:
        return _parse_predict(_parse_json(body), signatures)
    except RecursionError as error:
        raise ServingError("JSON Parse error: nested too deeply") from error


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        where = f"Invalid encoding in string. at offset: {error.start}"
        raise ServingError(f"JSON Parse error: {where}") from error
    match = _SPACE.match(text)
    start = match.end() if match else 0
    if start == len(text):
        where = f". at offset: {start}" if text else ""
        raise ServingError(f"JSON Parse error: The document is empty{where}")
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        words = (theirs for ours, theirs in _PARSE_ERRORS.items() if error.msg.startswith(ours))
        what = next(words, f"{error.msg}.")
        raise ServingError(f"JSON Parse error: {what} at offset: {error.pos}") from error
    except ValueError as error:  # a whole number of thousands of digits
        what = f"Number too big to be stored in double. at offset: {start}"
        raise ServingError(f"JSON Parse error: {what}") from error
    if not isinstance(value, dict):
        raise _format_error(value, "Is not object")
    return value


def _format_error(value: Any, what: str) -> ServingError:
    return ServingError(f"JSON Value: {debug_string(value)} {what}")


def _parse_predict(request: dict[str, Any], signatures: Mapping[str, Signature]) -> PredictRequest:
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        what = "not formatted correctly. 'signature_name' key must be a string value."
        raise _format_error(request, what)
    signature = name or DEFAULT_SIGNATURE
    if signature not in signatures:
        message = f'Serving signature name: "{signature}" not found in signature def'
        raise ServingError(message)
    infos = signatures[signature].inputs
    if not infos:
        raise ServingError(f"Failed to get input map for signature: {name or 'DEFAULT'}")
    if "instances" in request and "inputs" in request:
        what = (
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
        raise _format_error(request, what)
    if "instances" in request:
        instances = request["instances"]
        if not isinstance(instances, list):
            raise _format_error(request, "Expecting 'instances' to be an list/array")
        if not instances:
            raise _format_error(request, "No values in 'instances' array")
        return PredictRequest(signature, _rows(instances, infos), is_row=True)
    if "inputs" in request:
        return PredictRequest(signature, _columns(request["inputs"], infos), is_row=False)
    raise ServingError("Missing 'inputs' or 'instances' key")


def _check_count(values: Any, key: str) -> None:
    if isinstance(values, list) and len(values) > MAX_INSTANCES:
        raise ServingError(f"{len(values)} values in '{key}'; the limit is {MAX_INSTANCES}")


def _rows(instances: list, infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    _check_count(instances, "instances")
    if not isinstance(instances[0], dict) and len(infos) > 1:
        raise ServingError(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    are_objects = _is_object(instances[0])
    columns: dict[str, list[np.ndarray]] = {name: [] for name in infos}
    for number, element in enumerate(instances):
        if are_objects != _is_object(element):
            expected, got = ("object", "list") if are_objects else ("value/list", "object")
            where = f"Expecting {expected} but got {got} at item {number} of input list"
            raise ServingError(where)
        named = element if are_objects else {next(iter(infos)): element}
        for name, value in named.items():
            try:
                _add(value, name, infos, columns)
            except ServingError as error:
                key = f" key: {name}" if are_objects else ""
                where = f"Failed to process element: {number}{key} of 'instances' list."
                raise ServingError(f"{where} Error: INVALID_ARGUMENT: {error}") from error
        if {*named} != {*infos}:
            where = f"Failed to process element: {number} of 'instances' list. JSON object: "
            keys = ",".join(sorted(infos))
            raise ServingError(f"{where}{debug_string(element)} keys must be equal to: {keys}")
    return {name: np.stack(arrays) for name, arrays in columns.items()}


def _add(
    value: Any, name: str, infos: Mapping[str, TensorInfo], columns: dict[str, list[np.ndarray]]
) -> None:
    if name not in infos:
        raise ServingError(f"JSON object: does not have named input: {name}")
    array = to_array(value, infos[name].kind)
    first = columns[name][0] if columns[name] else array
    if array.size != first.size:
        raise ServingError(f"Expecting tensor size: {first.size} but got: {array.size}")
    if array.shape != first.shape:
        message = f"Expecting shape {_shape(first)} but got: {_shape(array)}"
        raise ServingError(message)
    columns[name].append(array)


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_bytes(value)


def _columns(inputs: Any, infos: Mapping[str, TensorInfo]) -> dict[str, np.ndarray]:
    if not _is_object(inputs):
        if len(infos) > 1:
            raise ServingError(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        inputs = {next(iter(infos)): inputs}
    for name in infos:
        if name not in inputs:
            raise ServingError(f"Missing named input: {name} in 'inputs' object.")
        _check_count(inputs[name], "inputs")
    return {name: to_array(inputs[name], info.kind) for name, info in infos.items()}


def predict_response(outputs: Mapping[str, np.ndarray], is_row: bool) -> bytes:
    """The JSON of a signature's outputs, in rows or columns as they were asked for.

    Args:
        outputs: arrays of the same first dimension, the batch.
        is_row: rows: `predictions`, else `outputs`; a single output is written without its name.
    """
    if not is_row:
        columns = {name: to_text(name, array) for name, array in outputs.items()}
        return f'{{"outputs": {_without_single_name(columns)}}}'.encode()
    rows = [
        # With the dots a number is an array too.
        _without_single_name(
            {name: to_text(name, array[row, ...]) for name, array in outputs.items()}
        )
        for row in range(len(next(iter(outputs.values()))))
    ]
    return f'{{"predictions": [{", ".join(rows)}]}}'.encode()


def _without_single_name(texts: Mapping[str, str]) -> str:
    """The JSON of an object of texts, or the text of the only one."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    return f"{{{', '.join(f'{json.dumps(name)}: {text}' for name, text in texts.items())}}}"
