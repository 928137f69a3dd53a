"""ResNet 18, 34 and 50 (v1.5: the stride sits on the 3x3 convolution), functional Keras.

He et al., "Deep Residual Learning for Image Recognition" (2015). Layer names and padding
follow keras-hub's ResNet, so that its ImageNet weights can be loaded by name.

Every layer is given its dtype policy and its data format, so that nothing is left to the
user's Keras settings.
"""

import functools
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from rectloc_tf.network import layout
from rectloc_tf.network.layers import LAYOUT, FusedBatchNormalization
from rectloc_tf.network.layout import STEM, has_bottlenecks, variables

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
    bottleneck = has_bottlenecks(depth)
    parts = _Parts(dtype)
    x = parts.relu(parts.conv(x, layout.FILTERS[0], 7, 2, "conv1"), "conv1_relu")
    x = parts.pad(x, 1, "pool1_pad")
    x = layers.MaxPooling2D(3, strides=2, data_format=LAYOUT, dtype=dtype, name="pool1_pool")(x)
    features = {}
    for stack, (filters, blocks) in enumerate(
        zip(layout.FILTERS, layout.BLOCKS[depth], strict=True)
    ):
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


def backbone_variables(model: keras.Model, depth: int) -> dict[str, keras.Variable]:
    """The variables of a network's backbone by name, in the order of `layout.variables`.

    A network whose head does not use the last feature maps has no layers for them.
    """
    layers = {layer.name: layer for layer in model.layers}
    places = (name.split("/") for name in variables(depth))
    return {
        f"{layer}/{variable}": getattr(layers[layer], variable)
        for layer, variable in places
        if layer in layers
    }


def get_backbone(model: keras.Model, depth: int) -> dict[str, np.ndarray]:
    """The weights of a network's backbone by name."""
    return {name: v.numpy() for name, v in backbone_variables(model, depth).items()}


def set_backbone(model: keras.Model, weights: dict[str, np.ndarray], depth: int) -> None:
    """Gives a network a backbone's weights, perhaps of one for images with other channels."""
    for name, variable in backbone_variables(model, depth).items():
        values = weights[name]
        if name == f"{STEM}_conv/kernel":
            values = _for_channels(values, variable.shape[2])
        variable.assign(values)


def _for_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """A kernel [k, k, C, F] for images of other channels: equal ones give what they gave before."""
    if kernel.shape[2] == channels:
        return kernel
    return np.repeat(kernel.sum(axis=2, keepdims=True) / channels, channels, axis=2)
