"""The networks: their size, their geometry, their numbers, and a life outside this process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from pipelines.streams import make_dataset
from rectloc_tf.config import ModelConfig, RunConfig
from rectloc_tf.models import COARSE_SIZE, build_model, deconv_geometry, is_heatmap_model
from rectloc_tf.network.backbones import resnet_features

ROOT = Path(__file__).parents[1]
SIZE = 64
BATCH = 3
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


def config(**fields):
    return ModelConfig(image_size=SIZE, **fields)


def pictures(number=BATCH, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (number, SIZE, SIZE, channels), np.uint8)


@pytest.fixture(scope="module", params=[18, 34, 50])
def colour_model(request):
    """Of every depth, three channels: as ImageNet weights want it."""
    keras.utils.set_random_seed(1)
    return request.param, build_model(config(depth=request.param, channels=3))


def convolutions(model):
    return [layer for layer in model.layers if type(layer) is keras.layers.Conv2D]


def test_trainable_parameters_without_the_head(colour_model):
    depth, model = colour_model
    body = [v for layer in model.layers[:-1] for v in layer.trainable_variables]
    expected = {18: 11_176_512, 34: 21_284_672, 50: 23_508_032}
    assert sum(int(np.prod(v.shape)) for v in body) == expected[depth]


def test_grey_pictures_save_two_thirds_of_the_first_kernel():
    assert build_model(config()).get_layer("conv1_conv").kernel.shape == (7, 7, 1, 64)


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


@pytest.mark.parametrize("size", range(64, 1025, 16))
def test_deconv_geometry_hits_every_size_without_holes(size):
    stride, kernel = deconv_geometry(size)
    assert (COARSE_SIZE - 1) * stride + kernel == size
    assert kernel >= stride >= 1


def test_deconv_geometry_of_the_original():
    assert deconv_geometry(224) == (4, 28)
    assert deconv_geometry(112) == (2, 14)


@pytest.mark.parametrize("size", [64, 112, 160])
def test_a_coarse_cell_paints_its_own_square_and_nothing_else(size):
    head = build_model(ModelConfig(arch="deconv", image_size=size)).get_layer("heatmap")
    stride, kernel = deconv_geometry(size)
    weights = np.arange(1, kernel**2 + 1, dtype=np.float32).reshape(kernel, kernel, 1, 1)
    head.kernel.assign(weights)
    head.bias.assign([0])
    cells = [(0, 0), (49, 49), (7, 31), (49, 0)]
    coarse = np.zeros((len(cells), COARSE_SIZE, COARSE_SIZE, 1), np.float32)
    for map_, cell in zip(coarse, cells, strict=True):
        map_[cell] = 2
    painted = head(coarse).numpy()
    assert painted.shape == (len(cells), size, size, 1)
    for map_, (i, j) in zip(painted, cells, strict=True):
        expected = np.zeros((size, size), np.float32)
        square = slice(i * stride, i * stride + kernel), slice(j * stride, j * stride + kernel)
        expected[square] = 2 * weights[..., 0, 0]
        np.testing.assert_array_equal(map_[..., 0], expected)
    assert (head(np.ones_like(coarse[:1])).numpy() > 0).all()


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({"arch": "xy"}, (BATCH, 2)),
        ({"arch": "xy", "num_labels": 4, "channels": 3}, (BATCH, 8)),
        ({"arch": "deconv"}, (BATCH, SIZE, SIZE, 1)),
        ({"arch": "deconv", "num_labels": 4, "channels": 3}, (BATCH, SIZE, SIZE, 1)),
    ],
)
def test_outputs_are_float32_under_every_precision(precision, fields, shape):
    model = build_model(config(precision=precision, **fields))
    assert model.inputs[0].dtype == "uint8"
    assert model.input_shape == (None, SIZE, SIZE, fields.get("channels", 1))
    assert is_heatmap_model(model) == (fields["arch"] == "deconv")
    outputs = model(pictures(channels=fields.get("channels", 1)))
    assert outputs.dtype == "float32"
    assert outputs.shape == shape
    assert np.isfinite(outputs.numpy()).all()
    body, head = model.get_layer("stack3_block0_1_conv"), model.layers[-1]
    assert body.compute_dtype == precision.removeprefix("mixed_")
    assert body.kernel.dtype == "float32"
    assert head.compute_dtype == "float32"


def test_precisions_answer_nearly_the_same():
    whole = build_model(config())
    half = build_model(config(precision="mixed_bfloat16"))
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


@pytest.mark.parametrize("arch", ["xy", "deconv"])
def test_the_users_policy_stays_and_does_not_leak_in(users_policy, arch):
    model = build_model(config(arch=arch))
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}


def test_the_seed_decides_the_weights():
    def head(seed):
        keras.utils.set_random_seed(seed)
        return build_model(config()).get_layer("xy").kernel.numpy()

    np.testing.assert_array_equal(head(5), head(5))
    assert (head(5) != head(6)).any()


@pytest.fixture(scope="module")
def trained():
    """Models of both kinds after two steps of Keras' own loop, with what it told of them."""
    made = {}
    for arch in ("xy", "deconv"):
        run = RunConfig(arch=arch, image_size=SIZE, num_images=10, batch_size=4, epochs=1)
        keras.utils.set_random_seed(2)
        model = build_model(config(arch=arch))
        untrained = [w.numpy() for w in model.weights]
        model.compile(optimizer="adam", loss="mse")
        history = model.fit(make_dataset(run), shuffle=False, verbose=0)
        made[arch] = run, model, untrained, history
    return made


@pytest.mark.parametrize("arch", ["xy", "deconv"])
def test_fit_runs_every_step_and_changes_every_weight(trained, arch):
    run, model, untrained, history = trained[arch]
    assert int(model.optimizer.iterations.numpy()) == run.total_steps == 2
    assert history.history["loss"][0] > 0
    for before, weight in zip(untrained, model.weights, strict=True):
        assert (before != weight.numpy()).any(), weight.path


@pytest.mark.parametrize("arch", ["xy", "deconv"])
def test_evaluate_measures_the_pairs_of_the_dataset(trained, arch):
    run, model, *_ = trained[arch]
    pairs = make_dataset(run, "validation").take(2)
    errors = [(model(images).numpy() - targets.numpy()) ** 2 for images, targets in pairs]
    assert [e.shape for e in errors] == [(4, *model.output_shape[1:])] * 2
    assert model.evaluate(pairs, verbose=0) == pytest.approx(np.mean(errors), rel=1e-4)


LOAD = """
import sys
import rectloc_tf.models
import keras, numpy as np
images = np.load("images.npy")
for name in sys.argv[1:]:
    np.save(name + ".npy", keras.saving.load_model(name + ".keras")(images).numpy())
"""


def test_saved_models_answer_the_same_elsewhere_whatever_keras_is_told(trained, tmp_path):
    saved = {arch: model for arch, (_, model, *_) in trained.items()}
    saved["half"] = build_model(config(precision="mixed_bfloat16"))
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
        theirs, ours = np.load(tmp_path / f"{name}.npy"), model(pictures()).numpy()
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5 * np.abs(ours).max())
