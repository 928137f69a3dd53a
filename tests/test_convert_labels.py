"""`convert_labels`: what it writes reads back to the last bit, and it overwrites no input."""

import json

import cv2
import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.image_files import ImageFiles
from pipelines.labels.label_files import read_label_file
from pipelines.labels.read import read_label_files, read_labels
from rectloc_tf.errors import UserError
from rectloc_tf.results.label_conversion import join_rows
from rectloc_tf.results.label_writers import LabelRows, csv_text, write_coco, write_csv
from tests.conftest import run_without_tensorflow, succeeded
from tests.label_files import header, picture, write_picture
from tests.label_files import write_csv as write_rows
from tests.slp_files import NAN, animal, write_package, write_slp, write_video

NAMES = ("nose", "tail")


def convert(*flags):
    return run_without_tensorflow("rectloc_tf.convert_labels", *flags)


def bits(values):
    return np.asarray(values, np.float64).view(np.uint64)


def rows_of(centred, visibility, images=None):
    count = len(visibility)
    names = images or tuple(f"labeled-data/v/img{n}.png" for n in range(count))
    return LabelRows(NAMES, tuple(names), centred, visibility, ((40, 30),) * count)


@st.composite
def labels(draw):
    """Any points, each with any visibility; NaN where there is no label."""
    count = draw(st.integers(1, 3))
    number = st.one_of(st.floats(-10, 2000), st.floats(allow_nan=False, allow_infinity=False))
    values = draw(st.lists(number, min_size=count * 4, max_size=count * 4))
    seen = draw(st.lists(st.sampled_from([0, 1, 2]), min_size=count * 2, max_size=count * 2))
    visibility = np.array(seen, np.uint8).reshape(count, 2)
    points = np.array(values).reshape(count, 2, 2)
    return np.where((visibility != 0)[..., None], points, NAN), visibility


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("written")


@pytest.mark.parametrize(("write", "name"), [(write_csv, "a.csv"), (write_coco, "a.json")])
@given(labels())
@settings(max_examples=60, deadline=None)
def test_numbers_of_files_come_back_to_the_last_bit(folder, write, name, drawn):
    centred, visibility = drawn
    (folder / name).unlink(missing_ok=True)
    write(folder / name, rows_of(centred, visibility))
    found = read_label_file(folder / name)
    np.testing.assert_array_equal(bits(found.centred), bits(centred))
    np.testing.assert_array_equal(found.visibility, visibility)
    assert found.names == NAMES
    assert found.images == tuple(f"labeled-data/v/img{n}.png" for n in range(len(visibility)))


@pytest.mark.parametrize(
    "text", ["0.1", "127.60000000000001", "3.7", "1e-20", "0.30000000000000004"]
)
def test_a_number_survives_though_adding_a_half_rounds_it(tmp_path, text):
    path = write_rows(tmp_path / "a.csv", [*header(NAMES), ["v/a.png", text, 1, "", ""]])
    for name, write in (("b.json", write_coco), ("c.csv", write_csv)):
        files, names, _ = read_label_files(str(path))
        rows = join_rows(files, names)
        write(tmp_path / name, rows_of(rows.centred, rows.visibility, rows.images))
        path = tmp_path / name
    assert (tmp_path / "c.csv").read_text().splitlines()[3] == f"v/a.png,{text},1.0,,"


@given(st.lists(st.floats(0.25, 4000), min_size=4, max_size=4))
@settings(max_examples=30, deadline=None)
def test_points_counted_from_the_corner_come_back_to_the_last_bit(folder, values):
    """Of SLEAP before 1.1: 0.5 is taken away, and added when it is read."""
    points = np.array(values).reshape(1, 2, 2)
    frames = [(0, 0, [animal(*points[0])])]
    old = read_label_file(write_slp(folder / "old.slp", frames, version=1.0))
    np.testing.assert_array_equal(bits(old.points), bits(points))
    (folder / "new.csv").unlink(missing_ok=True)
    write_csv(folder / "new.csv", rows_of(old.centred, old.visibility))
    np.testing.assert_array_equal(bits(read_label_file(folder / "new.csv").points), bits(points))


# What is written.


POINTS = np.array([[[1.5, 2.0], [NAN, NAN]], [[3.0, 4.0], [13.0, 24.0]]])


def test_the_csv_is_deeplabcuts():
    seen = np.array([[2, 0], [2, 2]], np.uint8)
    assert csv_text(rows_of(POINTS, seen), "me").splitlines() == [
        "scorer,me,me,me,me",
        "bodyparts,nose,nose,tail,tail",
        "coords,x,y,x,y",
        "labeled-data/v/img0.png,1.5,2.0,,",
        "labeled-data/v/img1.png,3.0,4.0,13.0,24.0",
    ]


def test_occluded_labels_have_lightning_poses_third_column():
    seen = np.array([[2, 0], [1, 2]], np.uint8)
    assert csv_text(rows_of(POINTS, seen), "me").splitlines()[2:] == [
        "coords,x,y,visible,x,y,visible",
        "labeled-data/v/img0.png,1.5,2.0,2,,,0",
        "labeled-data/v/img1.png,3.0,4.0,1,13.0,24.0,2",
    ]


def test_the_scorer_is_in_the_files_name(tmp_path):
    rows = rows_of(POINTS, np.array([[2, 0], [2, 2]], np.uint8))
    for name, scorer in (("CollectedData_LM", "LM"), ("labels", "rectloc_tf")):
        write_csv(tmp_path / f"{name}.csv", rows)
        assert (tmp_path / f"{name}.csv").read_text().split(",")[1] == scorer


def test_an_image_with_two_animals_fits_into_coco_only(tmp_path):
    seen = np.array([[2, 0], [1, 2]], np.uint8)
    rows = rows_of(POINTS, seen, ("a.png", "a.png"))
    with pytest.raises(UserError, match=r"^a\.png: two animals, but a CSV has one row"):
        csv_text(rows)
    write_coco(tmp_path / "a.json", rows)
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["images"] == [{"id": 1, "file_name": "a.png", "width": 40, "height": 30}]
    assert content["annotations"] == [
        {
            "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 1,
            "keypoints": [1.5, 2.0, 2, 0.0, 0.0, 0], "bbox": [1.5, 2.0, 0.0, 0.0], "area": 0.0,
        },
        {
            "id": 2, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 2,
            "keypoints": [3.0, 4.0, 1, 13.0, 24.0, 2], "bbox": [3.0, 4.0, 10.0, 20.0],
            "area": 200.0,
        },
    ]  # fmt: skip
    (category,) = content["categories"]
    assert category == {"id": 1, "name": "animal", "keypoints": [*NAMES], "skeleton": []}


def test_files_with_keypoints_in_another_order_are_joined_by_name(tmp_path):
    first = write_rows(tmp_path / "1.csv", [*header(NAMES), ["a.png", 1, 2, 3, 4]])
    second = write_rows(tmp_path / "2.csv", [*header(NAMES[::-1]), ["b.png", 5, 6, 7, 8]])
    files, names, _ = read_label_files(f"{first},{second}")
    rows = join_rows(files, names)
    np.testing.assert_array_equal(rows.centred, [[[1, 2], [3, 4]], [[7, 8], [5, 6]]])


# The command.


@pytest.fixture
def package(tmp_path):
    tracks = {"tracks": ["anna", "bert"]}
    both = [animal((1.1, 2), (3, 4.7), track=0), animal((5, 6), (7, 8), track=1)]
    frames = [(0, n, both) for n in (12, 3)]
    return write_package(tmp_path / "in" / "mice.pkg.slp", frames, **tracks)


@pytest.fixture(autouse=True)
def _folder_of_inputs(tmp_path):
    (tmp_path / "in").mkdir()


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_package_becomes_files_with_the_same_labels_and_pixels(package, tmp_path, suffix):
    before = package.read_bytes()
    output, images = tmp_path / "out" / f"labels.{suffix}", tmp_path / "out" / "labeled-data"
    flags = f"--data={package}", "--individual=bert", f"--output={output}", f"--images_dir={images}"
    for _ in range(2):  # again: images that are there stay
        said = succeeded(convert(*flags))
    assert said.splitlines() == [
        f"{package}: 2 instances of other animals not chosen",
        f"{output}: 2 images, 2 keypoints, 4 labels",
    ]
    assert package.read_bytes() == before
    data, _ = read_labels(str(output))
    theirs, _ = read_labels(str(package), individual="bert")
    folder = images / "mice-video0"
    assert data.paths == (folder / "frame000003.png", folder / "frame000012.png")
    np.testing.assert_array_equal(bits(data.points), bits(theirs.points))
    for path, inside in zip(data.paths, theirs.paths, strict=True):
        assert path.read_bytes() == ImageFiles().read(inside)
    assert read_label_file(output).images[0] == "labeled-data/mice-video0/frame000003.png"


def test_frames_of_videos_with_the_same_name_have_folders_of_their_own(tmp_path):
    for number, name in enumerate(("in/a/clip.avi", "in/b/clip.avi")):
        (tmp_path / name).parent.mkdir()
        write_video(tmp_path / name, [picture(seed=number)] * 2)
    frames = [(n, 1, [animal((1, 2), (3, 4))]) for n in range(2)]
    data = write_slp(tmp_path / "in" / "a.slp", frames, videos=["a/clip.avi", "b/clip.avi"])
    output = tmp_path / "labels.csv"
    succeeded(convert(f"--data={data}", f"--output={output}", f"--images_dir={tmp_path / 'png'}"))
    for number, name in enumerate(("clip", "clip-2")):
        image = cv2.imread(str(tmp_path / "png" / name / "frame000001.png"))
        np.testing.assert_array_equal(image, picture(seed=number))
    names = tuple(f"png/{name}/frame000001.png" for name in ("clip", "clip-2"))
    assert read_label_file(output).images == names


def test_usual_images_stay_where_they_are_and_keep_their_names(tmp_path):
    rows = [
        *header(NAMES),
        ["labeled-data/v/a.png", 1, 2, "", ""],
        ["labeled-data/v/b.png"] + [""] * 4,
    ]
    data = write_rows(tmp_path / "in" / "CollectedData_me.csv", rows)
    output = tmp_path / "in" / "labels.csv"  # no image is needed
    assert "2 images, 2 keypoints, 1 labels" in succeeded(
        convert(f"--data={data}", f"--output={output}")
    )
    assert read_label_file(output).images == ("labeled-data/v/a.png", "labeled-data/v/b.png")
    image = write_picture(tmp_path / "in" / "labeled-data" / "v" / "a.png")
    write_picture(image.with_name("b.png"), picture(20, 10))
    coco = tmp_path / "in" / "labels.json"
    succeeded(convert(f"--data={output}", f"--output={coco}", "--keypoints=nose"))
    sizes = [(i["width"], i["height"]) for i in json.loads(coco.read_text())["images"]]
    assert sizes == [(40, 30), (20, 10)]
    found = read_label_file(coco)
    assert (found.names, found.visibility.tolist()) == (("nose",), [[2], [0]])


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_one_name_of_two_images_is_refused(tmp_path, suffix):
    """Their labels were all written for one of them."""
    files = []
    for number, folder in enumerate(("a", "b")):
        write_picture(tmp_path / "in" / folder / "img1.png", picture(seed=number))
        rows = [*header(NAMES), ["img1.png", 1, number, 3, 4]]
        files.append(write_rows(tmp_path / "in" / folder / "l.csv", rows))
    data, output = f"--data={files[0]},{files[1]}", tmp_path / f"out.{suffix}"
    what = f"error: {files[1]} row 4: img1.png is another image than in a file before"
    for _ in range(1 if suffix == "json" else 2):
        done = convert(data, f"--output={output}")
        assert (done.returncode, output.exists()) == (1, False)
        assert done.stderr == f"{what}; convert the files one by one\n"
        for path in (tmp_path / "in").rglob("*.png"):
            path.unlink()  # a CSV needs no image


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_files_that_label_the_same_image_are_joined(tmp_path, suffix):
    name = "labeled-data/v/img1.png"
    project = tmp_path / "in"
    write_picture(project / name)
    (tmp_path / "link").symlink_to(project)
    rows = [*header(NAMES), [name, 1, 2, 3, 4]]
    files = [project / "l.csv", project / "labeled-data" / "v" / "l.csv", tmp_path / "link/m.csv"]
    data = ",".join(str(write_rows(path, rows)) for path in files)
    output = tmp_path / f"out.{suffix}"
    said = succeeded(convert(f"--data={data}", f"--output={output}"))
    assert f"{output}: 1 images, 2 keypoints" in said
    assert {*read_label_file(output).images} == {name}


def test_videos_of_one_name_in_two_files_have_folders_of_their_own(tmp_path):
    for number, folder in enumerate(("a", "b")):
        (tmp_path / "in" / folder).mkdir()
        write_video(tmp_path / "in" / folder / "clip.avi", [picture(seed=number)] * 2)
        frames = [(0, 1, [animal((1, number), (3, 4))])]
        write_slp(tmp_path / "in" / folder / "l.slp", frames, videos=["clip.avi"])
    data = ",".join(str(tmp_path / "in" / folder / "l.slp") for folder in "ab")
    output, images = tmp_path / "l.json", tmp_path / "png"
    succeeded(convert(f"--data={data}", f"--output={output}", f"--images_dir={images}"))
    found = read_label_file(output)
    assert found.images == ("png/clip/frame000001.png", "png/clip-2/frame000001.png")
    np.testing.assert_array_equal(found.centred[:, 0], [[1, 0], [1, 1]])
    for number, name in enumerate(found.images):
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / name)), picture(seed=number))


def test_a_damaged_image_is_reported_before_anything_is_written(tmp_path):
    frames = [(0, n, [animal((1, 2), (3, 4))]) for n in (1, 2)]
    images = [picture(), picture()]
    data = write_package(tmp_path / "in" / "a.pkg.slp", frames, images)
    with h5py.File(data, "a") as file:
        file["video0/video"][1] = np.zeros(9, np.int8)
    flags = f"--data={data}", f"--output={tmp_path / 'a.csv'}", f"--images_dir={tmp_path / 'png'}"
    done = convert(*flags)
    assert done.returncode == 1
    assert f"error: {data} instance 1: image unreadable ({data}/video0/frame00" in done.stderr
    assert "000002.png: not a PNG or JPEG file)" in done.stderr
    assert [*(tmp_path / "png").iterdir()] == []
    assert not (tmp_path / "a.csv").exists()


def test_another_label_file_is_not_replaced(tmp_path):
    path = write_rows(tmp_path / "in" / "a.csv", [*header(NAMES), ["v/a.png", 1, 2, 3, 4]])
    work = tmp_path / "CollectedData_me.csv"
    work.write_text("hours of work")
    done = convert(f"--data={path}", f"--output={work}")
    assert (done.returncode, done.stdout) == (1, "")
    start = f"error: --output={work}: already exists and differs"
    assert done.stderr == f"{start}; choose another file\n"
    assert work.read_text() == "hours of work"
    work.unlink()
    for _ in range(2):  # again: it is as it would be written
        succeeded(convert(f"--data={path}", f"--output={work}"))


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_what_two_files_say_of_an_image_is_written_once_or_refused(tmp_path, suffix):
    folder = tmp_path / "in"
    write_picture(folder / "v" / "a.png")
    write_picture(folder / "v" / "b.png", picture(seed=1))
    same, more = ["v/a.png", 1, 2, 3, 4], ["v/b.png", 5, 6, "", ""]
    first = write_rows(folder / "CollectedData_a.csv", [*header(NAMES), same])
    second = write_rows(folder / "CollectedData_b.csv", [*header(NAMES), more, same])
    output = tmp_path / f"labels.{suffix}"
    said = succeeded(convert(f"--data={folder}", f"--output={output}"))
    assert said == f"{output}: 2 images, 2 keypoints, 3 labels\n"
    assert read_label_file(output).images == ("v/a.png", "v/b.png")
    output.unlink()
    write_rows(second, [*header(NAMES), ["v/a.png", 1, 2, 3, 5]])
    done = convert(f"--data={folder}", f"--output={output}")
    assert done.returncode == 1
    assert f"error: v/a.png: labelled differently in {first} and {second}; " in done.stderr
    assert not output.exists()


REFUSED = {
    "no data": (("--output=a.csv",), 2, "--data: missing"),
    "no output": (("--data={data}",), 2, "--output=: must end in .csv"),
    "suffix": (("--data={data}", "--output=a.slp"), 2, "--output=a.slp: must end in .csv"),
    "animals": (
        ("--data={data}", "--output={new}"),
        2,
        "choose one with --individual (there are a",
    ),
    "images": (
        ("--data={data}", "--individual=anna", "--output={new}"),
        2,
        "--images_dir: missing; give a folder for images such as {data}/video0/frame000003.png",
    ),
    "input": (("--data={csv}", "--output={csv}"), 2, "--output={csv}: this is one of the inputs"),
    "missing": (
        ("--data={csv}", "--output={json}"),
        1,
        "{csv} row 4: image missing (v/a.png); give the folder of images or videos with",
    ),
    "another image": (
        ("--data={data}", "--individual=anna", "--output={new}", "--images_dir={taken}"),
        1,
        "frame000003.png: already exists and differs; choose another --images_dir",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mistakes_are_one_line_and_nothing_is_written(package, tmp_path, case):
    rows = [*header(NAMES), ["v/a.png", 1, 2, 3, 4]]
    places = {
        "data": package,
        "csv": write_rows(tmp_path / "in" / "a.csv", rows),
        "new": tmp_path / "new.csv",
        "json": tmp_path / "new.json",
        "taken": tmp_path / "taken",
    }
    write_picture(tmp_path / "taken" / "mice-video0" / "frame000003.png")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    flags, code, message = REFUSED[case]
    done = convert(*(flag.format(**places) for flag in flags))
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message.format(**places) in done.stderr
    assert all(path.read_bytes() == data for path, data in files.items())
    assert not places["new"].exists()
    assert not places["json"].exists()
