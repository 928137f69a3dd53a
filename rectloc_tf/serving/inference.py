"""The network as it is used after training: folded, constant, from images to points.

`predict` runs these functions and `export` writes them into a SavedModel. Training, `evaluate`
and the study measure the network as it was trained, without any of this.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.image_decoding import decode_image, within_limits
from pipelines.resampling import Affine, Place, preprocess, resample, stretch, to_pixels
from rectloc_tf.heads.head import Head

Answers = dict[str, tf.Tensor]
DRAWN = frozenset({"maps", "heatmap"})  # answers for pictures, which are large


def fold_batch_normalization(model: keras.Model) -> keras.Model:
    """A copy of a model whose batch normalisations are part of the convolutions before them.

    In inference, batch normalisation is y = s x + (beta - s mean), s = gamma / sqrt(variance +
    epsilon): a scale of the kernel and a bias. Convolutions and their normalisations are found
    by name, `<name>_conv` and `<name>_bn` (see `backbones`). A normalisation of anything else
    stays as it is, and so does one of a convolution that something else uses too.

    Args:
        model: functional; not changed.

    Returns:
        A model with the same inputs and, within rounding, the same outputs.
    """
    pairs = {}  # of names: batch normalisation -> convolution
    layers = {layer.name: layer for layer in model.layers}
    for name, layer in layers.items():
        conv = layers.get(name.removesuffix("_bn") + "_conv")
        if conv is None or not isinstance(layer, keras.layers.BatchNormalization):
            continue
        if layer.input is conv.output and len(conv._outbound_nodes) == 1:
            pairs[name] = conv.name

    def copy(layer):
        if not isinstance(layer, keras.layers.Layer) or layer.name in pairs:
            return layer  # a plain operation, or left out by `call`
        bias = {"use_bias": True} if layer.name in pairs.values() else {}
        return type(layer).from_config(layer.get_config() | bias)

    def call(layer, *args, **kwargs):
        return args[0] if layer.name in pairs else layer(*args, **kwargs)

    folded = keras.models.clone_model(model, clone_function=copy, call_function=call)
    folded_convs = {conv: _folded(layers[conv], layers[name]) for name, conv in pairs.items()}
    for layer in folded.layers:
        if layer.weights:
            layer.set_weights(folded_convs.get(layer.name) or layers[layer.name].get_weights())
    return folded


def _folded(conv: keras.layers.Layer, normalization: keras.layers.Layer) -> list[np.ndarray]:
    """Kernel and bias of a convolution without bias together with its normalisation."""
    gamma, beta, mean, variance = (
        weights.astype(np.float64) for weights in normalization.get_weights()
    )
    scale = gamma / np.sqrt(variance + normalization.epsilon)
    return [conv.get_weights()[0] * scale, beta - mean * scale]


def as_float32(model: keras.Model) -> keras.Model:
    """A copy of a model that computes in float32; the model itself if it does already."""
    if all(layer.compute_dtype == "float32" for layer in model.layers if layer.weights):
        return model

    def copy(layer):
        if not isinstance(layer, keras.layers.Layer) or isinstance(layer, keras.layers.InputLayer):
            return layer
        return type(layer).from_config(layer.get_config() | {"dtype": "float32"})

    exact = keras.models.clone_model(model, clone_function=copy)
    exact.set_weights(model.get_weights())
    return exact


def make_network(
    model: keras.Model, decode: Callable[[Any], Any] = lambda outputs: outputs
) -> Callable[[tf.Tensor], Any]:
    """The folded network with its weights as constants of the graph.

    Constants are cast, transposed and packed once, when the graph is optimised; variables each
    time that it runs.

    Args:
        model: any with one input of images.
        decode: what is made of its outputs; tensors [N, ...].

    Returns:
        A function of uint8 [N, S, S, C], also of none (N = 0), that returns the decoded outputs.
        Functions that call it share one copy of the weights when they are saved.
    """
    folded = fold_batch_normalization(model)
    groups = folded.trainable_variables, folded.non_trainable_variables
    weights = [[variable.numpy() for variable in group] for group in groups]

    @tf.function
    def network(images):
        constants = [[tf.constant(value) for value in group] for group in weights]
        outputs, _ = folded.stateless_call(*constants, images, training=False)
        return outputs

    concrete = network.get_concrete_function(
        tf.TensorSpec(model.input_shape, tf.uint8, name="images")
    )

    def apply(images):
        # oneDNN has no convolution of an empty batch, and OpenVINO no pooling: they get one black
        # image instead.
        count = tf.shape(images)[0]
        black = tf.zeros([tf.cast(count == 0, tf.int32), *model.input_shape[1:]], tf.uint8)
        decoded = decode(concrete(tf.concat([images, black], axis=0)))
        return tf.nest.map_structure(lambda each: each[:count], decoded)

    return apply


def in_image(answers: Answers, affine: Affine) -> Answers:
    """The same answers with their points in the images' own pixels."""
    placed = {"points_xy", "detections_xy"} & answers.keys()
    return answers | {name: affine.to_image(answers[name]) for name in placed}


def _answer(head: Head, decoded: Answers, affine: Affine) -> Answers:
    """Answers in the images' own pixels, with the second names that some have."""
    answers = in_image(decoded, affine)
    if len(head.keypoints.names) == 1:
        answers["center_xy"] = answers["points_xy"][:, 0]
        if "point_confidence" in answers:
            answers["confidence"] = answers["point_confidence"][:, 0]
    if "maps" in answers and answers["maps"].shape[-1] == 1:
        answers["heatmap"] = answers.pop("maps")[..., 0]
    return answers


def make_answer_images(
    model: keras.Model, head: Head, place: Place = stretch
) -> Callable[[tf.Tensor], Answers]:
    """The function behind `serving_default`: images uint8 [N, H, W, C] -> answers.

    Answers, float32: points_xy [N, K, 2] in input pixels and, for heads that have them,
    point_confidence [N, K], 0-1, and maps [N, S, S, M] at working size, 0-255. A single keypoint
    is also center_xy [N, 2] with confidence [N], and a single map heatmap [N, S, S] instead.
    Points of one class are also detections_xy [N, P, 2] with detection_confidence [N, P].
    """
    return make_answers(model, head, place)[0]


def make_answers(
    model: keras.Model, head: Head, place: Place = stretch
) -> tuple[Callable[[tf.Tensor], Answers], ...]:
    """The functions behind `serving_default` and `encoded`, on one network.

    The second takes image_bytes, string [N], PNG or JPEG of up to 64 million pixels each, of any
    size, as `predict` does. `place` says how images lie in the working size.
    """
    _, size, _, channels = model.input_shape
    network = make_network(model, head.answers)

    def answer_images(images):
        prepared, affine = preprocess(images, size, channels, place)
        return _answer(head, network(prepared), affine)

    def prepare(image_bytes):
        image = decode_image(within_limits(image_bytes))
        prepared, affine = preprocess(image[None], size, channels, place)
        return prepared[0], *affine

    def answer_encoded(image_bytes):
        pair = tf.TensorSpec([2], tf.float32)
        types = (tf.TensorSpec([size, size, channels], tf.uint8), pair, pair)
        images, *affine = tf.map_fn(prepare, image_bytes, fn_output_signature=types)
        return _answer(head, network(images), Affine(*affine))

    images = tf.TensorSpec([None, None, None, None], tf.uint8, name="images")
    image_bytes = tf.TensorSpec([None], tf.string, name="image_bytes")
    return (
        tf.function(answer_images, input_signature=[images]),
        tf.function(answer_encoded, input_signature=[image_bytes]),
    )


def make_answer_points(model: keras.Model, head: Head, place: Place = stretch) -> Any:
    """The graph of exports to other runtimes: pixels in, points and confidences out.

    The answers are those of `make_answer_images` but for maps, and for second names of one
    keypoint, in an order that is that of their names. It has neither branches nor ops that some
    runtimes do not know; a picture of the working size is resized too, which leaves it as it is.

    Returns:
        A `tf.function` of `images`, uint8 [N, H, W, C], N = 0 too, with C as the network has it.
    """
    _, size, _, channels = model.input_shape
    network = make_network(model, head.answers)

    def answer_points(images):
        height, width = tf.unstack(tf.shape(images)[1:3])
        affine = place(height, width, size)
        answers = in_image(network(to_pixels(resample(images, size, affine))), affine)
        return {name: answers[name] for name in sorted(answers.keys() - DRAWN)}

    images = tf.TensorSpec([None, None, None, channels], tf.uint8, name="images")
    return tf.function(answer_points, input_signature=[images])
