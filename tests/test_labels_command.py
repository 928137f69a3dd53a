"""`check_labels`: what it prints, the sheet it draws, and what it never overwrites."""

import warnings

import cv2
import numpy as np
import pytest

from pipelines.labels.ledger import Row
from pipelines.labels.read import read_labels
from rectloc_tf.errors import UserError
from rectloc_tf.results import label_report, label_sheet
from tests.conftest import run_without_tensorflow
from tests.label_files import header, picture, write_csv, write_picture, write_project
from tests.test_labels_checks import labelled, mice


def check(*flags, **options):
    return run_without_tensorflow("rectloc_tf.check_labels", *flags, **options)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of thirty mice, one with its ears swapped, and a row without an image."""
    folder = tmp_path_factory.mktemp("project")
    points = mice(30) - 0.5
    points[4, [1, 2]] = points[4, [2, 1]]
    labels = [[f"{value:.2f}" for value in row] for row in points.reshape(30, 8)]
    labels[9][2:4] = ["", ""]
    names = ("nose", "leftear", "rightear", "tail")
    path = write_project(folder, labels, names, size=(400, 400))
    path.write_text(path.read_text() + f"labeled-data/v/gone.png{',1' * 8}\n")
    return path


def test_it_says_what_there_is(project, tmp_path):
    done = check(f"--data={project}", f"--output={tmp_path / 'sheet.png'}")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[:6] == [
        "labels:",
        "  read              119 in 30 rows",
        "  image missing       4 in 1 row",
        "  no label            1 in 1 row",
        f"  {project} row 34, nose, leftear, rightear, tail: image missing "
        "(labeled-data/v/gone.png)",
        f"  {project} row 13, leftear: no label (labeled-data/v/img9.png)",
    ]
    assert "images: 30, 400 x 400 (30)" in lines
    assert "groups: 1, v (30)" in lines
    (row,) = (line for line in lines if line.startswith("leftear "))
    assert row.split()[1:4] == ["29", "0", "1"]
    assert (
        "split: 22 train, 3 validation, 3 test, 2 left out (blocks of neighbouring images, with "
        "gaps: only 1 group)" in lines
    )
    where = lines.index("likely mistakes:")
    assert lines[where + 1 :] == [
        f"  {project} row 8, leftear, rightear: left and right look swapped, judged by the other "
        "points (img4.png)",
        "",
        f"{tmp_path / 'sheet.png'}: 24 of 30 images",
    ]
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[1] == 1728  # six pictures of 2.4 inches, 120 pixels each


def test_flags_choose_what_is_looked_at(project, tmp_path):
    output = tmp_path / "sheet.png"
    label_sheet.write_sheet(output, read_labels(str(project))[0], [0], {})
    before = output.read_bytes()
    flags = (f"--data={project}", f"--output={output}")
    done = check(*flags, "--keypoints=tail,leftear", "--fold=2/3", "--swap=tail:leftear")
    assert done.returncode == 0, done.stderr
    assert "  not chosen         62 in 31 rows" in done.stdout
    assert "likely mistakes: none found" in done.stdout
    assert "(block 2 of 3 of each of 1 group, gaps)" in done.stdout
    assert output.read_bytes() != before  # a sheet of ours is replaced


def test_without_an_image_it_fails_after_saying_why(project, tmp_path):
    empty = tmp_path / "elsewhere"
    empty.mkdir()
    output = tmp_path / "sheet.png"
    done = check(f"--data={project}", f"--images_root={empty}", f"--output={output}")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: --data={project}: no usable labelled image; see the list above\n"
    )
    assert "image missing     123 in 31 rows" in done.stdout
    assert "... and 20 more" in done.stdout
    assert not output.exists()


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ((), 2, "--data: missing; give a label file, or a folder of label files"),
        (("--data=none.csv",), 1, "--data=none.csv: no such file or folder: none.csv"),
        (("--data={data}", "--keypoints=nose,paw"), 2, "no keypoint 'paw'; there are nose, "),
        (("--data={data}", "--individual=m1"), 2, "--individual=m1: {data} names no individuals"),
        (("--data={data}", "--fold=3"), 2, "--fold=3: must be i/k"),
        (("--data={data}", "--swap=nose"), 2, "--swap=nose: 'nose' must be two keypoints"),
        (
            ("--data={data}", "--output={data}"),
            2,
            "{data}: exists and was not written by rectloc_tf",
        ),
        (
            ("--data={data}", "--output={image}"),
            2,
            "{image}: exists and was not written by rectloc_tf",
        ),
    ],
)
def test_bad_input_is_one_line(project, tmp_path, flags, code, message):
    places = {"data": project, "image": project.parent / "img0.png"}
    before = {name: path.read_bytes() for name, path in places.items()}
    done = check(f"--output={tmp_path / 'sheet.png'}", *(flag.format(**places) for flag in flags))
    assert (done.returncode, done.stdout.count("Traceback")) == (code, 0)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message.format(**places) in done.stderr
    assert {name: path.read_bytes() for name, path in places.items()} == before
    assert not (tmp_path / "sheet.png").exists()


def test_an_image_that_cannot_be_decoded_is_named_and_not_drawn(tmp_path):
    path = write_project(tmp_path, [["1", "2", "3", "4"]] * 6)
    bad = path.parent / "img2.png"
    data = bytearray(bad.read_bytes())
    start = data.index(b"IDAT") + 4
    data[start : start + 9] = bytes(9)
    bad.write_bytes(data)
    done = check(f"--data={path}", f"--output={tmp_path / 'sheet.png'}")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert f"  {path} row 6: cannot be decoded (img2.png)" in done.stdout
    assert done.stdout.endswith("sheet.png: 5 of 6 images\n")


# The report.


def test_statistics_of_each_keypoint():
    points = np.full((4, 2, 2), np.nan)
    points[:3, 0] = [[10, 20], [11, 30], [14, 40]]
    data = labelled(points, ("nose", "the tip of the tail"))
    data.visibility[1, 0] = 1
    lines = label_report.statistics_lines(data)
    assert lines[0] == "images: 4, 400 x 400 (4)"
    assert lines[1] == "groups: 1, v (4)"
    assert lines[3].split() == ["nose", "3", "1", "1", "11.0", "(10.1–13.7)", "30.0", "(21.0–39.0)"]
    assert lines[4].split()[-5:] == ["0", "0", "4", "–", "–"]
    assert lines[3].index(" 3 ") == lines[4].index(" 0 ")


def test_many_sizes_are_summed_up():
    data = labelled(mice(7))
    data.sizes[:, 0] = [1, 2, 3, 4, 5, 6, 6]
    expected = "images: 7, 6 x 400 (2), 1 x 400 (1), 2 x 400 (1), 3 x 400 (1) and 2 more"
    assert label_report.statistics_lines(data)[0] == expected


# The sheet.


@pytest.mark.parametrize(
    ("count", "suspicious", "shown"),
    [
        (3, [], [0, 1, 2]),
        (100, [], [0, 25, 50, 75]),
        (100, [70, 3, 70], [70, 3, 0, 50]),
        (100, [9, 8, 7, 6, 5], [9, 8, 7, 6]),
        (2, [1], [1, 0]),
    ],
)
def test_the_suspicious_come_first_then_some_from_everywhere(count, suspicious, shown):
    assert label_sheet.choose_images(count, suspicious, most=4) == shown


def sheet_of(tmp_path, points, names, suspicious=None):
    """A sheet of blue pictures, and the corners (top, left), (bottom, right) of what is blue."""
    path = write_picture(tmp_path / "i.png", np.full((400, 400, 3), (130, 90, 50), np.uint8))
    data = labelled(points, names, [path] * len(points))
    output = tmp_path / "sheet.png"
    label_sheet.write_sheet(output, data, range(len(points)), suspicious or {})
    sheet = cv2.imread(str(output))[..., ::-1]
    blue = np.argwhere((sheet == [50, 90, 130]).all(-1))
    return sheet, blue.min(0), blue.max(0)


PLACES = np.array([[[100, 300], [300, 100]]], float)


def test_points_are_drawn_where_they_are_in_their_colours(tmp_path):
    sheet, first, last = sheet_of(tmp_path, PLACES, ("a", "b"))
    height, width = last - first
    assert width == pytest.approx(height, abs=2)
    colors = np.round(label_sheet.keypoint_colors(2)[:, :3] * 255)
    assert np.abs(colors[0] - colors[1]).max() == 255
    for color, place in zip(colors, PLACES[0], strict=True):
        drawn = np.argwhere((sheet == color).all(-1))
        inside = drawn[:, 0] <= last[0]
        found = (drawn[inside].mean(0) - first) / (last - first) * 400
        np.testing.assert_allclose(found[::-1], place, atol=3)
        assert (~inside).sum() > 10  # in the key


def test_a_suspicious_image_has_a_red_title_and_names(tmp_path):
    red, white = [], []
    for suspicious in ({}, {0: ["HHH"]}):
        sheet, first, last = sheet_of(tmp_path, PLACES, ("a", "HHH"), suspicious)
        red.append((sheet == [0xC0, 0, 0]).all(-1).sum())
        inside = sheet[first[0] : last[0], first[1] : last[1]]
        white.append((inside > 180).all(-1).sum())  # the name beside its point
    assert red[1] > red[0] == 0
    assert white[1] > white[0] == 0


@pytest.mark.parametrize(("height", "width"), [(2, 2000), (2000, 1)])
def test_a_very_narrow_image_is_shown(tmp_path, height, width):
    path = write_picture(tmp_path / "i.png", np.full((height, width, 3), 255, np.uint8))
    data = labelled(np.array([[[0.5, 0.5]]]), ("a",), [path])
    data.sizes[:] = width, height
    (axis,) = label_sheet.draw_sheet(data, [0], {}).axes
    image = axis.images[0].get_array()
    assert image.shape == ((1, 288, 3) if width > height else (288, 1, 3))
    assert (image == 255).all()


@pytest.mark.parametrize(
    ("points", "window"),
    [
        ([[100, 300], [140, 340]], (54, 254, 187, 387)),  # a third, its middle theirs
        ([[390, 10], [np.nan, np.nan]], (267, 0, 400, 133)),  # in a corner
        ([[100, 100], [300, 200]], (50, 0, 350, 300)),  # 1.5 times as wide as they are
        ([[10, 10], [390, 390]], (0, 0, 400, 400)),
    ],
)
def test_a_suspicious_image_is_shown_around_its_points(points, window):
    assert label_sheet.window_of(labelled([points], ("a", "b")), 0) == window


def test_any_name_can_be_drawn(tmp_path):
    names = ("$x^", "_hidden", "尾", "left, upper " * 9, "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sheet_of(tmp_path, mice(2)[:, [0, 1, 2, 3, 0]], names, suspicious={0: names})


def test_a_picture_of_16_bits_and_a_turned_one_are_read_as_people_see_them(tmp_path):
    deep = (np.arange(12, dtype=np.uint16).reshape(3, 4) * 300)[..., None]
    path = write_picture(tmp_path / "deep.png", deep)
    image = label_sheet.read_picture(path)
    assert image.shape == (3, 4, 3)
    assert (image[0, 0, 0], image[-1, -1, 0], image.dtype) == (0, 255, np.uint8)
    color = picture()
    path = write_picture(tmp_path / "color.png", color)
    np.testing.assert_array_equal(label_sheet.read_picture(path), color[..., ::-1])
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"color\.png: cannot be decoded"):
        label_sheet.read_picture(path)


def test_a_sheet_of_real_labels_shows_rows(tmp_path):
    rows = header(["a"], coords=("x", "y", "visible"))
    write_picture(tmp_path / "i.png")
    path = write_csv(tmp_path / "labels.csv", [*rows, ["i.png", "3", "4", "1"]])
    data, _ = read_labels(str(path))
    figure = label_sheet.draw_sheet(data, [0], {})
    assert figure.axes[0].get_title() == "row 4 i.png"
    assert data.rows == (Row(path, 4),)
    (point,) = figure.axes[0].lines
    assert point.get_xydata().tolist() == [[3.5, 4.5]]
    assert point.get_markerfacecolor() == "none"  # occluded
