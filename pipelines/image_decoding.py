"""PNG and JPEG bytes to pixels, as graph functions: `predict` and the SavedModel share them.

Pictures come out as people see them: turned as their EXIF orientation says. Files of 16 bits
are scaled by the depth that their values use. No Exif block, however malformed, makes decoding
fail: one that cannot be understood counts as "not turned".
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from pipelines.image_headers import JPEG_START, MAX_PARTS, MAX_PIXELS, PNG_START

_MAX_EXIF_BYTES = 65_535  # what a JPEG segment can hold
_ORIENTATION_TAG, _SHORT = 0x0112, 3


class Decoded(NamedTuple):
    """A picture and how it was read.

    Attributes:
        image: uint8 [H, W, 3].
        orientation: int32 scalar, the EXIF orientation that was applied, 1 to 8 (1: as stored).
        bits: int32 scalar, the depth that was assumed: 8, or 8 to 16 for a 16-bit PNG.
    """

    image: tf.Tensor
    orientation: tf.Tensor
    bits: tf.Tensor


def within_limits(image_bytes: tf.Tensor) -> tf.Tensor:
    """The same bytes, refused before they are decoded if they would fill the memory.

    A small file may decode to any size; TensorFlow's own limit is gigabytes, and it reads GIF too.

    Args:
        image_bytes: string scalar; any bytes at all.

    Raises:
        tf.errors.InvalidArgumentError: if they are no PNG or JPEG of at most `MAX_PIXELS`.
    """

    def of_png():
        return tf.stack(_big_endian(image_bytes, tf.constant(16, tf.int64), tf.int32))

    def of_jpeg():
        return tf.io.extract_jpeg_shape(image_bytes, tf.int64)[:2]

    is_png = tf.strings.substr(image_bytes, 0, 8) == PNG_START
    is_jpeg = tf.strings.substr(image_bytes, 0, 3) == JPEG_START
    sides = tf.case([(is_png, of_png), (is_jpeg, of_jpeg)], default=lambda: tf.zeros([2], tf.int64))
    fits = tf.reduce_all(sides > 0) & (tf.reduce_prod(sides) <= MAX_PIXELS)
    message = f"not a PNG or JPEG of 1 to {MAX_PIXELS:,} pixels"
    with tf.control_dependencies([tf.debugging.Assert(fits, [message])]):
        return tf.identity(image_bytes)


def decode_image(image_bytes: tf.Tensor, ignore_exif: bool = False) -> tf.Tensor:
    """Decodes a PNG or JPEG.

    Args:
        image_bytes: string scalar.
        ignore_exif: leave the pixels as they are stored, whatever the EXIF orientation.

    Returns:
        uint8 [H, W, 3]; transparency is dropped.

    Raises:
        tf.errors.InvalidArgumentError: if the file is truncated or damaged.
    """
    return decode_with_details(image_bytes, ignore_exif).image


def decode_with_details(image_bytes: tf.Tensor, ignore_exif: bool = False) -> Decoded:
    """As `decode_image`, and says what was done to the pixels."""
    is_png = tf.strings.substr(image_bytes, 0, 8) == PNG_START
    is_deep = is_png & (tf.strings.substr(image_bytes, 24, 1) == b"\x10")
    image, bits = tf.cond(
        is_deep, lambda: _decode_16_bits(image_bytes), lambda: _decode_8_bits(image_bytes)
    )
    orientation = tf.constant(1) if ignore_exif else exif_orientation(image_bytes)
    return Decoded(_turn(image, orientation), orientation, bits)


def _decode_8_bits(image_bytes):
    image = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3]), tf.constant(8)


def _decode_16_bits(image_bytes):
    # Cameras and scanners store 10, 12 or 14 bits in such files without saying so.
    values = tf.io.decode_png(image_bytes, channels=3, dtype=tf.uint16)
    brightest = tf.cast(tf.reduce_max(values), tf.int32)
    bits = 8 + tf.math.count_nonzero(brightest >= [2**b for b in range(8, 16)], dtype=tf.int32)
    scale = 255 / tf.cast(2**bits - 1, tf.float32)
    image = tf.cast(tf.round(tf.cast(values, tf.float32) * scale), tf.uint8)
    return tf.ensure_shape(image, [None, None, 3]), bits


def _turn(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Applies an EXIF orientation: image [H, W, C] -> [H, W, C] or [W, H, C]."""

    def if_one_of(orientations, change, image):
        applies = tf.reduce_any(orientation == list(orientations))
        return tf.cond(applies, lambda: change(image), lambda: image)

    image = if_one_of((5, 6, 7, 8), lambda x: tf.transpose(x, [1, 0, 2]), image)
    image = if_one_of((2, 3, 6, 7), lambda x: tf.reverse(x, [1]), image)
    image = if_one_of((3, 4, 7, 8), lambda x: tf.reverse(x, [0]), image)
    return tf.ensure_shape(image, [None, None, 3])


def exif_orientation(image_bytes: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation of a PNG or JPEG: int32 scalar, 1 where there is none or no valid one.

    Args:
        image_bytes: string scalar; any bytes at all.
    """
    is_png = tf.strings.substr(image_bytes, 0, 8) == PNG_START
    is_jpeg = tf.strings.substr(image_bytes, 0, 3) == JPEG_START
    exif = tf.case(
        [
            (is_png, lambda: _exif_of_png(image_bytes)),
            (is_jpeg, lambda: _exif_of_jpeg(image_bytes)),
        ],
        default=lambda: tf.constant(b""),
    )
    return _orientation_in_tiff(exif)


def _slice(data: tf.Tensor, start: tf.Tensor, length: tf.Tensor | int) -> tf.Tensor:
    """Bytes of a string; fewer, or none, where it has no more."""
    size = tf.cast(tf.strings.length(data), tf.int64)
    return tf.strings.substr(data, tf.minimum(start, size), tf.cast(length, tf.int64))


def _big_endian(data: tf.Tensor, start: tf.Tensor, dtype: tf.DType) -> list[tf.Tensor]:
    """Two numbers in a row, as int64; zeros where the data has ended."""
    size = 2 * dtype.size
    numbers = tf.io.decode_raw(
        _slice(data, start, size), dtype, little_endian=False, fixed_length=size
    )
    return tf.unstack(tf.cast(numbers, tf.int64), num=2)


def _first_part(is_before: Callable, next_part: Callable, start: int) -> tf.Tensor:
    """Where the first part is that is not `is_before`; or the last that is looked at."""
    (found,) = tf.while_loop(
        is_before, next_part, [tf.constant(start, tf.int64)], maximum_iterations=MAX_PARTS - 1
    )
    return found


def _exif_of_png(data: tf.Tensor) -> tf.Tensor:
    """The contents of the eXIf chunk, or an empty string."""
    exif, end = (int.from_bytes(name, "big") for name in (b"eXIf", b"IEND"))

    def is_before(start):  # a chunk: length, name, contents, checksum
        length, name = _big_endian(data, start, tf.int32)
        return (name != exif) & (name != end) & (name != 0) & (length >= 0)

    def next_chunk(start):
        return [start + 12 + _big_endian(data, start, tf.int32)[0]]

    start = _first_part(is_before, next_chunk, 8)
    length, name = _big_endian(data, start, tf.int32)
    length = tf.where(name == exif, tf.clip_by_value(length, 0, _MAX_EXIF_BYTES), 0)
    return _slice(data, start + 8, length)


def _exif_of_jpeg(data: tf.Tensor) -> tf.Tensor:
    """The contents of the first Exif segment before the pixels, or an empty string."""

    def is_exif(marker, start):
        return (marker == 0xFFE1) & (_slice(data, start + 4, 6) == b"Exif\0\0")

    def is_before(start):  # a segment: marker, length with its own two bytes, contents
        marker, _ = _big_endian(data, start, tf.uint16)
        is_last = (marker < 0xFF01) | (marker == 0xFFD9) | (marker == 0xFFDA)
        return ~is_last & ~is_exif(marker, start)

    def next_segment(start):
        marker, length = _big_endian(data, start, tf.uint16)
        return [start + tf.where(marker == 0xFFFF, tf.constant(1, tf.int64), 2 + length)]

    start = _first_part(is_before, next_segment, 2)
    marker, length = _big_endian(data, start, tf.uint16)
    length = tf.where(is_exif(marker, start), tf.maximum(length - 8, 0), 0)
    return _slice(data, start + 10, length)


def _orientation_in_tiff(exif: tf.Tensor) -> tf.Tensor:
    """The orientation in an Exif block, which is laid out as a TIFF file; 1 if it is not valid."""
    is_big_endian = _slice(exif, tf.constant(0, tf.int64), 2) == b"MM"
    values = tf.cast(tf.io.decode_raw(exif, tf.uint8), tf.int64)
    values = tf.concat([values, [0]], 0)  # what is read beyond the end
    last = tf.size(values, tf.int64) - 1

    def number(places, size):
        places = tf.minimum(tf.expand_dims(places, -1) + tf.range(size, dtype=tf.int64), last)
        weights = tf.constant([256**power for power in range(size)], tf.int64)
        weights = tf.where(is_big_endian, weights[::-1], weights)
        return tf.reduce_sum(tf.gather(values, places) * weights, -1)

    def at(place):
        return tf.constant(place, tf.int64)

    starts_well = is_big_endian | (_slice(exif, at(0), 2) == b"II")
    starts_well &= number(at(2), 2) == 42
    directory = number(at(4), 4)
    entries = directory + 2 + 12 * tf.range(number(directory, 2))
    is_orientation = (number(entries, 2) == _ORIENTATION_TAG) & (number(entries + 2, 2) == _SHORT)
    is_whole = entries + 12 <= last
    found = tf.boolean_mask(number(entries + 8, 2), is_orientation & is_whole)
    orientation = tf.concat([found, [1]], 0)[0]
    is_valid = starts_well & (orientation >= 1) & (orientation <= 8)
    return tf.cast(tf.where(is_valid, orientation, 1), tf.int32)


def is_drawn_in_alpha(image_bytes: bytes) -> bool:
    """Whether all that a PNG shows is in its transparency: one colour, and varied alpha.

    Args:
        image_bytes: a whole PNG or JPEG; not a graph function.
    """
    header = image_bytes[: image_bytes.find(b"IDAT")]
    has_alpha = header.startswith(PNG_START) and (header[25] in (4, 6) or b"tRNS" in header)
    if not has_alpha:
        return False
    pixels = tf.io.decode_png(image_bytes, 4, tf.uint16 if header[24] == 16 else tf.uint8)
    varies = tf.reduce_max(pixels, [0, 1]) > tf.reduce_min(pixels, [0, 1])
    return varies.numpy().tolist() == [False, False, False, True]
