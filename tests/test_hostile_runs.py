"""Run folders from anywhere: each damaged or hostile file is one line, in bounded memory."""

import io
import json
import os
import resource
import tracemalloc
import zipfile

import h5py
import keras
import numpy as np
import pytest

from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.models import load_model
from rectloc_tf.results.data_files import MAX_ARRAYS, MAX_TEXT, read_arrays, read_json
from rectloc_tf.results.rundir import RunFolder
from tests.conftest import run_without_tensorflow

RUN = RunConfig(arch="xy", image_size=64, precision="float32")
MODERATE = 96 * 2**20  # bytes


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.lock():
        folder.claim(RUN)
    return folder


def refusal(call):
    """The one line of a refusal, which took little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(UserError) as caught:
            call()
        assert tracemalloc.get_traced_memory()[1] < MODERATE
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sparse(path, size, start=b""):
    with open(path, "wb") as file:
        file.write(start)
        file.truncate(size)


# What the run is.

CONFIGS = {
    "of a newer version": (RUN.to_json() | {"schema": 9}, "unknown config field 'schema'"),
    "with a way out": (RUN.to_json() | {"arch": "../../x"}, "--arch=../../x: must be one of"),
    "with a list": (RUN.to_json() | {"arch": ["xy"]}, "--arch=['xy']: must be a single value"),
    "with an object": (RUN.to_json() | {"source": {}}, "--source={}: must be a single value"),
    "with a huge number": (RUN.to_json() | {"epochs": 10**400}, "--epochs=1000"),
    "with no number": (RUN.to_json() | {"learning_rate": float("nan")}, "--learning_rate=nan"),
    "no object": ([1], "damaged, not a JSON object"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_cannot_work_is_named(folder, case):
    values, words = CONFIGS[case]
    path = folder.path / "config.json"
    path.write_text(json.dumps(values))
    message = refusal(folder.run_config)
    assert message.startswith(f"{path}: {words}")


TEXTS = {
    "no text": (lambda path: path.write_bytes(b'{"arch": "\xff"}'), "damaged, not text"),
    "huge": (lambda path: sparse(path, 2**33, b'{"arch": "'), f"damaged (over {MAX_TEXT:,} bytes)"),
    "a folder": (lambda path: path.mkdir(), "cannot be read"),
    "a pipe": (lambda path: os.mkfifo(path), "cannot be read"),
}
JSON_READERS = {"config.json": RunFolder.run_config, "result.json": RunFolder.read_result}
READERS = JSON_READERS | {"history.csv": RunFolder.read_history, "flags.flags": RunFolder.places}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("case", TEXTS)
def test_a_text_file_that_is_none_is_named(folder, case, name):
    damage, words = TEXTS[case]
    path = folder.path / name
    path.unlink(missing_ok=True)
    damage(path)
    assert refusal(lambda: READERS[name](folder)).startswith(f"{path}: {words}")


@pytest.mark.parametrize("name", JSON_READERS)
@pytest.mark.parametrize("text", ["[" * 200_000, '{"epochs": ' + "9" * 9999 + "}", "epoch,1"])
def test_json_that_is_none_is_named(folder, name, text):
    path = folder.path / name
    path.write_text(text)
    message = refusal(lambda: JSON_READERS[name](folder))
    assert message.startswith(f"{path}: damaged, not valid JSON")


def test_links_that_lead_round_in_circles_are_no_run(folder):
    path = folder.path / "config.json"
    path.unlink()
    path.symlink_to("other.json")
    (folder.path / "other.json").symlink_to("config.json")
    assert "no run here" in refusal(folder.run_config)
    (folder.path / "snapshots").symlink_to(".")
    (folder.path / "checkpoints").symlink_to(folder.path)
    assert folder.read_snapshots() == {}
    assert folder.path / "flags.flags" in folder.files()


@pytest.mark.parametrize("module", ["evaluate", "predict", "export"])
def test_each_command_names_a_config_of_a_newer_version(folder, module, tmp_path):
    (folder.path / "config.json").write_text(json.dumps(RUN.to_json() | {"later": 1}))
    flags = [f"--run_dir={folder.path}", *[f"--export_dir={tmp_path}"] * (module == "export")]
    done = run_without_tensorflow(f"rectloc_tf.{module}", *flags)
    message = f"{folder.path}/config.json: unknown config field 'later': made by another version?"
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")
    assert message == refusal(lambda: folder.claim(RUN))  # as train does


# Arrays.


def npy(shape, data=b"", descr="<f8"):
    """An NPY file whose header says anything."""
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


def npz(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)


def claim_sizes(path, size):
    """Makes the one member of an archive claim that it unpacks to `size` bytes."""
    data = path.read_bytes()
    place = data.index(b"PK\1\2")
    path.write_bytes(data[: place + 24] + size.to_bytes(4, "little") + data[place + 28 :])


def object_array(path):
    np.savez(path, points=np.array([{}], object))


ARRAYS = {
    "a claim of gigabytes": lambda path: npz(path, points=npy((2**33,))),
    "a claim beyond any memory": lambda path: npz(path, points=npy((2**58,))),
    "a claim beyond numbers": lambda path: npz(path, points=npy((2**70, 2**70))),
    "a negative size": lambda path: npz(path, points=npy((-1,), bytes(80))),
    "objects": object_array,
    "a header that is code": lambda path: npz(path, points=npy((1,)).replace(b"False", b"f()+0")),
    "an endless header": lambda path: npz(path, points=b"\x93NUMPY\2\0" + b"\xff" * 4 + b" " * 99),
    "a pickle": lambda path: path.write_bytes(b"\x80\4}\x94."),
    "one array": lambda path: path.write_bytes(npy((1,), bytes(8))),
    "no archive": lambda path: path.write_bytes(b"PK\3\4" + bytes(100)),
    "empty": lambda path: path.write_bytes(b""),
    "a folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_arrays_that_cannot_be_are_named(folder, case):
    path = folder.path / "snapshots" / "epoch_00000001.npz"
    path.parent.mkdir()
    ARRAYS[case](path)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # NumPy asks for all that a header claims before it reads; nothing is written there.
    with pytest.raises(UserError, match="damaged") as caught:
        folder.read_snapshots()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < MODERATE / 2**10


def test_arrays_that_unpack_to_gigabytes_are_not_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    npz(path, points=npy((3,), bytes(24)))
    assert read_arrays(path)["points"].shape == (3,)
    claim_sizes(path, 4_000_000_000)
    assert refusal(lambda: read_arrays(path)) == (
        f"{path}: damaged (it unpacks to 4,000,000,000 bytes, over {MAX_ARRAYS:,})"
    )


def test_a_large_file_is_read_as_far_as_its_limit(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[1, 2]")
    assert read_json(path, most=6) == [1, 2]
    with pytest.raises(UserError, match=r"a.json: damaged \(over 5 bytes\)"):
        read_json(path, most=5)


# Models.


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """The files in a `.keras` of one layer."""
    path = tmp_path_factory.mktemp("model") / "good.keras"
    inputs = keras.Input((2,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_weights(members, change):
    """`members` with other weights: `change` takes the HDF5 file, a dataset's name and shape."""
    file = io.BytesIO(members["model.weights.h5"])
    with h5py.File(file, "a") as weights:
        found = []
        weights.visititems(lambda n, o: found.append(n) if isinstance(o, h5py.Dataset) else None)
        shape = weights[found[0]].shape
        del weights[found[0]]
        change(weights, found[0], shape)
    return members | {"model.weights.h5": file.getvalue()}


def claims_gigabytes(weights, name, shape):
    weights.create_dataset(name, (200_000, 200_000), "f4", chunks=(1000, 1000), compression="gzip")


def reads_another_file(weights, name, shape):
    weights.create_dataset(name, shape, "f4", external=[("/etc/passwd", 0, 400)])


def links_to_another_file(weights, name, shape):
    weights[name] = h5py.ExternalLink("/etc/passwd", "/x")


def links_to_itself(weights, name, shape):
    weights[name] = h5py.SoftLink(f"/{name}")


WEIGHTS = [claims_gigabytes, reads_another_file, links_to_another_file, links_to_itself]
CONFIG = "config.json"
MEMBERS = {
    **{f.__name__: (lambda m, f=f: with_weights(m, f), "could not be loaded") for f in WEIGHTS},
    "weights that unpack to gigabytes": (
        lambda m: m | {"model.weights.h5": bytes(70_000_000)}, "that unpack to 70,"
    ),
    "a config that unpacks to gigabytes": (
        lambda m: m | {CONFIG: b" " * 70_000_000 + m[CONFIG]}, "that unpack to 70,"
    ),
    "a file outside": (lambda m: m | {"../../evil.txt": b"x"}, "a file named '../../evil.txt'"),
    "a file at the root": (lambda m: m | {"/evil.txt": b"x"}, "a file named '/evil.txt'"),
    "a file outside, elsewhere": (lambda m: m | {"a\\..\\evil.txt": b"x"}, "a file named"),
    "a deep config": (lambda m: m | {CONFIG: b"[" * 200_000}, "recursion"),
    "a list for a config": (lambda m: m | {CONFIG: b"[1]"}, "damaged"),
    "a layer": (
        lambda m: m | {CONFIG: json.dumps(keras.saving.serialize_keras_object(
            keras.layers.Dense(2))).encode()}, "a Dense, not a network"
    ),
    "words for numbers": (
        lambda m: m | {CONFIG: m[CONFIG].replace(b'"units": 2', b'"units": "x"')}, "damaged"
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # Keras warns of what it then refuses
@pytest.mark.parametrize("case", MEMBERS)
def test_a_model_that_is_none_is_named(members, tmp_path, case):
    change, words = MEMBERS[case]
    path = tmp_path / "best.keras"
    changed = change(members)
    assert changed != members
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in changed.items():
            archive.writestr(name, data)
    message = refusal(lambda: load_model(path))
    assert message.startswith(f"{path}: damaged, cannot be loaded (")
    assert words in message
    assert [p.name for p in tmp_path.iterdir()] == ["best.keras"]


def test_a_model_that_is_a_folder_or_a_circle_is_named(tmp_path):
    path = tmp_path / "best.keras"
    path.mkdir()
    assert refusal(lambda: load_model(path)).endswith("(not a file)")
    path.rmdir()
    path.symlink_to("best.keras")
    assert "no model here" in refusal(lambda: load_model(path))


def test_the_model_of_another_run_is_named(members, tmp_path):
    path = tmp_path / "best.keras"
    inputs = keras.Input((32, 32, 1))
    keras.Model(inputs, inputs * 2, name="xy_resnet18").save(path)
    assert load_model(path).name == "xy_resnet18"
    assert refusal(lambda: load_model(path, RUN)) == (
        f"{path}: xy_resnet18 at 32 pixels, but its config.json says xy_resnet18 at 64 pixels"
    )
