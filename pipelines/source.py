"""What a source of images is. `registry.SOURCES` lists those there are."""

import abc
from typing import Any

import tensorflow as tf

from rectloc_tf.config import Keypoints, RunConfig
from rectloc_tf.registry import SOURCES, load

Batch = dict[str, tf.Tensor]
DRAWN = ("images", "points", "present")  # what learns and answers needs of a batch


class Source(abc.ABC):
    """Images with their points, each found by a number (its index).

    What `take` and `draw` return is a function of the indices alone, so that every batch of a
    training can be made again.

    Attributes:
        image_size: working size S.
        channels: C of the images, 1 or 3.
        keypoints: what the points are.
        set_name: of these images among others that a network may be measured on.
        can_draw_on_device: whether `draw` is graph ops that run on any device; otherwise it is
            called on the host.
    """

    image_size: int
    channels: int
    keypoints: Keypoints
    set_name: str
    can_draw_on_device: bool

    @abc.abstractmethod
    def check(self) -> None:
        """Refuses what cannot work, before anything is written.

        Raises:
            UserError: naming the flag, file or row.
        """

    @abc.abstractmethod
    def indices(self, split: str) -> range:
        """The indices of a split: "train", "validation" or "test"."""

    @abc.abstractmethod
    def label(self, index: int) -> str:
        """What an image is called, in files that list answers."""

    @abc.abstractmethod
    def take(self, indices: tf.Tensor) -> Batch:
        """What there is of the images `indices` (int64 [B]) before they are drawn, on the host."""

    @abc.abstractmethod
    def augment(self, batch: Batch, places: tf.Tensor, words: tf.Tensor, count: int) -> Batch:
        """Changes a batch of `take` at random.

        Args:
            batch: of training images.
            places: int64 [B], their places in their epoch, each from 0 to count - 1 once.
            words: uint32 [B, 3], random, the same for all images of an epoch.
            count: images of an epoch.
        """

    @abc.abstractmethod
    def draw(self, batch: Batch) -> Batch:
        """Images and points of what `take` returned, compiled or not.

        Returns:
            images: uint8 [B, S, S, C];
            points: float32 [B, N, 2], (x, y) in working pixels, finite also where absent;
            present: bool [B, N], whether there is such a point;
            others: float32 [B, M, 2], places that an answer may be mistaken for, working pixels;
            pixel_size: float32 [B], a working pixel in the pixels that errors are reported in.
        """


def read_files(run: RunConfig, images_root: str = "") -> tuple[RunConfig, Any]:
    """Reads the files of a run, where its source has some.

    Args:
        run: what it is; it may name files by paths.
        images_root: folder below which the images lie, if they are not beside the labels.

    Returns:
        The run with digests instead of paths, and what was read, for `make_source`; None where
        there is nothing to read or only digests are known.

    Raises:
        UserError: if the files cannot be used.
    """
    reader = SOURCES[run.source].reader
    return load(reader)(run, images_root) if reader else (run, None)


def make_source(run: RunConfig, renderer: str = "graph", files: Any = None) -> Source:
    """The source that a run trains on.

    Args:
        run: what it is.
        renderer: as in `ExecutionConfig`.
        files: what `read_files` read.

    Raises:
        UserError: if it needs files and there are none.
    """
    spec = SOURCES[run.source]
    make = load(spec.implementation)
    return make(run, renderer, files) if spec.reader else make(run, renderer)
