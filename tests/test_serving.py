"""Any picture in, points in its own pixels out: alive, and from a SavedModel elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from tensorflow.core.protobuf import saved_model_pb2

from pipelines.image_decoding import decode_image
from pipelines.resampling import preprocess
from rectloc_tf.errors import UserError
from rectloc_tf.models import load_model
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving.inference import make_answer_images, make_answers
from rectloc_tf.serving.prediction import predict_files
from tests.exported import export_model
from tests.narrow import narrow
from tests.test_image_decoding import jpeg_with, tiff
from tests.training import small_head, small_network

SIZE = 64
KEYS_OF_ONE_MAP = {"points_xy", "point_confidence", "center_xy", "confidence", "heatmap"}
# Sizes (H, W) of pictures: of the working size, larger, smaller, and far from square.
SHAPES = [(64, 64), (90, 300), (50, 31), (400, 70)]


def fake_model(answer, channels=1):
    images = keras.Input((SIZE, SIZE, channels), dtype="uint8")
    return keras.Model(images, answer(ops.cast(images, "float32")))


XY, DECONV = small_head("xy"), small_head("deconv")


def fixed_point_model():
    """Answers (x, y) = (56, 168) of 224 whatever it sees."""
    return fake_model(lambda x: 0 * ops.mean(x, (1, 2)) + np.array([56, 168], np.float32))


def picture(height, width, channels, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 5, channels), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return image.reshape(height, width, channels)


def encode(image, suffix):
    done, data = cv2.imencode(suffix, image[..., ::-1] if image.shape[-1] == 3 else image)
    assert done
    return data.tobytes()


def traced(channels_known):
    """`preprocess` with nothing known of the pictures but, perhaps, their channels."""

    def function(images, size, channels):
        known = images.shape[-1] if channels_known else None
        signature = tf.TensorSpec([None] * (images.ndim - 1) + [known], tf.uint8)
        function = tf.function(
            lambda x: preprocess(x, size, channels)[0], input_signature=[signature]
        )
        return function(tf.constant(images))

    return function


def eager(images, size, channels):
    return preprocess(tf.constant(images), size, channels)[0]


WAYS = pytest.mark.parametrize(
    "prepare", [eager, traced(True), traced(False)], ids=["eager", "traced", "channels unknown"]
)


# Preprocessing.


@WAYS
@pytest.mark.parametrize("channels", [1, 3])
def test_the_working_size_is_left_as_it_is(prepare, channels):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, SIZE, SIZE, channels), np.uint8)
    prepared = prepare(images, SIZE, channels)
    assert prepared.dtype == tf.uint8
    np.testing.assert_array_equal(prepared, images)


@WAYS
def test_every_grey_survives_a_trip_through_colour(prepare):
    greys = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    colour = np.repeat(greys, 3, axis=-1)
    np.testing.assert_array_equal(prepare(greys, 16, 3), colour)
    np.testing.assert_array_equal(prepare(colour, 16, 1), greys)


@WAYS
def test_colours_are_weighed_as_the_eye_does(prepare):
    colours = np.zeros((1, 16, 16, 3), np.uint8)
    colours[..., 0], colours[..., 1], colours[..., 2] = 200, 100, 50
    expected = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    np.testing.assert_allclose(prepare(colours, 16, 1), expected, atol=1)


@WAYS
@pytest.mark.parametrize("axis", [1, 2])
def test_shrinking_averages_stripes(prepare, axis):
    stripes = np.zeros((1, 4 * SIZE, 4 * SIZE, 1), np.uint8)
    np.moveaxis(stripes, axis, 0)[::4] = 255
    prepared = prepare(stripes, SIZE, 1).numpy()
    # Sampling without antialiasing would miss every one of them.
    np.testing.assert_allclose(prepared[:, 2:-2, 2:-2], 255 / 4, atol=2)
    assert prepared.mean() == pytest.approx(stripes.mean(), abs=1)


@WAYS
@pytest.mark.parametrize("shape", SHAPES)
def test_pictures_are_stretched_not_cropped(prepare, shape):
    height, width = shape
    image = np.zeros((1, height, width, 1), np.uint8)
    image[:, : height // 2, : width // 2] = 200
    prepared = prepare(image, SIZE, 3).numpy()
    assert prepared.shape == (1, SIZE, SIZE, 3)
    assert (prepared[:, :28, :28] == 200).all()
    assert (prepared[:, 36:] == 0).all()
    assert (prepared[:, :, 36:] == 0).all()


@WAYS
@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("wanted", [1, 3])
def test_other_numbers_of_channels_are_refused(prepare, channels, wanted):
    images = np.zeros((2, SIZE, SIZE, channels), np.uint8)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        prepare(images, SIZE, wanted)


@pytest.mark.parametrize("channels", [2, 4])
def test_the_endpoint_refuses_them_too(channels):
    answer = make_answer_images(fixed_point_model(), XY)
    with pytest.raises(tf.errors.InvalidArgumentError):
        answer(tf.zeros([2, SIZE, SIZE, channels], tf.uint8))


def test_decoding_keeps_the_order_of_colours():
    image = picture(20, 30, 3)
    decoded = decode_image(tf.constant(encode(image, ".png")))
    np.testing.assert_array_equal(decoded, image)
    grey = picture(20, 30, 1)
    decoded = decode_image(tf.constant(encode(grey, ".png")))
    np.testing.assert_array_equal(decoded, np.repeat(grey, 3, axis=-1))


# Answers in the picture's own pixels.


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_points_scale_back_to_the_picture(shape, channels):
    height, width = shape
    images = np.stack([picture(height, width, channels, seed) for seed in range(3)])
    answers = make_answer_images(fixed_point_model(), XY)(tf.constant(images))
    # Coordinates have no confidence, and JSON no NaN.
    assert set(answers) == {"points_xy", "center_xy"}
    assert answers["center_xy"].dtype == tf.float32
    expected = np.array([[width / 4, height * 3 / 4]] * 3)
    np.testing.assert_allclose(answers["center_xy"], expected, rtol=1e-6)
    np.testing.assert_allclose(answers["points_xy"], expected[:, None], rtol=1e-6)


@pytest.fixture(scope="module")
def answer_two_detections():
    """Answers (40.5, 10.5) and (20.5, 50.5) of 64, of confidences 0.8 and 0.4."""
    cells = np.zeros((SIZE, SIZE, 1), np.float32)
    cells[10, 40], cells[50, 20] = 204.0, 102.0
    head = small_head("deconv", domain=3, labels="unordered")
    return make_answer_images(fake_model(lambda x: 0 * x + cells), head)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_detection_scales_back(answer_two_detections, shape):
    height, width = shape
    answers = answer_two_detections(tf.zeros([2, height, width, 1], tf.uint8))
    assert set(answers) == KEYS_OF_ONE_MAP | {"detections_xy", "detection_confidence"}
    scale = np.array([width, height]) / SIZE
    expected = np.array([(40.5, 10.5), (20.5, 50.5)]) * scale
    np.testing.assert_allclose(answers["detections_xy"][:, :2], [expected] * 2, rtol=1e-5)
    confidence = answers["detection_confidence"].numpy()
    np.testing.assert_allclose(confidence[:, :2], [[0.8, 0.4]] * 2, rtol=1e-6)
    assert (confidence[:, 2:] == 0).all()
    np.testing.assert_allclose(answers["center_xy"], [expected[0]] * 2, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_of_several_points_scales_back(shape):
    height, width = shape
    corners = np.array([56, 168, 224, 0, 112, 112], np.float32)  # x0, y0, x1, ... of 224
    model = fake_model(lambda x: 0 * ops.mean(x, (1, 2)) + corners)
    answer = make_answer_images(model, small_head("xy", domain=3, labels="all"))
    answers = answer(tf.zeros([2, height, width, 1], tf.uint8))
    assert set(answers) == {"points_xy"}  # not which of them would be the centre
    expected = [[width / 4, height * 3 / 4], [width, 0], [width / 2, height / 2]]
    np.testing.assert_allclose(answers["points_xy"], [expected] * 2, rtol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_bright_cells_scale_back_to_the_picture(shape):
    height, width = shape
    row, column, brightness = 10, 40, 102.0
    cell = np.zeros((SIZE, SIZE, 1), np.float32)
    cell[row, column] = brightness
    model = fake_model(lambda x: 0 * x + cell)
    answers = make_answer_images(model, DECONV)(tf.zeros([2, height, width, 1], tf.uint8))
    expected = [[(column + 0.5) * width / SIZE, (row + 0.5) * height / SIZE]] * 2
    np.testing.assert_allclose(answers["center_xy"], expected, rtol=1e-6)
    np.testing.assert_allclose(answers["confidence"], [102 / 255] * 2, rtol=1e-6)
    np.testing.assert_array_equal(answers["heatmap"], [cell[..., 0]] * 2)
    np.testing.assert_array_equal(answers["points_xy"][:, 0], answers["center_xy"])
    np.testing.assert_array_equal(answers["point_confidence"][:, 0], answers["confidence"])
    assert set(answers) == KEYS_OF_ONE_MAP


@pytest.mark.parametrize(("brightness", "confidence"), [(-20.0, 0.0), (0.0, 0.0), (300.0, 1.0)])
def test_confidence_is_a_share(brightness, confidence):
    model = fake_model(lambda x: 0 * x + brightness)
    answers = make_answer_images(model, DECONV)(tf.zeros([1, 30, 50, 1], tf.uint8))
    np.testing.assert_array_equal(answers["confidence"], [confidence])
    assert np.isfinite(answers["center_xy"]).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_spot_is_found_where_it_is(channels):
    image = np.zeros((1, 90, 300, channels), np.uint8)
    image[:, 27:36, 150:180] = 255
    model = fake_model(lambda x: x)
    point = make_answer_images(model, DECONV)(tf.constant(image))["center_xy"].numpy()[0]
    # To half a cell of the working size, in the picture's pixels.
    assert abs(point[0] - 165) < 0.5 * 300 / SIZE
    assert abs(point[1] - 31.5) < 0.5 * 90 / SIZE


def test_encoded_pictures_of_several_sizes_keep_theirs():
    data = [encode(picture(*shape, 3), ".png") for shape in SHAPES]
    answers = make_answers(fixed_point_model(), XY)[1](tf.constant(data))
    expected = [[width / 4, height * 3 / 4] for height, width in SHAPES]
    np.testing.assert_allclose(answers["center_xy"], expected, rtol=1e-6)


def test_no_pictures_no_answers():
    model = fake_model(lambda x: x)
    answers = [
        make_answer_images(model, DECONV)(tf.zeros([0, 90, 30, 1], tf.uint8)),
        make_answers(model, DECONV)[1](tf.zeros([0], tf.string)),
    ]
    for answer in answers:
        assert answer["center_xy"].shape == (0, 2)
        assert answer["heatmap"].shape == (0, SIZE, SIZE)


# Export.


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_versions_count_up_and_other_folders_are_ignored(tmp_path):
    folder = tmp_path / "deep" / "exports"
    model = fixed_point_model()
    assert export_model(model, XY, folder) == folder / "1"
    others = ["v7", "notes", "-3", "1.5"]
    for name in others:
        (folder / name).mkdir()
    before = (folder / "1" / "saved_model.pb").read_bytes()
    assert export_model(model, XY, folder) == folder / "2"
    assert names_in(folder) == sorted(["1", "2", *others])
    assert (folder / "1" / "saved_model.pb").read_bytes() == before


def test_the_highest_version_counts_as_a_number(tmp_path):
    for name in ("9", "10"):
        (tmp_path / name).mkdir()
    assert export_model(fixed_point_model(), XY, tmp_path) == tmp_path / "11"


def test_folders_of_digits_that_are_no_numbers_are_ignored(tmp_path):
    (tmp_path / "²").mkdir()
    assert export_model(fixed_point_model(), XY, tmp_path) == tmp_path / "1"


def write_half(monkeypatch, error):
    """Makes exports fail in the middle of writing."""

    def fail(module, path, **options):
        (Path(path) / "variables").mkdir(parents=True)
        (Path(path) / "saved_model.pb").write_bytes(b"half")
        raise error

    monkeypatch.setattr(tf.saved_model, "save", fail)


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), tf.errors.ResourceExhaustedError(None, None, "full")],
    ids=["OSError", "OpError"],
)
def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch, error):
    (tmp_path / "1").mkdir()

    write_half(monkeypatch, error)
    with pytest.raises(UserError, match="cannot be written") as caught:
        export_model(fixed_point_model(), XY, tmp_path)
    assert f"--export_dir={tmp_path}" in str(caught.value)
    assert names_in(tmp_path) == ["1"]


def test_an_interrupted_export_leaves_nothing(tmp_path, monkeypatch):
    write_half(monkeypatch, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        export_model(fixed_point_model(), XY, tmp_path)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("below", [".", "exports"])
def test_a_file_in_place_of_the_folder(tmp_path, below):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(UserError) as caught:
        export_model(fixed_point_model(), XY, taken / below)
    assert str(caught.value).startswith(f"--export_dir={taken / below}: ")
    assert taken.read_text() == "a file"


# Real models, alive and exported.

SERVE = """
import sys
import numpy as np
import tensorflow as tf
data = [open(name, "rb").read() for name in sys.argv[1:]]
found = {}
for kind in ("xy", "deconv", "two", "score_map"):
    loaded = tf.saved_model.load(kind + "/1")
    signatures = loaded.signatures
    assert set(signatures) == {"serving_default", "encoded", "keypoints"}
    found[f"{kind} names"] = signatures["keypoints"]()["names"].numpy().astype(str)
    for name, value in signatures["encoded"](image_bytes=tf.constant(data)).items():
        found[f"{kind} encoded {name}"] = value.numpy()
    for number in range(len(data)):
        images = tf.constant(np.load(f"{number}.npy"))
        for name, value in signatures["serving_default"](images=images).items():
            found[f"{kind} {number} {name}"] = value.numpy()
assert not [name for name in sys.modules if name.startswith("rectloc_tf")]
np.savez("found.npz", **found)
"""


@pytest.fixture(scope="module")
def real_models():
    """Networks with answers that depend on the picture and have clear peaks; and their heads."""
    keras.utils.set_random_seed(3)
    with narrow():
        networks = {
            "xy": small_network("xy"),
            "deconv": small_network("deconv", channels=3),
            "two": small_network("deconv", domain=2, labels="all"),
            "score_map": small_network("score_map", channels=3),
        }
    networks["xy"][0].get_layer("xy").bias.assign([120, 90])
    for kind, peaks in (("deconv", {(20, 33): 3}), ("two", {(20, 33): 3, (38, 9): 2})):
        bias = np.zeros((50, 50), np.float32)
        for cell, height in peaks.items():
            bias[cell] = height
        model = networks[kind][0]
        coarse, heatmap = model.get_layer("coarse"), model.get_layer("heatmap")
        coarse.bias.assign(bias.ravel())
        x = np.abs(np.arange(15, dtype=np.float32) - 7)
        heatmap.kernel.assign(40 * np.exp(-(x[:, None] ** 2 + x**2) / 8)[..., None, None])
    return networks


@pytest.fixture(scope="module")
def picture_files(tmp_path_factory):
    """PNG and JPEG, grey and colour, all of different sizes, one with EXIF data."""
    folder = tmp_path_factory.mktemp("pictures")
    kinds = [(1, ".png"), (3, ".png"), (1, ".jpg"), (3, ".jpg")]
    paths = []
    for seed, ((height, width), (channels, suffix)) in enumerate(zip(SHAPES, kinds, strict=True)):
        paths.append(folder / f"{seed}{suffix}")
        paths[-1].write_bytes(encode(picture(height, width, channels, seed), suffix))
    # One of them upside down, as EXIF says.
    paths[-1].write_bytes(jpeg_with(paths[-1].read_bytes(), tiff(3)))
    return paths


@pytest.fixture(scope="module")
def exports(real_models, tmp_path_factory):
    """A folder with the exported models."""
    folder = tmp_path_factory.mktemp("exports")
    for kind, network in real_models.items():
        assert export_model(*network, folder / kind) == folder / kind / "1"
    return folder


@pytest.fixture(scope="module")
def served(exports, picture_files):
    """What exported models answer in a process that knows TensorFlow and nothing of ours."""
    folder = exports
    for number, path in enumerate(picture_files):
        channels = 1 if number % 2 == 0 else 3
        decoded = decode_image(path.read_bytes())[..., :channels].numpy()
        np.save(folder / f"{number}.npy", decoded[None])
    command = [sys.executable, "-I", "-c", SERVE, *map(str, picture_files)]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    with np.load(folder / "found.npz") as found:
        return dict(found)


def assert_same_answers(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_allclose(theirs[name], value, rtol=1e-5, atol=1e-4, err_msg=name)


def select(found, prefix):
    return {name.removeprefix(prefix): v for name, v in found.items() if name.startswith(prefix)}


KEYS = {
    "xy": {"points_xy", "center_xy"},
    "deconv": KEYS_OF_ONE_MAP,
    "two": {"points_xy", "point_confidence", "heatmap"},
    "score_map": KEYS_OF_ONE_MAP,
}
KINDS = pytest.mark.parametrize("kind", KEYS)


# Ops by which a graph reads, writes or runs something else than its inputs.
REACHES_OUT = re.compile(
    r".*(File|Py|Save|Restore|Checkpoint|Glob|Path|Print|Summary|Rpc|Send|Recv|Dataset|Reader|"
    r"Iterator|Remote|Url|Http|Gcs|BigQuery|Directory|Debug|XlaLaunch|Custom).*"
)


def ops_of(saved):
    """Op -> the functions of a SavedModel that it is in; "" is the graph itself."""
    model = saved_model_pb2.SavedModel.FromString((saved / "saved_model.pb").read_bytes())
    (graph,) = model.meta_graphs
    assert not graph.asset_file_def
    parts = [("", graph.graph_def.node)]
    parts += [(f.signature.name, f.node_def) for f in graph.graph_def.library.function]
    found = {}
    for name, nodes in parts:
        for node in nodes:
            found.setdefault(node.op, set()).add(name)
    return found


@KINDS
def test_an_exported_graph_reaches_nothing_but_its_inputs(exports, kind):
    found = ops_of(exports / kind / "1")
    reaching = {op: where for op, where in found.items() if REACHES_OUT.fullmatch(op)}
    # Every SavedModel has these, to load and store variables; signatures do not call them.
    assert {*reaching} <= {"SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename"}
    callers = {name for where in reaching.values() for name in where if name}
    assert all("_save_" in name or "_restore_" in name for name in callers), callers
    assert {"Conv2D", "DecodeImage"} <= {*found}


def test_an_op_that_reaches_out_is_seen(tmp_path):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def read(path):
        tf.io.write_file(path, tf.py_function(lambda: "", [], tf.string))
        return tf.io.read_file(path)

    module.read = read
    tf.saved_model.save(module, str(tmp_path))
    seen = {op for op in ops_of(tmp_path) if REACHES_OUT.fullmatch(op)}
    assert {"ReadFile", "WriteFile", "EagerPyFunc"} <= seen


@KINDS
def test_the_names_of_the_keypoints_are_exported(served, kind):
    names = ["rank_1", "rank_2"] if kind == "two" else ["largest"]
    assert served[f"{kind} names"].tolist() == names


@pytest.fixture(scope="module")
def alive(real_models, picture_files):
    """What the networks answer here, in the process that made them: kind -> answers."""
    data = tf.constant([path.read_bytes() for path in picture_files])
    return {
        kind: {k: v.numpy() for k, v in make_answers(*network)[1](data).items()}
        for kind, network in real_models.items()
    }


@KINDS
def test_pictures_differ_in_their_answers(alive, picture_files, kind):
    varied = alive[kind]["center_xy" if kind == "xy" else "point_confidence"]
    assert len(np.unique(varied.round(3), axis=0)) == len(picture_files)


@KINDS
def test_exported_encoded_answers_as_alive(alive, served, kind):
    assert set(alive[kind]) == KEYS[kind]
    assert_same_answers(alive[kind], select(served, f"{kind} encoded "))


@KINDS
def test_exported_images_answer_as_alive(real_models, picture_files, served, kind):
    answer = make_answer_images(*real_models[kind])
    for number, path in enumerate(picture_files):
        channels = 1 if number % 2 == 0 else 3
        images = decode_image(path.read_bytes())[None, ..., :channels]
        alive = {name: value.numpy() for name, value in answer(images).items()}
        assert_same_answers(alive, select(served, f"{kind} {number} "))


@KINDS
def test_images_and_encoded_agree(served, picture_files, kind):
    encoded = select(served, f"{kind} encoded ")
    for number in range(len(picture_files)):
        one = {name: value[number : number + 1] for name, value in encoded.items()}
        assert_same_answers(select(served, f"{kind} {number} "), one)


@KINDS
def test_predict_files_answers_as_exported(real_models, picture_files, served, kind):
    predictions = predict_files(*real_models[kind], picture_files, pytest.fail)
    encoded = select(served, f"{kind} encoded ")
    for number, prediction in enumerate(predictions):
        assert prediction.name == str(picture_files[number])
        assert prediction.image.shape == (*SHAPES[number], 3)
        one = {"points_xy": prediction.points}
        if kind == "xy":
            assert prediction.heatmap is None
            assert prediction.confidences is None
        else:
            one |= {"point_confidence": prediction.confidences, "heatmap": prediction.heatmap}
        assert_same_answers(one, {name: encoded[name][number] for name in one})
    assert number == len(picture_files) - 1


# Loading.


@pytest.fixture
def run_folder(tmp_path):
    folder = RunFolder(tmp_path)
    folder.save_model(fixed_point_model(), folder.best_model)
    folder.save_model(fake_model(lambda x: x), folder.final_model)
    return folder


def test_best_and_final_differ(run_folder):
    best, final = (load_model(run_folder.model_path(which)) for which in ("best", "final"))
    assert best.output_shape == (None, 2)
    assert final.output_shape == (None, SIZE, SIZE, 1)


@pytest.mark.parametrize("weights", ["best", "final"])
def test_a_missing_model_is_named(tmp_path, weights):
    with pytest.raises(UserError) as caught:
        load_model(RunFolder(tmp_path).model_path(weights))
    assert (
        str(caught.value) == f"{tmp_path / weights}.keras: no model here yet; train the run first"
    )


def flip(data, place):
    data = bytearray(data)
    data[place] ^= 0xFF
    return bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"garbage" * 1000,
        lambda data: data[: len(data) // 2],
        lambda data: data[:-10],
        lambda data: flip(data, data.index(b"config.json") + 200),
        lambda data: flip(data, data.index(b"HDF") + 1000),
        lambda data: data.replace(b"model.weights.h5", b"model.weights.xx"),
    ],
    ids=["empty", "garbage", "half", "cut", "flipped config", "flipped weights", "no weights"],
)
def test_a_damaged_model_is_named(run_folder, damage):
    path = run_folder.best_model
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: damaged, cannot be loaded")
    assert "\n" not in str(caught.value)
