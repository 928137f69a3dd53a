"""Likely mistakes: those that are put in are found, and nothing else."""

import os
import re
from pathlib import Path

import numpy as np
import pytest

from pipelines.labels import alike
from pipelines.labels.checks import find_mistakes, left_right_pairs, parse_swap, robust_z
from pipelines.labels.labelled import LabelledImages
from pipelines.labels.ledger import Row
from pipelines.labels.splits import Split
from rectloc_tf.errors import ConfigError
from tests.label_files import picture, write_picture

NAMES = ("nose", "leftear", "rightear", "tail")
BODY = np.array([[0, -20], [-8, -10], [8, -10], [0, 30]], float)
NAN = float("nan")


def labelled(points, names=NAMES, paths=None):
    points = np.asarray(points, float)
    count = len(points)
    return LabelledImages(
        tuple(paths or (Path(f"{n}.png") for n in range(count))),
        np.full((count, 2), 400),
        points,
        np.where(np.isnan(points[..., 0]), 0, 2).astype(np.uint8),
        tuple(names),
        ("v",) * count,
        tuple(Row(Path("labels.csv"), n + 4) for n in range(count)),
    )


def mice(count=60, seed=0):
    """Bodies turned and moved at random, points off by a pixel or two."""
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi, count)
    cos, sin = np.cos(angles), np.sin(angles)
    turned = np.einsum("kj,nij->nki", BODY, np.array([[cos, -sin], [sin, cos]]).transpose(2, 0, 1))
    return turned + rng.uniform(60, 340, (count, 1, 2)) + rng.normal(0, 1, (count, 4, 2))


def found(points, names=NAMES, pairs=(("leftear", "rightear"),)):
    return [(m.image, m.keypoints) for m in find_mistakes(labelled(points, names), pairs)]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_where_all_is_well(seed):
    points = mice(seed=seed)
    points[::7, seed % 4] = NAN
    assert found(points) == []


@pytest.mark.parametrize("image", [0, 17, 59])
def test_swapped_ears_are_found_however_the_body_is_turned(image):
    points = mice()
    points[image, [1, 2]] = points[image, [2, 1]]
    assert found(points) == [(image, ("leftear", "rightear"))]
    assert found(points, pairs=()) == []
    points[image, 0] = NAN  # the tail sees it too
    assert found(points) == [(image, ("leftear", "rightear"))]
    points[image, 3] = NAN
    assert found(points) == []  # nothing left to see it by


def test_points_that_lie_on_one_side_in_four_of_five_images_say_nothing():
    points = mice()
    points[::5, [1, 2]] = points[::5, [2, 1]]
    assert found(points) == []
    points = mice()
    points[::20, [1, 2]] = points[::20, [2, 1]]
    assert found(points) == [(image, ("leftear", "rightear")) for image in (0, 20, 40)]


def test_points_that_lie_on_both_sides_say_nothing():
    points = mice()
    points[:, [0, 3]] = points[:, [1, 2]].mean(1, keepdims=True) + np.random.default_rng(1).normal(
        0, 20, (60, 2, 2)
    )
    assert found(points) == []


def test_a_point_far_from_the_others_of_its_image_is_found():
    points = mice()
    points[5, 3] = 400 - points[5, 3]
    assert np.linalg.norm(points[5, 3] - points[5, 0]) > 100
    assert found(points) == [(5, ("tail",))]
    text = find_mistakes(labelled(points), ())[0].text
    # 40 px from the middle ear-to-nose, a little more where the body is turned.
    assert re.fullmatch(r"\d{3} px from the middle of the other points, usually 4\d", text)


def test_a_point_far_from_where_it_usually_is_is_found():
    rng = np.random.default_rng(0)
    points = np.array([[100, 200], [150, 210]]) + rng.normal(0, 3, (30, 2, 2))
    points[7, 1] = [160.5, 251.5]
    points[8, 0] = [10.5, 30.5]
    mistakes = find_mistakes(labelled(points, ("a", "b")), ())
    assert [(m.image, m.keypoints) for m in mistakes] == [(8, ("a",)), (7, ("b",))]
    assert mistakes[1].text.startswith("x 160, y 251 is far from where it usually is (x 1")


def test_a_few_images_say_nothing_of_what_is_usual():
    points = mice(7)
    points[3] += 5000
    points[3, [1, 2]] = points[3, [2, 1]]
    assert found(points) == []


def test_keypoints_without_labels_are_passed_over():
    points = mice()
    points[:, 2] = NAN
    points[:30] = NAN
    assert found(points) == []


def test_robust_z():
    z = robust_z(np.array([0, 10, 20, 30, 1000, NAN]))
    np.testing.assert_allclose(z[:5], np.array([20, 10, 0, 10, 980]) / (1.4826 * 10))
    assert np.isnan(z[5])
    assert robust_z(np.array([5, 5, 5, 8.0])).tolist() == [0, 0, 0, 3]


# Pairs.


def test_pairs_differ_by_left_and_right():
    names = ["nose", "leftear", "Eye Right", "rightear", "Eye Left", "RIGHT paw", "left paw"]
    assert left_right_pairs(names) == [("leftear", "rightear"), ("Eye Left", "Eye Right")]
    assert left_right_pairs(["left", "bright", "right"]) == [("left", "right")]


def test_pairs_are_given():
    assert parse_swap(["a:b", "d:c"], "abcd") == [("a", "b"), ("d", "c")]


@pytest.mark.parametrize(
    ("swap", "message"),
    [
        (["a"], "--swap=a: 'a' must be two keypoints, as leftear:rightear"),
        (["a:a"], "--swap=a:a: 'a:a' must be two keypoints"),
        (["a:b:c"], "'a:b:c' must be two keypoints"),
        (["a:x"], "--swap=a:x: no keypoint 'x'; there are a, b, c, d"),
        (["a:b", "b:c"], "--swap=a:b,b:c: b is in two pairs"),
    ],
)
def test_wrong_pairs_are_refused(swap, message):
    with pytest.raises(ConfigError) as caught:
        parse_swap(swap, "abcd")
    assert message in str(caught.value)


# Images that are alike.


def test_copies_are_found_by_their_content(tmp_path):
    paths = [write_picture(tmp_path / f"{n}.png", picture(seed=min(n, 2))) for n in range(4)]
    points = mice(4)
    points[3] = points[2] + [[0, 0], [3, 4], [0, 0], [0, 0]]
    (mistake,) = alike.find_copies(labelled(points, paths=paths))
    assert (mistake.image, mistake.keypoints) == (3, ())
    assert mistake.text == "the same picture as labels.csv row 6, labels up to 5.0 px apart"
    points[3, 0] = NAN
    (mistake,) = alike.find_copies(labelled(points, paths=paths))
    assert mistake.text.endswith("row 6, with other keypoints labelled")
    os.truncate(paths[3], 50)
    assert alike.find_copies(labelled(points, paths=paths)) == []


def test_thumbnails_say_where_it_gets_brighter(tmp_path):
    ramp = np.tile(np.arange(0, 180, dtype=np.uint8), (160, 1))
    half = ramp.copy()
    half[:80] = half[:80, ::-1]
    images = [ramp, ramp[:, ::-1], half, np.repeat(np.repeat(ramp, 3, 0), 3, 1)]
    paths = [write_picture(tmp_path / f"{n}.png", image) for n, image in enumerate(images)]
    paths.append(write_picture(tmp_path / "damaged.png"))
    paths[-1].write_bytes(paths[-1].read_bytes()[:40])
    seen = alike.look_at(paths)
    assert seen.hashes.tolist() == [2**64 - 1, 0, 2**32 - 1, 2**64 - 1, 0]
    assert seen.damaged == (4,)


def test_an_image_of_one_row_has_a_thumbnail_too(tmp_path):
    ramp = np.arange(0, 250, dtype=np.uint8)[None]
    images = [ramp, ramp[:, ::-1], ramp.T]
    paths = [write_picture(tmp_path / f"{n}.png", image) for n, image in enumerate(images)]
    seen = alike.look_at(paths)
    assert (seen.hashes.tolist(), seen.damaged) == ([2**64 - 1, 0, 0], ())


def test_near_identical_images_across_splits_are_found():
    hashes = np.array([0, 0b1111, 0b11111, 2**64 - 1, 0, 0], np.uint64)
    points = np.tile(mice(1), (6, 1, 1))
    points[4] += 40  # the same scene, but the animal is elsewhere
    points[5, 1:] = NAN
    split = Split(np.array([0]), np.array([1, 4]), np.array([2, 3, 5]), np.array([], int), "")
    seen = alike.Thumbnails(hashes, ())
    mistakes = alike.find_near_identical(labelled(points), seen, split)
    assert [(m.image, m.text) for m in mistakes] == [
        (
            1,
            "nearly the same as labels.csv row 4 of the training split; this one is for validation",
        ),
        (5, "nearly the same as labels.csv row 4 of the training split; this one is for test"),
    ]
    assert alike.find_near_identical(labelled(points), alike.Thumbnails(hashes, (0,)), split) == []


def test_decoding_is_cheap_up_to_a_number_of_pixels(monkeypatch):
    data = labelled(mice(3))
    monkeypatch.setattr(alike, "CHEAP", 3 * 400 * 400)
    assert alike.is_cheap(data)
    monkeypatch.setattr(alike, "CHEAP", 3 * 400 * 400 - 1)
    assert not alike.is_cheap(data)
