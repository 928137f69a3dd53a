"""Pretrained backbones from files: `--backbone_weights=FILE`. No TensorFlow.

Read are keras-hub's ResNets (`.weights.h5`) and those of torchvision and timm (`.safetensors`), of
18, 34 and 50 layers. These are the networks of `backbones`, but for the names.
"""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rectloc_tf.errors import ConfigError, UserError, reason
from rectloc_tf.network.layout import BATCH_NORM, BLOCKS, STEM, variables
from rectloc_tf.network.tensor_files import Damaged, Tensor, open_keras, open_safetensors

Backbone = dict[str, np.ndarray]  # `<layer>/<variable>` -> values, see `layout.variables`

_PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")


@dataclass(frozen=True)
class _Format:
    """How a backbone lies in a file.

    Attributes:
        open: the tensors of a file by name.
        name: one of `layout.variables` -> the tensor's name.
        beside: names of what a file may also hold, and is not read.
        kernel_axes: which axes of a kernel are height, width, inputs and outputs.
    """

    open: Callable[[Path], AbstractContextManager[dict[str, Tensor]]]
    name: Callable[[str], str]
    beside: re.Pattern
    kernel_axes: tuple[int, ...]


def _torch_name(ours: str) -> str:
    """'stack0_block1_2_bn/gamma' -> 'layer1.1.bn2.weight'."""
    layer, variable = ours.split("/")
    unit, kind = layer.rsplit("_", 1)
    theirs = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
    theirs |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    if unit == STEM:
        return f"{kind}1.{theirs[variable]}"
    stack, block, place = map(int, re.findall(r"\d+", unit))
    part = f"{kind}{place}" if place else f"downsample.{0 if kind == 'conv' else 1}"
    return f"layer{stack + 1}.{block}.{part}.{theirs[variable]}"


def _keras_name(ours: str) -> str:
    """'stack0_block1_2_bn/beta' -> 'stack0_block1_2_bn/1'."""
    layer, variable = ours.split("/")
    return f"{layer}/{0 if variable == 'kernel' else BATCH_NORM.index(variable)}"


_FORMATS = {
    ".safetensors": _Format(
        open_safetensors, _torch_name, re.compile(r"fc\..*|.*\.num_batches_tracked"), (2, 3, 1, 0)
    ),
    # A classifier has other layers around its backbone.
    ".h5": _Format(open_keras, _keras_name, re.compile(r"(?!conv\d|stack\d).*"), (0, 1, 2, 3)),
}


def require_kind(name: str) -> None:
    """Refuses what is no file of a kind that can be read, by its name alone.

    Raises:
        UserError: saying what would be right.
    """
    flag, path = f"--backbone_weights={name}", Path(os.path.expanduser(name))
    suffix = path.suffix.lower()
    if path.is_dir():
        hint = f"give a weights file, or for a run folder --init_from={name}"
        raise UserError(f"{flag}: is a folder; {hint}")
    if not path.exists():
        raise UserError(f"{flag}: no such file; a started run resumes from its flags.flags alone")
    if suffix in _PICKLES:
        new = path.with_suffix(".safetensors")
        raise UserError(
            f"{flag}: a pickle is code and is not opened; if you trust it, convert it: python -c "
            f'"import torch, safetensors.torch as s; s.save_file(torch.load({str(path)!r}, '
            f"'cpu', weights_only=True), {str(new)!r})\""
        )
    if suffix not in _FORMATS:
        raise UserError(
            f"{flag}: must be a .weights.h5 of keras-hub or a .safetensors of torchvision or timm"
        )


def read_backbone(name: str, depth: int) -> Backbone:
    """Reads the weights of a backbone for colour images.

    Args:
        name: a file, `~` is expanded.
        depth: 18, 34 or 50.

    Returns:
        Every variable of `layout.variables(depth)`, in that order, float32.

    Raises:
        ConfigError: if the file is of another depth.
        UserError: if it cannot be used, naming what is missing, not expected or damaged.
    """
    require_kind(name)
    flag, path = f"--backbone_weights={name}", Path(os.path.expanduser(name))
    form = _FORMATS[path.suffix.lower()]
    try:
        with form.open(path) as tensors:
            _require_depth(flag, form, tensors, depth)
            return {ours: _read(form, tensors, ours, s) for ours, s in variables(depth).items()}
    except Damaged as error:
        raise UserError(f"{flag}: {error}") from error
    except OSError as error:
        raise UserError(f"{flag}: cannot be read ({reason(error)})") from error


def _differences(form: _Format, tensors: Mapping[str, Tensor], depth: int) -> list[str]:
    """What a file lacks of a ResNet, and what it has that a ResNet has not; for people."""
    expected = {form.name(ours): None for ours in variables(depth)}
    lacking = [f"{name} is missing" for name in expected if name not in tensors]
    others = (name for name in tensors if name not in expected)
    return lacking + [f"{name} is unexpected" for name in others if not form.beside.fullmatch(name)]


def _require_depth(flag: str, form: _Format, tensors: Mapping[str, Tensor], depth: int) -> None:
    found = _differences(form, tensors, depth)
    if not found:
        return
    for other in BLOCKS:
        if not _differences(form, tensors, other):
            raise ConfigError(f"--depth={depth}: {flag} is a ResNet{other}; use --depth={other}")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise Damaged(f"not a plain ResNet{depth}: {found[0]}{more}")


def _read(
    form: _Format, tensors: Mapping[str, Tensor], ours: str, shape: tuple[int, ...]
) -> np.ndarray:
    """The values of a variable, once its shape has been checked."""
    theirs = form.name(ours)
    tensor, axes = tensors[theirs], form.kernel_axes if len(shape) == 4 else (0,)
    if len(tensor.shape) != len(axes) or tuple(tensor.shape[axis] for axis in axes) != shape:
        wanted = tuple(shape[axes.index(axis)] for axis in range(len(axes)))
        raise Damaged(f"{theirs} is {tensor.shape}, and {wanted} in a plain ResNet")
    values = tensor.read()
    if not np.isfinite(values).all():
        raise Damaged(f"{theirs} has values that are not finite")
    return np.ascontiguousarray(values.transpose(axes))
