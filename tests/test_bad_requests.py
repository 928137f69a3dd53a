"""A hundred bad requests to a served model: each is refused, and the next good one answered."""

import resource
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

from tests.exported import export_model
from tests.test_bad_images import ANSWERED, JPEG, NOISE, PNG, REFUSED, middle_model, png, saved
from tests.training import small_head

RNG = np.random.default_rng(0)
MODERATE = 512 * 2**10  # KiB


@pytest.fixture(scope="module")
def signatures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    loaded = tf.saved_model.load(str(export_model(middle_model(), small_head("xy"), folder)))
    return loaded.signatures


def bad_images():
    """Arguments of `serving_default` that it must refuse."""
    shapes = [
        (), (64,), (64, 64), (64, 64, 3), (1, 64, 64), (1, 1, 64, 64, 3), (2, 2, 2, 2, 2, 3),
        (1, 64, 64, 0), (1, 64, 64, 2), (1, 64, 64, 4), (1, 64, 64, 5), (1, 3, 64, 64),
        (1, 64, 3, 64), (0, 64, 64, 2), (1, 1, 1, 100_000), (0, 0, 0, 0), (1, 0, 0, 0),
    ]  # fmt: skip
    yield from ({"images": tf.zeros(shape, tf.uint8)} for shape in shapes)
    good = (1, 64, 64, 3)
    types = [tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.int16, tf.uint16,
             tf.int32, tf.int64, tf.uint32, tf.uint64, tf.bool, tf.complex64]  # fmt: skip
    yield from ({"images": tf.cast(tf.zeros(good), dtype)} for dtype in types)
    yield {"images": tf.constant("text")}
    yield {"images": tf.fill(good, "text")}
    yield {"images": tf.ragged.constant([[1], [1, 2]], tf.uint8)}
    yield {"images": tf.sparse.from_dense(tf.zeros(good, tf.uint8))}
    yield {"images": None}
    yield {}
    yield {"pictures": tf.zeros(good, tf.uint8)}
    yield {"images": tf.zeros(good, tf.uint8), "size": tf.constant(64)}
    yield {"image_bytes": tf.constant([PNG])}


def bomb(width, height, colour=0, bits=1):
    """A few kilobytes that are millions of pixels."""
    samples = {0: 1, 2: 3, 6: 4}[colour]
    row = bytes(1 + -(-width * bits * samples // 8))
    packed = zlib.compressobj(9)
    data = b"".join(packed.compress(row) for _ in range(height)) + packed.flush()
    start, end = png(width, height, b"", bits, colour).split(b"IDAT")
    return start[:-4] + struct.pack(">I", len(data)) + b"IDAT" + data + end[-16:]


def bad_bytes():
    """Arguments of `encoded` that it must refuse."""
    yield from ({"image_bytes": tf.constant([data])} for data, *_ in REFUSED.values())
    yield {"image_bytes": tf.constant([bomb(13_000, 13_000)])}
    yield {"image_bytes": tf.constant([PNG, b"", PNG])}
    yield {"image_bytes": tf.constant([PNG] * 20 + [JPEG[:600]])}
    yield {"image_bytes": tf.constant([saved("GIF", save_all=True)])}
    yield from (
        {"image_bytes": tf.constant([RNG.bytes(n)])} for n in (1, 2, 3, 4, 7, 8, 9, 24, 25, 4000)
    )
    starts = (PNG[:8], PNG[:24], PNG[:33], JPEG[:3], JPEG[:30])
    yield from ({"image_bytes": tf.constant([start + RNG.bytes(4000)])} for start in starts)
    yield {"image_bytes": tf.constant(PNG)}
    yield {"image_bytes": tf.constant([[PNG]])}
    yield {"image_bytes": tf.zeros([1, 64, 64, 3], tf.uint8)}
    yield {"image_bytes": tf.constant([1.0])}
    yield {"image_bytes": tf.constant([1])}
    yield {"image_bytes": tf.ragged.constant([[PNG], []])}
    yield {"image_bytes": None}
    yield {}
    yield {"images": tf.constant([PNG])}


def test_bad_requests_are_refused_and_a_good_one_is_answered_as_before(signatures):
    images, names = tf.constant(NOISE[None]), [*ANSWERED]
    good = {
        "serving_default": {"images": images},
        "encoded": {"image_bytes": tf.constant([ANSWERED[name][0] for name in names])},
    }
    before = {kind: signatures[kind](**request) for kind, request in good.items()}
    sizes = np.array([ANSWERED[name][1:] for name in names], float)
    np.testing.assert_allclose(before["encoded"]["center_xy"], sizes[:, ::-1] / 2, rtol=1e-6)
    bad = [("serving_default", request) for request in bad_images()]
    bad += [("encoded", request) for request in bad_bytes()]
    assert len(bad) >= 100
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, (kind, request) in enumerate(bad):
        with pytest.raises((tf.errors.OpError, TypeError, ValueError)):
            signatures[kind](**request)
            pytest.fail(f"answered: {kind} {number} {str(request)[:200]}")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < MODERATE
    for kind, request in good.items():
        answers = signatures[kind](**request)
        for name, value in before[kind].items():
            np.testing.assert_array_equal(answers[name], value)


def test_the_limit_is_named(signatures):
    for data in (png(60_000, 60_000, b""), bomb(13_000, 13_000), b"GIF89a"):
        with pytest.raises(tf.errors.InvalidArgumentError, match="1 to 64,000,000 pixels"):
            signatures["encoded"](image_bytes=tf.constant([data]))


def test_none_and_empty_images_are_answered(signatures):
    answers = signatures["encoded"](image_bytes=tf.constant([], tf.string))
    assert answers["center_xy"].shape == (0, 2)
    answers = signatures["serving_default"](images=tf.zeros([0, 50, 60, 3], tf.uint8))
    assert answers["center_xy"].shape == (0, 2)
