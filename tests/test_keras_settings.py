"""What a user has told Keras changes nothing of ours: layout, floatx, epsilon, policy, backend."""

import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

import rectloc_tf
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.training.runtime import make_runtime
from rectloc_tf.training.state import make_optimizer
from rectloc_tf.training.step import distributed_batches
from tests.conftest import TINY, run_cold, succeeded
from tests.narrow import narrow
from tests.test_train import assert_same_run
from tests.training import small_network, start_training

USUAL = ("channels_last", "float32", 1e-7)
WORST = ("channels_first", "float16", 0.5)
SETTINGS = [
    USUAL, WORST, ("channels_first", *USUAL[1:]), (*USUAL[:2], 0.5),
    *(("channels_last", floatx, 1e-7) for floatx in ("float16", "bfloat16", "float64")),
]  # fmt: skip


@pytest.fixture
def users_keras():
    """Sets Keras' defaults as a user's keras.json would; they are as before afterwards."""
    config = keras.config
    before = config.image_data_format(), config.floatx(), config.epsilon()
    policy = config.dtype_policy()

    def set_all(layout, floatx, epsilon, policy=None):
        config.set_image_data_format(layout)
        config.set_floatx(floatx)
        config.set_epsilon(epsilon)
        if policy:
            config.set_dtype_policy(policy)

    yield set_all
    set_all(*before, policy)


@narrow()
def network(**fields):
    """A new, narrow network: its structure, its weights, and what it answers."""
    keras.utils.set_random_seed(3)
    model, _ = small_network(**fields)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 1), np.uint8)
    answers = [answer.numpy() for answer in tf.nest.flatten(model(pictures))]
    return model.to_json(), [w.numpy() for w in model.weights], answers


def assert_equal(one, other):
    assert [a.dtype for a in one] == [a.dtype for a in other]
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)


NETWORKS = [("xy", "mixed_bfloat16"), ("deconv", "float32"), ("score_map", "mixed_bfloat16")]


@pytest.fixture(scope="module", params=NETWORKS)
def usual(request):
    """The fields of a network, and that network under Keras' own defaults."""
    fields = dict(zip(("arch", "precision"), request.param, strict=True))
    return fields, network(**fields)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_networks_do_not_change(usual, users_keras, settings):
    fields, (structure, weights, answers) = usual
    users_keras(*settings)
    found_structure, found_weights, found_answers = network(**fields)
    assert json.loads(found_structure) == json.loads(structure)
    assert_equal(found_weights, weights)
    assert_equal(found_answers, answers)


def optimise(**fields):
    """The optimiser's variables and a weight after three steps of a run's optimiser."""
    optimizer = make_optimizer(RunConfig(num_images=40, batch_size=8, epochs=1, **fields))
    weight = keras.Variable(np.ones(3, "float32"), dtype="float32", name="weight")
    optimizer.build([weight])
    for step in range(3):
        optimizer.apply([tf.constant([1.0, 1e-4 * step, -3.0])], [weight])
    return [v.numpy() for v in (*optimizer.variables, weight)] + [
        np.array(tf.convert_to_tensor(optimizer.learning_rate))
    ]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_optimisers_do_not_change(users_keras, settings, schedule, precision):
    expected = optimise(schedule=schedule, precision=precision)
    users_keras(*settings)
    assert_equal(optimise(schedule=schedule, precision=precision), expected)
    assert keras.config.floatx() == settings[1]


def train_two_steps(run):
    """The losses of two steps, and then what a checkpoint holds: names, shapes and dtypes."""
    keras.utils.set_random_seed(run.seed)
    source, _, state, step = start_training(run)
    runtime = make_runtime(ExecutionConfig(), run.batch_size)
    batches = distributed_batches(run, source, runtime, 0).take(2)
    losses = [float(step(batch)[0]) for batch in batches]
    variables = [*state.model.variables, *state.optimizer.variables]
    return losses, [(v.path, tuple(v.shape), v.dtype) for v in variables]


@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize("policy", ["float64", "mixed_float16"])
def test_training_does_not_change(users_keras, policy):
    fields = {"arch": "xy", "precision": "mixed_bfloat16", "schedule": "cosine"}
    run = RunConfig(image_size=64, num_images=10, batch_size=2, epochs=1, **fields)
    expected, variables = train_two_steps(run)
    users_keras(*WORST, policy)
    losses, found = train_two_steps(run)
    assert losses == pytest.approx(expected, rel=1e-3)
    assert len(losses) == 2
    assert [v[1:] for v in found] == [v[1:] for v in variables]


def test_a_run_is_the_same_whatever_the_users_config_and_environment(xy_run, tmp_path):
    config = {"image_data_format": "channels_first", "floatx": "bfloat16", "epsilon": 1}
    (tmp_path / "keras.json").write_text(json.dumps(config | {"backend": "jax"}))
    hostile = {
        "KERAS_HOME": str(tmp_path),
        "KERAS_BACKEND": "jax",
        "KERAS_MAX_EPOCHS": "one",
        "KERAS_MAX_STEPS_PER_EPOCH": "1",
        "KERAS_NNX_ENABLED": "true",
    }
    folder = tmp_path / "run"
    flags = ("--arch=xy", "--domain=2", *TINY, f"--run_dir={folder}")
    succeeded(run_cold("train", *flags, few=True, narrow=True, env={**os.environ, **hostile}))
    assert_same_run(folder, xy_run)


def test_keras_on_another_backend_is_refused_and_ours_is_not(monkeypatch):
    rectloc_tf._choose_keras_backend()
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    with pytest.raises(ImportError, match="the torch backend: import rectloc_tf before"):
        rectloc_tf._choose_keras_backend()
