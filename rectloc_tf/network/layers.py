"""Layers equal to Keras' own within rounding, with the same weights, and faster."""

import keras
import tensorflow as tf

LAYOUT = "channels_last"  # of every picture and feature map, whatever the user's Keras config says


@keras.saving.register_keras_serializable(package="rectloc_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the last axis of NHWC tensors, in one fused op.

    Equal to Keras' own within rounding, in training and inference, with the same weights;
    Keras composes it from elementwise ops instead, each of which walks through memory once
    more. Input and output keep the compute dtype; statistics are float32.

    The fused op returns the variance with Bessel's correction, Keras averages the one
    without it: hence the factor (N - 1) / N, N = B H W.

    Replicas normalise by their own batch, and their copies of the moving statistics drift apart
    unless `average_statistics` follows.

    Defaults are those of the original's framework (momentum 0.9, epsilon 1e-5).

    Raises:
        ValueError: for inputs that are not [B, H, W, C], and for masks.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)
        if self.axis not in (-1, 3) or not (self.scale and self.center) or self.renorm:
            raise ValueError("FusedBatchNormalization needs axis=-1, scale and center, no renorm")

    def call(self, inputs, training=None, mask=None):
        """Normalises inputs [B, H, W, C]; in training also updates the moving statistics."""
        if mask is not None or len(inputs.shape) != 4:
            raise ValueError("FusedBatchNormalization takes unmasked inputs [B, H, W, C]")
        inputs = tf.cast(inputs, self.compute_dtype)
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        if not (training and self.trainable):
            outputs, _, _ = tf.compat.v1.nn.fused_batch_norm(
                inputs,
                gamma,
                beta,
                mean=tf.convert_to_tensor(self.moving_mean),
                variance=tf.convert_to_tensor(self.moving_variance),
                epsilon=self.epsilon,
                is_training=False,
            )
            return outputs
        outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            inputs, gamma, beta, epsilon=self.epsilon, is_training=True
        )
        count = tf.cast(tf.reduce_prod(tf.shape(inputs, tf.int64)[:3]), tf.float32)
        self._average(self.moving_mean, mean)
        self._average(self.moving_variance, variance * ((count - 1) / count))
        return outputs

    def _average(self, moving, value):
        moving.assign(moving * self.momentum + value * (1.0 - self.momentum))


def average_statistics(model: keras.Model) -> None:
    """Gives each replica the mean of all replicas' moving statistics, after a training call.

    All of them travel in one collective; layer by layer it would be as many as there are layers.
    Must be called in a replica's step; with one replica nothing happens.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return
    kind = keras.layers.BatchNormalization
    layers = [layer for layer in model.layers if isinstance(layer, kind) and layer.trainable]
    moving = [v for layer in layers for v in (layer.moving_mean, layer.moving_variance)]
    if not moving:
        return
    # Results of ops have a device, which the collective goes by.
    values = [tf.identity(tf.convert_to_tensor(variable)) for variable in moving]
    for variable, mean in zip(moving, context.all_reduce("MEAN", values), strict=True):
        variable.assign(mean)


# Of the images of ImageNet, red, green and blue, on a scale of 0-1.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@keras.saving.register_keras_serializable(package="rectloc_tf")
class ImageNetNormalization(keras.layers.Layer):
    """Images as networks expect them that were trained on ImageNet: (x / 255 - mean) / std.

    uint8 [B, H, W, 1 or 3] -> [B, H, W, 3]. Grey is three equal channels: no kernel of one channel
    could stand for them, since convolutions pad with zeros, which are another grey in each.
    """

    def call(self, images):
        """Computed in float32, whatever the policy."""
        images = tf.cast(images, tf.float32) / 255
        images = (images - tf.constant(IMAGENET_MEAN)) / tf.constant(IMAGENET_STD)
        return tf.cast(images, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Three channels, whatever it gets."""
        return (*input_shape[:-1], 3)


# Taps of a phase's kernel in a row, above which whole rows are faster than phases (see below).
MAX_PHASE_TAPS = 11


@keras.saving.register_keras_serializable(package="rectloc_tf")
class PolyphaseConv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose` with padding "valid", as a dense convolution.

    With stride s, the outputs of one phase (row mod s, column mod s) are a plain convolution
    of the inputs with every s-th tap of the kernel, where the transposed convolution would walk
    over the s^2 times larger output with its whole kernel. There are two ways to compute them:

    - All s^2 phases as channels at the inputs' resolution, then interleaved (`depth_to_space`).
    - Where a phase still has many taps, that convolution is slow, since it has few channels to
      fill a processor's vectors with. Then a whole row of inputs is taken as the channels of one
      pixel, s whole rows of outputs likewise, and the kernel is a matrix between them for each
      of its rows: a convolution in one dimension with many channels.

    Raises:
        ValueError: for anything but square strides, padding "valid", channels last and no
            dilation.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        data_format=LAYOUT,
        **kwargs,
    ):
        layout = {"padding": padding, "data_format": data_format}
        super().__init__(filters, kernel_size, strides=strides, **layout, **kwargs)
        plain = self.output_padding is None and set(self.dilation_rate) == {1}
        valid = padding == "valid" and self.data_format == LAYOUT
        if not (plain and valid and len(set(self.strides)) == 1):
            raise ValueError("PolyphaseConv2DTranspose needs square strides and padding='valid'")

    def call(self, inputs):
        """Maps inputs [B, H, W, C] to [B, s (H - 1) + k, s (W - 1) + k, filters]."""
        kernel = tf.convert_to_tensor(self.kernel)
        taps = -(-self.kernel_size[1] // self.strides[1])
        convolve = _by_rows if taps > MAX_PHASE_TAPS else _by_phases
        _, rows, columns, _ = self.compute_output_shape(inputs.shape)
        outputs = convolve(inputs, kernel, self.strides[0])[:, :rows, :columns]
        if self.use_bias:
            outputs += tf.convert_to_tensor(self.bias)
        return outputs if self.activation is None else self.activation(outputs)


def _by_phases(inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Transposed convolution of [B, H, W, C] with [kh, kw, F, C], perhaps some cells too large."""
    height, width, filters, channels = kernel.shape
    taps_y, taps_x = -(-height // stride), -(-width // stride)
    missing = [[0, taps_y * stride - height], [0, taps_x * stride - width], [0, 0], [0, 0]]
    kernel = tf.reshape(
        tf.pad(kernel, missing), [taps_y, stride, taps_x, stride, filters, channels]
    )
    kernel = tf.transpose(kernel[::-1, :, ::-1], [0, 2, 5, 1, 3, 4])
    kernel = tf.reshape(kernel, [taps_y, taps_x, -1, stride**2 * filters])
    border = [[0, 0], [taps_y - 1] * 2, [taps_x - 1] * 2, [0, 0]]
    phases = tf.nn.conv2d(tf.pad(inputs, border), kernel, strides=1, padding="VALID")
    return tf.nn.depth_to_space(phases, stride) if stride > 1 else phases


def _by_rows(inputs: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """The same as `_by_phases`, with rows as channels."""
    height, width, filters, channels = kernel.shape
    columns = inputs.shape[2]
    outputs = stride * (columns - 1) + max(width, stride)
    taps = -(-height // stride)
    # Row j of each matrix is the kernel's row, moved by j strides. Laid end to end, rows that
    # are one stride longer than the outputs and cut as long as the outputs move by themselves.
    missing = [[0, taps * stride - height], [0, outputs + stride - width], [0, 0], [0, 0]]
    rows = tf.transpose(tf.pad(kernel, missing), [0, 3, 2, 1])
    rows = tf.tile(rows, [1, 1, 1, columns])[..., : columns * outputs]
    matrices = tf.reshape(rows, [taps, stride, channels, filters, columns, outputs])
    matrices = tf.transpose(matrices[::-1], [0, 4, 2, 1, 5, 3])
    matrices = tf.reshape(matrices, [taps, 1, columns * channels, stride * outputs * filters])
    lines = tf.reshape(inputs, [-1, inputs.shape[1], 1, columns * channels])
    lines = tf.pad(lines, [[0, 0], [taps - 1] * 2, [0, 0], [0, 0]])
    lines = tf.nn.conv2d(lines, matrices, strides=1, padding="VALID")
    return tf.reshape(lines, [-1, lines.shape[1] * stride, outputs, filters])
