"""Pretrained backbones: files read, features, what is refused, and runs that start from them."""

import json
import os
import re
import struct

import h5py
import keras
import numpy as np
import pytest

from rectloc_tf.config import HeadConfig, Keypoints, ModelConfig, RunConfig
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.models import build_model, build_run_model, load_model, make_head, run_head
from rectloc_tf.network.backbones import get_backbone, resnet_features, set_backbone
from rectloc_tf.network.layout import BLOCKS, variables
from rectloc_tf.network.pretrained import read_backbone
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving.inference import fold_batch_normalization
from rectloc_tf.training.initial_weights import check, digest, put, require, require_fit, resolve
from tests.conftest import run, run_ok
from tests.weight_files import (
    random_backbone,
    torchvision_features,
    write_keras,
    write_safetensors,
)

SIZE = 64
TENSORS = random_backbone(18)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same ResNet18 as torchvision and as keras-hub keep it."""
    folder = tmp_path_factory.mktemp("weights")
    counted = {"bn1.num_batches_tracked": np.array(7), "fc.weight": np.ones((9, 512), np.float32)}
    return {
        "torchvision": write_safetensors(folder / "a.safetensors", TENSORS | counted),
        "keras_hub": write_keras(folder / "a.weights.h5", TENSORS, 18),
        "classifier": write_keras(folder / "c.weights.h5", TENSORS, 18, "layers/backbone/"),
    }


def network(channels=3, depth=18, pretrained=True):
    head = make_head(HeadConfig(arch="xy"), SIZE, Keypoints(("point",), "named", 1))
    how = {"image_size": SIZE, "channels": channels, "pretrained": pretrained}
    return build_model(ModelConfig(depth=depth, **how), head)


def features(model, images, depth=18):
    """P2 to P5 of some images."""
    last = [f"stack{i}_block{blocks - 1}_out" for i, blocks in enumerate(BLOCKS[depth])]
    layers = [model.get_layer(name).output for name in last]
    return [x.numpy() for x in keras.Model(model.input, layers)(images)]


def pictures(channels=3):
    return np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, channels), np.uint8)


@pytest.mark.parametrize("depth", BLOCKS)
def test_the_layout_is_that_of_the_network(depth):
    images = keras.Input((64, 64, 3))
    model = keras.Model(images, resnet_features(images, depth)["P5"])
    ours = {f"{layer.name}/{v.name}": v.shape for layer in model.layers for v in layer.variables}
    assert ours == variables(depth)
    assert {name: values.shape for name, values in get_backbone(model, depth).items()} == ours


# What is read.


def test_all_files_of_the_same_weights_are_read_alike(files):
    read = {kind: read_backbone(str(path), 18) for kind, path in files.items()}
    for weights in read.values():
        assert [*weights] == [*variables(18)]
        for name, values in weights.items():
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values, read["torchvision"][name])
    kernel = read["torchvision"]["stack1_block0_0_conv/kernel"][0, 0]
    np.testing.assert_array_equal(kernel, TENSORS["layer2.0.downsample.0.weight"][..., 0, 0].T)
    variance = read["keras_hub"]["stack3_block1_2_bn/moving_variance"]
    np.testing.assert_array_equal(variance, TENSORS["layer4.1.bn2.running_var"])
    assert len({digest(weights) for weights in read.values()}) == 1


def test_half_precision_is_read_as_it_is(tmp_path):
    half = {name: values.astype(np.float16) for name, values in TENSORS.items()}
    weights = read_backbone(str(write_safetensors(tmp_path / "h.safetensors", half)), 18)
    np.testing.assert_array_equal(weights["conv1_bn/beta"], half["bn1.bias"].astype(np.float32))
    bits = {name: (v.view(np.uint32) >> 16).astype(np.uint16) for name, v in TENSORS.items()}
    path = write_safetensors(tmp_path / "b.safetensors", bits, uint16="BF16")
    found, true = read_backbone(str(path), 18)["conv1_bn/gamma"], TENSORS["bn1.weight"]
    assert np.abs(found / true - 1).max() < 2**-7
    assert (found.view(np.uint32) & 0xFFFF == 0).all()
    assert (found != true).any()


# What the network computes.


@pytest.mark.parametrize(("depth", "kinds"), [(18, "kt"), (34, "k"), (50, "t")])
def test_features_are_those_of_torchvision_and_keras_hub(tmp_path, depth, kinds):
    tensors = random_backbone(depth, seed=2)
    theirs = torchvision_features(tensors, pictures(), depth)
    model = network(depth=depth)
    files = {
        "k": write_keras(tmp_path / "w.weights.h5", tensors, depth),
        "t": write_safetensors(tmp_path / "w.safetensors", tensors),
    }
    for kind in kinds:
        set_backbone(model, read_backbone(str(files[kind]), depth), depth)
        for ours, expected in zip(features(model, pictures(), depth), theirs, strict=True):
            assert 0.5 < np.abs(expected).max() < 50
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-4)


def test_a_grey_image_gives_what_three_equal_channels_give(files):
    grey, colour = network(1), network(3)
    for model in (grey, colour):
        set_backbone(model, read_backbone(str(files["torchvision"]), 18), 18)
    images = pictures(1)
    for ours, expected in zip(
        features(grey, images), features(colour, np.repeat(images, 3, axis=-1)), strict=True
    ):
        np.testing.assert_array_equal(ours, expected)


def test_a_backbone_of_colour_images_answers_grey_ones_as_before():
    keras.utils.set_random_seed(3)
    source, target = network(3, pretrained=False), network(1, pretrained=False)
    set_backbone(target, get_backbone(source, 18), 18)
    grey = pictures(1)
    before, after = features(source, np.repeat(grey, 3, axis=-1)), features(target, grey)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5 * np.abs(one).max())


def test_the_normalisation_is_saved_and_exported_with_the_network(files, tmp_path):
    model = network(1)
    set_backbone(model, read_backbone(str(files["keras_hub"]), 18), 18)
    model.save(tmp_path / "m.keras")
    expected = model(pictures(1)).numpy()
    np.testing.assert_array_equal(load_model(tmp_path / "m.keras")(pictures(1)), expected)
    folded = fold_batch_normalization(model)(pictures(1)).numpy()
    np.testing.assert_allclose(folded, expected, atol=1e-4 * np.abs(expected).max())


# What is refused.


def refusal(path, depth=18):
    with pytest.raises(UserError) as caught:
        read_backbone(str(path), depth)
    text = str(caught.value)
    assert "\n" not in text
    assert f"--backbone_weights={path}" in text
    return text.replace(f"--backbone_weights={path}: ", "")


def test_another_depth_is_refused_with_the_right_one(files):
    for path in files.values():
        for depth in (34, 50):
            text = refusal(path, depth)
            assert text.startswith(f"--depth={depth}: ")
            assert text.endswith(" is a ResNet18; use --depth=18")


@pytest.mark.parametrize("name", ["w.pth", "w.PT", "pytorch_model.bin"])
def test_pickles_are_not_opened_and_can_be_converted(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"\x80\x02}.")
    text = refusal(path)
    assert text.startswith("a pickle is code and is not opened")
    (code,) = re.findall(r'python -c "(.*)"$', text)
    compile(code, "the recipe", "exec")
    assert f"torch.load({str(path)!r}, 'cpu', weights_only=True)" in code
    assert repr(str(path.with_suffix(".safetensors"))) in code


def test_what_is_no_such_file_is_refused(tmp_path):
    (tmp_path / "w.onnx").touch()
    assert refusal(tmp_path / "w.onnx").startswith("must be a .weights.h5 of keras-hub or")
    assert refusal(tmp_path / "no.safetensors").startswith("no such file")
    assert refusal(tmp_path).startswith("is a folder; give a weights file, or ")


def test_tensors_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "w.safetensors"
    cases = [
        (
            {"layer1.0.se.fc1.weight": np.zeros(3, np.float32)},
            "layer1.0.se.fc1.weight is unexpected",
        ),
        ({"bn1.bias": np.zeros(65, np.float32)}, "bn1.bias is (65,), and (64,) in a plain"),
        (
            {"conv1.weight": np.zeros((64, 1, 7, 7), np.float32)},
            "conv1.weight is (64, 1, 7, 7), and (64, 3, 7, 7) in a plain ResNet",
        ),
        ({"bn1.bias": np.full(64, np.nan, np.float32)}, "bn1.bias has values that are not finite"),
        ({"bn1.bias": np.zeros(64)}, "bn1.bias: is F64; F32, F16 and BF16 can be read"),
    ]
    for changes, words in cases:
        assert words in refusal(write_safetensors(path, TENSORS | changes))
    part = {name: v for name, v in TENSORS.items() if not name.startswith("layer4.1.bn2")}
    text = refusal(write_safetensors(path, part))
    assert text == "not a plain ResNet18: layer4.1.bn2.weight is missing (and 3 more)"


def header(path, entries, data=b"\0" * 256):
    """A file with this header, a text or JSON values."""
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_damaged_safetensors_are_refused(files, tmp_path):
    path, whole = tmp_path / "w.safetensors", files["torchvision"].read_bytes()
    for content in (b"", b"123", struct.pack("<Q", 2**63), struct.pack("<Q", 10**8) + b"{}"):
        path.write_bytes(content)
        assert "not a safetensors file, or cut off" in refusal(path)
    path.write_bytes(whole[:-5])
    assert "cut off: fc.weight ends at byte " in refusal(path)
    for text in (b"{", b"[]", b"\xff", b"[" * 100_000):
        assert "its header is not JSON" in refusal(header(path, text))
    entry = {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}
    for change, words in [
        ({"data_offsets": [0, 257]}, "cut off: bn1.bias ends at byte"),
        ({"data_offsets": [256, 0]}, "bytes 256 to 0 are impossible"),
        ({"data_offsets": [-4, 252]}, "are impossible"),
        ({"data_offsets": [0, 1e2]}, "are impossible"),
        ({"data_offsets": 7}, "no valid dtype, shape and data_offsets in the header"),
        ({"shape": None}, "no valid dtype, shape and data_offsets in the header"),
        ({"shape": [True]}, "are impossible"),
    ]:
        assert words in refusal(header(path, {"bn1.bias": entry | change}))
    assert "no valid dtype" in refusal(header(path, {"bn1.bias": 1}))
    small = json.loads(whole[8 : 8 + struct.unpack("<Q", whole[:8])[0]])
    small["conv1.weight"]["data_offsets"] = [0, 4]
    text = refusal(header(path, small, whole[8 + struct.unpack("<Q", whole[:8])[0] :]))
    assert text == "conv1.weight: 4 bytes cannot be [64, 3, 7, 7] of F32"


def test_other_keras_files_are_refused(files, tmp_path):
    path = tmp_path / "w.h5"
    old = write_keras(path, TENSORS, 18, names=False)
    assert refusal(old).startswith("has no names of layers (written by an older Keras)")
    path.write_bytes(files["keras_hub"].read_bytes()[:5000])
    assert refusal(path)
    path.write_bytes(b"no HDF5")
    assert refusal(path).startswith("cannot be read")
    with h5py.File(path, "w") as file:
        file["model_weights/dense/kernel"] = np.zeros(3)
    assert refusal(path).startswith("no weights as Keras 3 saves them")


@pytest.mark.parametrize("kind", ["weights", "groups", "model"])
def test_keras_applications_is_refused_by_name(tmp_path, kind):
    """Whose ResNet50 has the same kernels, and strides in other places."""
    path, first = tmp_path / "resnet50.h5", "conv2_block1_1_conv"
    if kind == "weights":
        write_keras(path, random_backbone(50), 50)
    with h5py.File(path, "a") as file:
        if kind == "weights":
            file.create_group("layers/conv2d_99/vars").attrs["name"] = first
        else:
            below = "model_weights/" if kind == "model" else ""
            file[f"{below}{first}/{first}/kernel"] = np.zeros((1, 1, 64, 64), np.float32)
    assert refusal(path, 50).startswith("is a ResNet of keras.applications, version 1")


def test_variables_in_other_files_are_not_followed(files, tmp_path):
    path = tmp_path / "w.weights.h5"
    path.write_bytes(files["keras_hub"].read_bytes())
    with h5py.File(path, "a") as file:
        group = file["layers/conv2d_0/vars"]
        del group["0"]
        elsewhere = [(str(tmp_path / "data"), 0, 4 * 7 * 7 * 3 * 64)]
        group.create_dataset("0", (7, 7, 3, 64), np.float32, external=elsewhere)
    assert "lies in another file" in refusal(path)


# Runs.


def a_run(**fields):
    return RunConfig(arch="xy", image_size=SIZE, precision="float32", **fields)


def test_weights_are_part_of_a_run_and_their_file_is_not(files, tmp_path):
    resolved = {}
    for kind, path in files.items():
        resolved[kind], weights = resolve(a_run(backbone_weights=str(path)), "best")
        assert resolved[kind].backbone_weights == digest(weights)
        require_fit(resolved[kind], weights)
    assert len({run.default_folder for run in resolved.values()}) == 1
    assert resolved["keras_hub"].default_folder != a_run().default_folder
    assert resolved["keras_hub"].model.pretrained
    assert not a_run().model.pretrained
    other = write_safetensors(tmp_path / "o.safetensors", random_backbone(18, seed=9))
    again, _ = resolve(a_run(backbone_weights=str(other)), "best")
    assert again.default_folder != resolved["keras_hub"].default_folder
    assert resolve(again, "best") == (again, None)


@pytest.fixture(scope="module")
def scenes_run(tmp_path_factory):
    """A run on scenes with grey images, whose batch normalisations have seen some."""
    folder, asked = RunFolder(tmp_path_factory.mktemp("scenes")), a_run()
    folder.claim(asked)
    keras.utils.set_random_seed(4)
    model = build_run_model(asked, run_head(asked), 1)
    model(pictures(1), training=True)
    folder.save_model(model, folder.best_model)
    return folder


def test_two_sources_of_weights_are_refused(files, scenes_run):
    given = {"init_from": str(scenes_run.path)}
    for weights in (str(files["keras_hub"]), "sha256:12"):
        with pytest.raises(ConfigError, match=f"^--backbone_weights={weights}: .*leave one out$"):
            check(a_run(backbone_weights=weights, **given), "best")


@pytest.fixture(scope="module")
def pretrained_run(files, tmp_path_factory):
    """A run that hardly moved from a file that is gone, its images grey; what it said."""
    folder = tmp_path_factory.mktemp("pretrained")
    gone = folder / "gone.safetensors"
    gone.write_bytes(files["torchvision"].read_bytes())
    flags = ("--num_images=10", "--batch_size=8", "--epochs=1", "--learning_rate=1e-12")
    flags += (f"--backbone_weights={gone}", "--image_size=64", "--precision=float32")
    said = run_ok("train", *flags, f"--run_dir={folder / 'run'}", few=True)
    os.remove(gone)
    return folder / "run", said


def test_training_begins_with_the_weights(pretrained_run, files):
    path, said = pretrained_run
    weights = read_backbone(str(files["torchvision"]), 18)
    run = RunFolder(path).run_config()
    assert run.backbone_weights == digest(weights)
    assert f"starting weights {run.backbone_weights}" in said
    assert f"--backbone_weights={run.backbone_weights}\n" in (path / "flags.flags").read_text()
    model = load_model(RunFolder(path).final_model)
    assert model.input_shape == (None, SIZE, SIZE, 1)
    for name, values in get_backbone(model, 18).items():
        if not name.endswith(("moving_mean", "moving_variance")):
            np.testing.assert_allclose(values, weights[name], atol=1e-9)


def test_a_run_does_not_need_the_file_again(pretrained_run, tmp_path):
    path, _ = pretrained_run
    flags = f"--flagfile={path / 'flags.flags'}"
    assert "this run is finished" in run_ok("train", flags, f"--run_dir={path}")
    found = RunFolder(path).run_config()
    require(found, None, RunFolder(path))
    with pytest.raises(UserError, match=r"^--backbone_weights=sha256:\w+: .* as in --backbone_w"):
        require(found, None, RunFolder(tmp_path))


def test_a_run_from_such_a_run_takes_its_images_alike(pretrained_run):
    path, _ = pretrained_run
    began, weights = resolve(a_run(init_from=str(path), epochs=3), "final")
    assert began.backbone_weights == RunFolder(path).run_config().backbone_weights
    require_fit(began, weights)
    model = build_run_model(began, run_head(began), 1)
    put(model, weights, 18)
    there = load_model(RunFolder(path).final_model)
    np.testing.assert_array_equal(model(pictures(1)), there(pictures(1)))


def test_the_file_is_refused_before_anything_is_written(tmp_path):
    done = run("train", "--backbone_weights=no.h5", f"--run_dir={tmp_path / 'run'}")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("error: --backbone_weights=no.h5: no such file")
    assert not (tmp_path / "run").exists()


# From scenes to labelled images.


def test_labelled_images_take_the_backbone_of_a_run_on_scenes(scenes_run):
    asked = RunConfig(
        arch="score_map", source="images", data="sha256:1", keypoints="nose,tail",
        split_sizes="9,3,2", channels=3, image_size=SIZE, precision="float32",
        init_from=str(scenes_run.path),
    )  # fmt: skip
    found, backbone = resolve(asked, "best")
    assert found.init_from == digest(backbone)
    assert [*backbone] == [*variables(18)]
    require_fit(found, backbone)
    model = build_run_model(found, run_head(found), 3)
    put(model, backbone, 18)
    grey = pictures(1)
    ours = features(model, np.repeat(grey, 3, axis=-1))
    for mine, theirs in zip(ours, features(load_model(scenes_run.best_model), grey), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max())
    with pytest.raises(
        ConfigError, match="^--depth=34: --init_from=.* was trained with --depth=18"
    ):
        check(RunConfig(**{**asked.to_json(), "depth": 34}), "best")
    whole, weights = resolve(a_run(init_from=str(scenes_run.path)), "best")
    assert isinstance(weights, list)  # on the same source
    assert whole.init_from != found.init_from
