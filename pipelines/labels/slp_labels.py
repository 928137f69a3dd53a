"""Label files of SLEAP: `.slp`, and packages `.pkg.slp`, which hold their images (both HDF5).

What a person labelled is an instance of type 0; predicted ones are no labels. A point that is
not `visible` has no label, nor has one without coordinates, whatever `visible` says; `complete`
means nothing. From format 1.1 on coordinates count from the *centre* of the first pixel, before
from its corner.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.image_files import frame_path
from pipelines.labels.labelled import NOT_LABELLED, VISIBLE, LabelFile
from pipelines.labels.slp_content import SlpContent, read_content
from rectloc_tf.errors import ConfigError, UserError

UNIT = "instance"
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_USER = 0  # instance_type
_FIRST_CENTRED = 1.1  # format_id


class _Instance(NamedTuple):
    """A labelled animal in a frame; sorted by video and frame, so videos are read in one pass."""

    video: int
    frame: int
    number: int
    animal: str


def is_slp(start: bytes) -> bool:
    """Whether a file that starts so is HDF5."""
    return start.startswith(_SIGNATURE)


def read_slp_file(path: Path, individual: str = "") -> LabelFile:
    """Reads what people labelled in a file of SLEAP.

    Args:
        path: the HDF5 file.
        individual: whose keypoints, in a file with several animals in a frame: the name of a
            track; of instances without a track, '1' is the first of each frame.

    Raises:
        UserError: naming the file, the place in it and what would be right.
        ConfigError: if there are several animals and none is chosen, or another one is.
    """
    content = read_content(path)
    every, notes = _labelled_instances(content)
    chosen, more = _choose(path, every, individual)
    numbers = np.array([instance.number for instance in chosen])
    names = _keypoints(content, numbers)
    written, labelled = _points(content, numbers, names)
    return LabelFile(
        path,
        tuple(map(int, numbers)),
        tuple(_image(content, instance) for instance in chosen),
        names,
        written,
        np.where(labelled, VISIBLE, NOT_LABELLED).astype(np.uint8),
        notes=(*notes, *more),
        unit=UNIT,
        shift=0.5 if content.version >= _FIRST_CENTRED else 0.0,
    )


def _labelled_instances(content: SlpContent) -> tuple[list[_Instance], list[str]]:
    """Those of people, in order, and lines on what else there is."""
    path, instances = content.path, content.instances
    kinds, tracks = instances["instance_type"], instances["track"]
    found, predicted, empty = [], 0, 0
    for place, (video, frame, start, end) in enumerate(zip(*content.frames.values(), strict=True)):
        if not 0 <= start <= end <= len(kinds):
            there = f"there are {len(kinds)}"
            raise UserError(f"{path}: /frames {place}: instances {start} to {end}; {there}")
        people = [number for number in range(start, end) if kinds[number] == _USER]
        predicted += int(end - start) - len(people)
        empty += not people
        untracked = 0
        for number in people:
            if tracks[number] >= len(content.tracks):
                there = f"there are {len(content.tracks)}"
                raise UserError(f"{path} {UNIT} {number}: track {tracks[number]}; {there}")
            untracked += tracks[number] < 0
            animal = content.tracks[tracks[number]] if tracks[number] >= 0 else str(untracked)
            found.append(_Instance(int(video), int(frame), number, animal))
    lines = {
        f"{predicted} predicted instances left out": predicted,
        f"{empty} frames without user labels left out, {content.negatives} of them marked "
        "as negative": empty,
        f"{content.suggestions} suggested frames are not labels": content.suggestions,
    }
    if not found:
        raise UserError(f"{path}: no user instances; {predicted} are predicted")
    return sorted(found), [f"{path}: {line}" for line, count in lines.items() if count]


def _choose(
    path: Path, every: list[_Instance], individual: str
) -> tuple[list[_Instance], list[str]]:
    """The instances of one animal, and lines on the others."""
    animals = [*dict.fromkeys(instance.animal for instance in every)]
    is_alone = len({(instance.video, instance.frame) for instance in every}) == len(every)
    if not individual and is_alone:
        more = f"{path}: {len(animals)} tracks, never two in a frame: read as one animal"
        return every, [more] * (len(animals) > 1)
    if individual not in animals:
        start = f"--individual={individual}: {path}: no such animal" if individual else (
            f"{path}: several animals; choose one with --individual"
        )  # fmt: skip
        raise ConfigError(f"{start} (there are {', '.join(animals)})")
    chosen = [instance for instance in every if instance.animal == individual]
    others = len(every) - len(chosen)
    return chosen, [f"{path}: {others} instances of other animals not chosen"] * bool(others)


def _keypoints(content: SlpContent, numbers: np.ndarray) -> tuple[str, ...]:
    """The names of the skeleton that all of these instances have."""
    found = {}
    for number, skeleton in zip(numbers, content.instances["skeleton"][numbers], strict=True):
        if not 0 <= skeleton < len(content.skeletons):
            there = f"there are {len(content.skeletons)}"
            raise UserError(f"{content.path} {UNIT} {number}: skeleton {skeleton}; {there}")
        found.setdefault(content.skeletons[skeleton], number)
    if len(found) > 1:
        first, second, *_ = found.values()
        raise UserError(
            f"{content.path}: {UNIT} {first} and {second} have skeletons with different keypoints; "
            "all must have the same"
        )
    names = next(iter(found))
    if not names:
        raise UserError(f"{content.path}: the skeleton has no nodes")
    return names


def _points(
    content: SlpContent, numbers: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """float64 [R, K, 2] as in the file, NaN where there is no label, and bool [R, K]."""
    starts, ends = (content.instances[f"point_id_{name}"][numbers] for name in ("start", "end"))
    for number, start, end in zip(numbers, starts, ends, strict=True):
        if not 0 <= start <= end <= len(content.points["x"]) or end - start != len(names):
            there = f"there are {len(content.points['x'])}, {len(names)} for each instance"
            raise UserError(f"{content.path} {UNIT} {number}: points {start} to {end}; {there}")
    places = starts[:, None] + np.arange(len(names))
    written = np.stack([content.points["x"][places], content.points["y"][places]], axis=-1)
    visible = content.points["visible"][places] != 0
    labelled = visible & np.isfinite(written).all(-1)
    for r, k in np.argwhere(visible & ~labelled & ~np.isnan(written).all(-1)):
        where = f"{content.path} {UNIT} {numbers[r]}, {names[k]}"
        x, y = written[r, k]
        raise UserError(f"{where}: x {x:g}, y {y:g}; must be two numbers, or NaN without a label")
    return np.where(labelled[..., None], written, np.nan), labelled


def _image(content: SlpContent, instance: _Instance) -> str:
    """The path of the image as the file has it, with slashes; of a frame as `frame_path`."""
    where = f"{content.path}: video {instance.video}"
    backend: dict[str, Any] | None = content.videos.get(instance.video)
    if backend is None:
        raise UserError(f"{where} is missing in videos_json; there are {len(content.videos)}")
    name, sequence = backend.get("filename"), backend.get("filenames")
    if instance.frame < 0:
        raise UserError(f"{where}: frame {instance.frame}")
    if sequence:
        if not isinstance(sequence, list) or instance.frame >= len(sequence):
            raise UserError(f"{where} has no image {instance.frame} among its filenames")
        return _with_slashes(sequence[instance.frame], where)
    file = _with_slashes(name, where)
    if file == ".":
        file = content.path.name
    dataset = str(backend.get("dataset") or "").strip("/").removesuffix("/video")
    return frame_path(file, dataset, instance.frame)


def _with_slashes(name: Any, where: str) -> str:
    if not isinstance(name, str) or not name.strip() or len(name.splitlines()) > 1:
        raise UserError(f"{where}: {name!r} is not the path of a file")
    return name.replace("\\", "/")
