"""ResNet 18, 34 and 50 (v1.5: the stride sits on the 3x3 convolution), functional Keras.

He et al., "Deep Residual Learning for Image Recognition" (2015). Layer names and padding
follow keras-hub's ResNet, so that its ImageNet weights can be loaded by name.

Every layer is given its dtype policy and its data format, so that nothing is left to the
user's Keras settings.
"""

import functools
from dataclasses import dataclass

import keras
from keras import layers

from rectloc_tf.network.layers import LAYOUT, FusedBatchNormalization

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
_FILTERS = (64, 128, 256, 512)
# The original's framework draws its convolutions from a normal of variance 2 / fan_out.
_INITIALIZER = functools.partial(
    keras.initializers.VarianceScaling, scale=2.0, mode="fan_out", distribution="untruncated_normal"
)


@dataclass(frozen=True)
class _Parts:
    """The parts that a ResNet is made of, under one dtype policy.

    Attributes:
        dtype: Keras dtype policy of every layer.
    """

    dtype: str

    def pad(self, x, border: int, name: str):
        """Zeros around the picture."""
        layer = layers.ZeroPadding2D(border, data_format=LAYOUT, dtype=self.dtype, name=name)
        return layer(x)

    def conv(self, x, filters: int, kernel_size: int, stride: int, name: str):
        """Bias-free convolution and batch normalisation: layers `<name>_conv`, `<name>_bn`."""
        if stride > 1 and kernel_size > 1:  # symmetric, unlike "same" with a stride
            x = self.pad(x, kernel_size // 2, f"{name}_pad")
        x = layers.Conv2D(
            filters,
            kernel_size,
            strides=stride,
            padding="valid" if stride > 1 else "same",
            use_bias=False,
            kernel_initializer=_INITIALIZER(),
            data_format=LAYOUT,
            dtype=self.dtype,
            name=f"{name}_conv",
        )(x)
        return FusedBatchNormalization(dtype=self.dtype, name=f"{name}_bn")(x)

    def relu(self, x, name: str):
        """max(x, 0)."""
        return layers.Activation("relu", dtype=self.dtype, name=name)(x)

    def block(self, x, filters: int, stride: int, bottleneck: bool, project: bool, name: str):
        """A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1 with four times the filters."""
        outputs = 4 * filters if bottleneck else filters
        shortcut = self.conv(x, outputs, 1, stride, f"{name}_0") if project else x
        if bottleneck:
            x = self.relu(self.conv(x, filters, 1, 1, f"{name}_1"), f"{name}_1_relu")
            x = self.relu(self.conv(x, filters, 3, stride, f"{name}_2"), f"{name}_2_relu")
            x = self.conv(x, outputs, 1, 1, f"{name}_3")
        else:
            x = self.relu(self.conv(x, filters, 3, stride, f"{name}_1"), f"{name}_1_relu")
            x = self.conv(x, filters, 3, 1, f"{name}_2")
        added = layers.Add(dtype=self.dtype, name=f"{name}_add")([shortcut, x])
        return self.relu(added, f"{name}_out")


def resnet_features(x, depth: int, dtype: str = "float32") -> dict[str, keras.KerasTensor]:
    """Applies a ResNet to scaled images.

    Args:
        x: Keras tensor [B, H, W, C], floating point.
        depth: 18, 34 or 50.
        dtype: Keras dtype policy of all its layers.

    Returns:
        The named feature maps: P2 ... P5, with strides 4, 8, 16 and 32; P5 has 512
        channels (2048 at depth 50).
    """
    bottleneck = depth == 50
    parts = _Parts(dtype)
    x = parts.relu(parts.conv(x, _FILTERS[0], 7, 2, "conv1"), "conv1_relu")
    x = parts.pad(x, 1, "pool1_pad")
    x = layers.MaxPooling2D(3, strides=2, data_format=LAYOUT, dtype=dtype, name="pool1_pool")(x)
    features = {}
    for stack, (filters, blocks) in enumerate(zip(_FILTERS, _BLOCKS[depth], strict=True)):
        for block in range(blocks):
            first = block == 0
            x = parts.block(
                x,
                filters,
                stride=2 if first and stack > 0 else 1,
                bottleneck=bottleneck,
                project=first and (bottleneck or stack > 0),
                name=f"stack{stack}_block{block}",
            )
        features[f"P{stack + 2}"] = x
    return features
