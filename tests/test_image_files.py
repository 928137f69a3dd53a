"""Files of users: what their headers say, and what is refused."""

import io
import struct
import zlib

import cv2
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from pipelines.image_headers import JPEG_START, PNG_START, is_whole, read_size
from rectloc_tf.errors import UserError
from rectloc_tf.serving import image_files
from rectloc_tf.serving.image_files import read_image_bytes
from rectloc_tf.serving.prediction import BATCH_SIZE, predict_files
from tests.training import small_head

LIMIT = "pixels; the limit is 64,000,000"


def encode(suffix, height=30, width=50, channels=3):
    rng = np.random.default_rng(height * width)
    image = rng.integers(0, 256, (height, width, channels), np.uint8)
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


def png_header(width, height):
    """A PNG of which there is nothing but a correct header."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return PNG_START + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


def jpeg_that_says(width, height):
    """A small JPEG whose header names another size."""
    data = bytearray(encode(".jpg"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


# Headers.


def image_size_in_header(data):
    return read_size(io.BytesIO(data))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(30, 50), (1, 700), (300, 2)])
def test_size_in_header(suffix, channels, height, width):
    assert image_size_in_header(encode(suffix, height, width, channels)) == (width, height)


def test_size_of_a_picture_that_is_only_a_header():
    assert image_size_in_header(png_header(40_000, 30_000)) == (40_000, 30_000)
    assert image_size_in_header(jpeg_that_says(40_000, 30_000)) == (40_000, 30_000)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello", "not a PNG or JPEG"),
        (b"GIF89a" + bytes(100), "not a PNG or JPEG"),
        (b"BM" + bytes(100), "not a PNG or JPEG"),
        (PNG_START[:7], "not a PNG or JPEG"),
        (JPEG_START[:2], "not a PNG or JPEG"),
        (PNG_START, "damaged PNG"),
        (png_header(50, 30)[:23], "damaged PNG"),
        (png_header(50, 30).replace(b"IHDR", b"IDAT"), "damaged PNG"),
        (JPEG_START, "damaged JPEG"),
        (encode(".jpg")[:20], "damaged JPEG"),
        (JPEG_START + bytes(100), "damaged JPEG"),
    ],
)
def test_other_files_and_cut_off_headers_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        image_size_in_header(data)


@settings(deadline=None)
@given(start=st.sampled_from([PNG_START, JPEG_START, b""]), rest=st.binary(max_size=64))
def test_any_bytes_have_a_size_or_are_refused(start, rest):
    try:
        width, height = image_size_in_header(start + rest)
    except ValueError:
        return
    assert start
    assert min(width, height) >= 0


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_whole_files_end_with_their_mark(suffix):
    data = encode(suffix)
    assert is_whole(io.BytesIO(data))
    for more in (b"", bytes(200_000)):  # as telephones put films behind their pictures
        assert is_whole(io.BytesIO(data + more))
    for length in (0, 4, 30, len(data) // 2, len(data) - 13):
        assert not is_whole(io.BytesIO(data[:length]))


# Reading.


def refusal(path):
    with pytest.raises(UserError) as caught:
        read_image_bytes(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_reading_gives_the_bytes(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode(".png"))
    assert read_image_bytes(path) == encode(".png")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty file"),
        (b"hello", "not a PNG or JPEG file"),
        (png_header(50, 30)[:20], "truncated or damaged PNG"),
        (
            png_header(40_000, 40_000),
            "40000 x 40000 = 1,600,000,000 pixels; the limit is 64,000,000",
        ),
        (
            jpeg_that_says(40_000, 30_000),
            "40000 x 30000 = 1,200,000,000 pixels; the limit is 64,000,000",
        ),
        (png_header(8000, 8001), f"8000 x 8001 = 64,008,000 {LIMIT}"),
    ],
    ids=["empty", "text", "cut header", "giant png", "giant jpeg", "just too large"],
)
def test_refused_files(tmp_path, data, message):
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert refusal(path) == message


def test_64_megapixels_are_allowed(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_header(8000, 8000))
    assert read_image_bytes(path) == png_header(8000, 8000)


def test_a_file_of_too_many_bytes_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "MAX_BYTES", 2**20)
    path = tmp_path / "a.png"
    path.write_bytes(encode(".png") + bytes(2**21))
    assert refusal(path) == "2 MiB; the limit is 1 MiB"
    path.write_bytes(encode(".png") + bytes(1000))
    assert len(read_image_bytes(path)) == len(encode(".png")) + 1000


def test_missing_files_and_folders_cannot_be_read(tmp_path):
    assert "No such file" in refusal(tmp_path / "missing.png")
    assert "Is a directory" in refusal(tmp_path)


# Through a model: one bad file does not spoil the others.


XY = small_head("xy")


@pytest.fixture(scope="module")
def model():
    """Answers (x, y) = (56, 168) of 224 whatever it sees."""
    images = keras.Input((64, 64, 1), dtype="uint8")
    zero = 0 * ops.mean(ops.cast(images, "float32"), (1, 2))
    return keras.Model(images, zero + np.array([56, 168], np.float32))


def flipped(data):
    data = bytearray(data)
    middle = len(data) // 2
    data[middle : middle + 40] = bytes(byte ^ 0xFF for byte in data[middle : middle + 40])
    return bytes(data)


BAD = {
    "empty": b"",
    "text": b"hello",
    "header_only": png_header(50, 30),
    "png_cut": encode(".png")[:-1000],
    "png_nearly_whole": encode(".png")[:-20],
    "png_flipped": flipped(encode(".png")),
    "png_flat": png_header(0, 10) + bytes(50),
    "jpg_cut": encode(".jpg")[:-300],
    "giant": png_header(40_000, 40_000),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_file_is_named_and_the_others_are_answered(tmp_path, model, bad):
    contents = {"1": encode(".png"), bad: BAD[bad], "3": encode(".jpg", 90, 120)}
    paths = [tmp_path / f"{name}.img" for name in contents]
    for path, data in zip(paths, contents.values(), strict=True):
        path.write_bytes(data)
    errors = []
    answers = list(predict_files(model, XY, paths, errors.append))
    assert [answer.name for answer in answers] == [str(paths[0]), str(paths[2])]
    np.testing.assert_allclose(answers[0].points, [[12.5, 22.5]], rtol=1e-6)
    np.testing.assert_allclose(answers[1].points, [[30, 67.5]], rtol=1e-6)
    (error,) = errors
    assert error.startswith(f"{paths[1]}: ")
    assert "\n" not in error


def test_many_files_with_a_whole_batch_of_bad_ones(tmp_path, model):
    paths = [tmp_path / f"{i:03d}.png" for i in range(2 * BATCH_SIZE + 5)]
    good = [*paths[:2], *paths[2 * BATCH_SIZE :]]
    for path in paths:
        path.write_bytes(encode(".png") if path in good else b"hello")
    errors = []
    answers = list(predict_files(model, XY, paths, errors.append))
    assert [answer.name for answer in answers] == [str(path) for path in good]
    assert len(errors) == len(paths) - len(good)


def test_no_readable_file_no_answer(tmp_path, model):
    errors = []
    assert list(predict_files(model, XY, [tmp_path / "missing.png"], errors.append)) == []
    assert len(errors) == 1
