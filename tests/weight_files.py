"""Files of pretrained weights as others write them, with random values; and their network."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf

from rectloc_tf.network.layout import BATCH_NORM, BLOCKS, units

STRIDES = (1, 2, 2, 2)


def random_backbone(depth: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Variables under torchvision's names, such that features stay of order 1."""
    rng, found = np.random.default_rng(seed), {}
    for name, (size, inputs, filters) in units(depth).items():
        conv, norm = torch_layers(name)
        scale = np.sqrt(1 / (size * size * inputs))
        found[f"{conv}.weight"] = rng.normal(0, scale, (filters, inputs, size, size))
        found[f"{norm}.weight"] = rng.uniform(0.5, 1, filters)
        found[f"{norm}.bias"] = rng.normal(0, 0.2, filters)
        found[f"{norm}.running_mean"] = rng.normal(0, 0.2, filters)
        found[f"{norm}.running_var"] = rng.uniform(0.5, 1.5, filters)
    return {name: values.astype(np.float32) for name, values in found.items()}


def torch_layers(unit: str) -> tuple[str, str]:
    """A convolution and its normalisation as torchvision names them."""
    if unit == "conv1":
        return "conv1", "bn1"
    stack, block, place = unit.removeprefix("stack").replace("block", "").split("_")
    block = f"layer{int(stack) + 1}.{block}"
    if place == "0":
        return f"{block}.downsample.0", f"{block}.downsample.1"
    return f"{block}.conv{place}", f"{block}.bn{place}"


def write_safetensors(path: Path, tensors: Mapping[str, np.ndarray], **dtypes: str) -> Path:
    """Writes a safetensors file; `dtypes` are what it says of those of NumPy (uint16="BF16")."""
    kinds = {"float32": "F32", "float16": "F16", "float64": "F64", "int64": "I64", **dtypes}
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, values in tensors.items():
        begin, end = end, end + values.nbytes
        kind = kinds[values.dtype.name]
        header[name] = {"dtype": kind, "shape": [*values.shape], "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    data = [values.tobytes() for values in tensors.values()]
    path.write_bytes(b"".join([struct.pack("<Q", len(text)), text, *data]))
    return path


def write_keras(
    path: Path, tensors: Mapping[str, np.ndarray], depth: int, below: str = "", names: bool = True
) -> Path:
    """Writes the same tensors as Keras saves keras-hub's ResNet.

    Args:
        path: of the file.
        tensors: under torchvision's names.
        depth: of the ResNet.
        below: group in which its layers lie, where it is part of a classifier.
        names: whether layers' names are kept, as newer Keras does.
    """
    with h5py.File(path, "w") as file:

        def add(group, name, arrays):
            group = file.create_group(f"{below}layers/{group}/vars")
            if names:
                group.attrs["name"] = name
            for number, values in enumerate(arrays):
                group[str(number)] = values

        for count, unit in enumerate(units(depth)):
            conv, norm = torch_layers(unit)
            kernel = tensors[f"{conv}.weight"].transpose(2, 3, 1, 0)
            add(f"conv2d_{count}", f"{unit}_conv", [kernel])
            theirs = ("weight", "bias", "running_mean", "running_var")
            assert BATCH_NORM == ("gamma", "beta", "moving_mean", "moving_variance")
            arrays = [tensors[f"{norm}.{name}"] for name in theirs]
            add(f"batch_normalization_{count}", f"{unit}_bn", arrays)
            add(f"activation_{count}", f"{unit}_relu", [])
        if below:
            dense = file.create_group("layers/dense/vars")
            dense.attrs["name"] = "predictions"
            dense["0"] = np.zeros((512, 10), np.float32)
    return path


def torchvision_features(
    tensors: Mapping[str, np.ndarray], images: np.ndarray, depth: int
) -> list[np.ndarray]:
    """torchvision's ResNet in inference, written from its definition.

    Args:
        tensors: under its names.
        images: uint8 [B, H, W, 3].
        depth: 18, 34 or 50.

    Returns:
        What its layer1 to layer4 give, [B, h, w, C].
    """
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = tf.constant((images / 255 - mean) / std, tf.float32)

    def pad(x, border, value=0.0):
        return tf.pad(x, [[0, 0], [border] * 2, [border] * 2, [0, 0]], constant_values=value)

    def conv(x, name, stride=1):
        kernel = tensors[f"{name}.weight"]
        return tf.nn.conv2d(
            pad(x, kernel.shape[2] // 2), kernel.transpose(2, 3, 1, 0), stride, "VALID"
        )

    def norm(x, name):
        weight, bias, center, variance = (
            tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - center) / np.sqrt(variance + 1e-5) * weight + bias

    def block(x, name, stride):
        places, strided = ((1, 2, 3), 2) if depth == 50 else ((1, 2), 1)
        y = x
        for place in places:
            y = conv(y, f"{name}.conv{place}", stride if place == strided else 1)
            y = norm(y, f"{name}.bn{place}")
            y = tf.nn.relu(y) if place != places[-1] else y
        if f"{name}.downsample.0.weight" in tensors:
            x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
        return tf.nn.relu(x + y)

    x = tf.nn.relu(norm(conv(x, "conv1", 2), "bn1"))
    x = tf.nn.max_pool2d(pad(x, 1, -np.inf), 3, 2, "VALID")
    found = []
    for layer, (blocks, stride) in enumerate(zip(BLOCKS[depth], STRIDES, strict=True), start=1):
        for number in range(blocks):
            x = block(x, f"layer{layer}.{number}", stride if number == 0 else 1)
        found.append(x.numpy())
    return found
