"""The networks: their size, their geometry, their numbers, and a life outside this process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.source import make_source
from pipelines.streams import training_batches
from rectloc_tf.config import HeadConfig, Keypoints, ModelConfig, RunConfig
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.models import (
    build_model,
    build_run_model,
    load_model,
    make_head,
    run_head,
)
from rectloc_tf.network.backbones import resnet_features
from rectloc_tf.registry import HEADS, NAMED, RANKED, UNORDERED
from rectloc_tf.training.state import TrainState
from rectloc_tf.training.step import make_train_step
from tests.narrow import narrow

ROOT = Path(__file__).parents[1]
SIZE = 64
BATCH = 3
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


def keypoints(count=1, kind=RANKED):
    return Keypoints(tuple(f"point_{n}" for n in range(count)), kind, count)


def build(arch="xy", count=1, kind=RANKED, **fields):
    """A network for `count` keypoints."""
    head = make_head(HeadConfig(arch=arch), SIZE, keypoints(count, kind))
    return build_model(ModelConfig(image_size=SIZE, **fields), head)


def pictures(number=BATCH, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (number, SIZE, SIZE, channels), np.uint8)


@pytest.fixture(scope="module", params=[18, 34, 50])
def colour_model(request):
    """Of every depth, three channels: as ImageNet weights want it."""
    keras.utils.set_random_seed(1)
    return request.param, build(depth=request.param, channels=3)


def convolutions(model):
    return [layer for layer in model.layers if type(layer) is keras.layers.Conv2D]


def test_trainable_parameters_without_the_head(colour_model):
    depth, model = colour_model
    body = [v for layer in model.layers[:-1] for v in layer.trainable_variables]
    expected = {18: 11_176_512, 34: 21_284_672, 50: 23_508_032}
    assert sum(int(np.prod(v.shape)) for v in body) == expected[depth]


def test_grey_pictures_save_two_thirds_of_the_first_kernel():
    assert build().get_layer("conv1_conv").kernel.shape == (7, 7, 1, 64)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_feature_maps(depth):
    features = resnet_features(keras.Input((64, 96, 1)), depth)
    widen = 4 if depth == 50 else 1
    assert {name: tuple(x.shape) for name, x in features.items()} == {
        "P2": (None, 16, 24, 64 * widen),
        "P3": (None, 8, 12, 128 * widen),
        "P4": (None, 4, 6, 256 * widen),
        "P5": (None, 2, 3, 512 * widen),
    }


def test_convolutions_are_named_as_in_keras_hub(colour_model):
    depth, model = colour_model
    names = {"conv1_conv"}
    for stack, blocks in enumerate(BLOCKS[depth]):
        for block in range(blocks):
            places = [1, 2, 3] if depth == 50 else [1, 2]
            if block == 0 and (depth == 50 or stack > 0):
                places.append(0)
            names |= {f"stack{stack}_block{block}_{place}_conv" for place in places}
    assert {layer.name for layer in convolutions(model)} == names
    assert "stack2_block0_0_conv" in names
    every_name = {layer.name for layer in model.layers}
    assert {name.replace("_conv", "_bn") for name in names} <= every_name
    assert not any(layer.use_bias for layer in convolutions(model))


def test_strides_sit_where_resnet_v1_5_has_them(colour_model):
    depth, model = colour_model
    strided = {layer.name for layer in convolutions(model) if layer.strides == (2, 2)}
    place = 2 if depth == 50 else 1
    expected = {f"stack{s}_block0_{p}_conv" for s in (1, 2, 3) for p in (0, place)}
    assert strided == expected | {"conv1_conv"}
    assert model.get_layer(f"stack1_block0_{place}_conv").kernel_size == (3, 3)
    others = [layer for layer in convolutions(model) if layer.name not in strided]
    assert all(layer.strides == (1, 1) for layer in others)


def test_kernels_start_with_variance_2_over_fan_out(colour_model):
    _, model = colour_model
    for layer in convolutions(model):
        kernel = layer.kernel.numpy()
        expected = np.sqrt(2 / (kernel.shape[0] * kernel.shape[1] * kernel.shape[3]))
        # Five standard errors of a standard deviation that is estimated from so many draws.
        assert kernel.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * kernel.size))
        assert abs(kernel.mean()) < 5 * expected / np.sqrt(kernel.size)
        # A truncated normal ends at two of its own; a plain one passes 3 in 0.27 % of draws.
        share = (np.abs(kernel) > 3 * expected).mean()
        assert share == pytest.approx(0.0027, abs=5 * np.sqrt(0.0027 / kernel.size))


def shapes(outputs):
    return keras.tree.map_structure(lambda x: tuple(x.shape), outputs)


# Of a head with K keypoints of a kind.
OUTPUTS = {
    "xy": lambda k, kind: (BATCH, 2 * k),
    "deconv": lambda k, kind: (BATCH, SIZE, SIZE, k if kind == NAMED else 1),
    "score_map": lambda k, kind: {
        "scores": (BATCH, 16, 16, k),
        "offsets": (BATCH, 16, 16, 2 * k),
    },
    "dsnt": lambda k, kind: (BATCH, 16, 16, k),
    "simcc": lambda k, kind: dict.fromkeys("xy", (BATCH, k, 2 * SIZE)),
}


@pytest.mark.parametrize(
    ("count", "kind", "channels", "precision"),
    [
        (1, RANKED, 1, "float32"),
        (1, RANKED, 1, "mixed_float16"),
        (1, RANKED, 1, "mixed_bfloat16"),
        (4, NAMED, 3, "mixed_bfloat16"),
    ],
)
@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize("arch", HEADS)
def test_outputs_are_float32_under_every_precision(arch, count, kind, channels, precision):
    model = build(arch, count, kind, channels=channels, precision=precision)
    assert model.inputs[0].dtype == "uint8"
    assert model.input_shape == (None, SIZE, SIZE, channels)
    assert model.name == f"{arch}_resnet18"
    outputs = model(pictures(channels=channels))
    assert shapes(outputs) == OUTPUTS[arch](count, kind)
    for output in keras.tree.flatten(outputs):
        assert output.dtype == "float32"
        assert np.isfinite(output.numpy()).all()
    body = model.get_layer("stack3_block0_1_conv")
    assert body.compute_dtype == precision.removeprefix("mixed_")
    assert body.kernel.dtype == "float32"
    for name in model.output_names:
        assert model.get_layer(name).compute_dtype == "float32"


def test_precisions_answer_nearly_the_same():
    whole = build()
    half = build(precision="mixed_bfloat16")
    half.set_weights([w.numpy() for w in whole.weights])
    ours, theirs = whole(pictures()).numpy(), half(pictures()).numpy()
    assert np.abs(ours - theirs).max() > 0
    # bfloat16 keeps 8 bits, and errors add up over the layers.
    np.testing.assert_allclose(theirs, ours, atol=0.1 * np.abs(ours).max())


@pytest.fixture
def users_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize("arch", HEADS)
def test_the_users_policy_stays_and_does_not_leak_in(users_policy, arch):
    model = build(arch)
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}


def test_the_seed_decides_the_weights():
    def head(seed):
        keras.utils.set_random_seed(seed)
        return build().get_layer("xy").kernel.numpy()

    np.testing.assert_array_equal(head(5), head(5))
    assert (head(5) != head(6)).any()


@pytest.fixture(scope="module")
def trained():
    """Narrow networks with each head, before and after two steps, and the losses of these."""
    strategy, made = tf.distribute.get_strategy(), {}
    for arch in HEADS:
        run = RunConfig(
            arch=arch, image_size=SIZE, num_images=10, batch_size=4, epochs=1, precision="float32"
        )
        source, head = make_source(run), run_head(run)
        keras.utils.set_random_seed(2)
        with narrow():
            state = TrainState(run, head, source.channels, strategy)
        untrained = state.model.get_weights()
        step = make_train_step(run, source, head, state, strategy, jit=False)
        losses = [float(step(batch)[0]) for batch in training_batches(run, source)]
        made[arch] = run, state, untrained, losses
    return made


@pytest.mark.parametrize("arch", HEADS)
def test_training_changes_every_weight(trained, arch):
    run, state, untrained, losses = trained[arch]
    assert int(state.optimizer.iterations.numpy()) == run.total_steps == len(losses) == 2
    assert min(losses) > 0
    for before, weight in zip(untrained, state.model.weights, strict=True):
        assert (before != weight.numpy()).any(), weight.path


@pytest.mark.usefixtures("narrow_networks")
@pytest.mark.parametrize("arch", HEADS)
def test_a_runs_network_is_that_of_its_parts(trained, arch):
    run, state, *_ = trained[arch]
    assert run_head(run) == make_head(run.head, SIZE, run.scene_keypoints)
    again = build_run_model(run, run_head(run), 3)
    assert again.input_shape == (None, SIZE, SIZE, 3)
    assert again.name == state.model.name
    rest = slice(1, None)  # the first kernel has three channels
    assert shapes(again.weights)[rest] == shapes(state.model.weights)[rest]


@pytest.mark.parametrize("arch", HEADS)
def test_points_that_a_head_cannot_answer_are_refused(arch):
    one_class = Keypoints(("point",), UNORDERED, 3)
    for asked in (keypoints(3), keypoints(3, NAMED), one_class):
        if asked.kind in HEADS[arch].points:
            assert make_head(HeadConfig(arch=arch), SIZE, asked).keypoints == asked
        else:
            with pytest.raises(ConfigError, match=f"--arch={arch}: cannot predict {asked.kind}"):
                make_head(HeadConfig(arch=arch), SIZE, asked)


def test_what_is_no_model_is_refused_by_name(tmp_path):
    path = tmp_path / "best.keras"
    with pytest.raises(UserError, match="no model here yet; train the run first"):
        load_model(path)
    path.write_bytes(b"PK and no more")
    with pytest.raises(UserError, match=f"{path}: damaged, cannot be loaded"):
        load_model(path)


LOAD = """
import sys
import rectloc_tf.models
import keras, numpy as np
images = np.load("images.npy")
for name in sys.argv[1:]:
    outputs = keras.saving.load_model(name + ".keras")(images)
    np.savez(name + ".npz", *keras.tree.flatten(outputs))
"""


def test_saved_models_predict_the_same_under_any_keras_settings(trained, tmp_path):
    saved = {arch: state.model for arch, (_, state, *_) in trained.items()}
    saved["half"] = build(precision="mixed_bfloat16")
    np.save(tmp_path / "images.npy", pictures())
    for name, model in saved.items():
        model.save(tmp_path / f"{name}.keras")
    settings = {"image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.5}
    (tmp_path / "keras.json").write_text(json.dumps(settings | {"backend": "jax"}))
    users = {**os.environ, "KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "jax"}
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r})" + LOAD
    command = [sys.executable, "-c", script, *saved]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=users)
    for name, model in saved.items():
        outputs, loaded = keras.tree.flatten(model(pictures())), np.load(tmp_path / f"{name}.npz")
        assert len(outputs) == len(loaded)
        for ours, theirs in zip(outputs, loaded.values(), strict=True):
            ours = ours.numpy()
            np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5 * np.abs(ours).max())
