"""ResNet 18, 34 and 50 (v1.5: the stride sits on the 3x3 convolution), functional Keras.

He et al., "Deep Residual Learning for Image Recognition" (2015). Layer names and padding
follow keras-hub's ResNet, so that its ImageNet weights can be loaded by name.
"""

import functools

import keras
from keras import layers

from rectloc_tf.layers import FusedBatchNormalization

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
_FILTERS = (64, 128, 256, 512)
# The original's framework draws its convolutions from a normal of variance 2 / fan_out.
_INITIALIZER = functools.partial(
    keras.initializers.VarianceScaling, scale=2.0, mode="fan_out", distribution="untruncated_normal"
)


def _conv(x, filters: int, kernel_size: int, stride: int, name: str, suffix: str = ""):
    """Bias-free convolution, batch normalisation: `<name><suffix>_conv`, `<name><suffix>_bn`."""
    if stride > 1 and kernel_size > 1:  # symmetric, unlike "same" with a stride
        x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}{suffix}_pad")(x)
    x = layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding="valid" if stride > 1 else "same",
        use_bias=False,
        kernel_initializer=_INITIALIZER(),
        name=f"{name}{suffix}_conv",
    )(x)
    return FusedBatchNormalization(name=f"{name}{suffix}_bn")(x)


def _relu(x, name: str):
    return layers.Activation("relu", name=name)(x)


def _block(x, filters: int, stride: int, bottleneck: bool, project: bool, name: str):
    """A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1 with four times the filters."""
    outputs = 4 * filters if bottleneck else filters
    shortcut = _conv(x, outputs, 1, stride, name, "_0") if project else x
    if bottleneck:
        x = _relu(_conv(x, filters, 1, 1, name, "_1"), f"{name}_1_relu")
        x = _relu(_conv(x, filters, 3, stride, name, "_2"), f"{name}_2_relu")
        x = _conv(x, outputs, 1, 1, name, "_3")
    else:
        x = _relu(_conv(x, filters, 3, stride, name, "_1"), f"{name}_1_relu")
        x = _conv(x, filters, 3, 1, name, "_2")
    return _relu(layers.Add(name=f"{name}_add")([shortcut, x]), f"{name}_out")


def resnet_features(x, depth: int) -> dict[str, keras.KerasTensor]:
    """Applies a ResNet to scaled images.

    Args:
        x: Keras tensor [B, H, W, C], floating point.
        depth: 18, 34 or 50.

    Returns:
        The named feature maps: P2 ... P5, with strides 4, 8, 16 and 32; P5 has 512
        channels (2048 at depth 50).
    """
    bottleneck = depth == 50
    x = _relu(_conv(x, 64, 7, 2, "conv1"), "conv1_relu")
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    features = {}
    for stack, (filters, blocks) in enumerate(zip(_FILTERS, _BLOCKS[depth], strict=True)):
        for block in range(blocks):
            first = block == 0
            x = _block(
                x,
                filters,
                stride=2 if first and stack > 0 else 1,
                bottleneck=bottleneck,
                project=first and (bottleneck or stack > 0),
                name=f"stack{stack}_block{block}",
            )
        features[f"P{stack + 2}"] = x
    return features
