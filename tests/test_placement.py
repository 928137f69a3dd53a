"""Drawing on the host and on the device: the same pixels, and a choice with a reason."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.source import make_source
from pipelines.streams import training_batches
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.models import run_head
from rectloc_tf.training.placement import choose_place
from rectloc_tf.training.runtime import make_runtime
from rectloc_tf.training.state import TrainState
from rectloc_tf.training.step import make_train_step

RUNS = {
    "xy": RunConfig(arch="xy", image_size=64, domain=3, num_images=10, batch_size=4, epochs=1),
    "disc": RunConfig(
        arch="deconv", image_size=80, domain=5, labels="all", num_images=10, batch_size=4, epochs=1
    ),
    "gaussian": RunConfig(
        arch="deconv", image_size=96, target="gaussian", num_images=10, batch_size=4, epochs=1
    ),
    "unordered": RunConfig(
        arch="score_map",
        image_size=80,
        domain=4,
        labels="unordered",
        num_images=10,
        batch_size=4,
        epochs=1,
    ),
    "augmented": RunConfig(image_size=64, augment=True, solid=True, num_images=10, epochs=1),
}


@pytest.mark.parametrize("jit", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_the_device_draws_the_same_pixels(run, jit):
    source, head = make_source(run), run_head(run)

    @tf.function(jit_compile=jit or None)
    def draw_there(rectangles):
        batch = source.draw({"rectangles": rectangles})
        return batch | {"targets": head.targets(batch["points"], batch["present"])}

    host = training_batches(run, source)
    scenes = training_batches(run, source, drawn=False)
    assert set(scenes.element_spec) == {"index", "rectangles"}
    for here, scene in zip(host, scenes, strict=True):
        there = draw_there(scene["rectangles"])
        for name in ("images", "points", "present", "others", "pixel_size"):
            np.testing.assert_array_equal(there[name], here[name], err_msg=name)
        # XLA's exponential may differ in the last bit.
        targets = head.targets(here["points"], here["present"])
        assert there["targets"].keys() == targets.keys()
        for name, value in targets.items():
            found = there["targets"][name]
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_steps_that_draw_train_alike():
    run = RunConfig(
        arch="deconv", image_size=64, num_images=10, batch_size=4, epochs=2, precision="float32"
    )
    strategy, weights = tf.distribute.get_strategy(), []
    source, head = make_source(run), run_head(run)
    for drawn in (True, False):
        keras.utils.set_random_seed(0)
        state = TrainState(run, head, source.channels, strategy)
        step = make_train_step(run, source, head, state, strategy, jit=False)
        batches = training_batches(run, source, drawn=drawn)
        losses = [[float(value) for value in step(batch)] for batch in batches]
        weights.append([losses, *state.model.get_weights()])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("run", [RUNS["xy"], RUNS["disc"]], ids=["xy", "disc"])
def test_auto_measures_both_places(run):
    how = ExecutionConfig()
    place, why = choose_place(run, make_source(run), how, make_runtime(how, run.batch_size))
    times = [float(t) for t in re.findall(r"([\d.]+) ms", why)]
    assert len(times) == 2
    assert times[("host", "device").index(place)] == min(times)


def test_a_run_of_few_steps_is_measured_like_any_other():
    run, how = RUNS["xy"].changed(steps=2), ExecutionConfig()
    place, why = choose_place(run, make_source(run), how, make_runtime(how, run.batch_size))
    assert place in ("host", "device")
    assert "ms" in why


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
    source = make_source(RUNS["xy"], how.renderer)
    place, why = choose_place(RUNS["xy"], source, how, make_runtime(how, 4))
    assert place == expected
    assert "ms" not in why
