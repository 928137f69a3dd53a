"""The networks: a ResNet backbone with the head that `ModelConfig.arch` names.

Models eat raw pixels, uint8 [B, S, S, C], and answer in float32 under every precision:

- `xy`: global average pooling, Dense(2k): [B, 2k], x0, y0, x1, y1, ... of the k labels by
  falling area, in pixels of the 224 frame whatever S.
- `deconv`: global average pooling, Dense(2500), 50 x 50, one transposed convolution:
  [B, S, S, 1], brightness in units of 0-255.

Importing this module registers what `keras.saving.load_model` needs. Layers are given their
dtype policy and data format, so the user's Keras settings change no network.
"""

import keras
from keras import layers

from rectloc_tf.config import ModelConfig
from rectloc_tf.network.backbones import resnet_features
from rectloc_tf.network.layers import LAYOUT, PolyphaseConv2DTranspose

COARSE_SIZE = 50  # the side of the map that the deconv head's Dense layer paints


def deconv_geometry(image_size: int) -> tuple[int, int]:
    """Stride and kernel size that take 50 x 50 to image_size x image_size without padding."""
    stride = image_size // COARSE_SIZE
    return stride, image_size - (COARSE_SIZE - 1) * stride


def build_model(config: ModelConfig) -> keras.Model:
    """Builds the network of a config, with fresh weights (Keras' global seed decides them).

    Returns:
        An uncompiled functional model; inputs and outputs as in the module's docstring. The
        feature maps P2 ... P5 are the outputs of the last blocks of its four stacks, layers
        `stack<i>_block<j>_out`.
    """
    shape = (config.image_size, config.image_size, config.channels)
    images = keras.Input(shape, dtype="uint8", name="images")
    x = layers.Rescaling(1 / 255, dtype=config.precision, name="rescale")(images)
    features = resnet_features(x, config.depth, config.precision)["P5"]
    # The heads are small: float32 throughout costs nothing and keeps coordinates exact.
    average = layers.GlobalAveragePooling2D(data_format=LAYOUT, dtype="float32", name="average")
    x = average(features)
    if config.arch == "xy":
        outputs = layers.Dense(2 * config.num_labels, dtype="float32", name="xy")(x)
    else:
        outputs = _deconv_head(x, config.image_size)
    return keras.Model(images, outputs, name=f"{config.arch}_resnet{config.depth}")


def _deconv_head(x, image_size: int):
    stride, kernel_size = deconv_geometry(image_size)
    x = layers.Dense(COARSE_SIZE**2, dtype="float32", name="coarse")(x)
    x = layers.Reshape((COARSE_SIZE, COARSE_SIZE, 1), dtype="float32", name="coarse_map")(x)
    return PolyphaseConv2DTranspose(
        1, kernel_size, strides=stride, padding="valid", dtype="float32", name="heatmap"
    )(x)


def is_heatmap_model(model: keras.Model) -> bool:
    """Whether a model answers with a heatmap [B, S, S, 1] rather than coordinates [B, 2k]."""
    return len(model.output_shape) == 4
