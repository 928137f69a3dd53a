"""Labelled images as a source: decoded once, and kept in memory at the working size."""

import functools
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipelines.image_decoding import decode_image
from pipelines.image_files import ImageFiles, each_image
from pipelines.labels.augmentation import (
    change_light,
    draw_affines,
    draw_uniforms,
    move_images,
    move_points,
)
from pipelines.labels.reading import RunImages
from pipelines.resampling import Affine, letterbox, preprocess
from pipelines.source import Source
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError, reason

MEMORY_SHARE = 0.3  # of the machine's, that the images may take: two copies while they are read


class _Kept(NamedTuple):
    """All images, as tensors on the host.

    Attributes:
        images: uint8 [N, S, S, C].
        points: float32 [N, K, 2], working pixels, 0 where absent.
        present: bool [N, K].
        affine: how each file lies in its working image, scale and offset float32 [N, 2].
        boxes: float32 [N, 4], left, top, right and bottom of the file, working pixels.
    """

    images: tf.Tensor
    points: tf.Tensor
    present: tf.Tensor
    affine: Affine
    boxes: tf.Tensor


class LabelledSource(Source):
    """Images of files with named keypoints, letterboxed; errors are in pixels of the files.

    Args:
        run: what it is, its labels read.
        renderer: without effect.
        files: what `reading.read_run` read.

    Raises:
        UserError: if only the digest of the labels is known.
    """

    set_name = "images"
    can_draw_on_device = False

    def __init__(self, run: RunConfig, renderer: str = "graph", files: RunImages | None = None):
        if files is None:
            raise UserError(f"--data={run.data}: give the label file that this digest is of")
        self.config, self.files = run.images, files
        self.image_size, self.channels = run.image_size, run.channels
        self.keypoints = run.image_keypoints
        names = self.keypoints.names
        pairs = dict(run.swapped_pairs)
        pairs |= {right: left for left, right in pairs.items()}
        self._mirror = [names.index(pairs.get(name, name)) for name in names]

    def check(self) -> None:
        """Refuses images that do not fit into memory, and decodes all of them.

        Raises:
            UserError: naming the flag, or the file that is damaged.
        """
        needed = len(self.files.labels) * self.image_size**2 * self.channels
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if needed > MEMORY_SHARE * total:
            raise UserError(
                f"--image_size={self.image_size}: {len(self.files.labels)} images take "
                f"{needed / 2**30:.1f} GiB of memory, and this machine has {total / 2**30:.1f}; "
                "use a smaller size"
            )
        _ = self._kept

    @functools.cached_property
    def _kept(self) -> _Kept:
        labels, size = self.files.labels, self.image_size
        # Eagerly and on the host, also when a graph is being traced.
        with tf.init_scope(), tf.device("CPU"):
            images = np.empty([len(labels), size, size, self.channels], np.uint8)
            scale, offset = (np.empty([len(labels), 2], np.float32) for _ in range(2))
            prepare = self._make_prepare()

            def keep(index: int, files: ImageFiles) -> None:
                images[index], scale[index], offset[index] = prepare(labels.paths[index], files)

            each_image(keep, labels.paths)
            present = np.isfinite(labels.points).all(axis=-1)
            points = labels.points * scale[:, None].astype(np.float64) + offset[:, None]
            points = np.where(np.expand_dims(present, -1), points, 0.0).astype(np.float32)
            corners = np.concatenate([offset, offset + scale * labels.sizes], axis=1)
            return _Kept(
                tf.constant(images),
                tf.constant(points),
                tf.constant(present),
                Affine(tf.constant(scale), tf.constant(offset)),
                tf.constant(corners.astype(np.float32)),
            )

    def _make_prepare(self):
        """A function: path -> the image at working size, and its affine map to that."""

        @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
        def decode(data):
            image = decode_image(data)[None]
            images, affine = preprocess(image, self.image_size, self.channels, letterbox)
            return images[0], *affine

        def prepare(path: Path, files: ImageFiles) -> list[np.ndarray]:
            try:
                return [value.numpy() for value in decode(tf.constant(files.read(path)))]
            except OSError as error:
                raise UserError(f"{path}: cannot be read ({reason(error)})") from error
            except (tf.errors.OpError, ValueError) as error:
                why = f"truncated or damaged image ({reason(error)})"
                raise UserError(f"{path}: {why}") from error

        return prepare

    def affine(self, indices: tf.Tensor) -> Affine:
        """How the files of some images (integer [B]) lie in their working images."""
        return Affine(*(tf.gather(part, indices) for part in self._kept.affine))

    def indices(self, split):
        """The splits stand one after the other."""
        return self.files.indices(split)

    def label(self, index):
        """As 'video/img0001.png'."""
        return self.files.labels.keys[index]

    def take(self, indices):
        """All but `others`, and `box`, float32 [B, 4]: where the file lies in the image."""
        kept = self._kept
        return {
            "index": indices,
            "images": tf.gather(kept.images, indices),
            "points": tf.gather(kept.points, indices),
            "present": tf.gather(kept.present, indices),
            "pixel_size": 1 / tf.gather(kept.affine.scale, indices)[:, 0],
            "box": tf.gather(kept.boxes, indices),
        }

    def augment(self, batch, places, words, count):
        """Light, then one affine on image and points; points that leave the image are absent."""
        uniforms, size = draw_uniforms(places, words), self.image_size
        matrices, offsets, zoom, mirrored = draw_affines(self.config, uniforms, size)
        lit = change_light(self.config, uniforms, batch["images"])
        lit = tf.where(self._inside(batch["box"]), lit, 0.0)  # bars stay black
        moved = tf.round(move_images(lit, matrices, offsets))
        points, present = batch["points"], batch["present"]
        if self.config.swap:
            points = tf.where(mirrored[:, None, None], self._exchanged(points), points)
            present = tf.where(mirrored[:, None], self._exchanged(present), present)
        points = move_points(points, matrices, offsets)
        present &= tf.reduce_all((points >= 0) & (points <= size), axis=-1)
        return batch | {
            "images": tf.cast(moved, tf.uint8),
            "points": points,
            "present": present,
            "pixel_size": batch["pixel_size"] / zoom,
        }

    def _exchanged(self, values: tf.Tensor) -> tf.Tensor:
        """Values [B, K, ...] of each keypoint's pair."""
        return tf.gather(values, self._mirror, axis=1)

    def _inside(self, boxes: tf.Tensor) -> tf.Tensor:
        """Which pixels show the file: bool [B, S, S, 1], of boxes [B, 4]."""
        centres = tf.range(self.image_size, dtype=tf.float32) + 0.5
        left, top, right, bottom = (edge[:, None] for edge in tf.unstack(boxes, axis=1))
        columns, rows = (centres > left) & (centres < right), (centres > top) & (centres < bottom)
        return (rows[:, :, None] & columns[:, None, :])[..., None]

    def draw(self, batch):
        """They are drawn already; an answer can be mistaken for nothing else."""
        names = ("images", "points", "present", "pixel_size")
        others = tf.zeros([tf.shape(batch["points"])[0], 0, 2])
        return {name: batch[name] for name in names} | {"others": others}
