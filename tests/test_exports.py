"""Networks in other formats: the same answers, or nothing."""

import dataclasses
import json
import math
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pipelines.source import make_source
from rectloc_tf import export as export_command
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.heads.head import Head
from rectloc_tf.models import run_head
from rectloc_tf.network.backbones import resnet_features
from rectloc_tf.registry import FORMATS, HEADS, FormatSpec, load
from rectloc_tf.serving.exporting import compare, expect, export_checked, in_two_sizes, repeat
from rectloc_tf.serving.formats.format import Format, backbone, is_in_backbone
from rectloc_tf.serving.parity import COMPARED, CONFIDENCES, measure
from rectloc_tf.serving.served import Served
from rectloc_tf.serving.versions import new_version
from tests.training import small_network

SIZE = 64
TRIED = ("onnx", "litert")  # what the extra [test] installs
# Every head, with channels; some of several points, and of points of one class.
HEADS_TRIED = {
    "xy": (1, {"domain": 2, "labels": "all"}),
    "deconv": (1, {}),
    "score_map": (3, {"domain": 3, "labels": "unordered"}),
    "dsnt": (3, {}),
    "simcc": (1, {}),
}
SHAPES = ((SIZE, SIZE, 2), (90, 150, 1), (40, 31, 3), (70, 50, 0))  # height, width and count


def tiny_network(head: Head, channels: int = 1) -> keras.Model:
    """A head on a small convolution for each stride, named as a backbone's."""
    images = keras.Input((SIZE, SIZE, channels), dtype="uint8", name="images")
    x = layers.Rescaling(1 / 255)(images)
    x = layers.Conv2D(8, 3, 2, "same", activation="relu", name="conv1_conv")(x)
    features = {}
    for stack in range(4):
        name = f"stack{stack}_block0_1_conv"
        x = layers.Conv2D(8, 3, 2, "same", activation="relu", name=name)(x)
        features[f"P{stack + 2}"] = x
    return keras.Model(images, head.outputs(features, "float32"))


def tiny_served(arch: str, channels: int = 1, **fields) -> Served:
    keras.utils.set_random_seed(1)
    head = run_head(RunConfig(arch=arch, image_size=SIZE, **fields))
    return Served(tiny_network(head, channels), head, "letterbox")


def pictures(height: int, width: int, channels: int, count: int = 3) -> np.ndarray:
    """A bright square somewhere in each."""
    images = np.full((count, height, width, channels), 40, np.uint8)
    for number, image in enumerate(images):
        at = 3 + 7 * number
        image[at : at + height // 4, 2 * at : 2 * at + width // 4] = 200
    return images


def assert_same(theirs, ours, px: float) -> None:
    """Points within `px`, confidences within a thousandth, and nothing else."""
    names = {"points_xy", "point_confidence", "detections_xy", "detection_confidence"} & {*ours}
    assert theirs.keys() == names
    for name in names:
        assert theirs[name].shape == ours[name].shape
        bound = px if name.endswith("xy") else 1e-3
        np.testing.assert_allclose(theirs[name], ours[name], rtol=0, atol=bound, err_msg=name)


class Networks:
    """A small network of each head with its answers, and its exports; made when asked for."""

    def __init__(self, folder):
        self._folder, self._answered = folder, {}

    def answered(self, arch: str) -> tuple[Served, list]:
        """The network, and pictures of each of SHAPES with its answers."""
        if arch not in self._answered:
            channels, fields = HEADS_TRIED[arch]
            served = tiny_served(arch, channels, **fields)
            answer = served.answer_images()
            every = [pictures(height, width, channels, count) for height, width, count in SHAPES]
            cases = [(images, answer(tf.constant(images))) for images in every]
            self._answered[arch] = served, cases
        return self._answered[arch]

    def exported(self, arch: str, name: str, quantize: str = "none"):
        """The folder of an export in a format."""
        folder = self._folder / f"{arch}-{name}-{quantize}"
        if not folder.exists():
            folder.mkdir()
            served, cases = self.answered(arch)
            calibration = cases[0][0] if quantize == "int8" else ()
            form = load(FORMATS[name].implementation)()
            form.write(served, folder, served.metadata(), quantize, calibration)
        return folder

    def check(self, arch: str, name: str, quantize: str = "none", px: float = 2e-3) -> None:
        """Whether an export answers as the network, within so many pixels."""
        answer = load(FORMATS[name].implementation)().load(self.exported(arch, name, quantize))
        for images, expected in self.answered(arch)[1]:
            assert_same(answer(images), expected, px)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return Networks(tmp_path_factory.mktemp("exports"))


# Every head in the formats whose runtimes are cheap to install.


def test_every_head_is_tried():
    assert {*HEADS_TRIED} == {*HEADS}


@pytest.mark.parametrize("name", TRIED)
@pytest.mark.parametrize("arch", HEADS_TRIED)
def test_a_format_answers_as_the_network(arch, name, networks):
    networks.check(arch, name)
    assert ("detections_xy" in networks.answered(arch)[1][0][1]) == (arch == "score_map")


@pytest.mark.parametrize("name", TRIED)
def test_float16_halves_the_file(name, networks):
    networks.check("deconv", name, "float16", px=0.1)
    none, half = (networks.exported("deconv", name, kept) for kept in ("none", "float16"))
    sizes = [sum(path.stat().st_size for path in folder.iterdir()) for folder in (none, half)]
    assert sizes[1] < 0.6 * sizes[0]


def test_int8_in_onnx_has_the_backbone_alone_in_8_bits(networks):
    import onnx

    networks.check("dsnt", "onnx", "int8", px=0.5)
    graph = onnx.load(str(networks.exported("dsnt", "onnx", "int8") / "model.onnx")).graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    kernels = [makers.get(node.input[1]) for node in graph.node if node.op_type == "Conv"]
    assert kernels.count("DequantizeLinear") == 5  # one for each stride from 2 to 32
    assert len(kernels) > 5


def test_a_network_in_half_precision_is_exported_in_float32(tmp_path):
    model, head = small_network("xy", precision="mixed_bfloat16")
    exact = Served(model, head).in_float32()
    assert {layer.compute_dtype for layer in exact.model.layers} == {"float32"}
    for ours, theirs in zip(model.get_weights(), exact.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert Served(exact.model, head).in_float32().model is exact.model


# What a format knows of the network.


def test_the_metadata_is_in_the_files(networks):
    import onnx
    from tensorflow.lite.tools import flatbuffer_utils

    served = networks.answered("xy")[0]
    metadata = served.metadata()
    assert metadata["keypoints"] == list(served.head.keypoints.names)
    assert len(metadata["keypoints"]) == 2
    assert (metadata["image_size"], metadata["channels"]) == (SIZE, 1)
    assert metadata["place"] == "letterbox"
    folders = {name: networks.exported("xy", name) for name in TRIED}
    props = onnx.load(str(folders["onnx"] / "model.onnx")).metadata_props
    found = {prop.key: prop.value for prop in props}
    assert found.keys() == metadata.keys()
    assert json.loads(found["keypoints"]) == metadata["keypoints"]
    assert (found["place"], found["image_size"]) == ("letterbox", "64")
    model = flatbuffer_utils.read_model(str(folders["litert"] / "model.tflite"))
    [buffer] = [entry.buffer for entry in model.metadata if entry.name == b"rectloc_tf"]
    assert json.loads(bytes(model.buffers[buffer].data)) == metadata


def test_the_metadata_has_the_threshold_of_detections():
    served = Served(*small_network("score_map", labels="unordered", domain=3), threshold=0.25)
    assert served.metadata()["threshold"] == 0.25
    assert "threshold" not in Served(*small_network("score_map")).metadata()


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("stack0_block1_2_conv_1/convolution", True),
        ("a/conv1_conv/convolution/", True),
        ("conv1_relu_1/Relu;conv1_conv_1/convolution", True),
        ("lateral_P2_1/convolution", False),
        ("my_conv1_conv/convolution", False),
        ("stack0_block1_2_relu_1/Relu", False),
    ],
)
def test_the_backbone_is_known_by_name(name, inside):
    assert is_in_backbone(name) == inside


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_every_convolution_of_a_backbone_is_known_by_name(depth):
    image = keras.Input((32, 32, 1))
    network = keras.Model(image, resnet_features(image, depth))
    convolutions = [layer.name for layer in network.layers if isinstance(layer, layers.Conv2D)]
    assert len(convolutions) == {18: 20, 34: 36, 50: 53}[depth]
    assert all(is_in_backbone(f"{name}_1/convolution") for name in convolutions)


def test_a_part_of_the_backbone_begins_with_a_stage():
    names = ["conv1_conv/", *(f"stack{n}_block0_1_conv_1/" for n in range(4))]
    for first, count in ((1, 5), (2, 3), (3, 2), (4, 1)):
        found = [name for name in names if is_in_backbone(name, backbone(first))]
        assert found == names[5 - count :]


# Parity.


def answers(*points):
    return {"points_xy": np.array(points, float).reshape(-1, 1, 2)}


def test_the_largest_difference_counts_and_flips_do_not():
    ours = answers((10, 10), (20, 20), (30, 30))
    theirs = answers((10, 10.01), (23, 24), (30.03, 30.04))
    parity = measure([(ours, theirs, 1.0)], step=4.0)
    assert (parity.pictures, parity.flips) == (3, 1)
    assert parity.max == pytest.approx(0.05)
    assert parity.mean == pytest.approx(0.03)
    assert "picks another peak in 1 of 3 images" in parity.problem
    many = [(answers(*[(5, 5)] * 297), answers(*[(5, 5)] * 297), 1.0)]
    parity = measure([(ours, answers((10, 10), (23, 24), (30, 30)), 1.0), *many], step=4.0)
    assert (parity.pictures, parity.flips, parity.problem) == (300, 1, "")


@pytest.mark.parametrize(
    ("quantize", "moved", "step", "scale", "problem"),
    [
        ("none", 0.04, None, 1, False),
        ("none", 0.06, None, 1, True),
        ("none", 30.0, None, 1, True),  # no head that chooses
        ("none", 1.9, 4.0, 1, True),  # too far for rounding, too near for another cell
        ("none", 3.9, 4.0, 2, True),  # half a cell is 4 px here
        ("float16", 0.09, 1.0, 1, False),
        ("float16", 0.11, 1.0, 1, True),
        ("int8", 0.45, 0.5, 1, False),  # a bin, within the bound
        ("int8", 0.55, 8.0, 1, True),
        ("none", math.nan, 4.0, 1, True),
    ],
)
def test_bounds(quantize, moved, step, scale, problem):
    ours, theirs = answers((10, 10), (20, 20)), answers((10, 10), (20 + moved, 20))
    parity = measure([(ours, theirs, scale)], step, quantize)
    assert parity.flips == 0
    assert bool(parity.problem) == problem


def test_other_shapes_are_no_answers():
    assert measure([(answers((1, 1)), {}, 1.0)], 1.0).problem
    assert measure([(answers((1, 1)), answers((1, 1), (2, 2)), 1.0)], 1.0).problem


def detected(*found):
    """Answers to a picture: detections (x, y, confidence), and the first as its point."""
    xy, confidence = np.array(found)[None, :, :2], np.array(found)[None, :, 2]
    return {
        "points_xy": xy[:, :1],
        "point_confidence": confidence[:, :1],
        "detections_xy": xy,
        "detection_confidence": confidence,
    }


TWO = detected((10, 10, 0.9), (30, 30, 0.9), (0, 0, 0))
NONE = (50, 50, 0)  # where there are no more


@pytest.mark.parametrize(
    ("theirs", "quantize", "px", "confidence", "flips"),
    [
        (((10, 10, 0.9), (30, 30, 0.9), NONE), "none", 0, 0, 0),
        (((10, 10, 0.9), (30, 30.04, 0.9005), NONE), "none", 0.04, 5e-4, 0),
        (((10, 10, 0.9), (30, 30, 0.9), (50, 50, 9e-4)), "none", 0, 0, 0),  # nothing
        (((10, 10, 0.9), (30, 30, 0.9), (50, 50, 0.09)), "int8", 0, 0, 0),
        (((10, 10, 0.9), (30, 30, 0.9), (50, 50, 0.11)), "int8", 0, 0, 1),  # one more
        (((10, 10, 0.9), (30, 30.06, 0.9), NONE), "none", 0.06, 0, 0),
        (((10, 10, 0.9), (30, 31.9, 0.9), NONE), "none", 1.9, 0, 0),  # no rounding
        (((10, 10, 0.9), (33, 34, 0.9), NONE), "none", 0, 0, 1),  # another peak
        (((10, 10, 0.9), NONE, NONE), "none", 0, 0, 1),  # one fewer
        (((10, 10, 0), NONE, NONE), "none", 0, 0, 1),
        (((10, 10, 0.9), (30, 30, 0.898), NONE), "none", 0, 0.002, 0),
        (((10, 10, 0.9), (30, 30, 0.898), NONE), "float16", 0, 0.002, 0),
        (((10, 10, 0.888), (30, 30, 0.9), NONE), "float16", 0, 0.012, 0),
        (((10, 10, 0.9), (30, 30, 0.82), NONE), "int8", 0, 0.08, 0),
        (((10, 10, 0.9), (30, 30, 0.79), NONE), "int8", 0, 0.11, 0),
    ],
)
def test_detections_and_confidences_are_compared(theirs, quantize, px, confidence, flips):
    many = [(TWO, TWO, 1.0)] * 99
    parity = measure([(TWO, detected(*theirs), 1.0), *many], 4.0, quantize)
    assert parity.max == pytest.approx(px, abs=1e-9)
    assert parity.confidence == pytest.approx(confidence, abs=1e-9)
    assert parity.flips == flips  # 1 % may be
    bad = px > parity.bound or confidence > CONFIDENCES[quantize]
    assert bool(parity.problem) == bad
    found = parity.to_json()
    assert found["difference_confidence"] == parity.confidence
    assert found["bound_confidence"] == {"none": 1e-3, "float16": 1e-2, "int8": 0.1}[quantize]


@pytest.mark.parametrize(("quantize", "allowed"), [("none", 2), ("float16", 2), ("int8", 10)])
def test_few_images_may_have_another_peak(quantize, allowed):
    at, elsewhere = ({"points_xy": np.full((1, 1, 2), value)} for value in (5.0, 50.0))
    for flips, problem in ((allowed, ""), (allowed + 1, "it picks another peak in")):
        groups = [(at, elsewhere, 1.0)] * flips + [(at, at, 1.0)] * (200 - flips)
        parity = measure(groups, 4.0, quantize)
        assert parity.flips == flips
        assert parity.problem.startswith(problem)
        assert bool(parity.problem) == bool(problem)


def test_detections_may_change_their_order_and_be_near_the_least_confidence():
    ours = detected((10, 10, 0.5), (30, 30, 0.5), (7, 7, 0.00105), (9, 9, 0))
    theirs = detected((30, 30, 0.5), (10, 10, 0.5), (7, 7, 0.00095), (9, 9, 0))
    theirs["points_xy"] = ours["points_xy"]
    parity = measure([(ours, theirs, 1.0)], 4.0)
    assert (parity.max, parity.flips, parity.problem) == (0, 0, "")
    assert parity.confidence == pytest.approx(1e-4)


@pytest.mark.parametrize("name", ["point_confidence", "detections_xy", "detection_confidence"])
def test_an_export_has_all_answers_and_they_are_numbers(name):
    lacking = {key: value for key, value in TWO.items() if key != name}
    assert "are not numbers, or for other" in measure([(TWO, lacking, 1.0)], 4.0).problem
    other = TWO | {name: np.concatenate([TWO[name]] * 2, axis=1)}
    assert "are not numbers, or for other" in measure([(TWO, other, 1.0)], 4.0).problem
    none = TWO | {name: np.full_like(TWO[name], math.nan)}
    for pair in ((TWO, none), (none, TWO)):
        assert "are not numbers, or for other" in measure([(*pair, 1.0)], 4.0).problem


def test_all_answers_but_maps_are_compared(networks):
    served, cases = networks.answered("score_map")
    images, answered = cases[0]
    theirs = {name: value.numpy() for name, value in answered.items() if name in COMPARED}
    assert theirs.keys() == COMPARED
    sure = theirs["detection_confidence"]
    theirs["detection_confidence"] = np.where(sure > 0, sure + 0.01, 0)
    theirs["detections_xy"] = theirs["detections_xy"] + [0.3, 0.4]
    ours = expect(served, served, {"working": images}).answers
    parity = compare(served, {"working": images}, ours, {"working": theirs}, "none")
    assert (parity.pictures, parity.flips) == (len(images), 0)
    assert parity.max == pytest.approx(0.5, abs=1e-3)
    assert parity.confidence == pytest.approx(0.01, abs=1e-3)


def test_few_pictures_are_repeated_turned():
    images = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3, 1)
    assert repeat(images, 1).tolist() == images[:1].tolist()
    many = repeat(images, 18)
    assert len(np.unique(many, axis=0)) == 16  # all that turning and mirroring make of two
    np.testing.assert_array_equal(many[:2], images)
    np.testing.assert_array_equal(many[2], images[0][:, ::-1])
    np.testing.assert_array_equal(many[16:], images)


def test_every_other_picture_has_to_be_resized():
    arrays = in_two_sizes(pictures(SIZE, SIZE, 3, 5))
    assert {name: array.shape for name, array in arrays.items()} == {
        "working": (3, SIZE, SIZE, 3), "wide": (2, 80, 96, 3)
    }  # fmt: skip
    assert arrays["wide"].dtype == np.uint8


# Checked exports.

RUN = RunConfig(arch="xy", image_size=SIZE, num_images=20)


@pytest.fixture(scope="module")
def tiny():
    return tiny_served("xy"), make_source(RUN)


def test_an_export_says_how_it_was_checked(tiny, tmp_path):
    """A SavedModel's check is run in test_examples."""
    served, source = tiny
    found = export_checked(served, source, tmp_path, "onnx", pictures=6)
    assert found.folder == tmp_path / "1"
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    written = json.loads((found.folder / "parity.json").read_text())
    assert found.rounding is None
    assert "half_precision" not in written
    assert written["pictures"] == written["distinct_pictures"] == 6
    assert (written["flips"], written["bound_px"]) == (0, 0.05)
    assert (written["difference_confidence"], written["bound_confidence"]) == (0, 1e-3)
    assert 0 <= written["difference_px"]["mean"] <= written["difference_px"]["max"] <= 0.05
    assert written["milliseconds"].keys() == {"tensorflow", "onnx"}
    assert json.loads((found.folder / "metadata.json").read_text())["format"] == "onnx"


def test_a_network_in_half_precision_is_compared_in_both(tmp_path, monkeypatch, narrow_networks):
    import rectloc_tf.serving.exporting as exporting

    served = Served(*small_network("xy", precision="mixed_bfloat16"))
    rng = np.random.default_rng(0)
    for weight in served.model.get_layer("xy").weights:
        weight.assign(rng.normal(scale=0.1, size=weight.shape))
    exact = served.in_float32().answer_images()
    monkeypatch.setitem(FORMATS, "wrong", FormatSpec(f"{__name__}:Wrong"))

    def answers(folder, arrays, about):
        found = {key: exact(tf.constant(images)) for key, images in arrays.items()}
        return {key: {"points_xy": f["points_xy"].numpy()} for key, f in found.items()}, 1.0

    monkeypatch.setattr(exporting, "run_apart", answers)
    found = export_checked(served, make_source(RUN), tmp_path, "wrong", pictures=4)
    assert found.parity.max == 0
    image = exporting.draw(make_source(RUN), "test", 4)[::2]
    apart = (
        served.answer_images()(tf.constant(image))["points_xy"]
        - exact(tf.constant(image))["points_xy"]
    )
    least = np.linalg.norm(apart, axis=-1).max()
    assert found.rounding.max >= least > 0
    written = json.loads((found.folder / "parity.json").read_text())["half_precision"]
    assert written["difference_px"]["max"] == found.rounding.max
    assert written.keys() == {"difference_px", "flips", "difference_confidence"}


def test_the_version_is_chosen_at_the_end(tmp_path):
    with new_version(tmp_path) as (folder, publish):
        (folder / "a").touch()
        (tmp_path / "1").mkdir()  # by another export
        assert publish() == tmp_path / "2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]
    assert (tmp_path / "2" / "a").exists()


def test_a_version_that_another_export_takes_meanwhile_is_passed_over(tmp_path, monkeypatch):
    rename = os.rename

    def late(source, target):
        monkeypatch.setattr(os, "rename", rename)
        target.mkdir()
        (target / "b").touch()
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    with new_version(tmp_path) as (folder, publish):
        (folder / "a").touch()
        assert publish() == tmp_path / "2"


class Wrong(Format):
    """Writes what the test says, as a SavedModel would be, and answers a corner."""

    def write(self, served, folder, metadata, quantize="none", calibration=None, convolutions=""):
        (folder / "model").write_text("corner")

    def load(self, folder):
        if (folder / "model").read_text() != "corner":
            raise ValueError("damaged")
        return lambda images: {"points_xy": np.zeros((len(images), 1, 2), np.float32)}


def test_an_export_that_answers_otherwise_is_refused(tiny, tmp_path, monkeypatch):
    import rectloc_tf.serving.exporting as exporting

    served, source = tiny
    monkeypatch.setitem(FORMATS, "wrong", FormatSpec(f"{__name__}:Wrong"))
    zeros = {
        "working": {"points_xy": np.zeros((2, 1, 2))},
        "wide": {"points_xy": np.zeros((2, 1, 2))},
    }
    monkeypatch.setattr(exporting, "run_apart", lambda *about: (zeros, 1.0))
    served.model.get_layer("xy").bias.assign([30.0, 20.0])
    try:
        with pytest.raises(
            UserError, match="--format=wrong: refused, it differs from the network by up to"
        ):
            export_checked(served, source, tmp_path, "wrong", pictures=4)
    finally:
        served.model.get_layer("xy").bias.assign([0.0, 0.0])
    assert [*tmp_path.iterdir()] == []


def test_int8_leaves_first_stages_in_float32_where_that_helps(tiny, tmp_path, monkeypatch):
    import rectloc_tf.serving.exporting as exporting

    served, source = tiny
    monkeypatch.setitem(FORMATS, "wrong", FormatSpec(f"{__name__}:Wrong", quantize=("int8",)))
    tried, enough = [], 3

    def write(self, served, folder, metadata, quantize, calibration, convolutions):
        assert calibration.shape == (16, SIZE, SIZE, 1)
        tried.append((metadata["int8_stages"], convolutions))

    def answers(folder, arrays, about):
        off = 0.4 if tried[-1][0][0] >= enough else 0.6
        found = served.answer_images()
        return {
            key: {"points_xy": found(tf.constant(images))["points_xy"].numpy() + np.array([off, 0])}
            for key, images in arrays.items()
        }, 1.0

    monkeypatch.setattr(Wrong, "write", write)
    monkeypatch.setattr(exporting, "run_apart", answers)
    found = export_checked(served, source, tmp_path, "wrong", "int8", pictures=2)
    assert tried == [([first, 4], backbone(first)) for first in (1, 2, 3)]
    assert found.first_stage == 3
    assert json.loads((found.folder / "metadata.json").read_text())["int8_stages"] == [3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    tried, enough = [], 9
    with pytest.raises(UserError, match=r"int8: refused, it differs .* by up to 0\.6 px"):
        export_checked(served, source, tmp_path, "wrong", "int8", pictures=2)
    assert [first for (first, _), _ in tried] == [1, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_runtime_that_fails_is_one_line(tiny, tmp_path, monkeypatch):
    served, source = tiny
    monkeypatch.setattr(
        load(FORMATS["onnx"].implementation), "write",
        lambda self, served, folder, *about: (folder / "model.onnx").write_bytes(b"damaged"),
    )  # fmt: skip
    with pytest.raises(
        UserError, match="--format=onnx: refused, its runtime cannot run it"
    ) as caught:
        export_checked(served, source, tmp_path, "onnx", pictures=2)
    assert "\n" not in str(caught.value)
    assert [*tmp_path.iterdir()] == []


# What can be asked for.


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch):
    spec = dataclasses.replace(FORMATS["openvino"], modules=("no_such_module",))
    monkeypatch.setitem(FORMATS, "openvino", spec)
    with pytest.raises(ConfigError) as caught:
        export_command.check_format("openvino", "none")
    assert str(caught.value) == (
        "--format=openvino: no_such_module is not installed; pip install -e '.[openvino]'"
    )


def test_packages_for_int8_are_asked_for_with_int8_alone(monkeypatch):
    spec = dataclasses.replace(FORMATS["onnx"], int8_modules=("no_such_module",))
    monkeypatch.setitem(FORMATS, "onnx", spec)
    export_command.check_format("onnx", "float16")
    with pytest.raises(ConfigError, match="no_such_module"):
        export_command.check_format("onnx", "int8")


def test_a_saved_model_is_not_quantized():
    with pytest.raises(ConfigError, match="--quantize=int8: not for --format=saved_model; use one"):
        export_command.check_format("saved_model", "int8")
