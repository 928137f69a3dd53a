"""The top-down path below heads that need a fine map, as in Lin et al., "Feature Pyramid Networks"
(2017): 1 x 1 convolutions of P5 and of each map down to the stride, added up with nearest-neighbour
upsampling, then one 3 x 3 convolution and a ReLU.
"""

import math

import keras
from keras import layers

from rectloc_tf.network.layers import LAYOUT, FusedBatchNormalization

CHANNELS = 64


def conv(x, filters: int, kernel_size: int, dtype: str, name: str, use_bias: bool = True):
    """A convolution that keeps the size of its map."""
    how = {"padding": "same", "data_format": LAYOUT, "dtype": dtype, "use_bias": use_bias}
    return layers.Conv2D(filters, kernel_size, **how, name=name)(x)


def top_down(
    features: dict[str, keras.KerasTensor], stride: int, dtype: str, batch_norm: bool
) -> keras.KerasTensor:
    """Applies the path to a backbone's feature maps.

    Args:
        features: P2 ... P5, see `backbones.resnet_features`.
        stride: of the result, 4, 8, 16 or 32.
        dtype: dtype policy of its layers.
        batch_norm: normalise before the ReLU. Without it all units may die in a part of the image:
            outputs then are the same all over it.

    Returns:
        [B, ceil(S / stride), ceil(S / stride), CHANNELS].
    """
    x = conv(features["P5"], CHANNELS, 1, dtype, "lateral_P5")
    for level in range(4, int(math.log2(stride)) - 1, -1):
        finer = features[f"P{level}"]
        lateral = conv(finer, CHANNELS, 1, dtype, f"lateral_P{level}")
        up = layers.UpSampling2D(data_format=LAYOUT, dtype=dtype, name=f"up_P{level}")(x)
        # A map of odd size came from one that was rounded up.
        rows, columns = (up.shape[axis] - finer.shape[axis] for axis in (1, 2))
        up = layers.Cropping2D(
            ((0, rows), (0, columns)), data_format=LAYOUT, dtype=dtype, name=f"crop_P{level}"
        )(up)
        x = layers.Add(dtype=dtype, name=f"add_P{level}")([up, lateral])
    if batch_norm:  # named so that inference folds them, see `serving.inference`
        x = conv(x, CHANNELS, 3, dtype, "smooth_conv", use_bias=False)
        x = FusedBatchNormalization(dtype=dtype, name="smooth_bn")(x)
    else:
        x = conv(x, CHANNELS, 3, dtype, "smooth")
    return layers.Activation("relu", dtype=dtype, name="smooth_relu")(x)
