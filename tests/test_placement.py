"""Drawing on the host and on the device: the same pixels, and a choice with a reason."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.streams import draw, training_batches
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.training.placement import choose_place
from rectloc_tf.training.runtime import make_runtime
from rectloc_tf.training.state import TrainState, make_train_step

RUNS = {
    "xy": RunConfig(arch="xy", image_size=64, domain=3, num_images=10, batch_size=4, epochs=1),
    "disc": RunConfig(
        arch="deconv", image_size=80, domain=5, labels="all", num_images=10, batch_size=4, epochs=1
    ),
    "gaussian": RunConfig(
        arch="deconv", image_size=96, target="gaussian", num_images=10, batch_size=4, epochs=1
    ),
    "augmented": RunConfig(image_size=64, augment=True, solid=True, num_images=10, epochs=1),
}


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_the_device_draws_the_same_pixels(run, jit):
    draw_there = tf.function(lambda r: draw(r, run.scene, run.targets), jit_compile=jit or None)
    host, scenes = training_batches(run), training_batches(run, drawn=False)
    assert set(scenes.element_spec) == {"index", "rectangles"}
    for here, scene in zip(host, scenes, strict=True):
        there = draw_there(scene["rectangles"])
        np.testing.assert_array_equal(there["images"], here["images"])
        # XLA's exponential may differ in the last bit.
        np.testing.assert_allclose(there["targets"], here["targets"], rtol=1e-5, atol=1e-5)


def test_steps_that_draw_train_alike():
    run = RunConfig(
        arch="deconv", image_size=64, num_images=10, batch_size=4, epochs=2, precision="float32"
    )
    strategy, weights = tf.distribute.get_strategy(), []
    for drawn in (True, False):
        keras.utils.set_random_seed(0)
        state = TrainState(run, strategy)
        step = make_train_step(run, state, strategy, jit=False)
        losses = [[float(v) for v in step(b)] for b in training_batches(run, drawn=drawn)]
        weights.append([losses, *state.model.get_weights()])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("run", [RUNS["xy"], RUNS["disc"]], ids=["xy", "disc"])
def test_auto_measures_both_places(run):
    how = ExecutionConfig()
    place, why = choose_place(run, how, make_runtime(how, run.batch_size))
    times = [float(t) for t in re.findall(r"([\d.]+) ms", why)]
    assert len(times) == 2
    assert times[("host", "device").index(place)] == min(times)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"render_on": "device", "deterministic": True}, "device"),
        ({"render_on": "host"}, "host"),
        ({"renderer": "opencv"}, "host"),
        ({"deterministic": True}, "host"),
    ],
)
def test_what_was_asked_for_is_not_measured(fields, expected):
    how = ExecutionConfig(**fields)
    place, why = choose_place(RUNS["xy"], how, make_runtime(how, 4))
    assert place == expected
    assert "ms" not in why
