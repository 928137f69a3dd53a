"""Exports a network in a format, checked before it gets its name."""

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from pipelines.source import DRAWN, Source, make_source
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError, reason
from rectloc_tf.models import load_model, run_head
from rectloc_tf.registry import FORMATS, SOURCES, load
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving.check_export import METADATA, answer_all, median_milliseconds
from rectloc_tf.serving.formats.format import STAGES, backbone
from rectloc_tf.serving.parity import COMPARED, Parity, measure
from rectloc_tf.serving.served import Served
from rectloc_tf.serving.versions import new_version
from rectloc_tf.training.run_files import open_files

PICTURES = 200
CALIBRATION = 200
PARITY = "parity.json"
_WIDER, _HIGHER = 1.5, 1.25  # of every other picture, so that it has to be resized
_BATCH = 20

Pictures = dict[str, np.ndarray]  # arrays of a size each, uint8 [N, H, W, C]


class Exported(NamedTuple):
    """What an export came to."""

    folder: Path
    parity: Parity
    distinct: int  # of the pictures, the others being some of them turned and mirrored
    first_stage: int = 1  # of the backbone that is in 8 bits, with int8
    rounding: Parity | None = None  # see `Expected`


class Expected(NamedTuple):
    """What an export has to predict for some pictures.

    Attributes:
        answers: by array; in float32, but for formats that keep a network's precision.
        milliseconds: the median time that these took for one picture.
        rounding: how far the network in half precision is from them; None where it has none.
    """

    answers: dict[str, dict[str, np.ndarray]]
    milliseconds: float
    rounding: Parity | None = None


class _DiffersError(UserError):
    """An export whose answers are not the network's."""


def open_served(
    folder: RunFolder, run: RunConfig, weights: str = "best", data: str = "", images_root: str = ""
) -> tuple[Served, Source]:
    """The network of a run as it is exported, and the images that exports are checked on.

    Args:
        folder: of the run.
        run: what it is, `folder.run_config()`.
        weights: best or final.
        data, images_root: where the run's labelled images are now, if that is somewhere else.

    Raises:
        UserError: if the network or the images are gone, or have changed.
    """
    source = make_source(run, files=open_files(run, folder, data, images_root))
    source.check()
    model = load_model(folder.model_path(weights), run)
    place = SOURCES[run.source].place
    return Served(model, run_head(run), place, folder.threshold(run)), source


def export_checked(
    served: Served,
    source: Source,
    export_dir: Path,
    name: str = "saved_model",
    quantize: str = "none",
    pictures: int = PICTURES,
) -> Exported:
    """Writes the next version of a network in a format, if it answers as the network does.

    With int8, as many of the backbone's stages stay in float32, the first ones first, as it takes:
    their images are the largest, so that rounding in them moves the answer most.

    Args:
        served: the network.
        source: images like those that it was trained on: those of the test split are answered by
            both, those of the training split calibrate int8.
        export_dir: folder of the numbered versions.
        name: of the format, a key of `registry.FORMATS`.
        quantize: "none", "float16" or "int8".
        pictures: how many to check.

    Raises:
        UserError: if it cannot be written, cannot be run, or answers otherwise; nothing is left.
    """
    trained = served
    if not FORMATS[name].any_precision:
        served = trained.in_float32()
    metadata = {"format": name, "quantize": quantize, **served.metadata()}
    calibration = draw(source, "train", CALIBRATION) if quantize == "int8" else ()
    test = draw(source, "test", pictures)
    arrays = in_two_sizes(repeat(test, pictures))
    expected = expect(served, trained, arrays)
    export = functools.partial(
        _export, served, export_dir, metadata, arrays, expected, len(test), calibration
    )
    *sooner, last = range(1, STAGES + 1) if quantize == "int8" else (1,)
    for first in sooner:
        with contextlib.suppress(_DiffersError):  # with more of it in float32 it may agree
            return export(first)
    return export(last)


def _export(
    served: Served,
    export_dir: Path,
    metadata: dict[str, Any],
    arrays: Pictures,
    expected: Expected,
    distinct: int,
    calibration: Iterable[np.ndarray],
    first: int,
) -> Exported:
    """One try of `export_checked`, with the backbone from the stage `first` on in 8 bits."""
    name, quantize = metadata["format"], metadata["quantize"]
    if quantize == "int8":
        metadata = metadata | {"int8_stages": [first, STAGES]}
    how = metadata, quantize, calibration, backbone(first)
    with new_version(export_dir) as (folder, publish):
        about = f"--format={name}" + ("" if quantize == "none" else f" --quantize={quantize}")
        try:
            load(FORMATS[name].implementation)().write(served, folder, *how)
        except (OSError, tf.errors.OpError):
            raise  # `new_version` reports it
        except Exception as error:
            message = f"{about}: this network cannot be converted ({reason(error)})"
            raise UserError(message) from error
        (folder / METADATA).write_text(json.dumps(metadata, indent=2) + "\n")
        theirs, milliseconds = run_apart(folder, arrays, about)
        parity = compare(served, arrays, expected.answers, theirs, quantize)
        if parity.problem:
            raise _DiffersError(f"{about}: refused, {parity.problem}")
        found = parity.to_json() | {
            "distinct_pictures": distinct,
            "milliseconds": {"tensorflow": expected.milliseconds, name: milliseconds},
        }
        if expected.rounding:
            about = expected.rounding.to_json()
            kept = ("difference_px", "flips", "difference_confidence")
            found["half_precision"] = {key: about[key] for key in kept}
        (folder / PARITY).write_text(json.dumps(found, indent=2) + "\n")
        return Exported(publish(), parity, distinct, first, expected.rounding)


def draw(source: Source, split: str, count: int) -> np.ndarray:
    """The first images of a split, uint8 [N, S, S, C]; fewer if it has no more.

    Raises:
        UserError: if it has none.
    """
    indices = source.indices(split)[:count]
    if not indices:
        raise UserError(f"there are no {split} images to check the export with")
    parts = []
    for start in range(0, len(indices), _BATCH):
        numbers = tf.constant([*indices[start : start + _BATCH]], tf.int64)
        parts.append(source.draw(source.take(numbers))[DRAWN[0]].numpy())
    return np.concatenate(parts)


def repeat(images: np.ndarray, count: int) -> np.ndarray:
    """`count` images [count, S, S, C]: after all of them the same mirrored, turned, and both."""
    turned = [images, images[:, :, ::-1], images[:, ::-1], images[:, ::-1, ::-1]]
    turned += [np.swapaxes(other, 1, 2) for other in turned]
    every = np.concatenate(turned[: -(-count // len(images))])
    return every[np.arange(count) % len(every)]


def in_two_sizes(images: np.ndarray) -> Pictures:
    """Every other image at the working size, and the rest larger and wider than high."""
    _, size, _, channels = images.shape
    shape = round(size * _HIGHER), round(size * _WIDER)
    wide = [cv2.resize(image, shape[::-1]).reshape(*shape, channels) for image in images[1::2]]
    arrays = {"working": np.ascontiguousarray(images[::2])}
    return arrays | ({"wide": np.stack(wide)} if wide else {})


def run_apart(folder: Path, arrays: Pictures, about: str) -> tuple[dict, float]:
    """The export's answers by array, and its milliseconds; see `check_export`.

    Raises:
        UserError: if the format's runtime fails.
    """
    with tempfile.TemporaryDirectory() as place:
        pictures, answers = Path(place, "pictures.npz"), Path(place, "answers.npz")
        try:
            np.savez(pictures, allow_pickle=False, **arrays)
        except OSError as error:
            raise UserError(f"{place}: cannot be written ({reason(error)})") from error
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-m", "rectloc_tf.serving.check_export", folder, pictures, answers],
            env=os.environ | {"PYTHONPATH": path}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace",
        )  # fmt: skip
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            last = lines[-1][:200] if lines else f"exit code {done.returncode}"
            raise UserError(f"{about}: refused, its runtime cannot run it ({last})")
        with np.load(answers, allow_pickle=False) as found:
            by_array = {
                key: {n.partition("/")[2]: found[n] for n in found if n.startswith(f"{key}/")}
                for key in arrays
            }
            return by_array, float(found["milliseconds"])


def expect(served: Served, trained: Served, arrays: Pictures) -> Expected:
    """What an export of `served` has to predict; `trained` is it in the precision of its run."""
    answer = _as_arrays(served.answer_images())
    answers = {key: answer_all(answer, images) for key, images in arrays.items()}
    milliseconds = median_milliseconds(answer, next(iter(arrays.values())))
    if trained.model is served.model:
        return Expected(answers, milliseconds)
    rounded = _as_arrays(trained.answer_images())
    theirs = {key: answer_all(rounded, images) for key, images in arrays.items()}
    # Its confidences are coarse, as of 8 bits: fainter detections come and go.
    return Expected(answers, milliseconds, compare(served, arrays, answers, theirs, "int8"))


def compare(
    served: Served,
    arrays: Pictures,
    ours: dict[str, dict[str, np.ndarray]],
    theirs: dict[str, dict[str, np.ndarray]],
    quantize: str,
) -> Parity:
    """How far answers to some pictures are from the network's own, `ours`."""
    groups = [
        (ours[key], theirs[key], max(images.shape[1:3]) / served.size)
        for key, images in arrays.items()
    ]
    return measure(groups, served.head.answer_step, quantize)


def _as_arrays(answer: Callable) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    def answers(images):
        found = answer(tf.constant(images))
        return {name: found[name].numpy() for name in COMPARED & found.keys()}

    return answers
