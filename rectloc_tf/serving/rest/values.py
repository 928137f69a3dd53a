"""JSON values to arrays and back, as TensorFlow Serving's REST API has them. No TensorFlow.

After its documentation "RESTful API". Two things differ: a number that a type cannot hold is
refused, not wrapped around, and a number that is not finite is written as null, since JSON has no
NaN.
"""

import base64
import binascii
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_DEBUG_CHARACTERS = 256  # of a value that an error shows
_MAX_RANK = 32
_AT_ONCE = 2**16  # numbers made into text: NumPy takes 128 bytes for each


class ServingError(Exception):
    """An error response to a client.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, message: str, status: int = 400):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class _Kind:
    """A type of numbers or strings: as NumPy and as Python's JSON have it, and its bounds."""

    array: Any
    values: frozenset[type]
    low: float = -np.inf
    high: float = np.inf


def _whole(array: Any) -> _Kind:
    return _Kind(array, frozenset({int}), np.iinfo(array).min, np.iinfo(array).max)


# Names as in error messages; DT_UINT8 and so on in metadata.
KINDS = {
    "uint8": _whole(np.uint8),
    "int32": _whole(np.int32),
    "int64": _whole(np.int64),
    "float": _Kind(np.float32, frozenset({int, float})),
    "double": _Kind(np.float64, frozenset({int, float})),
    "bool": _Kind(np.bool_, frozenset({bool})),
    "string": _Kind(np.object_, frozenset({str, dict})),
}


def to_array(value: Any, kind: str) -> np.ndarray:
    """A nested list, or a single value, as an array; strings become bytes, of dtype object.

    Args:
        value: as `json` reads it; {"b64": "..."} is a string of bytes.
        kind: a key of KINDS.

    Raises:
        ServingError: if it is ragged, or a value is not of the kind.
    """
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    if len(shape) > _MAX_RANK:
        message = f"Encountered list at unexpected level: {_MAX_RANK} expected < {_MAX_RANK}"
        raise ServingError(message)
    leaves = [value]
    for size in shape:
        if any(type(part) is not list or len(part) != size for part in leaves):
            raise ServingError(_first_error(value, 0, shape, kind))
        leaves = list(itertools.chain.from_iterable(leaves))
    wanted = KINDS[kind]
    if not {*map(type, leaves)} <= wanted.values or not _in_bounds(leaves, wanted):
        raise ServingError(_first_error(value, 0, shape, kind))
    if kind == "string":
        leaves = [_to_bytes(leaf) for leaf in leaves]
    array = np.empty(len(leaves), wanted.array)
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        array[:] = leaves
    return array.reshape(shape)


def _in_bounds(leaves: list, kind: _Kind) -> bool:
    if kind.low == -np.inf or not leaves:
        return True
    return kind.low <= min(leaves) and max(leaves) <= kind.high


def is_bytes(value: Any) -> bool:
    """Whether a value is the JSON form of binary data."""
    return isinstance(value, dict) and [*value] == ["b64"] and isinstance(value["b64"], str)


def _to_bytes(value: str | dict) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if not is_bytes(value):
        raise ServingError(
            f"JSON Value: {debug_string(value)} not formatted correctly for base64 data"
        )
    text = re.sub(r"\s", "", value["b64"])
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ServingError("Unable to base64 decode") from error


def _first_error(value: Any, level: int, shape: list[int], kind: str) -> str:
    """What is wrong with the first value that does not fit; empty if all of them do."""
    if not isinstance(value, list):
        if level != len(shape):
            place = f"found at incorrect level: {level + 1} in the JSON DOM. "
            return f"JSON Value: {debug_string(value)} {place}Expected at level: {len(shape)}"
        if _fits(value, KINDS[kind]):
            return ""
        about = f"Type: {_type_name(value)} is not of expected type: {kind}"
        return f"JSON Value: {debug_string(value)} {about}"
    if level >= len(shape):
        return f"Encountered list at unexpected level: {level} expected < {len(shape)}"
    if len(value) != shape[level]:
        size = f"unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        return f"Encountered list at {size}"
    if level == len(shape) - 1:  # only values are here, or should be: the first that does not fit
        value = itertools.islice((part for part in value if not _fits(part, KINDS[kind])), 1)
    errors = (_first_error(part, level + 1, shape, kind) for part in value)
    return next(filter(None, errors), "")


def _fits(value: Any, kind: _Kind) -> bool:
    return type(value) in kind.values and (kind.low == -np.inf or kind.low <= value <= kind.high)


def _type_name(value: Any) -> str:
    names = {type(None): "Null", bool: str(value), dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def debug_string(value: Any) -> str:
    """A JSON value as errors show it: objects on several lines, and cut off where it is long."""
    text = ""
    for piece in _pieces(value, "\n"):
        if len(text) >= _DEBUG_CHARACTERS:
            break
        text += piece
    return text


def _pieces(value: Any, line: str) -> Iterator[str]:
    inner = line + 4 * " "
    if isinstance(value, list):
        yield "["
        for number, part in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(part, line)
        yield "]"
    elif isinstance(value, dict) and value:
        yield "{"
        for number, (name, part) in enumerate(value.items()):
            yield f"{',' if number else ''}{inner}{json.dumps(name)}: "
            yield from _pieces(part, inner)
        yield line + "}"
    elif isinstance(value, str) and len(value) > _DEBUG_CHARACTERS:
        yield json.dumps(value[:_DEBUG_CHARACTERS])
    else:
        yield json.dumps(value)


def to_text(name: str, array: np.ndarray) -> str:
    """The JSON of an array: numbers in the fewest digits that read back the same.

    Put together from NumPy's text, which is three times as fast as `json` for a heatmap.

    Args:
        name: of the output; strings of one that ends in `_bytes` are written in base64.
        array: numbers, or bytes of dtype object.
    """
    if array.ndim > 1 and array.size > _AT_ONCE:
        return f"[{', '.join(to_text(name, part) for part in array)}]"
    if array.dtype == object:
        write = _from_bytes if name.endswith("_bytes") else _from_text
        texts = np.empty(array.shape, object)
        texts.reshape(-1)[:] = [json.dumps(write(value)) for value in array.reshape(-1)]
    elif np.issubdtype(array.dtype, np.floating):
        texts = array.astype(str)
        texts[~np.isfinite(array)] = "null"
    else:
        return json.dumps(array.tolist())
    return _nested(texts.tolist())


def _nested(texts: Any) -> str:
    return texts if isinstance(texts, str) else f"[{', '.join(map(_nested, texts))}]"


def finite_or_none(array: np.ndarray) -> list:
    """Floating-point numbers as nested lists, None for those that are not finite."""
    numbers = array.astype(np.float64)
    if np.isfinite(numbers).all():
        return numbers.tolist()
    objects = numbers.astype(object)
    objects[~np.isfinite(numbers)] = None
    return objects.tolist()


def _from_bytes(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}


def _from_text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def dump(value: Mapping[str, Any]) -> bytes:
    """Strict JSON (no NaN)."""
    return json.dumps(value, allow_nan=False, separators=(", ", ": ")).encode("ascii")
