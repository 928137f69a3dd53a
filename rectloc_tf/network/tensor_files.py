"""Tensors in files, read one by one: safetensors and Keras' `.weights.h5`. No TensorFlow.

Nothing in a file is trusted: sizes are checked before anything is read.
"""

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rectloc_tf.errors import UserError, reason

MAX_HEADER = 10_000_000  # bytes; that of a ResNet has some 20,000


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file that is open.

    Attributes:
        shape: as in the file.
        read: returns its values, float32.
    """

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


class Damaged(UserError):
    """A file that does not hold what it should; the text says what is wrong with it."""


@contextlib.contextmanager
def open_safetensors(path: Path) -> Iterator[dict[str, Tensor]]:
    """The tensors of a `.safetensors` file by name.

    The file is: the length of the header, u64 little endian; the header, JSON, for each tensor
    its dtype, shape and data_offsets [begin, end); the data.

    Raises:
        Damaged: if it is not such a file, or a part of one.
        OSError: if it cannot be read.
    """
    with open(path, "rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if length > min(size - 8, MAX_HEADER):
            raise Damaged(f"not a safetensors file, or cut off (a header of {length} bytes)")
        try:
            header = json.loads(file.read(length).decode())
            entries = {name: e for name, e in header.items() if name != "__metadata__"}
        except (ValueError, AttributeError, RecursionError) as error:
            raise Damaged(f"its header is not JSON ({reason(error)})") from error
        begin = 8 + length
        yield {name: _entry(path, name, e, begin, size) for name, e in entries.items()}


def _entry(path: Path, name: str, entry: Any, begin: int, size: int) -> Tensor:
    """A tensor of a safetensors file whose data begin at a byte and end at `size`."""
    try:
        kind, shape, (start, end) = (entry[key] for key in ("dtype", "shape", "data_offsets"))
        whole = all(type(n) is int and n >= 0 for n in (*shape, start, end))
    except (TypeError, KeyError, ValueError) as error:
        raise Damaged(f"{name}: no valid dtype, shape and data_offsets in the header") from error
    if not whole or start > end:
        raise Damaged(f"{name}: shape {shape} and bytes {start} to {end} are impossible")
    if begin + end > size:
        raise Damaged(f"cut off: {name} ends at byte {begin + end}, the file at {size}")
    dtypes = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}

    def read() -> np.ndarray:
        if kind not in dtypes:
            raise Damaged(f"{name}: is {kind}; F32, F16 and BF16 can be read")
        dtype, count = np.dtype(dtypes[kind]), math.prod(shape)
        if count * dtype.itemsize != end - start:
            raise Damaged(f"{name}: {end - start} bytes cannot be {shape} of {kind}")
        values = np.fromfile(path, dtype, count, offset=begin + start)
        if kind == "BF16":  # the upper half of a float32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32).reshape(shape)

    return Tensor(tuple(shape), read)


@contextlib.contextmanager
def open_keras(path: Path) -> Iterator[dict[str, Tensor]]:
    """The variables of the layers in a `.weights.h5` file, `<layer's name>/<number>`.

    Keras stores the variables of a layer as `.../vars/<number>` below a path that counts layers of
    each class; the layer's name is an attribute of `vars`.

    Raises:
        Damaged: if it is not such a file.
        OSError: if it cannot be read.
    """
    import h5py  # slow, and few commands read weights

    try:
        with h5py.File(path, "r") as file:
            if any(str(name).startswith("conv2_block1_") for name in _names(file)):
                raise Damaged(
                    "is a ResNet of keras.applications, version 1: the same shapes, but strides in "
                    "other places; use keras-hub's or torchvision's"
                )
            yield _variables(file)
    except (RuntimeError, KeyError, TypeError) as error:  # h5py's, at damaged files
        raise Damaged(f"damaged ({reason(error)})") from error


def _names(file: Any) -> set[str]:
    """The names of layers, however they are written."""
    found = {*file.keys(), *file.get("model_weights", {}).keys()}  # before Keras 3
    file.visititems(lambda _, item: found.add(item.attrs.get("name", "")))
    return found


def _variables(file: Any) -> dict[str, Tensor]:
    import h5py

    found: dict[str, Tensor] = {}

    def add(path: str, item: Any) -> None:
        name, _, number = path.rpartition("/")
        if not isinstance(item, h5py.Dataset) or not name.endswith("vars"):
            return
        layer = item.parent.attrs.get("name")
        if layer is None:
            raise Damaged(
                "has no names of layers (written by an older Keras); load it into its network and "
                "save that again, save_weights('NAME.weights.h5')"
            )
        found[f"{layer}/{number}"] = Tensor(tuple(item.shape or ()), lambda: _values(path, item))

    file.visititems(add)
    if not found:
        raise Damaged("no weights as Keras 3 saves them, save_weights('NAME.weights.h5')")
    return found


def _values(path: str, dataset: Any) -> np.ndarray:
    if dataset.external or dataset.is_virtual or dataset.dtype.kind != "f":
        raise Damaged(f"{path}: is {dataset.dtype}, or lies in another file; save it as float32")
    return np.asarray(dataset[()], np.float32)
