"""What a file of SLEAP holds: its tables and its JSON, checked as far as `slp_labels` uses them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rectloc_tf.errors import UserError, reason

_TABLES = {
    "frames": ("video", "frame_idx", "instance_id_start", "instance_id_end"),
    "instances": ("instance_type", "skeleton", "track", "point_id_start", "point_id_end"),
    "points": ("x", "y", "visible"),
}


@dataclass(frozen=True, eq=False)
class SlpContent:
    """The parts of a file that matter to its labels.

    Attributes:
        path: the file.
        version: its `format_id`.
        frames: columns of `/frames`, each int64 [F].
        instances: of `/instances`, each int64 [I].
        points: of `/points`, float64 [P].
        skeletons: the names of each one's keypoints, in the order of the points.
        tracks: their names.
        videos: what the file says of each, by the number that frames name it by.
        suggestions: how many frames were suggested for labelling.
        negatives: how many frames are marked as without an animal.
    """

    path: Path
    version: float
    frames: dict[str, np.ndarray]
    instances: dict[str, np.ndarray]
    points: dict[str, np.ndarray]
    skeletons: tuple[tuple[str, ...], ...]
    tracks: tuple[str, ...]
    videos: dict[int, dict[str, Any]]
    suggestions: int
    negatives: int


def read_content(path: Path) -> SlpContent:
    """Reads an HDF5 file of SLEAP.

    Raises:
        UserError: naming the file and what is wrong in it.
    """
    import h5py  # comes with Keras, which requires it

    try:
        with h5py.File(path, "r") as file:
            if "metadata" not in file or "json" not in file["metadata"].attrs:
                hint = "DeepLabCut keeps its labels as CollectedData*.csv too"
                raise UserError(f"{path}: an HDF5 file without labels of SLEAP ({hint})")
            attributes = file["metadata"].attrs
            metadata = _parse(path, "metadata", attributes["json"])
            frames, instances, points = (_table(path, file, name) for name in _TABLES)
            return SlpContent(
                path,
                float(attributes.get("format_id", 1.0)),
                _as_integers(frames),
                _as_integers(instances),
                points,
                _skeletons(path, metadata),
                _tracks(path, _list(path, file, "tracks_json")),
                _videos(path, _list(path, file, "videos_json")),
                _length(file, "suggestions_json"),
                _length(file, "negative_frames"),
            )
    # h5py raises KeyError where a file was cut short.
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: damaged HDF5 file ({reason(error)})") from error


def _table(path: Path, file: Any, name: str) -> dict[str, np.ndarray]:
    """The columns of a table that are used, float64; empty tables need not have any."""
    found = file.get(name)
    if not hasattr(found, "shape"):
        raise UserError(f"{path}: no table /{name}; SLEAP has /{', /'.join(_TABLES)}")
    columns = found.dtype.names or ()
    if found.shape == (0,):
        return {column: np.zeros(0) for column in _TABLES[name]}
    for column in _TABLES[name]:
        if column not in columns or found.ndim != 1:
            raise UserError(f"{path}: /{name} has no column {column!r}")
        if found.dtype[column].kind not in "biuf":
            raise UserError(f"{path}: /{name}: {column} is {found.dtype[column]}, not a number")
    content = found[:]
    return {column: content[column].astype(np.float64) for column in _TABLES[name]}


def _as_integers(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As int64; NaN and values of 2^53 or more become -1."""
    return {
        name: np.where(np.abs(values) < 2**53, np.nan_to_num(values), -1).astype(np.int64)
        for name, values in table.items()
    }


def _parse(path: Path, name: str, text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: {name}: damaged JSON ({reason(error)})") from error


def _list(path: Path, file: Any, name: str) -> list[Any]:
    found = file.get(name)
    if found is None:
        return []
    return [_parse(path, name, text) for text in found[:]]


def _length(file: Any, name: str) -> int:
    return len(file[name]) if hasattr(file.get(name), "shape") else 0


def _skeletons(path: Path, metadata: Any) -> tuple[tuple[str, ...], ...]:
    """Names by skeleton. A skeleton's nodes are numbers of the file's list of all nodes."""
    try:
        every = [node["name"] for node in metadata["nodes"]]
        listed = [[node["id"] for node in skeleton["nodes"]] for skeleton in metadata["skeletons"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: metadata: no node names ({reason(error)})") from error
    return tuple(_names(path, numbers, every) for numbers in listed)


def _names(path: Path, numbers: Sequence[Any], every: Sequence[Any]) -> tuple[str, ...]:
    for number in numbers:
        if type(number) is not int or not 0 <= number < len(every):
            raise UserError(f"{path}: metadata: node {number!r}; there are 0 to {len(every) - 1}")
    names = [every[number] for number in numbers]
    for name in names:
        if not isinstance(name, str) or not name.strip() or len(name.splitlines()) > 1:
            raise UserError(f"{path}: metadata: {name!r} cannot be the name of a node")
    if len(set(names)) < len(names):
        raise UserError(f"{path}: metadata: node names of a skeleton must differ")
    return tuple(names)


def _tracks(path: Path, found: list[Any]) -> tuple[str, ...]:
    """Names; each is a list of the frame it starts in and its name."""
    for track in found:
        if not isinstance(track, list) or len(track) < 2:
            raise UserError(f"{path}: tracks_json: {track!r} is not a track")
    return tuple(str(track[1]) for track in found)


def _videos(path: Path, found: list[Any]) -> dict[int, dict[str, Any]]:
    """By number: that of its group in a package, where some may be left out, or its place."""
    videos: dict[int, dict[str, Any]] = {}
    for place, video in enumerate(found):
        backend = video.get("backend") if isinstance(video, dict) else None
        if not isinstance(backend, dict):
            raise UserError(f"{path}: videos_json: video {place} has no backend")
        backend = {"filename": video.get("filename")} | backend
        group = str(backend.get("dataset") or "").strip("/").split("/")[0]
        number = group.removeprefix("video")
        is_group = group.startswith("video") and number.isdecimal()
        videos.setdefault(int(number) if is_group else place, backend)
    return videos
