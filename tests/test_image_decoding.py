"""Decoding: as people see the picture, whatever the file's EXIF data, depth and transparency."""

import contextlib
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.image_decoding import (
    PNG_START,
    decode_image,
    decode_with_details,
    exif_orientation,
    is_drawn_in_alpha,
)
from pipelines.image_headers import MAX_PARTS, is_whole, read_orientation, read_size

ORIENTATION, SHORT, LONG, ASCII = 0x0112, 3, 4, 2
decode = tf.function(decode_with_details, input_signature=[tf.TensorSpec([], tf.string)])
find_orientation = tf.function(exif_orientation, input_signature=[tf.TensorSpec([], tf.string)])


def smooth_picture(height=24, width=40):
    rows, columns = np.mgrid[:height, :width]
    planes = (2 * columns + rows, 5 * rows, 255 - 3 * columns)
    return np.dstack(planes).astype(np.uint8)


def encode(image, suffix):
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


def tiff(orientation, order="<", kind=SHORT, before=2, after=2, directory=8):
    """An Exif block with other entries before and after the orientation."""
    entries = [struct.pack(f"{order}HHI4s", 0x010F, ASCII, 4, b"abc")] * before
    value = struct.pack(f"{order}H2x" if kind == SHORT else f"{order}I", orientation)
    entries += [struct.pack(f"{order}HHI4s", ORIENTATION, kind, 1, value)]
    entries += [struct.pack(f"{order}HHI4s", 0x0131, ASCII, 4, b"abc")] * after
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, directory)
    count = struct.pack(f"{order}H", len(entries))
    return head.ljust(directory, b"?") + count + b"".join(entries) + bytes(4)


def segment(marker, contents):
    return struct.pack(">HH", marker, len(contents) + 2) + contents


def chunk(name, contents):
    checksum = struct.pack(">I", zlib.crc32(name + contents))
    return struct.pack(">I", len(contents)) + name + contents + checksum


def jpeg_with(data, exif, before=b""):
    return data[:2] + before + segment(0xFFE1, b"Exif\0\0" + exif) + data[2:]


def png_with(data, exif, before=b""):
    return data[:33] + before + chunk(b"eXIf", exif) + data[33:]


def png_with_late(data, exif):
    return data[:-12] + chunk(b"eXIf", exif) + data[-12:]


PUT = {"jpeg": (".jpg", jpeg_with), "png": (".png", png_with), "late": (".png", png_with_late)}
KINDS = pytest.mark.parametrize("kind", PUT)


def with_exif(kind, exif):
    suffix, put = PUT[kind]
    return put(encode(smooth_picture(), suffix), exif)


def seen_by_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


# Orientation.


@KINDS
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_come_out_as_people_see_them(kind, order, orientation):
    data = with_exif(kind, tiff(orientation, order))
    decoded = decode(tf.constant(data))
    assert int(decoded.orientation) == read_orientation(io.BytesIO(data)) == orientation
    tolerance = 6 if kind == "jpeg" else 0  # two decoders of JPEG
    expected = seen_by_opencv(data).astype(int)
    np.testing.assert_allclose(decoded.image.numpy().astype(int), expected, atol=tolerance)
    stored = decode_image(tf.constant(data), ignore_exif=True).numpy().astype(int)
    np.testing.assert_allclose(stored, smooth_picture()[..., ::-1], atol=tolerance)


def test_a_corner_is_where_people_see_it():
    # A camera held upright stores the scene lying on its side (6): its bottom left is the top left.
    image = np.zeros((4, 6, 3), np.uint8)
    image[-1, 0] = 255
    data = png_with(encode(image, ".png"), tiff(6))
    turned = decode_image(tf.constant(data)).numpy()
    assert turned.shape == (6, 4, 3)
    assert np.argwhere(turned[..., 0]).tolist() == [[0, 0]]


@pytest.mark.parametrize(
    "data",
    [
        jpeg_with(
            encode(smooth_picture(), ".jpg"),
            tiff(6),
            before=segment(0xFFE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")
            + segment(0xFFE2, bytes(60_000)) + b"\xff\xff\xff" + segment(0xFFFE, b"Exif\0\0"),
        ),
        png_with(
            encode(smooth_picture(), ".png"), tiff(6), before=chunk(b"tEXt", b"a\0eXIf" * 99)
        ),
        with_exif("jpeg", tiff(6, directory=77)),
        with_exif("png", tiff(6, ">", before=3000)),
    ],
    ids=["jpeg segments", "png chunks", "odd directory", "many entries"],
)  # fmt: skip
def test_the_block_is_found_behind_others(data):
    assert int(find_orientation(tf.constant(data))) == read_orientation(io.BytesIO(data)) == 6


@pytest.mark.parametrize(
    ("suffix", "put", "part"),
    [
        (".jpg", jpeg_with, b"\xff"),  # padding
        (".jpg", jpeg_with, segment(0xFFFE, b"")),
        (".png", png_with, chunk(b"tEXt", b"")),
    ],
    ids=["padding", "segments", "chunks"],
)
def test_the_block_is_looked_for_in_so_many_parts(suffix, put, part):
    """A hostile file is full of them, and each takes a step."""
    data = encode(smooth_picture(), suffix)
    others = 1 if suffix == ".png" else 0  # IHDR
    for count, orientation in ((MAX_PARTS - 1 - others, 6), (MAX_PARTS - others, 1)):
        long = put(data, tiff(6), before=part * count)
        assert int(find_orientation(tf.constant(long))) == orientation
        assert read_orientation(io.BytesIO(long)) == orientation


def test_a_jpeg_that_is_mostly_padding_is_refused():
    data = encode(smooth_picture(), ".jpg")
    for count, is_read in ((100, True), (MAX_PARTS, False), (16 * 2**20, False)):
        file = io.BytesIO(data[:2] + b"\xff" * count + data[2:])
        assert is_whole(file) == is_read
        with contextlib.nullcontext() if is_read else pytest.raises(ValueError, match="damaged"):
            assert read_size(file) == (40, 24)


def test_a_large_png_has_more_chunks_than_are_looked_into():
    data = encode(smooth_picture(), ".png")
    assert is_whole(io.BytesIO(data[:-12] + chunk(b"tEXt", b"") * MAX_PARTS + data[-12:]))


CUT = [tiff(6)[:length] for length in (0, 1, 3, 7, 9, 12, 35, 43)]
MALFORMED = {
    "none": 0,
    "9": tiff(9),
    "0": tiff(0),
    "a long": tiff(6, ">", kind=LONG),
    "a long, little": tiff(6, kind=LONG),
    "no magic": tiff(6)[:2] + b"\0\0" + tiff(6)[4:],
    "no order": b"XX" + tiff(6)[2:],
    "directory beyond": tiff(6)[:4] + b"\xff\xff\xff\x7f" + tiff(6)[8:],
    "directory far beyond": tiff(6)[:4] + b"\xff\xff\xff\xff" + tiff(6)[8:],
    "more entries than there are": b"II*\0\x08\0\0\0\xff\xff",
    **{f"cut at {len(exif)}": exif for exif in CUT},
}


@KINDS
@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_block_means_not_turned(kind, case):
    exif = MALFORMED[case]
    suffix = PUT[kind][0]
    data = encode(smooth_picture(), suffix) if exif == 0 else with_exif(kind, exif)
    decoded = decode(tf.constant(data))
    assert int(decoded.orientation) == read_orientation(io.BytesIO(data)) == 1
    plain = tf.io.decode_image(encode(smooth_picture(), suffix), channels=3)
    np.testing.assert_array_equal(decoded.image, plain)


@settings(deadline=None, max_examples=200)
@given(
    start=st.sampled_from([b"", PNG_START, b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\0\x40Exif\0\0II"]),
    rest=st.binary(max_size=80),
)
def test_any_bytes_have_an_orientation(start, rest):
    found = int(find_orientation(tf.constant(start + rest)))
    assert 1 <= found <= 8
    assert read_orientation(io.BytesIO(start + rest)) == found


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_damaged_blocks_have_an_orientation(data):
    whole = with_exif(data.draw(st.sampled_from(sorted(PUT))), tiff(6))
    damaged = bytearray(whole[: data.draw(st.integers(2, len(whole)))])
    for _ in range(data.draw(st.integers(0, 5))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    found = int(find_orientation(tf.constant(bytes(damaged))))
    assert 1 <= found <= 8
    assert read_orientation(io.BytesIO(damaged)) == found


# Depth.


def deep_png(values, color_type):
    """A PNG of 16 bits, uint16 [H, W, C], written by hand."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return PNG_START + chunks


@pytest.mark.parametrize("color_type", [0, 2, 4, 6], ids=["grey", "rgb", "grey alpha", "rgba"])
@pytest.mark.parametrize("bits", [8, 9, 10, 12, 14, 16])
def test_files_of_16_bits_are_scaled_by_the_depth_they_use(bits, color_type):
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[color_type]
    values = np.random.default_rng(bits).integers(0, 2**bits, (9, 11, channels))
    values[0, 0, 0] = 2 ** (bits - 1) if bits > 8 else 1  # the least that takes so many
    values[values > values.max() // 2 * 2] = 0
    colours = channels - 1 if color_type in (4, 6) else channels
    if colours < channels:
        values[..., -1] = 65535  # transparency is no brightness
    decoded = decode(tf.constant(deep_png(values, color_type)))
    assert int(decoded.bits) == bits
    expected = np.round(values[..., :colours] * 255 / (2**bits - 1))
    np.testing.assert_array_equal(decoded.image.numpy(), np.broadcast_to(expected, (9, 11, 3)))


@pytest.mark.parametrize(
    ("brightest", "bits"),
    [(0, 8), (255, 8), (256, 9), (511, 9), (512, 10), (4095, 12), (4096, 13), (65535, 16)],
)
def test_the_depth_is_the_least_that_holds_the_brightest_value(brightest, bits):
    values = np.full((2, 2, 1), brightest)
    decoded = decode(tf.constant(deep_png(values, 0)))
    assert int(decoded.bits) == bits
    assert decoded.image.numpy().max() == round(brightest * 255 / (2**bits - 1))


def test_files_of_8_bits_are_left_as_they_are():
    decoded = decode(tf.constant(encode(np.full((3, 4), 7, np.uint8), ".png")))
    np.testing.assert_array_equal(decoded.image, np.full((3, 4, 3), 7))
    assert int(decoded.bits) == 8


# Transparency.


def alpha_png(colour, alpha, dtype=np.uint8):
    image = np.full((12, 10, 4), colour, dtype)
    image[..., 3] = alpha
    image[3:6, 4:8, 3] = np.iinfo(dtype).max
    return encode(image, ".png")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_drawn_in_transparency_only_is_noticed(dtype):
    assert is_drawn_in_alpha(alpha_png(200, 0, dtype))
    assert is_drawn_in_alpha(alpha_png(0, 30, dtype))
    assert not is_drawn_in_alpha(alpha_png(0, np.iinfo(dtype).max, dtype))  # all opaque: a flat one
    varied = np.dstack([smooth_picture().astype(dtype), smooth_picture()[..., 0].astype(dtype)])
    assert not is_drawn_in_alpha(encode(varied, ".png"))


def palette_png(alphas):
    """Two black entries and rows that use both."""
    rows = (b"\0" + bytes([0, 1, 1, 0])) * 4
    header = struct.pack(">IIBBBBB", 4, 4, 8, 3, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"PLTE", bytes(6))]
    parts += [chunk(b"tRNS", bytes(alphas))] if alphas else []
    parts += [chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return PNG_START + b"".join(parts)


def test_palettes_with_transparency_are_noticed_too():
    assert is_drawn_in_alpha(palette_png([0, 255]))
    assert not is_drawn_in_alpha(palette_png([255, 255]))
    assert not is_drawn_in_alpha(palette_png([]))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures_without_transparency_are_not_suspected(suffix):
    assert not is_drawn_in_alpha(encode(smooth_picture(), suffix))
