"""TensorFlow Serving's documented requests and answers, and its words for what is wrong.

Examples of its documentation "RESTful API", and of the tests of its model server's JSON.
"""
# ruff: noqa: E501 (messages stand on one line, as they are sent)

import json
import tracemalloc

import numpy as np
import pytest

from rectloc_tf.serving.rest import protocol
from rectloc_tf.serving.rest.pictures import check_files, check_images, fits
from rectloc_tf.serving.rest.protocol import Signature, Target, TensorInfo, parse_path
from rectloc_tf.serving.rest.values import KINDS, ServingError, debug_string, to_array, to_text

HALF = {"serving_default": Signature({"x": TensorInfo("float", (-1,))})}
NAMED = {
    "serving_default": Signature(
        {
            "tag": TensorInfo("string", (-1,)),
            "signal": TensorInfo("int32", (-1, 5)),
            "sensor": TensorInfo("int32", (-1, 2, 2)),
        }
    )
}
SENSORS = [[[1, 2], [3, 4]], [[4, 5], [6, 8]]]
ROWS = {
    "instances": [
        {"tag": "foo", "signal": [1, 2, 3, 4, 5], "sensor": SENSORS[0]},
        {"tag": "bar", "signal": [3, 4, 1, 2, 5], "sensor": SENSORS[1]},
    ]
}
COLUMNS = {
    "inputs": {
        "tag": ["foo", "bar"],
        "signal": [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]],
        "sensor": SENSORS,
    }
}


def one(kind):
    return {"serving_default": Signature({"default": TensorInfo(kind, (-1,))})}


def parse(request, signatures):
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return protocol.parse_predict(body, signatures)


def error(request, signatures):
    with pytest.raises(ServingError) as caught:
        parse(request, signatures)
    assert caught.value.status == 400
    return str(caught.value)


# Documented examples.


@pytest.mark.parametrize(
    ("request_json", "answer"),
    [
        ('{"instances": [1.0,2.0,5.0]}', {"predictions": [3.5, 4.0, 5.5]}),
        ('{"instances": [1.0, 5.0]}', {"predictions": [3.5, 5.5]}),
        ('{"inputs": [1.0, 2.0, 5.0]}', {"outputs": [3.5, 4.0, 5.5]}),
        ('{"instances": [[1.0, 2.0], [3.0, 4.0]]}', {"predictions": [[3.5, 4.0], [4.5, 5.0]]}),
        (
            '{"signature_name": "serving_default", "instances": [3.0, 4.0]}',
            {"predictions": [4.5, 5.0]},
        ),
        ('{"instances": [1]} and more', {"predictions": [3.5]}),
    ],
)
def test_half_plus_three(request_json, answer):
    asked = parse(request_json.encode(), HALF)
    outputs = {"y": asked.inputs["x"] / 2 + 3}
    assert json.loads(protocol.predict_response(outputs, asked.is_row)) == answer


@pytest.mark.parametrize(("request_json", "is_row"), [(ROWS, True), (COLUMNS, False)])
def test_several_inputs_in_rows_and_in_columns(request_json, is_row):
    asked = parse(request_json, NAMED)
    assert asked.is_row is is_row
    assert asked.inputs["tag"].tolist() == [b"foo", b"bar"]
    np.testing.assert_array_equal(asked.inputs["signal"], [[1, 2, 3, 4, 5], [3, 4, 1, 2, 5]])
    np.testing.assert_array_equal(asked.inputs["sensor"], SENSORS)
    assert {name: array.dtype for name, array in asked.inputs.items()} == {
        "tag": object,
        "signal": np.int32,
        "sensor": np.int32,
    }


def test_several_outputs_in_rows_and_in_columns():
    outputs = {"a": np.array([1, 2], np.int32), "b": np.array([[0.5], [0.25]], np.float32)}
    rows = [{"a": 1, "b": [0.5]}, {"a": 2, "b": [0.25]}]
    assert json.loads(protocol.predict_response(outputs, True)) == {"predictions": rows}
    columns = {"a": [1, 2], "b": [[0.5], [0.25]]}
    assert json.loads(protocol.predict_response(outputs, False)) == {"outputs": columns}


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([{"b64": "aGVsbG8="}, {"b64": "d29ybGQ="}], [b"hello", b"world"]),
        ([[{"b64": "aGVsbG8="}], [{"b64": "d29ybGQ"}]], [[b"hello"], [b"world"]]),
        ([{"default": {"b64": "aW1h\nZ2UgYnl0ZXM="}}], [b"image bytes"]),
        (["foo", "ä"], [b"foo", "ä".encode()]),
    ],
)
def test_strings_of_bytes(instances, expected):
    assert parse({"instances": instances}, one("string")).inputs["default"].tolist() == expected


def test_bytes_are_written_in_base64_where_the_name_says_so():
    data = np.array([b"hello", b"\xff\xfe"], object)
    assert to_text("image_bytes", data) == '[{"b64": "aGVsbG8="}, {"b64": "//4="}]'
    assert json.loads(to_text("names", data)) == ["hello", "��"]
    assert json.loads(protocol.predict_response({"names": data}, is_row=True)) == {
        "predictions": ["hello", "��"]
    }


def test_numbers_are_written_short_and_never_as_nan():
    values = np.array([0.2, np.nan, -np.inf, 1e-7, 16777216, 1 / 3], np.float32)
    written = protocol.predict_response({"y": values}, is_row=True).decode()
    assert written == '{"predictions": [0.2, null, null, 1e-07, 1.6777216e+07, 0.33333334]}'
    back = json.loads(written)["predictions"]
    assert np.float32(back[-1]) == values[-1]


# Paths.


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        ("GET", "/v1/models/half", Target("half", None, "status")),
        ("GET", "/v1/models/half/versions/1", Target("half", 1, "status")),
        ("GET", "/v1/models/half/metadata", Target("half", None, "metadata")),
        ("GET", "/V1/Models/half/versions/2/metadata", Target("half", 2, "metadata")),
        ("POST", "/v1/models/half:predict", Target("half", None, "predict")),
        ("POST", "/v1/models/a%20b%2Fc/versions/1:classify", Target("a b/c", 1, "classify")),
    ],
)
def test_paths(method, path, target):
    assert parse_path(method, path) == target


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/v1/models", "Missing model name in request."),
        *(
            (method, path, f"Malformed request: {method} {path}")
            for method, path in (
                ("GET", "/v1/foo"),
                ("POST", "/v1/foo"),
                ("POST", "/v1/models"),
                ("GET", "/v1/models/debug/model_name"),
                ("GET", "/v1/models/foo:predict"),
                ("POST", "/v1/models/foo/version/50:predict"),
                ("POST", "/v1/models/foo/versions/HELLO:regress"),
                ("POST", "/v1/models/foo/versions/50/labels/some_label:regress"),
                ("POST", "/v1/models/foo/metadata"),
                ("DELETE", "/v1/models/foo"),
            )
        ),
        (
            "POST",
            f"/v1/models/foo/versions/{2**64 - 1}:regress",
            f"Failed to convert version: {2**64 - 1} to numeric.",
        ),
        (
            "POST",
            "/v1/models/foo/labels/stable:predict",
            "Unrecognized servable version label: stable",
        ),
    ],
)
def test_paths_that_are_none(method, path, message):
    with pytest.raises(ServingError) as caught:
        parse_path(method, path)
    assert (str(caught.value), caught.value.status) == (message, 400)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target("half", None, "predict"), "Servable not found for request: Latest(half)"),
        (Target("x", 50, "predict"), "Servable not found for request: Specific(x, 50)"),
        (Target("half", None, "metadata"), "Servable not found for request: Latest(half)"),
        (Target("half", None, "status"), "Could not find any versions of model half"),
        (Target("x", 50, "status"), "Could not find version 50 of model x"),
    ],
)
def test_what_is_not_served(target, message):
    with pytest.raises(ServingError) as caught:
        protocol.check_served(target, ["x"])
    assert (str(caught.value), caught.value.status) == (message, 404)
    protocol.check_served(Target("x", 1, target.verb), ["x"])


def test_status_and_metadata():
    state = {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    assert protocol.status() == {"model_version_status": [state]}
    signature = Signature({"x": TensorInfo("float", (-1, 1))}, {"y": TensorInfo("string", (2,))})
    about = protocol.metadata("half", {"serving_default": signature})
    assert about["model_spec"] == {"name": "half", "signature_name": "", "version": "1"}
    assert about["metadata"]["signature_def"]["signature_def"]["serving_default"] == {
        "inputs": {
            "x": {
                "dtype": "DT_FLOAT",
                "tensor_shape": {
                    "dim": [{"size": "-1", "name": ""}, {"size": "1", "name": ""}],
                    "unknown_rank": False,
                },
                "name": "serving_default_x:0",
            }
        },
        "outputs": {
            "y": {
                "dtype": "DT_STRING",
                "tensor_shape": {"dim": [{"size": "2", "name": ""}], "unknown_rank": False},
                "name": "serving_default_y:0",
            }
        },
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }


# What is wrong.

ROW = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: "
KEY = "Failed to process element: {} key: {} of 'instances' list. Error: INVALID_ARGUMENT: "


@pytest.mark.parametrize(
    ("request_json", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"instances = [1, 2]", "JSON Parse error: Invalid value. at offset: 0"),
        (b'{"instances": [1', "JSON Parse error: Missing a comma or a closing bracket. at offset: 16"),
        (b'{"instances" [1]}', "JSON Parse error: Missing a colon after a name of object member. at offset: 13"),
        (b"{1: 2}", "JSON Parse error: Missing a name for object member. at offset: 1"),
        (b'{"instances": ["\xff"]}', "JSON Parse error: Invalid encoding in string. at offset: 16"),
        (b'{"instances": ' + b"9" * 5000 + b"}", "JSON Parse error: Number too big to be stored in double. at offset: 0"),
        (b'{"instances": ' + b"[" * 200_000, "JSON Parse error: nested too deeply"),
        (b"[]", "JSON Value: [] Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": 5}, 'JSON Value: {\n    "instances": 5\n} Expecting \'instances\' to be an list/array'),
        ({"instances": []}, "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        ({"signature_name": "x", "instances": [1]}, 'Serving signature name: "x" not found in signature def'),
        ({"signature_name": 5}, 'JSON Value: {\n    "signature_name": 5\n} not formatted correctly. \'signature_name\' key must be a string value.'),
        ({"instances": [1], "inputs": [1]}, "JSON Value: {\n    \"instances\": [1],\n    \"inputs\": [1]\n} Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "),
        ({"instances": [[1, 2], [3, 4], [5, 6, 7]]}, ROW.format(2) + "Expecting tensor size: 2 but got: 3"),
        ({"instances": [[1, 2], [3, 4], [[5, 6]]]}, ROW.format(2) + "Expecting shape [2] but got: [1,2]"),
        ({"instances": [1, [1]]}, ROW.format(1) + "Expecting shape [] but got: [1]"),
        ({"instances": [[1, 2], ["a", "b"]]}, ROW.format(1) + 'JSON Value: "a" Type: String is not of expected type: int32'),
        ({"instances": [True]}, ROW.format(0) + "JSON Value: true Type: True is not of expected type: int32"),
        ({"instances": [None]}, ROW.format(0) + "JSON Value: null Type: Null is not of expected type: int32"),
        ({"instances": [1.5]}, ROW.format(0) + "JSON Value: 1.5 Type: Number is not of expected type: int32"),
        ({"instances": [2**31]}, ROW.format(0) + "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ({"instances": [{"b64": "aGVsbG8="}]}, ROW.format(0) + 'JSON Value: {\n    "b64": "aGVsbG8="\n} Type: Object is not of expected type: int32'),
        ({"instances": [{"feature": 1}]}, KEY.format(0, "feature") + "JSON object: does not have named input: feature"),
        ({"instances": [{}]}, "Failed to process element: 0 of 'instances' list. JSON object: {} keys must be equal to: default"),
        ({"instances": [{"default": 1}, [1]]}, "Expecting object but got list at item 1 of input list"),
        ({"instances": [1, {"default": 1}]}, "Expecting value/list but got object at item 1 of input list"),
        ({"instances": [[[1], [2, 3]]]}, ROW.format(0) + "Encountered list at unexpected size: 2 at level: 1 expected size: 1"),
        ({"instances": [[1, [2]]]}, ROW.format(0) + "Encountered list at unexpected level: 1 expected < 1"),
        ({"instances": [[[1], 2]]}, ROW.format(0) + "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ({"inputs": {"x": [1]}}, "Missing named input: default in 'inputs' object."),
        ({"instances": [0] * 5000}, "5000 values in 'instances'; the limit is 4096"),
        ({"inputs": [0] * 5000}, "5000 values in 'inputs'; the limit is 4096"),
        ({"inputs": {"default": [0] * 4097}}, "4097 values in 'inputs'; the limit is 4096"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_request(request_json, message):
    assert error(request_json, one("int32")) == message


@pytest.mark.parametrize(
    ("request_json", "message"),
    [
        ({"instances": [1]}, "instances is a plain list, but expecting list of objects as multiple input tensors required as per tensorinfo_map"),
        ({"inputs": [1]}, "inputs is a plain value/list, but expecting an object as multiple input tensors required as per tensorinfo_map"),
        ({"instances": [{"tag": "foo"}]}, "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"tag\": \"foo\"\n} keys must be equal to: sensor,signal,tag"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_several_inputs(request_json, message):
    assert error(request_json, NAMED) == message


def test_long_responses_are_written_in_parts():
    maps = np.zeros([10, 100, 100], np.float32)
    maps[9, 99, 98:] = 0.5, np.nan
    tracemalloc.start()
    written = to_text("maps", maps)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 * maps.size  # bytes; all at once it would be over 128 for each
    assert written.endswith("0.0, 0.5, null]]]")
    maps[9, 99, 99] = 0
    np.testing.assert_array_equal(json.loads(written.replace("null", "0.0")), maps)


def test_other_refusals():
    assert error({"instances": [{"b64": "?"}]}, one("string")).endswith("Unable to base64 decode")
    assert error({"inputs": {"b64": 1, "x": 2}}, one("string")).startswith("Missing named input")
    signatures = {"keypoints": Signature(outputs={"names": TensorInfo("string", (1,))})}
    message = "Failed to get input map for signature: keypoints"
    assert error({"signature_name": "keypoints", "instances": [1]}, signatures) == message
    for verb, kind in (("classify", "classification"), ("regress", "regression")):
        with pytest.raises(ServingError) as caught:
            protocol.check_verb(Target("x", None, verb))
        assert str(caught.value) == (
            f"Expected {kind} signature method_name to be tensorflow/serving/{verb}. "
            "Was: tensorflow/serving/predict"
        )


def test_long_values_are_cut_in_messages():
    assert len(debug_string([list(range(1000))] * 1000)) < 300
    assert len(debug_string({"x": "y" * 10**6})) < 600
    assert debug_string({"a": [1, {"b": None}]}) == (
        '{\n    "a": [1, {\n        "b": null\n    }]\n}'
    )


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "string"])
def test_numbers_of_every_kind(kind):
    values = [[False, True]] if kind == "bool" else [[0, 1], [100, 3]]
    array = to_array(values, kind)
    assert array.dtype == KINDS[kind].array
    assert json.loads(to_text("y", array)) == values
    assert to_array([], kind).shape == (0,)


def test_a_whole_image_is_read_and_values_outside_a_byte_are_refused():
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3)).tolist()
    np.testing.assert_array_equal(to_array(image, "uint8"), image)
    for wrong in (-1, 256):
        image[1][4][6][2] = wrong
        with pytest.raises(ServingError, match=f"^JSON Value: {wrong} Type: Number is not of exp"):
            to_array(image, "uint8")


# Pictures.


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 64, 64), "images: of shape 2x64x64; must be N x H x W x 1 or N x H x W x 3"),
        ((1, 64, 64, 2), "images: of shape 1x64x64x2; must be N x H x W x 1 or N x H x W x 3"),
        ((1, 0, 4, 1), "images: of shape 1x0x4x1; an image has no pixels"),
        ((1, 1, 20000, 1), "images: 20000 x 1; the limit of a side is 16,384"),
    ],
)
def test_images_that_are_refused(shape, message):
    with pytest.raises(ServingError) as caught:
        check_images(np.zeros(shape, np.uint8))
    assert str(caught.value) == message


def test_images_and_files_are_counted_in_pixels():
    assert check_images(np.zeros([3, 4, 5, 1], np.uint8)) == [20, 20, 20]
    assert check_images(np.zeros([0, 4, 5, 3], np.uint8)) == []
    assert check_files(np.array([png(7, 3), png(2, 2)], object)) == [21, 4]


def test_a_response_to_several_images_is_limited_in_its_numbers():
    outputs = {"maps": TensorInfo("float", (-1, 1999, 2000)), "xy": TensorInfo("float", (-1, 2000))}
    assert [fits(np.zeros(count), outputs) for count in (0, 1, 4, 5)] == [True, True, True, False]
    outputs["more"] = TensorInfo("float", (-1,))  # a number for each image
    assert not fits(np.zeros(4), outputs)
    outputs["maps"] = TensorInfo("float", (-1, 10_000, 2000))
    assert fits(np.zeros(1), outputs)  # fewer there are none
    assert fits(np.zeros(()), outputs)  # `check_images` says what is wrong with it


def png(width, height):
    """The head of a PNG of some size."""
    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + size + b"\x08\0\0\0\0"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([png(9000, 9000)], "image_bytes 0: 9000 x 9000 = 81,000,000 pixels; the limit is 64,000,000"),
        ([png(3, 3), b"GIF89a"], "image_bytes 1: not a PNG or JPEG file"),
        ([b""], "image_bytes 0: not a PNG or JPEG file"),
        ([png(1, 64_000)], "image_bytes 0: 1 x 64000; the limit of a side is 16,384"),
        ([[b"x"]], "image_bytes: of shape 1x1; must be a list"),
    ],
)  # fmt: skip
def test_files_that_are_refused(files, message):
    array = np.empty(np.shape(files), object)
    array[:] = files
    with pytest.raises(ServingError) as caught:
        check_files(array)
    assert str(caught.value) == message
