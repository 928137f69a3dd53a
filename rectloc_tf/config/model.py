"""A network below its head."""

from dataclasses import dataclass

from rectloc_tf.config.scenes import IMAGE_SIZE
from rectloc_tf.settings import OneOf, Switch, setting, validate

DEPTHS = (18, 34, 50)
PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A network below its head: `precision` is a Keras dtype policy, `channels` the images'.

    A `pretrained` one normalises its images as the networks do whose weights it starts from.
    """

    depth: int = setting(OneOf(DEPTHS), 18, "ResNet depth: 18, 34 or 50.")
    image_size: int = setting(IMAGE_SIZE, 224, "Height and width of the input, in pixels.")
    channels: int = setting(OneOf((1, 3)), 1, "1 (grey) or 3 (colour).")
    precision: str = setting(OneOf(PRECISIONS[1:]), "float32", "Keras dtype policy.")
    pretrained: bool = setting(Switch(), False, "Images are normalised as for ImageNet.")

    def __post_init__(self):
        validate(self)
