"""COCO's keypoints: read to the last digit, or refused in one line."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.labels.coco_labels import read_coco_file
from pipelines.labels.label_files import read_label_file
from pipelines.labels.ledger import CONFLICT, MISSING, OUTSIDE, READ, UNLABELLED
from pipelines.labels.read import read_labels
from rectloc_tf.errors import ConfigError, UserError
from tests.conftest import run_ok

MOUSE = {"id": 3, "name": "mouse", "keypoints": ["nose", "tail", "ear"]}


def image(number, name=None, **more):
    return {
        "id": number,
        "file_name": name or f"img{number}.png",
        "width": 60,
        "height": 40,
        **more,
    }


def annotation(number, image_id, keypoints, **more):
    return {"id": number, "image_id": image_id, "category_id": 3, "keypoints": keypoints, **more}


def content(**changes):
    usual = {
        "images": [image(7), image(2)],
        "annotations": [
            annotation(11, 2, [10, 20, 2, 0, 0, 0, 30.25, 5, 1]),
            annotation(12, 7, [1, 2, 2, 3, 4, 2, 5, 6, 2]),
        ],
        "categories": [{"id": 1, "name": "box"}, MOUSE],
    }
    return usual | changes


def write(folder, value, name="labels.json"):
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def read(folder, value, individual=""):
    return read_coco_file(write(folder, value), individual)


def test_keypoints_are_read_in_the_files_order_and_names_match_by_id(tmp_path):
    found = read(tmp_path, content())
    assert found.names == ("nose", "tail", "ear")
    assert found.images == ("img2.png", "img7.png")
    assert (found.numbers, found.unit) == ((11, 12), "annotation")
    nan = np.nan
    np.testing.assert_array_equal(
        found.points,
        [[[10.5, 20.5], [nan, nan], [30.75, 5.5]], [[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]]],
    )
    assert found.visibility.tolist() == [[2, 0, 1], [2, 2, 2]]
    assert found.notes == ()


def test_hidden_keypoints_are_labels_and_what_stands_under_0_is_none(tmp_path):
    """Whole sets are written with 1 throughout; and 0 may stand beside any x and y."""
    keypoints = [9, 9, 1.0, 8, 8, 1, 500, None, 0]
    found = read(tmp_path, content(annotations=[annotation(1, 2, keypoints)]))
    np.testing.assert_array_equal(found.points[0, :2], [[9.5, 9.5], [8.5, 8.5]])
    assert np.isnan(found.points[0, 2]).all()
    assert found.visibility.tolist() == [[1, 1, 0]]


def test_what_may_be_missing_or_wrong_does_not_matter(tmp_path):
    """num_keypoints, area and bbox are of no use here; an annotation may have no keypoints."""
    bare = {"image_id": 2, "category_id": 3}
    wrong = annotation(5, 7, [1, 1, 2] * 3, num_keypoints=99, area="?", bbox=None)
    found = read(tmp_path, content(annotations=[bare, wrong]))
    assert found.numbers == (1, 5)  # the first has no id: its place
    assert found.visibility.tolist() == [[0, 0, 0], [2, 2, 2]]


def test_groups_and_images_without_annotations_are_noted(tmp_path):
    crowd = annotation(13, 7, [1, 1, 2] * 3, iscrowd=1)
    images = [*content()["images"], image(4), image(5)]
    annotations = [content()["annotations"][0], crowd]
    found = read(tmp_path, content(images=images, annotations=annotations))
    assert found.numbers == (11,)
    assert [note.split(": ")[1] for note in found.notes] == [
        "1 groups of several animals (iscrowd) left out", "2 images without an annotation",
    ]  # fmt: skip


def test_one_of_several_categories_is_chosen(tmp_path):
    rat = {"id": 4, "name": "rat", "keypoints": ["snout"]}
    both = content(categories=[MOUSE, rat])
    both["annotations"].append({"id": 13, "image_id": 7, "category_id": 4, "keypoints": [3, 3, 2]})
    found = read(tmp_path, both, "rat")
    assert (found.names, found.numbers) == (("snout",), (13,))
    # The other image has an annotation, though of another category.
    assert found.notes == (f"{found.path}: 2 annotations of other categories left out",)
    assert read(tmp_path, both, "mouse").numbers == (11, 12)
    with pytest.raises(ConfigError, match="several categories; choose one with --individual"):
        read(tmp_path, both)
    with pytest.raises(ConfigError, match=r"--individual=cat.*no such category.*mouse, rat"):
        read(tmp_path, both, "cat")


DAMAGED = {
    "not JSON": ("{", r"line 1, column 2: damaged JSON"),
    "a list": ("[]", "no list 'images'"),
    "no categories": (content(categories=None), "no list 'categories'"),
    "boxes only": (content(categories=[{"id": 3, "name": "mouse"}]), "no category has keypoints"),
    "keypoints of a category": (
        content(categories=[{**MOUSE, "keypoints": ["a", "a"]}]), "keypoint names must differ",
    ),
    "names that are numbers": (
        content(categories=[{**MOUSE, "keypoints": [1, 2]}]), "keypoints must be a list of names",
    ),
    "no file name": (content(images=[{"id": 2}]), "image 2 has no 'file_name'"),
    "an empty file name": (content(images=[image(2, " ")]), "file_name ' ' is not a path"),
    "two of an id": (content(images=[image(2), image(2)]), "two images have the id 2"),
    "no category": (
        content(annotations=[{**annotation(1, 2, [1, 1, 2] * 3), "category_id": 9}]),
        r"annotation 1: no category has the id 9 \(category_id\)",
    ),
    "no image": (content(images=[image(7)]), "annotation 11: no image has the id 2"),
    "an id in brackets": (content(images=[image([2])]), "'id' must be a number or a string"),
    "too few numbers": (
        content(annotations=[annotation(1, 2, [1, 2, 2])]),
        r"annotation 1: keypoints must be 9 numbers \(x, y, v of each\): 3",
    ),
    "a text": (
        content(annotations=[annotation(1, 2, ["1", 2, 2] * 3)]), "keypoints: '1' is not a number",
    ),
    "v of 3": (
        content(annotations=[annotation(1, 2, [1, 2, 3] * 3)]), "keypoint 1: v is 3; must be 0, 1",
    ),
    "no x": (
        content(annotations=[annotation(1, 2, [None, 2, 2] * 3)]), "v is 2, but x or y is missing",
    ),
    "endless": (
        content(annotations=[annotation(1, 2, [10**400, 2, 2] * 3)]), "but x or y is missing",
    ),
    "not a number": (
        '{"images": [{"id": 2, "file_name": "a"}], "categories": [{"id": 3, "keypoints": ["a"]}],'
        ' "annotations": [{"image_id": 2, "category_id": 3, "keypoints": [NaN, 1, 2]}]}',
        "annotation 1: keypoint 1: v is 2, but x or y is missing",
    ),
    "no annotations": (content(annotations=[]), "no annotation of 'mouse' with keypoints"),
    "annotations of texts": (content(annotations=["a"]), "annotation 1: must be an object"),
    "a long number": ('{"images": ' + 5000 * "9" + "}", "a number of thousands of digits"),
    "nested": ("[" * 200_000, "nested too deeply|damaged JSON"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGED)
def test_what_is_damaged_is_named_in_one_line(tmp_path, what):
    value, message = DAMAGED[what]
    path = write(tmp_path, value)
    with pytest.raises(UserError, match=message) as caught:
        read_label_file(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(str(path))


@settings(deadline=None, max_examples=60)
@given(st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["images", "annotations", "categories", "id", "keypoints", "file_name"]),
        inner, max_size=4,
    ),
    max_leaves=12,
))  # fmt: skip
def test_any_json_is_read_or_refused(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    try:
        read_coco_file(path)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("start", ["", "\ufeff", "\n  "])
def test_the_format_is_detected_from_the_content(tmp_path, start):
    path = tmp_path / "labels.txt"
    path.write_bytes((start + json.dumps(content())).encode())
    assert read_label_file(path).unit == "annotation"


def test_every_label_is_accounted_for(tmp_path):
    for name in ("img2.png", "img7.png", "img9.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((40, 60), np.uint8))
    path = write(tmp_path, content(
        images=[image(2), image(7), image(8), image(9)],
        annotations=[
            annotation(11, 2, [10, 20, 2, 0, 0, 0, 60, 5, 1]),
            annotation(12, 7, [1, 2, 2] * 3), annotation(13, 7, [1, 2, 2, 1, 2, 2, 1, 3, 2]),
            annotation(14, 8, [1, 2, 2] * 3), annotation(15, 9, [59, 39, 2] * 3),
        ],
    ))  # fmt: skip
    data, ledger = read_labels(str(path))
    assert {kind: count.labels for kind, count in ledger.counts().items()} == {
        READ: 4, CONFLICT: 6, MISSING: 3, OUTSIDE: 1, UNLABELLED: 1,
    }  # fmt: skip
    assert [p.name for p in data.paths] == ["img2.png", "img9.png"]
    assert f"{path} annotation 11, ear: outside the image" in "\n".join(ledger.lines())
    assert str(data.rows[1]) == f"{path} annotation 15"


def test_check_labels_reads_coco(tmp_path):
    for name in ("img2.png", "img7.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((40, 60), np.uint8))
    path = write(tmp_path, content())
    said = run_ok("check_labels", f"--data={path}", f"--output={tmp_path / 'sheet.png'}")
    assert "images: 2, 60 x 40 (2)" in said
    assert (tmp_path / "sheet.png").exists()
