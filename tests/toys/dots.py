"""A toy source: one or two dots in colour, at sub-pixel places."""

import numpy as np
import tensorflow as tf

from pipelines.source import Source
from rectloc_tf.config import Keypoints, RunConfig
from rectloc_tf.geometry import cell_centers
from rectloc_tf.registry import NAMED
from rectloc_tf.settings import require

COUNT, MARGIN, SIGMA = 400, 8, 1.5  # images; px
SPLITS = {"validation": range(20), "test": range(20, 33)}  # few, so that measuring is quick
FIRST = 40  # of the training images


class Dots(Source):
    """A bright red dot, "bright", and in two of three images a dimmer green one, "dim"."""

    channels = 3
    keypoints = Keypoints(("bright", "dim"), NAMED, 2)
    set_name = "dots"
    can_draw_on_device = True

    def __init__(self, run: RunConfig, renderer: str = "graph"):
        self.image_size, self.num_images = run.image_size, run.num_images
        self._num_train = run.num_train
        rng = np.random.default_rng(7)
        span = self.image_size - 2 * MARGIN
        self.points = (MARGIN + span * rng.random((COUNT, 2, 2))).astype(np.float32)
        self.present = np.stack([np.ones(COUNT, bool), rng.random(COUNT) < 2 / 3], axis=1)

    def check(self):
        """Refuses more training images than there are."""
        most = COUNT - FIRST
        require(self.num_images <= most, "num_images", self.num_images, f"{most} or fewer")

    def indices(self, split):
        """Those of training come last, as many as the run asks for."""
        return SPLITS.get(split, range(FIRST, FIRST + self._num_train))

    def label(self, index):
        """As 'dots/00320'."""
        return f"dots/{index:05d}"

    def take(self, indices):
        """`places` [B, 2, 2] and `there` [B, 2]."""
        return {
            "index": indices,
            "places": tf.gather(tf.constant(self.points), indices),
            "there": tf.gather(tf.constant(self.present), indices),
        }

    def augment(self, batch, places, words, count):
        """Mirrors every image of every other epoch."""
        mirrored = tf.cast(words[:, 0] % 2 == 1, tf.float32)[:, None, None] * [1.0, 0.0]
        moved = tf.abs(mirrored * float(self.image_size) - batch["places"])
        return batch | {"places": moved}

    def draw(self, batch):
        """Gaussians of brightness 255 in red and 160 in green."""
        cells, points = tf.constant(cell_centers(self.image_size)), batch["places"]
        x, y = (
            tf.exp(tf.square(cells - points[..., axis, None]) / (-2 * SIGMA**2)) for axis in (0, 1)
        )
        levels = tf.constant([255.0, 160.0]) * tf.cast(batch["there"], tf.float32)
        dots = tf.einsum("bn,bnh,bnw->bhwn", levels, y, x)
        images = tf.concat([dots, tf.zeros_like(dots[..., :1])], axis=-1)
        count = tf.shape(points)[0]
        return {
            "images": tf.cast(tf.round(images), tf.uint8),
            # Anything finite may stand where there is no point.
            "points": tf.where(batch["there"][..., None], points, -1e4),
            "present": batch["there"],
            "others": tf.zeros([count, 0, 2]),
            "pixel_size": tf.ones([count]),
        }
