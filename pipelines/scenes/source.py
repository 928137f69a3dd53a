"""Scenes of rectangles as a source of images."""

import functools

import tensorflow as tf

from pipelines.scenes.render import render_graph, render_opencv
from pipelines.scenes.sampling import scene_table
from pipelines.scenes.symmetries import HALF_TURN, draw_symmetries, transform_rectangles
from pipelines.source import Source
from rectloc_tf.config import RunConfig
from rectloc_tf.config.scenes import TEST_START
from rectloc_tf.geometry import centers, working_to_frame


def is_withheld(rectangles, image_size: int):
    """Whether the largest one's centre is in the lower right quarter.

    Args:
        rectangles: int32 [B, n, 4], largest first, in working pixels; a tensor or an array.
        image_size: working size S.

    Returns:
        bool [B].
    """
    x0, y0, x1, y1 = (rectangles[:, 0, corner] for corner in range(4))
    return (x0 + x1 > image_size) & (y0 + y1 > image_size)


class Scenes(Source):
    """Rectangles, labelled by area; batches also have `rectangles`, int32 [B, n, 4], largest first.

    Errors are in pixels of the 224 frame.
    """

    channels = 1

    def __init__(self, run: RunConfig, renderer: str = "graph"):
        self.config = run.scene
        self.image_size = run.image_size
        self.keypoints = self.config.scene_keypoints
        self.set_name = str(run.domain)
        self.can_draw_on_device = renderer == "graph"
        self._splits = run.split_indices

    def check(self) -> None:
        """Refuses a range of sides that leaves too few scenes with areas that differ."""
        scene_table(self.config)

    def indices(self, split):
        """Validation and test are the same for every run."""
        return self._splits(split)

    def label(self, index):
        """As 'domain3_09000'."""
        return f"domain{self.config.domain}_{index:05d}"

    def take(self, indices):
        """`index` and `rectangles`."""
        rectangles = tf.gather(tf.constant(scene_table(self.config)), indices)
        if self.config.withheld:
            turned = (indices < TEST_START) & is_withheld(rectangles, self.image_size)
            symmetries = tf.where(turned, HALF_TURN, 0)
            rectangles = transform_rectangles(rectangles, symmetries, self.image_size)
        return {"index": indices, "rectangles": rectangles}

    def augment(self, batch, places, words, count):
        """Mirrors and transposes: rectangles stay rectangles, so their corners are moved."""
        symmetries = draw_symmetries(places, words, count)
        moved = transform_rectangles(batch["rectangles"], symmetries, self.image_size)
        return batch | {"rectangles": moved}

    def draw(self, batch):
        """White rectangles on black; the points are the centres of the labelled ones."""
        rectangles = batch["rectangles"]
        middles = centers(tf.cast(rectangles, tf.float32))
        ranks = self.config.ranks
        points = tf.gather(middles, ranks, axis=1)
        shape = tf.shape(rectangles)[:1]
        return {
            "images": self._render(rectangles),
            "points": points,
            "present": tf.ones_like(points[..., 0], tf.bool),
            "others": middles[:, 1:],
            "pixel_size": tf.fill(shape, working_to_frame(1.0, self.image_size)),
        }

    def _render(self, rectangles: tf.Tensor) -> tf.Tensor:
        size, solid = self.image_size, self.config.solid
        if self.can_draw_on_device:
            return render_graph(rectangles, size, solid)
        draw = functools.partial(render_opencv, image_size=size, solid=solid)
        images = tf.numpy_function(draw, [rectangles], tf.uint8)
        images.set_shape([rectangles.shape[0], size, size, 1])
        return images
