"""What PNG and JPEG files say of themselves, read without decoding them. No TensorFlow.

Each function takes a seekable binary file and reads a few of its bytes, from any position.
"""

import itertools
import struct
from typing import BinaryIO

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
MAX_PIXELS = 64_000_000  # of an image that we read
MAX_PARTS = 10_000  # segments of a JPEG, or chunks of a PNG, in which Exif data is looked for

_MAX_EXIF_BYTES = 65_535  # what a JPEG segment can hold
_EXIF, _SHORT, _ORIENTATION_TAG = b"Exif\0\0", 3, 0x0112
_START_OF_SCAN, _END_OF_IMAGE, _APP1 = 0xFFDA, 0xFFD9, 0xFFE1
# Frames, baseline and others; C4, C8 and CC are tables.
_FRAMES = {0xFFC0 + number for number in range(16)} - {0xFFC4, 0xFFC8, 0xFFCC}
_TAIL = 1 << 16  # bytes at a JPEG's end in which its last marker usually is


def read_size(file: BinaryIO) -> tuple[int, int]:
    """Width and height of the pixels as they are stored, not turned by EXIF.

    Raises:
        ValueError: if it is neither PNG nor JPEG, or the header is cut off or damaged.
    """
    start = _bytes_at(file, 0, 24)
    if start.startswith(PNG_START):
        if len(start) < 24 or start[12:16] != b"IHDR":
            raise ValueError("truncated or damaged PNG")
        return struct.unpack(">II", start[16:24])
    if start.startswith(JPEG_START):
        for marker, place in _segments(file):
            if marker in _FRAMES:
                frame = _bytes_at(file, place + 5, 4)
                height, width = struct.unpack(">HH", frame) if len(frame) == 4 else (0, 0)
                if height and width:
                    return width, height
        raise ValueError("truncated or damaged JPEG")
    raise ValueError("not a PNG or JPEG file")


def read_channels(file: BinaryIO) -> int:
    """1 if the pixels are grey, 3 if they have colours; transparency does not count.

    Raises:
        ValueError: if it is neither PNG nor JPEG, or has the four colours of print.
    """
    start = _bytes_at(file, 0, 26)
    if start.startswith(PNG_START):
        return 1 if start[25:] in (b"\0", b"\4") else 3
    for marker, place in _segments(file) if start.startswith(JPEG_START) else ():
        if marker in _FRAMES:
            components = _bytes_at(file, place + 9, 1)
            if components == b"\4":
                raise ValueError("a JPEG in CMYK; save it in RGB or grey")
            return 1 if components == b"\1" else 3
    raise ValueError("not a PNG or JPEG file")


def read_orientation(file: BinaryIO) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none or it is not valid.

    The same as `pipelines.image_decoding.exif_orientation`, which is graph ops.
    """
    start = _bytes_at(file, 0, 8)
    if start.startswith(PNG_START):
        return _orientation_in_tiff(_exif_of_png(file))
    if start.startswith(JPEG_START):
        return _orientation_in_tiff(_exif_of_jpeg(file))
    return 1


def is_whole(file: BinaryIO) -> bool:
    """Whether a PNG or JPEG reaches its end mark: files cut short while copying do not."""
    if _bytes_at(file, 0, 8).startswith(PNG_START):
        return any(name == b"IEND" for name, _, _ in _chunks(file))
    scans = [place for marker, place in _segments(file) if marker == _START_OF_SCAN]
    if not scans:
        return False
    # Inside a scan no FF is followed by D9, so the mark cannot be there by chance. Most files end
    # with it; telephones put films behind it.
    length = file.seek(0, 2)
    starts = (max(scans[0], length - _TAIL), scans[0])
    return any(b"\xff\xd9" in _bytes_at(file, start, length) for start in starts)


def _bytes_at(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _chunks(file: BinaryIO):
    """(name, place of the contents, their length) of a PNG's chunks, IEND included.

    There may be tens of thousands: many programs write pixels in chunks of 8 KiB.
    """
    place, name = 8, b""
    while name != b"IEND":
        head = _bytes_at(file, place, 8)
        if len(head) < 8:
            return
        length, name = struct.unpack(">i4s", head)
        if length < 0 or name == bytes(4):
            return
        yield name, place + 8, length
        place += 12 + length  # length, name, contents, checksum


def _segments(file: BinaryIO):
    """(marker, its place) of a JPEG's segments up to its pixels, start of scan included.

    Any byte may be padding, each of which takes a step: no more than `MAX_PARTS` are taken.
    """
    place = 2
    for _ in range(MAX_PARTS):
        head = _bytes_at(file, place, 4)
        marker, length = struct.unpack(">HH", head.ljust(4, b"\0"))
        if marker == 0xFFFF:  # padding
            place += 1
            continue
        if marker < 0xFF01 or marker == _END_OF_IMAGE:
            return
        yield marker, place
        if marker == _START_OF_SCAN:
            return
        place += 2 + length


def _exif_of_png(file: BinaryIO) -> bytes:
    chunks = itertools.islice(_chunks(file), MAX_PARTS)
    found = (at for name, *at in chunks if name == b"eXIf")
    place, length = next(found, (0, 0))
    return _bytes_at(file, place, min(length, _MAX_EXIF_BYTES))


def _exif_of_jpeg(file: BinaryIO) -> bytes:
    for marker, place in _segments(file):
        if marker == _APP1:
            head = _bytes_at(file, place + 2, 8)
            if head[2:] == _EXIF:
                length = int.from_bytes(head[:2], "big")
                return _bytes_at(file, place + 10, max(length - 8, 0))
    return b""


def _orientation_in_tiff(exif: bytes) -> int:
    """The orientation in an Exif block, which is laid out as a TIFF file; 1 if it is not valid."""
    order = "big" if exif[:2] == b"MM" else "little"

    def number(place: int, size: int) -> int:  # zeros where the data has ended
        return int.from_bytes(exif[place : place + size].ljust(size, b"\0"), order)

    if exif[:2] not in (b"MM", b"II") or number(2, 2) != 42:
        return 1
    directory = number(4, 4)
    for entry in range(number(directory, 2)):
        place = directory + 2 + 12 * entry
        if place + 12 > len(exif):
            return 1
        if number(place, 2) == _ORIENTATION_TAG and number(place + 2, 2) == _SHORT:
            orientation = number(place + 8, 2)
            return orientation if 1 <= orientation <= 8 else 1
    return 1
