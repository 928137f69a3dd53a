"""Images that are the same, or nearly: copies under other names, and frames beside each other."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipelines.image_files import ImageFiles, each_image
from pipelines.labels.checks import Mistake
from pipelines.labels.labelled import LabelledImages
from pipelines.labels.splits import Split

CHEAP = 5_000_000_000  # pixels that are decoded to look for images that are alike
SAME_BITS = 4  # of 64 that may differ
SAME_PLACE = 0.01  # of the diagonal: how far labels of images that are alike may be apart


def find_copies(data: LabelledImages) -> list[Mistake]:
    """Images with the same content under two names, and how far their labels differ."""
    by_size: dict[int, list[int]] = {}
    for index, path in enumerate(data.paths):
        # For images inside other files this is known only after reading.
        by_size.setdefault(os.path.getsize(path) if path.is_file() else -1, []).append(index)
    asked = sorted(i for group in by_size.values() if len(group) > 1 for i in group)
    paths = [data.paths[index] for index in asked]

    def digest_of(place: int, files: ImageFiles) -> bytes | None:
        try:
            return hashlib.sha256(files.read(paths[place])).digest()
        except ValueError:  # a damaged video; `look_at` reports it
            return None

    first: dict[bytes, int] = {}
    found = []
    for index, digest in zip(asked, each_image(digest_of, paths), strict=True):
        other = first.setdefault(digest, index) if digest else index
        if other != index:
            text = f"the same picture as {data.rows[other]}, {_difference(data, index, other)}"
            found.append(Mistake(index, (), text, 0.0))
    return found


def _difference(data: LabelledImages, index: int, other: int) -> str:
    apart = _distances(data, index, np.array([other]))[0]
    if np.array_equal(np.isnan(data.points[index]), np.isnan(data.points[other])):
        return f"labels up to {np.nanmax(apart):.1f} px apart"
    return "with other keypoints labelled"


def _distances(data: LabelledImages, index: int, others: np.ndarray) -> np.ndarray:
    """[n, K]: from the points of an image to those of others, NaN where one is not labelled."""
    return np.linalg.norm(data.points[others] - data.points[index], axis=-1)


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """Coarse appearance of images.

    Attributes:
        hashes: uint64 [N], dHash of 9 x 8 grey pixels: where it gets brighter to the right.
        damaged: indices of images that cannot be decoded.
    """

    hashes: np.ndarray
    damaged: tuple[int, ...]


def is_cheap(data: LabelledImages) -> bool:
    """Whether decoding all images takes less than about a minute."""
    return int(data.sizes.prod(axis=1).sum()) <= CHEAP


def look_at(paths: Sequence[Path]) -> Thumbnails:
    """Decodes images, on all cores."""
    hashes = each_image(lambda index, files: _dhash(paths[index], files), paths)
    damaged = tuple(index for index, found in enumerate(hashes) if found is None)
    return Thumbnails(np.array([found or 0 for found in hashes], np.uint64), damaged)


def _dhash(path: Path, files: ImageFiles) -> int | None:
    try:
        data = np.frombuffer(files.read(path), np.uint8)
    except ValueError:
        return None
    try:
        image = cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_2)
    except cv2.error:  # a side of one pixel, which cannot be halved
        image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    if image is None:
        return None
    small = cv2.resize(image, (9, 8), interpolation=cv2.INTER_AREA)
    bits = small[:, 1:] > small[:, :-1]
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def find_near_identical(data: LabelledImages, seen: Thumbnails, split: Split) -> list[Mistake]:
    """Images of validation and test that look like one of training, with labels where its are."""
    found, diagonals = [], np.linalg.norm(data.sizes, axis=1)
    usable = np.setdiff1d(split.train, seen.damaged)
    for index in np.setdiff1d(np.concatenate([split.validation, split.test]), seen.damaged):
        differing = np.bitwise_count(seen.hashes[usable] ^ seen.hashes[index])
        near = usable[differing <= SAME_BITS]
        apart = _distances(data, index, near)
        close = np.nan_to_num(apart, nan=np.inf).min(1, initial=np.inf) < np.inf
        close &= np.nan_to_num(apart).max(1, initial=0.0) <= SAME_PLACE * diagonals[index]
        if close.any():
            other = data.rows[near[close][0]]
            name = "test" if index in split.test else "validation"
            text = f"nearly the same as {other} of the training split; this one is for {name}"
            found.append(Mistake(int(index), (), text, 0.0))
    return found
