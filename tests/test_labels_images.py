"""Images of labels: where they are found, what is left out, and how that is reported."""

import dataclasses
import os
import struct
import unicodedata
import zlib

import cv2
import numpy as np
import pytest

from pipelines.labels import find_images
from pipelines.labels.labelled import LabelledImages
from pipelines.labels.ledger import Row
from pipelines.labels.read import find_label_files, read_labels
from rectloc_tf.errors import ConfigError, UserError
from tests.label_files import header, picture, write_csv, write_picture, write_project

NAN = float("nan")
A = header(["a"])


def read(*data, **options):
    return read_labels(",".join(map(str, data)), **options)


def counts(ledger):
    return {kind: tuple(count) for kind, count in ledger.counts().items()}


def with_exif(data, orientation):
    """PNG or JPEG bytes that are to be turned."""
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIHH", 1, 0x0112, 3, 1, orientation, 0) + bytes(4)
    if data.startswith(b"\x89PNG"):
        checksum = struct.pack(">I", zlib.crc32(b"eXIf" + tiff))
        return data[:33] + struct.pack(">I", len(tiff)) + b"eXIf" + tiff + checksum + data[33:]
    segment = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


# Projects.


def test_folders_of_one_name_that_have_images_of_one_name_are_told_apart(tmp_path):
    for place, count in (("monday", 2), ("tuesday", 2), ("other", 1)):
        rows = [[f"images/{n}.png", 1 + n, 2] for n in range(count)]
        write_csv(tmp_path / place / "a.csv", [*A, *rows])
        for n in range(count):
            write_picture(tmp_path / place / "images" / f"{n}.png")
    write_csv(tmp_path / "other" / "b.csv", [*A, ["videos/9.png", 1, 2]])
    write_picture(tmp_path / "other" / "videos" / "9.png")
    files = [tmp_path / name for name in ("monday/a.csv", "tuesday/a.csv", "other/b.csv")]
    data, ledger = read(*files)
    assert data.groups == ("monday/images",) * 2 + ("tuesday/images",) * 2 + ("videos",)
    assert len({*data.keys}) == 5
    assert counts(ledger) == {"read": (5, 5)}
    alone, _ = read(files[0])  # as long as nothing is to be told apart, names stay short
    assert alone.groups == ("images",) * 2
    # Nor are folders whose images have names of their own.
    data, _ = read(files[0], tmp_path / "other" / "b.csv")
    assert data.groups == ("images", "images", "videos")
    # A folder inside the other one of its name.
    write_csv(tmp_path / "monday" / "images" / "a.csv", [*A, ["images/0.png", 1, 2]])
    write_picture(tmp_path / "monday" / "images" / "images" / "0.png")
    data, _ = read(files[0], tmp_path / "monday" / "images" / "a.csv")
    assert data.keys == ("images/0.png", "images/1.png", "images/images/0.png")


def test_a_project(tmp_path):
    labels = [["1", "2", "", ""], ["3.25", "4", "39", "29"], ["", "", "5", "6"]]
    path = write_project(tmp_path, labels)
    data, ledger = read(path)
    assert data.paths == tuple(path.parent / f"img{n}.png" for n in range(3))
    assert data.sizes.tolist() == [[40, 30]] * 3
    expected = [[[1.5, 2.5], [NAN] * 2], [[3.75, 4.5], [39.5, 29.5]], [[NAN] * 2, [5.5, 6.5]]]
    np.testing.assert_array_equal(data.points, expected)
    assert data.visibility.tolist() == [[2, 0], [2, 2], [0, 2]]
    assert (data.names, data.groups) == (("nose", "tail"), ("v", "v", "v"))
    assert data.rows == tuple(Row(path, number) for number in (4, 5, 6))
    assert data.keys == ("v/img0.png", "v/img1.png", "v/img2.png")
    assert counts(ledger) == {"read": (4, 3), "no label": (2, 2)}
    assert ledger.lines() == [
        f"{path} row 4, tail: no label (labeled-data/v/img0.png)",
        f"{path} row 6, nose: no label (labeled-data/v/img2.png)",
    ]
    assert (len(data), data.points.dtype, data.sizes.dtype) == (3, np.float64, np.int64)


def test_several_files_are_joined_by_the_names_of_their_keypoints(tmp_path):
    first = write_project(tmp_path, [["1", "2", "3", "4"]], video="v1")
    second = write_project(tmp_path, [["5", "6", "7", "8"]], ("tail", "nose"), video="v2")
    for data, _ in (read(tmp_path), read(first, second)):
        assert data.names == ("nose", "tail")
        assert data.points.tolist() == [[[1.5, 2.5], [3.5, 4.5]], [[7.5, 8.5], [5.5, 6.5]]]
        assert data.groups == ("v1", "v2")
    assert read(second, first)[0].names == ("tail", "nose")


def test_files_with_other_keypoints_are_refused(tmp_path):
    first = write_project(tmp_path, [["1", "2", "3", "4"]], video="v1")
    second = write_project(tmp_path, [["5", "6", "7", "8"]], ("nose", "Tail"), video="v2")
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"{second}: other keypoints than in {first}: without tail and with Tail; all files must "
        "have the same"
    )


def test_keypoints_are_chosen(tmp_path):
    path = write_project(tmp_path, [["1", "2", "", ""], ["3", "4", "5", "6"]], ("a", "b, left"))
    data, ledger = read(path, keypoints="b, left,a")
    assert data.names == ("b, left", "a")
    assert data.points[1].tolist() == [[5.5, 6.5], [3.5, 4.5]]
    data, ledger = read(path, keypoints=["b, left"])
    assert data.points.tolist() == [[[5.5, 6.5]]]
    assert counts(ledger) == {"read": (1, 1), "not chosen": (2, 2), "no label": (1, 1)}


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        ("nose,ear", "--keypoints=nose,ear: no keypoint 'ear'; there are nose, tail"),
        ("nose,nose", "--keypoints=nose,nose: nose is listed twice"),
        (",", "--keypoints=: empty; there are nose, tail"),
    ],
)
def test_an_unknown_keypoint_is_refused(tmp_path, keypoints, message):
    path = write_project(tmp_path, [["1", "2", "3", "4"]])
    with pytest.raises(ConfigError) as caught:
        read(path, keypoints=keypoints)
    assert str(caught.value) == message


def test_a_folder_leaves_out_deeplabcuts_copies_and_says_so(tmp_path):
    path = write_project(tmp_path, [["1", "2", "3", "4"]])
    copy = tmp_path / "training-datasets" / "iteration-0" / "CollectedData_me.csv"
    write_csv(copy, [])
    assert find_label_files(str(tmp_path)) == (
        [path],
        [f"{copy}: left out, DeepLabCut's copy of other label files"],
    )
    assert read(tmp_path)[1].notes == (f"{copy}: left out, DeepLabCut's copy of other label files",)
    assert find_label_files(str(copy))[0] == [copy]


def test_data_may_hold_commas_and_name_a_file_twice(tmp_path):
    path = write_project(tmp_path / "a, b", [["1", "2", "3", "4"]])
    other = write_project(tmp_path / "c", [["1", "2", "3", "4"]])
    found, _ = find_label_files(f"{path},{other},{path.parent},")
    assert found == [path, other]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.csv", "no such file or folder: "),
        ("v.csv,none.csv", "no such file or folder: none.csv"),
        ("", "no CollectedData*.csv in this folder; name the file"),
    ],
)
def test_data_that_is_not_there(tmp_path, monkeypatch, name, message):
    write_csv(tmp_path / "v.csv", A)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        find_label_files(name or str(tmp_path))
    assert message in str(caught.value)
    assert str(caught.value).startswith("--data=")


# Where images are.


@pytest.mark.parametrize(
    ("written", "lies", "labels"),
    [
        ("labeled-data/v/i.png", "labeled-data/v/i.png", "labeled-data/v/CollectedData.csv"),
        ("labeled-data/v/i.png", "labeled-data/v/i.png", "CollectedData.csv"),
        ("labeled-data/v/i.png", "labeled-data/v/i.png", "deep/er/labels.csv"),
        ("labeled-data/v/i.png", "v/i.png", "v/labels.csv"),
        ("labeled-data/v/i.png", "v/i.png", "labels.csv"),
        ("labeled-data/v/i.png", "other/i.png", "other/labels.csv"),
        ("C:\\Users\\me\\labeled-data\\v\\i.png", "v/i.png", "v/labels.csv"),
        ("/home/me/project/labeled-data/v/i.png", "data/labeled-data/v/i.png", "labels.csv"),
        ("i.png", "below/i.png", "labels.csv"),
        ("../v/./i.png", "v/i.png", "labels/labels.csv"),
        ("labeled-data/vidéo [1]/i (2).png", "labeled-data/vidéo [1]/i (2).png", "labels.csv"),
    ],
)
def test_an_image_is_found_by_the_longest_end_of_its_path(tmp_path, written, lies, labels):
    image = write_picture(tmp_path / lies)
    write_picture(tmp_path / "labeled-data" / "w" / "i.png")  # of the same name
    if "v/" not in labels and not lies.startswith("labeled-data"):
        (tmp_path / "labeled-data" / "w" / "i.png").unlink()
    path = write_csv(tmp_path / labels, [*A, [written, "1", "2"]])
    data, ledger = read(path)
    assert [os.path.realpath(found) for found in data.paths] == [str(image)], ledger.lines()


def test_images_root_names_another_place(tmp_path):
    image = write_picture(tmp_path / "images" / "v" / "i.png")
    decoy = write_picture(tmp_path / "labels" / "labeled-data" / "v" / "i.png")
    rows = [["labeled-data/v/i.png", "1", "2"], [str(decoy), "1", "2"]]
    path = write_csv(tmp_path / "labels" / "labels.csv", [*A, rows[0]])
    assert read(path)[0].paths == (decoy,)
    assert read(path, images_root=str(tmp_path / "images"))[0].paths == (image,)
    absolute = write_csv(tmp_path / "labels" / "absolute.csv", [*A, rows[1]])
    assert read(absolute)[0].paths == (decoy,)
    assert read(absolute, images_root=str(tmp_path / "images"))[0].paths == (image,)
    with pytest.raises(ConfigError, match=r"^--images_root=nowhere: no such folder"):
        read(path, images_root="nowhere")


def test_an_image_of_the_same_name_in_another_folder_is_no_match(tmp_path):
    write_picture(tmp_path / "labeled-data" / "w" / "img0.png")
    path = write_csv(tmp_path / "labels.csv", [*A, ["labeled-data/v/img0.png", "1", "2"]])
    data, ledger = read(path)
    assert len(data) == 0
    assert data.points.shape == (0, 1, 2)
    assert ledger.lines() == [f"{path} row 4, a: image missing (labeled-data/v/img0.png)"]


def test_a_tree_is_listed_once_for_all_label_files(tmp_path, monkeypatch):
    listed = []
    monkeypatch.setattr(find_images, "folders_below", lambda root: listed.append(root) or [root])
    for name in ("v", "w"):
        (tmp_path / "labeled-data" / name).mkdir(parents=True)
        rows = [[f"labeled-data/{name}/{n}.png", "1", "2"] for n in range(3)]
        write_csv(tmp_path / "labeled-data" / name / "CollectedData.csv", [*A, *rows])
    assert counts(read(tmp_path)[1]) == {"image missing": (6, 6)}
    assert listed == [str(tmp_path)]


def test_upper_and_lower_case_differ(tmp_path):
    write_picture(tmp_path / "v" / "Img.png")
    path = write_csv(tmp_path / "v" / "labels.csv", [*A, ["labeled-data/v/img.png", "1", "2"]])
    assert counts(read(path)[1]) == {"image missing": (1, 1)}


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_may_be_written_in_either_way(tmp_path, forms):
    written, lies = (unicodedata.normalize(form, "vidéo/bär.png") for form in forms)
    image = write_picture(tmp_path / lies)
    path = write_csv(tmp_path / "labels.csv", [*A, [written, "1", "2"]])
    assert read(path)[0].paths == (image,)


def test_two_images_that_suit_equally_well_are_named(tmp_path):
    first, second = (write_picture(tmp_path / name / "v" / "i.png") for name in ("old", "raw"))
    path = write_csv(tmp_path / "labels.csv", [*A, ["labeled-data/v/i.png", "1", "2"]])
    with pytest.raises(UserError) as caught:
        read(path)
    assert str(caught.value) == (
        f"{path} row 4, column 1: labeled-data/v/i.png: {first} and {second} match equally well; "
        "give their folder with --images_root"
    )
    assert read(path, images_root=str(tmp_path / "raw"))[0].paths == (second,)


def test_two_ways_to_one_file_are_not_ambiguous(tmp_path):
    image = write_picture(tmp_path / "raw" / "v" / "i.png")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "v").symlink_to(image.parent)
    (tmp_path / "linked" / "round").symlink_to(tmp_path)
    path = write_csv(tmp_path / "labels.csv", [*A, ["labeled-data/v/i.png", "1", "2"]])
    assert [found.samefile(image) for found in read(path)[0].paths] == [True]


def test_an_image_outranks_one_that_has_less_of_its_path(tmp_path):
    image = write_picture(tmp_path / "copy" / "labeled-data" / "v" / "i.png")
    write_picture(tmp_path / "v" / "i.png")
    path = write_csv(tmp_path / "labels.csv", [*A, ["x/labeled-data/v/i.png", "1", "2"]])
    assert read(path)[0].paths == (image,)


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("labeled-data/v/i.png", "v"),
        ("C:\\p\\labeled-data\\mouse\\day 1\\i.png", "mouse/day 1"),
        ("labeled-data/i.png", "labeled-data"),
        ("frames/v/i.png", "frames/v"),
        ("/frames/v/i.png", "frames/v"),
        ("../v/i.png", "v"),
        ("i.png", "here"),
    ],
)
def test_the_group_is_the_folder_that_the_label_file_names(tmp_path, name, group):
    write_picture(tmp_path / "here" / "i.png")
    path = write_csv(tmp_path / "here" / "labels.csv", [*A, [name, "1", "2"]])
    assert read(path)[0].groups == (group,)


# Sizes.


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_those_that_people_see(tmp_path, suffix, orientation):
    image = write_picture(tmp_path / f"i{suffix}")
    image.write_bytes(with_exif(image.read_bytes(), orientation))
    path = write_csv(tmp_path / "labels.csv", [*A, [image.name, "1", "2"]])
    height, width = cv2.imread(str(image)).shape[:2]
    assert (width, height) == ((30, 40) if orientation >= 5 else (40, 30))
    assert read(path)[0].sizes.tolist() == [[width, height]]


def test_images_of_several_sizes_and_colours(tmp_path):
    rows = []
    for number, (size, channels) in enumerate([((40, 30), 3), ((20, 50), 1), ((20, 50), 4)]):
        write_picture(tmp_path / f"i{number}.png", picture(*size, channels=channels))
        rows.append([f"i{number}.png", "19", "29"])
    data, _ = read(write_csv(tmp_path / "labels.csv", [*A, *rows]))
    assert data.sizes.tolist() == [[40, 30], [20, 50], [20, 50]]


# What is left out.


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "not a PNG or JPEG file"),
        (lambda data: b"GIF89a" + bytes(99), "not a PNG or JPEG file"),
        (lambda data: data[:20], "truncated or damaged"),
        (lambda data: data[:-20], "cut off before its end"),
        (lambda data: data[: len(data) // 2], "cut off before its end"),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_an_unreadable_image_is_reported(tmp_path, suffix, damage, message):
    good, bad = (write_picture(tmp_path / f"{name}{suffix}") for name in ("good", "bad"))
    bad.write_bytes(damage(bad.read_bytes()))
    rows = [[bad.name, "1", "2"], [good.name, "1", "2"]]
    path = write_csv(tmp_path / "labels.csv", [*A, *rows])
    data, ledger = read(path)
    assert data.paths == (good,)
    assert counts(ledger) == {"read": (1, 1), "image unreadable": (1, 1)}
    (line,) = ledger.lines()
    assert line.startswith(f"{path} row 4, a: image unreadable ({bad}: {message}")


def test_an_image_that_is_too_large_is_reported(tmp_path):
    image = write_picture(tmp_path / "i.png")
    data = bytearray(image.read_bytes())
    data[16:24] = struct.pack(">II", 10_000, 10_000)
    image.write_bytes(data)
    path = write_csv(tmp_path / "labels.csv", [*A, ["i.png", "1", "2"]])
    assert "10000 x 10000 pixels; the limit is 64,000,000" in read(path)[1].lines()[0]


@pytest.mark.parametrize(
    ("x", "y", "inside"),
    [
        ("-0.5", "-0.5", True),
        ("39.5", "29.5", True),
        ("-0.51", "3", False),
        ("3", "29.51", False),
        ("400", "3", False),
        ("3", "-9", False),
    ],
)
def test_a_label_outside_the_image_is_left_out_and_reported(tmp_path, x, y, inside):
    path = write_project(tmp_path, [["1", "2", x, y]])
    data, ledger = read(path)
    assert data.visibility.tolist() == [[2, 2 if inside else 0]]
    assert np.isnan(data.points[0, 1]).all() == (not inside)
    told = f"{path} row 4, tail: outside the image (x {x}, y {y}; the image is 40 x 30)"
    assert ledger.lines() == ([] if inside else [told])
    assert counts(ledger).get("outside the image") == (None if inside else (1, 1))


def test_images_without_a_label_are_left_out_and_reported(tmp_path):
    path = write_project(tmp_path, [["", "", "", ""], ["1", "2", "3", "4"], ["-9", "1", "", ""]])
    data, ledger = read(path)
    assert [found.name for found in data.paths] == ["img1.png"]
    assert counts(ledger) == {"read": (2, 1), "outside the image": (1, 1), "no label": (3, 2)}


def test_an_image_that_is_labelled_twice(tmp_path):
    path = write_project(tmp_path, [["1", "2", "", ""], ["3", "4", "5", "6"]])
    text = path.read_text()
    name, other = "labeled-data/v/img0.png", "labeled-data\\v\\img1.png"
    path.write_text(text + f"{name},1.0,2,,\n{other},3,4,5,7\n")
    data, ledger = read(path)
    assert [found.name for found in data.paths] == ["img0.png"]
    assert counts(ledger) == {
        "read": (1, 1),
        "image twice, with different labels": (4, 2),
        "image twice, with the same labels": (1, 1),
        "no label": (2, 2),
    }
    assert ledger.lines(3) == [
        f"{path} row 5, nose, tail: image twice, with different labels (img1.png; {path} row 7)",
        f"{path} row 7, nose, tail: image twice, with different labels (img1.png; {path} row 5)",
        f"{path} row 6, nose: image twice, with the same labels ({path} row 4)",
        "... and 2 more",
    ]


def test_every_label_of_every_file_is_accounted_for_once(tmp_path):
    rng = np.random.default_rng(3)
    names = ["a", "b", "c"]
    for video in ("v1", "v2"):
        rows = header(names)
        for number in range(40):
            cells = []
            for _ in names:
                x, y = rng.integers(-5, 45), rng.integers(-5, 35)
                cells += [x, y] if rng.random() < 0.7 else ["", ""]
            name = f"labeled-data/{video}/i{rng.integers(30)}.png"
            if number % 5:
                image = write_picture(tmp_path / name)
                if number % 7 == 0:
                    image.write_bytes(b"none")
            rows.append([name, *cells])
        write_picture(tmp_path / "labeled-data" / video / "twice.png")
        rows += [[f"labeled-data/{video}/twice.png", "1", "2", "3", "4", "", ""]] * 2
        write_csv(tmp_path / "labeled-data" / video / "CollectedData.csv", rows)
    data, ledger = read(tmp_path, keypoints="c,a")
    found = [(e.row, name) for e in ledger.entries for name in e.keypoints]
    assert len(found) == len(set(found)) == 2 * 42 * 3
    assert sum(count.labels for count in ledger.counts().values()) == 2 * 42 * 3
    assert len(ledger.counts()) == 8  # each kind
    assert ledger.counts()["read"] == ((data.visibility > 0).sum(), len(data))
    assert [e.row for e in ledger.entries] == sorted(e.row for e in ledger.entries)


# What becomes of them.


def made(**changes):
    points = np.arange(12, dtype=float).reshape(3, 2, 2)
    points[1, 0] = np.nan
    visibility = np.array([[2, 1], [0, 2], [2, 2]], np.uint8)
    fields = {
        "paths": changes.pop("paths"),
        "sizes": np.array([[40, 30]] * 3),
        "points": points,
        "visibility": visibility,
        "names": ("a", "b"),
        "groups": ("v", "v", "w"),
        "rows": tuple(Row("labels.csv", number) for number in (4, 5, 6)),
    }
    return LabelledImages(**fields | changes)


@pytest.fixture
def paths(tmp_path):
    return tuple(write_picture(tmp_path / f"{n}.png", picture(seed=n)) for n in range(3))


def test_images_are_selected(paths):
    data = made(paths=paths)
    some = data.select(np.array([2, 0]))
    assert some.paths == (paths[2], paths[0])
    assert some.points.tolist() == [[[8, 9], [10, 11]], [[0, 1], [2, 3]]]
    assert (some.visibility.tolist(), some.groups) == ([[2, 2], [2, 1]], ("w", "v"))
    assert [row.number for row in some.rows] == [6, 4]
    assert some.sizes.shape == (2, 2)


def test_labels_are_frozen(paths):
    with pytest.raises(dataclasses.FrozenInstanceError):
        made(paths=paths).names = ("c", "d")
