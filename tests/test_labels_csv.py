"""Label files of DeepLabCut and Lightning Pose: what stands in them, and what is wrong."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.labels.csv_labels import read_csv_file
from pipelines.labels.label_files import read_label_file
from rectloc_tf.errors import ConfigError, UserError
from tests.label_files import header, write_csv

NAN = float("nan")
AB = header(["a", "b"])


def read(tmp_path, rows, individual="", **options):
    return read_csv_file(write_csv(tmp_path / "labels.csv", rows, **options), individual)


# What is read.


def test_coordinates_are_those_of_the_file_from_the_corner(tmp_path):
    rows = [["v/i0.png", "0", "1", "250.05599999999998", "-2.5e1"], ["v/i1.png", "", "", "7", "8"]]
    found = read(tmp_path, [*AB, *rows])
    assert found.images == ("v/i0.png", "v/i1.png")
    assert found.numbers == (4, 5)
    assert found.names == ("a", "b")
    expected = [[[0.5, 1.5], [250.05599999999998 + 0.5, -24.5]], [[NAN, NAN], [7.5, 8.5]]]
    np.testing.assert_array_equal(found.points, expected)
    assert found.points.dtype == np.float64
    assert found.visibility.tolist() == [[2, 2], [0, 2]]
    assert found.visibility.dtype == np.uint8
    assert (found.not_chosen, found.has_likelihood) == ((), False)


def test_three_cells_name_the_image(tmp_path):
    rows = [*header(["a"], index=3), ["labeled-data", "my video", "i0.png", "3", "4"]]
    found = read(tmp_path, rows)
    assert found.images == ("labeled-data/my video/i0.png",)
    assert found.points.tolist() == [[[3.5, 4.5]]]


def test_lightning_pose_says_what_is_occluded(tmp_path):
    rows = header(["a", "b"], coords=("x", "y", "visible"))
    rows += [
        ["i0.png", "1", "2", "2", "3", "4", "1.0"],
        ["i1.png", "1", "2", "0", "", "", "1"],
        ["i2.png", "1", "2", "", "", "", ""],
    ]
    found = read(tmp_path, rows)
    assert found.visibility.tolist() == [[2, 1], [0, 0], [2, 0]]
    expected = [[[1.5, 2.5], [3.5, 4.5]], [[NAN] * 2, [NAN] * 2], [[1.5, 2.5], [NAN] * 2]]
    np.testing.assert_array_equal(found.points, expected)


@pytest.mark.parametrize("empty", ["", " ", "nan", "NaN", "NA", "null"])
def test_empty_cells_are_missing_labels(tmp_path, empty):
    found = read(tmp_path, [*AB, ["i.png", empty, empty, "1", "2"]])
    assert found.visibility.tolist() == [[0, 2]]


def test_columns_are_found_by_name_whatever_their_order(tmp_path):
    rows = [
        ["scorer", "you", "me", "me", "you"],
        ["bodyparts", "b", "a", "a", "b"],
        ["coords", "y", "y", "x", "x"],
        ["i.png", "1", "2", "3", "4"],
    ]
    found = read(tmp_path, rows)
    assert found.names == ("b", "a")
    assert found.points.tolist() == [[[4.5, 1.5], [3.5, 2.5]]]


def test_likelihoods_are_reported(tmp_path):
    rows = [*header(["a"], coords=("x", "y", "likelihood")), ["i.png", "1", "2", "0.4"]]
    found = read(tmp_path, rows)
    assert found.has_likelihood
    assert found.points.tolist() == [[[1.5, 2.5]]]
    assert found.visibility.tolist() == [[2]]


def test_names_may_hold_anything(tmp_path):
    names = ["left, upper", 'the "tip"', "Schwänzchen", "尾"]
    image = "labeled-data\\video [1], tag (ü)\\img 0.png"
    rows = [*header(names), [image, *map(str, range(8))]]
    found = read(tmp_path, rows)
    assert found.names == tuple(names)
    assert found.images == ("labeled-data/video [1], tag (ü)/img 0.png",)


@pytest.mark.parametrize(
    "options",
    [
        {"end": "\r\n"},
        {"end": "\r"},
        {"encoding": "utf-8-sig"},
        {"start": "\n"},
        {"start": ",,,,\n"},
    ],
    ids=["CRLF", "CR", "BOM", "a blank line", "a row of blank cells"],
)
def test_line_ends_and_blank_first_rows(tmp_path, options):
    row = ["i.png", "1", "2", "3", "4"]
    found = read(tmp_path, [*AB, [""] * 5, row, []], **options)
    assert found.images == ("i.png",)
    assert found.points.tolist() == [[[1.5, 2.5], [3.5, 4.5]]]
    assert found.numbers == (5 + ("start" in options),)


def test_the_first_row_may_have_no_label(tmp_path):
    found = read(tmp_path, [*AB, ["i0.png", "", "", "", ""], ["i1.png", "1", "2", "3", "4"]])
    assert found.images == ("i0.png", "i1.png")
    assert found.visibility.tolist() == [[0, 0], [2, 2]]


def test_blank_cells_at_the_end_of_a_row_do_not_matter(tmp_path):
    rows = [["i0.png", "", ""], ["i1.png", "1", "2", "3", "4", "", ""]]
    found = read(tmp_path, [*AB, *rows])
    assert found.visibility.tolist() == [[0, 0], [2, 2]]


ANIMALS = [
    ["scorer", *["me"] * 8],
    ["individuals", "m1", "m1", "m1", "m1", "m2", "m2", "single", "single"],
    ["bodyparts", "a", "a", "b", "b", "a", "a", "c", "c"],
    ["coords", *["x", "y"] * 4],
    ["i.png", "0", "1", "2", "3", "4", "5", "6", "7"],
]


@pytest.mark.parametrize(
    ("individual", "names", "points", "others"),
    [
        ("m1", ("a", "b"), [[0.5, 1.5], [2.5, 3.5]], ("m2/a", "single/c")),
        ("m2", ("a",), [[4.5, 5.5]], ("m1/a", "m1/b", "single/c")),
        ("single", ("c",), [[6.5, 7.5]], ("m1/a", "m1/b", "m2/a")),
    ],
)
def test_one_of_several_animals_is_chosen(tmp_path, individual, names, points, others):
    found = read(tmp_path, ANIMALS, individual)
    assert (found.names, found.not_chosen) == (names, others)
    assert found.points.tolist() == [points]
    assert found.numbers == (5,)


def test_a_single_animal_needs_no_choice(tmp_path):
    rows = [cells[:5] for cells in ANIMALS]
    assert read(tmp_path, rows).names == ("a", "b")


numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(deadline=None)
@given(st.lists(st.tuples(numbers, numbers) | st.none(), min_size=1, max_size=5))
def test_no_coordinate_is_rounded(tmp_path_factory, labels):
    names = [f"k{k}" for k in range(len(labels))]
    cells = [text for label in labels for text in (map(repr, label) if label else ("", ""))]
    found = read(tmp_path_factory.mktemp("labels"), [*header(names), ["i.png", *cells]])
    expected = [[label[0] + 0.5, label[1] + 0.5] if label else [NAN, NAN] for label in labels]
    np.testing.assert_array_equal(found.points, [expected])


# What is wrong.


def text_of(rows, **options):
    return lambda path: write_csv(path, rows, **options)


def bytes_of(data):
    return lambda path: path.write_bytes(data)


ROW = ["i.png", "1", "2", "3", "4"]
DAMAGED = {
    "empty": (bytes_of(b""), "labels.csv: empty file"),
    "blank": (bytes_of(b"\n\n  \n"), "labels.csv: empty file"),
    "a header only": (text_of(AB), "has a header only; a row for each image must follow"),
    "no coords row": (
        text_of([*AB[:2], ROW]),
        "row 3: starts with 'i.png'; must be 'coords'",
    ),
    "no scorer row": (
        text_of([*AB[1:], ROW]),
        "row 1: starts with 'bodyparts'; must be 'scorer'",
    ),
    "half a header": (text_of(AB[:2]), "ends in its header; rows coords are missing"),
    "another CSV": (
        text_of([["image", "x", "y"], ["i.png", "1", "2"]]),
        "row 1: starts with 'image'; must be 'scorer' (labels of DeepLabCut",
    ),
    "x without y": (
        text_of([*AB, ROW, ["j.png", "1", "", "3", "4"]]),
        "row 5, column 3: a has x but no y; give both, or none",
    ),
    "y without x": (text_of([*AB, ["j.png", "1", "2", "", "4"]]), "column 4: b has y but no x"),
    "a word": (
        text_of([*AB, ["i.png", "1", "2", "3", "four"]]),
        "row 4, column 5 (b y): 'four' is not a number; must be one, as 12.5, or empty",
    ),
    "a decimal comma": (
        text_of([*AB, ["i.png", "1,5", "2", "3", "4"]]),
        "row 4, column 2 (a x): '1,5' is not a number",
    ),
    "infinite": (text_of([*AB, ["i.png", "1", "2", "3", "1e999"]]), "(b y): '1e999' is no"),
    "inf": (text_of([*AB, ["i.png", "inf", "2", "3", "4"]]), "(a x): 'inf' is not a number"),
    "underscores": (text_of([*AB, ["i.png", "1_0", "2", "3", "4"]]), "'1_0' is not a number"),
    "too few cells": (text_of([*AB, ROW[:4]]), "row 4: 4 cells; the header has 5"),
    "too many cells": (text_of([*AB, [*ROW, "5"]]), "row 4: 6 cells; the header has 5"),
    "cut off": (bytes_of(b"scorer,m,m\nbodyparts,a,a\ncoords,x,y\ni.png,1"), "row 4: 2 cells"),
    "a short header": (text_of([AB[0], AB[1][:4], AB[2], ROW]), "row 2: 4 cells; the header has 5"),
    "semicolons": (
        bytes_of(b"scorer;m;m\nbodyparts;a;a\ncoords;x;y\n"),
        "separated by semicolons; must be commas",
    ),
    "tabs": (bytes_of(b"scorer\tm\tm\nbodyparts\ta\ta\n"), "separated by tabs; must be commas"),
    "xlsx": (bytes_of(b"PK\x03\x04" + bytes(90)), "a spreadsheet (.xlsx, .ods) or ZIP file"),
    "h5": (bytes_of(b"\x89HDF\r\n\x1a\n" + bytes(90)), "an HDF5 file; must be CSV (DeepLabCut "),
    "binary": (bytes_of(struct.pack("<9d", *range(9))), "not a CSV file (it holds binary data)"),
    "UTF-16": (text_of([*AB, ROW], encoding="utf-16"), "text in UTF-16; save it as UTF-8"),
    "Latin-1": (
        text_of([*AB, ROW, ["ü.png", *ROW[1:]]], encoding="latin-1"),
        "line 5: not UTF-8; save the file as UTF-8",
    ),
    "an open quote": (bytes_of(b'scorer,m\nbodyparts,"a\n'), "unexpected end of data; is a quota"),
    "no image": (text_of([*AB, ["", *ROW[1:]]]), "row 4, column 1: no image; must be the path"),
    "a prediction": (text_of([*AB, ["17", *ROW[1:]]]), "column 1: 17 is not the path of an image;"),
    "no keypoints": (text_of([["scorer"], ["bodyparts"], ["coords"], ["i.png"]]), "no body parts"),
    "a nameless keypoint": (
        text_of([*header(["a", ""]), ROW]),
        "row 2, column 4: no name in the bodyparts row",
    ),
    "a line break": (
        text_of([*header(["a", "b\nc"]), ROW]),
        "row 2, column 4: 'b\\nc' has a line break; a name must have none",
    ),
    "a line break in a path": (
        text_of([*AB, ["i\nj.png", *ROW[1:]]]),
        "row 4, column 1: 'i\\nj.png' has a line break",
    ),
    "z": (
        text_of([*header(["a"], coords=("x", "z")), ROW[:3]]),
        "row 3, column 3 (a): 'z' must be one of x, y, likelihood, visible",
    ),
    "x alone": (text_of([*header(["a"], coords=("x",)), ROW[:2]]), "a has no column y; it needs"),
    "x twice": (
        text_of([*header(["a", "a"]), ROW]),
        "columns 2 and 4 are both x of a; must be one",
    ),
    "two scorers": (
        text_of([["scorer", "me", "me", "you", "you"], *header(["a", "a"])[1:], ROW]),
        "a was labelled by 'me' and 'you'; keep the columns of one",
    ),
    "visible 3": (
        text_of([*header(["a"], coords=("x", "y", "visible")), [*ROW[:3], "3"]]),
        "row 4, column 4 (a visible): 3 must be 0, 1 or 2",
    ),
    "visible in words": (
        text_of([*header(["a"], coords=("x", "y", "visible")), [*ROW[:3], "yes"]]),
        "row 4, column 4 (a visible): 'yes' is not a number",
    ),
    "visible without y": (
        text_of([*header(["a"], coords=("x", "visible")), ROW[:3]]),
        "a has no column y; it needs",
    ),
    "visible twice": (
        text_of([*header(["a"], coords=("x", "y", "visible", "visible")), [*ROW[:3], "2", "2"]]),
        "columns 4 and 5 are both visible of a; must be one",
    ),
    "visible of one alone": (
        text_of([*header(["a"], coords=("x", "y", "visible")), ["i.png", "1", "", "2"]]),
        "row 4, column 3: a has x but no y; give both, or none",
    ),
    "a nameless animal": (
        text_of([ANIMALS[0], ["individuals", "", *ANIMALS[1][2:]], *ANIMALS[2:]]),
        "row 2, column 2: no name in the individuals row",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_one_clear_line(tmp_path, case):
    write, message = DAMAGED[case]
    path = tmp_path / "labels.csv"
    write(path)
    with pytest.raises(UserError) as caught:
        read_csv_file(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError) as told:  # whatever format it is taken for
        read_label_file(path)
    if case == "h5":  # it may be one of SLEAP
        assert str(told.value).startswith(f"{path}: damaged HDF5 file (")
        assert "\n" not in str(told.value)
    else:
        assert str(told.value) == str(caught.value)


@pytest.mark.parametrize(
    ("rows", "individual", "message"),
    [
        (ANIMALS, "", "several animals; choose one with --individual (there are m1, m2, single)"),
        (ANIMALS, "m3", "--individual=m3: "),
        (ANIMALS, "m3", "no such animal (there are m1, m2, single)"),
        ([*AB, ROW], "m1", "labels.csv names no individuals; leave the flag out"),
    ],
)
def test_another_animal_is_refused(tmp_path, rows, individual, message):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, rows, individual)
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"none\.csv: cannot be read \(No such file"):
        read_csv_file(tmp_path / "none.csv")


WHOLE = (
    b'scorer,,me,me,"m,e",\r\nindividuals,,a,a,b,b\r\nbodyparts,,"n 1","n 1",c,c\r\n'
    b"coords,,x,y,x,y\r\nv,i.png,1,2.5,,\r\nv,j.png,,,-3,4e1\r\n"
).replace(b'"m,e",', b'"m,e","m,e"')


def labels_or_message(path):
    try:
        return read_csv_file(path, "a"), ""
    except UserError as error:
        return None, str(error)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_damage_ends_in_one_line_or_in_labels(tmp_path_factory, data):
    text = bytearray(WHOLE[: data.draw(st.integers(0, len(WHOLE)))])
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(text)))
        piece = data.draw(
            st.sampled_from([b",", b'"', b"\n", b"\xff", b"\0", b"x", b"7", b";", b""])
        )
        text[place : place + data.draw(st.integers(0, 3))] = piece
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(text)
    found, message = labels_or_message(path)
    assert ("damaged.csv" in message) == (found is None)
    assert len(message.splitlines()) == (found is None)
    if found:
        rows, keypoints = len(found.images), len(found.names)
        assert found.points.shape == (rows, keypoints, 2)
        assert (np.isnan(found.points).all(-1) == (found.visibility == 0)).all()
        assert min(rows, keypoints) > 0


def test_the_whole_of_it_is_read(tmp_path):
    (tmp_path / "whole.csv").write_bytes(WHOLE)
    found = read_csv_file(tmp_path / "whole.csv", "b")
    assert found.images == ("v/i.png", "v/j.png")
    np.testing.assert_array_equal(found.points, [[[NAN, NAN]], [[-2.5, 40.5]]])
