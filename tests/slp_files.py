"""Small files of SLEAP, as SLEAP and sleap-io write them."""

import json
from pathlib import Path

import cv2
import h5py
import numpy as np

from tests.label_files import picture

FRAMES = [(name, "<u8") for name in ("frame_id", "video", "frame_idx")]
FRAMES += [(name, "<u8") for name in ("instance_id_start", "instance_id_end")]
INSTANCES = [
    ("instance_id", "<i8"), ("instance_type", "u1"), ("frame_id", "<u8"), ("skeleton", "<u4"),
    ("track", "<i4"), ("from_predicted", "<i8"), ("score", "<f4"), ("point_id_start", "<u8"),
    ("point_id_end", "<u8"),
]  # fmt: skip
POINTS = [("x", "<f8"), ("y", "<f8"), ("visible", "?"), ("complete", "?")]
NAN = np.nan


def animal(*points, track=-1, kind=0, skeleton=0):
    """An instance; points are (x, y) or (x, y, visible)."""
    return {"points": points, "track": track, "kind": kind, "skeleton": skeleton}


def write_slp(
    path: Path, frames, videos=("clip.avi",), nodes=("tail", "nose"), ids=((1, 0),), version=1.2,
    tracks=(), suggestions=0, negatives=0,
) -> Path:  # fmt: skip
    """Writes a file.

    Args:
        path: of the file.
        frames: (video, frame, animals) each.
        videos: file names, or backends.
        nodes: the names of all nodes, in an order of their own.
        ids: of each skeleton, the places of its nodes among them.
        version: format_id.
        tracks: their names.
        suggestions: how many frames are suggested.
        negatives: how many are marked.
    """
    rows, instances, points = [], [], {0: [], 1: []}
    for number, (video, frame, animals) in enumerate(frames):
        rows.append((number, video, frame, len(instances), len(instances) + len(animals)))
        for one in animals:
            own = points[one["kind"]]
            ends = len(own), len(own) + len(one["points"])
            about = len(instances), one["kind"], number, one["skeleton"], one["track"], -1, 0
            instances.append((*about, *ends))
            own += [(*(*point, True)[:3], False) for point in one["points"]]
    skeletons = [{"nodes": [{"id": i} for i in own]} for own in ids]
    metadata = {"skeletons": skeletons, "nodes": [{"name": n, "weight": 1.0} for n in nodes]}
    backends = [v if isinstance(v, dict) else {"filename": v} for v in videos]
    with h5py.File(path, "w") as file:
        attributes = file.create_group("metadata").attrs
        attributes["format_id"] = version
        attributes["json"] = np.bytes_(json.dumps(metadata))
        file["frames"] = np.array(rows, FRAMES)
        file["instances"] = np.array(instances, INSTANCES)
        file["points"] = np.array(points[0], POINTS)
        file["pred_points"] = np.array(points[1], POINTS)
        file["videos_json"] = [json.dumps({"backend": b}).encode() for b in backends]
        file["tracks_json"] = [json.dumps([0, name]).encode() for name in tracks]
        file["suggestions_json"] = [b"{}"] * suggestions
        if negatives:
            file["negative_frames"] = np.zeros(negatives, [("video_id", "u4"), ("frame_idx", "u8")])
    return path


def embed(path: Path, images, numbers, group="video0", padded=False, **attributes) -> None:
    """Puts encoded images, or a raw array, into a file as frames of these numbers."""
    with h5py.File(path, "a") as file:
        if isinstance(images, np.ndarray):
            found = file.create_dataset(f"{group}/video", data=images)
        elif padded:
            longest = max(map(len, images)) + 3
            rows = [np.frombuffer(data.ljust(longest, b"\0"), np.int8) for data in images]
            found = file.create_dataset(f"{group}/video", data=np.stack(rows))
        else:
            kind = h5py.vlen_dtype(np.int8)
            found = file.create_dataset(f"{group}/video", (len(images),), kind)
            for place, data in enumerate(images):
                found[place] = np.frombuffer(data, np.int8)
        found.attrs.update(attributes)
        file[f"{group}/frame_numbers"] = np.array(numbers, np.int64)


def embedded_in(group="video0"):
    """The backend of a video whose images are in the file itself."""
    return {"filename": ".", "dataset": f"{group}/video"}


def write_package(path: Path, frames, images=None, **options) -> Path:
    """A package with one video, and an image for each frame; all frames are of video 0."""
    write_slp(path, frames, videos=[embedded_in()], **options)
    numbers = [frame for _, frame, _ in frames]
    pictures = [picture(seed=number) for number in numbers] if images is None else images
    embed(path, [png(image) for image in pictures], numbers, format="png", channel_order="RGB")
    return path


def png(image, suffix=".png") -> bytes:
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


def write_video(path: Path, frames, size=(40, 30)) -> Path:
    """A video without losses; frames are uint8 [H, W, 3], blue first."""
    codec = cv2.VideoWriter.fourcc(*"FFV1")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 10, size)
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path
