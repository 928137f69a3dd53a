"""Images from anywhere through predict: bad ones are named in one line, all others answered."""

import csv
import io
import os
import resource
import struct
import zlib

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from pipelines.image_headers import PNG_START
from rectloc_tf.errors import one_line
from rectloc_tf.serving.answer_files import write_answers
from rectloc_tf.serving.image_search import find_images
from rectloc_tf.serving.prediction import predict_files
from tests.test_image_decoding import chunk, jpeg_with, png_with, segment
from tests.training import small_head

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 40, 60
NOISE = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
BIG = 60_000
MODERATE = 512 * 2**10  # KiB


def saved(kind, mode="RGB", **how):
    file = io.BytesIO()
    Image.fromarray(NOISE).convert(mode).save(file, kind, **how)
    return file.getvalue()


PNG, JPEG = saved("PNG"), saved("JPEG")
FRAME = JPEG.index(b"\xff\xc0")  # its header: height and width stand 5 bytes on


def png(width, height, rows, bits=8, colour=0, interlaced=0, palette=b""):
    """A PNG whose header and pixels say anything."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    plte = chunk(b"PLTE", palette) if palette else b""
    data = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return PNG_START + chunk(b"IHDR", header) + plte + data


def flipped(data, place):
    data = bytearray(data)
    data[place] ^= 0xFF
    return bytes(data)


def jpeg_of(height, width):
    size = struct.pack(">HH", height, width)
    return JPEG[: FRAME + 5] + size + JPEG[FRAME + 9 :]


DAMAGED, OTHER = "truncated or damaged", "not a PNG or JPEG file"
FEW_ROWS = bytes(1000)
REFUSED = {
    **{f"cut at {n}.png": (PNG[:n], DAMAGED) for n in (10, 24, 33, 50, 2000, len(PNG) - 13)},
    **{f"cut at {n}.jpg": (JPEG[:n], DAMAGED) for n in (3, 10, 100, FRAME + 9, len(JPEG) - 2)},
    "half progressive.jpg": (saved("JPEG", progressive=True)[:1500], DAMAGED),
    "wrong start.png": (flipped(PNG, 0), OTHER),
    "most pixels.png": (png(2**31 - 1, 2**31 - 1, b""), "the limit is 64,000,000"),
    "bomb.png": (png(BIG, BIG, FEW_ROWS, bits=1), "60000 x 60000 = 3,600,000,000 pixels"),
    "bomb.jpg": (jpeg_of(65_535, 65_535), "the limit is 64,000,000"),
    "bomb in a second header.png": (
        PNG[:33] + chunk(b"IHDR", struct.pack(">IIBBBBB", BIG, BIG, 8, 2, 0, 0, 0)) + PNG[33:],
        DAMAGED,
    ),
    "no pixels.png": (png(0, 10, b""), DAMAGED),
    "no pixels.jpg": (jpeg_of(0, 0), DAMAGED),
    "too few rows.png": (png(4000, 4000, FEW_ROWS, bits=16, colour=6), DAMAGED),
    "no palette.png": (png(4, 1, bytes(5), colour=3), DAMAGED),
    "no such depth.png": (png(2, 2, bytes(6), bits=7), DAMAGED),
    "no such colour.png": (png(2, 2, bytes(6), colour=5), DAMAGED),
    "no such filter.png": (png(2, 2, b"\x63\1\1" * 2), DAMAGED),
    "wrong checksum of the header.png": (flipped(PNG, 30), DAMAGED),
    "wrong checksum of the pixels.png": (flipped(PNG, len(PNG) - 14), DAMAGED),
    "empty.png": (b"", "empty file"),
    "text.png": (b"a line\n" * 100, OTHER),
    "heic.png": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), OTHER),
    **{f"{kind}.png": (saved(kind), OTHER) for kind in ("BMP", "GIF", "WEBP", "TIFF")},
    "two\nlines.png": (b"a\nb", OTHER),
}  # fmt: skip
GARBAGE = RNG.bytes(200)
ANSWERED = {  # and height and width
    "CMYK.jpg": (saved("JPEG", "CMYK"), HEIGHT, WIDTH),
    "progressive.jpg": (saved("JPEG", progressive=True), HEIGHT, WIDTH),
    "one pixel.png": (png(1, 1, b"\0\7"), 1, 1),
    "tall.png": (png(1, BIG, b"\0\7" * BIG), BIG, 1),
    "wide.png": (png(BIG, 1, b"\0" + b"\7" * BIG), 1, BIG),
    "16 bits.png": (png(3, 2, (b"\0" + b"\x12\x34" * 3) * 2, bits=16), 2, 3),
    "1 bit.png": (png(16, 4, b"\0\xaa\x55" * 4, bits=1), 4, 16),
    "palette.png": (saved("PNG", "P"), HEIGHT, WIDTH),
    "beyond its palette.png": (png(4, 1, b"\0\0\1\x63\0", colour=3, palette=bytes(6)), 1, 4),
    "interlaced.png": (png(1, 1, b"\0\7", interlaced=1), 1, 1),
    "animated.png": (
        PNG[:33] + chunk(b"acTL", struct.pack(">II", 2, 0)) + PNG[33:], HEIGHT, WIDTH
    ),
    "garbage for EXIF.png": (png_with(PNG, GARBAGE), HEIGHT, WIDTH),
    "garbage for EXIF.jpg": (jpeg_with(JPEG, GARBAGE), HEIGHT, WIDTH),
    "garbage for ICC.png": (
        PNG[:33] + chunk(b"iCCP", b"x\0\0" + GARBAGE) + PNG[33:], HEIGHT, WIDTH
    ),
    "garbage for ICC.jpg": (
        JPEG[:2] + segment(0xFFE2, b"ICC_PROFILE\0" + GARBAGE) + JPEG[2:], HEIGHT, WIDTH
    ),
    "more behind its end.png": (PNG + b"more" * 99, HEIGHT, WIDTH),
    "more behind its end.jpg": (JPEG + b"more" * 99, HEIGHT, WIDTH),
    "new\nline.png": (PNG, HEIGHT, WIDTH),
    "no text \udce9.png": (PNG, HEIGHT, WIDTH),
}  # fmt: skip


def middle_model():
    """Answers the middle of any image."""
    images = keras.Input((64, 64, 1), dtype="uint8")
    middle = np.array([112, 112], np.float32)  # px of 224
    return keras.Model(images, 0 * ops.mean(ops.cast(images, "float32"), (1, 2)) + middle)


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """One prediction of all files: the rows of the CSV, what was refused, the memory it took."""
    folder = tmp_path_factory.mktemp("images")
    for name, (data, *_) in (REFUSED | ANSWERED).items():
        (folder / name).write_bytes(data)
    (folder / "a folder.png").mkdir()
    paths = find_images(str(folder))
    assert [path.name for path in paths] == sorted(REFUSED | ANSWERED)
    paths.append(folder / "a folder.png")
    refused, output = [], folder / "answers.csv"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answers = predict_files(middle_model(), small_head("xy"), paths, refused.append, print)
    write_answers(answers, output, {}, refused.append)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    with open(output, newline="", errors="surrogateescape") as file:
        rows = {os.path.basename(row["file"]): row for row in csv.DictReader(file)}
    return folder, rows, refused, grown


def test_there_are_enough():
    assert len(REFUSED | ANSWERED) >= 50
    assert not {*REFUSED} & {*ANSWERED}


def test_no_more_and_no_fewer_are_answered(predicted):
    assert [*predicted[1]] == sorted(ANSWERED)


@pytest.mark.parametrize("name", ANSWERED)
def test_the_middle_is_in_the_pixels_of_the_file(predicted, name):
    _, height, width = ANSWERED[name]
    row = predicted[1][name]
    assert (float(row["x"]), float(row["y"])) == (width / 2, height / 2)


@pytest.mark.parametrize("name", REFUSED)
def test_each_bad_file_is_named_once_with_the_reason(predicted, name):
    folder, _, refused, _ = predicted
    (line,) = [line for line in refused if line.startswith(f"{folder / name}: ")]
    reason = line.removeprefix(f"{folder / name}: ")
    assert REFUSED[name][1] in reason
    assert "\n" not in reason
    assert "Graph execution error" not in reason


def test_a_folder_is_named_and_nothing_else_is(predicted):
    folder, _, refused, _ = predicted
    assert f"{folder / 'a folder.png'}: cannot be read (Is a directory)" in refused
    assert len(refused) == len(REFUSED) + 1


def test_memory_is_bounded(predicted):
    assert predicted[3] < MODERATE


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\nb", r"a\nb"), ("\x1b[2J", r"\x1b[2J"), ("\udce9", r"\udce9"), ("é 界", "é 界")],
)
def test_names_are_shown_in_one_line(name, shown):
    assert one_line(name) == shown
