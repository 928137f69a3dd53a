"""Training steps as XLA takes them, compiled for devices that this machine does not have.

TensorFlow lowers a function for a GPU without one, but only a function without variables. So each
head's step is lowered for the GPU with weights as arguments and Adam written out, since the fused
op of `FusedAdam` knows variables only. What that leaves out does not depend on the head: a step as
it is is lowered for the CPU. For TPUs the package `tensorflow` has no kernels.
"""

import re

import pytest
import tensorflow as tf

from pipelines.source import make_source
from pipelines.streams import training_batches
from rectloc_tf.config import RunConfig
from rectloc_tf.models import run_head
from rectloc_tf.registry import HEADS
from rectloc_tf.training.state import TrainState
from rectloc_tf.training.step import make_train_step, mean_losses, step_inputs
from tests.narrow import narrow

# Operations that leave the device: a call of the host is a custom one.
FORBIDDEN = {"infeed", "outfeed", "send", "send-done", "recv", "recv-done", "custom-call"}


def operations(text):
    """The names of the operations of an HLO module."""
    return {*re.findall(r" = .*?[\])}] ([a-z][a-z0-9-]*)\(", text)}


def complaints(text):
    """What a step must not have in its HLO module; a dimension that varies is written <=N."""
    found = FORBIDDEN & operations(text)
    found |= {*re.findall(r"\b(?:f64|c128)\[", text)}
    return sorted(found | {*re.findall(r"\[[^\]]*(?:<=|\?)", text)})


def lowered(function, *args, platform):
    """The HLO module of a function for "CPU" or "GPU"."""
    compiled = tf.function(function, jit_compile=True)
    return compiled.experimental_get_compiler_ir(*args)(stage="hlo", platform_name=platform)


def prepared(arch, precision):
    """Run, source, head and state of a narrow network, and the scenes of a batch."""
    run = RunConfig(
        arch=arch, domain=2, image_size=80, num_images=10, batch_size=6, epochs=1,
        precision=precision,
    )  # fmt: skip
    source, head = make_source(run), run_head(run)
    with narrow():
        state = TrainState(run, head, source.channels, tf.distribute.get_strategy())
    scenes = next(iter(training_batches(run, source, drawn=False)))
    return run, source, head, state, step_inputs(scenes)


def adam(weight, moments, gradient, count):
    """A weight and its two moments after step `count`, a float."""
    mean = moments[0] + 0.1 * (gradient - moments[0])
    square = moments[1] + 0.001 * (gradient**2 - moments[1])
    rate = 1e-3 * tf.sqrt(1 - 0.999**count) / (1 - 0.9**count)
    return weight - rate * mean / (tf.sqrt(square) + 1e-7), mean, square


def make_pure_step(run, source, head, state, spoil=lambda losses: losses):
    """A step that draws, whose weights come and go.

    Args:
        run, source, head, state: see `make_train_step`.
        spoil: what a test does to the losses, float32 scalars.
    """

    def step(weights, moments, statistics, count, batch):
        batch = source.draw(batch)
        targets = head.targets(batch["points"], batch["present"])
        with tf.GradientTape() as tape:
            tape.watch(weights)
            how = weights, statistics, batch["images"]
            outputs, statistics = state.model.stateless_call(*how, training=True)
            losses = spoil(mean_losses(run, head, outputs, targets))
        gradients = tape.gradient(losses[0], weights)
        parts = zip(weights, moments, gradients, strict=True)
        return losses, statistics, [adam(*part, count + 1) for part in parts]

    return step


def arguments(state, scenes):
    """Those of a pure step."""
    weights = [tf.convert_to_tensor(v) for v in state.model.trainable_variables]
    statistics = [tf.convert_to_tensor(v) for v in state.model.non_trainable_variables]
    moments = [(tf.zeros_like(weight),) * 2 for weight in weights]
    return weights, moments, statistics, tf.constant(0.0), scenes


@pytest.mark.parametrize("arch", HEADS)
def test_a_step_stays_on_a_gpu(arch):
    *what, scenes = prepared(arch, "mixed_bfloat16")
    args = arguments(what[-1], scenes)
    text = lowered(make_pure_step(*what), *args, platform="GPU")
    assert complaints(text) == []
    assert {"convolution", "reduce-window", "select-and-scatter"} <= operations(text)
    assert "bf16[6,80,80,1]" in text
    assert f" parameter({len(tf.nest.flatten(args)) - 1})" in text


def test_the_step_as_it_is_stays_on_a_cpu():
    *what, scenes = prepared("deconv", "mixed_float16")  # which scales its loss
    step = make_train_step(*what, tf.distribute.get_strategy(), jit=True)
    text = lowered(step, scenes, platform="CPU")
    assert complaints(text) == []
    assert {"convolution", "conditional"} <= operations(text)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%a.1 = f32[6,2]{1,0} add(f32[6,2]{1,0} %b, f32[6,2]{1,0} %c)", []),
        ("%a.1 = token[] outfeed(f32[6]{0} %b, token[] %c)", ["outfeed"]),
        ("%a.1 = (f32[6]{0}, u32[], token[]) send(f32[6]{0} %b, token[] %c)", ["send"]),
        ('%a.1 = (f32[], u8[9]{0}) custom-call(f32[] %b), custom_call_target="x"', ["custom-call"]),
        ("ROOT %a = f32[] convert(f64[] %b)", ["f64["]),
        ("%a = s64[<=6,2]{1,0} slice(s64[9,2]{1,0} %b)", ["[<="]),
    ],
)
def test_what_is_looked_for(line, expected):
    assert complaints(f'  {line}, metadata={{op_name="send(outfeed)"}}') == expected


def with_float64_and_a_mask(losses):
    stacked = tf.stack(losses)
    large = tf.reduce_sum(tf.boolean_mask(stacked, stacked > 0.5))
    return [tf.cast(tf.cast(losses[0] + large, tf.float64) * 0.1, tf.float32)]


def with_python(losses):
    return [tf.py_function(lambda loss: loss, losses, tf.float32)]


def test_a_step_that_would_not_is_found():
    *what, scenes = prepared("xy", "float32")
    args = arguments(what[-1], scenes)
    text = lowered(make_pure_step(*what, with_float64_and_a_mask), *args, platform="GPU")
    assert complaints(text) == ["[<=", "f64["]
    with pytest.raises(ValueError, match="EagerPyFunc"):
        lowered(make_pure_step(*what, with_python), *args, platform="GPU")
