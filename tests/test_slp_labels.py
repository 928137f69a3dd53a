"""SLEAP's files: what is a label in them, and the images in packages and videos."""

import gc
import json
import random
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from pipelines import video_files
from pipelines.image_files import ImageFiles, each_image, frame_path, is_inside, split_frame
from pipelines.labels.label_files import read_label_file
from pipelines.labels.ledger import MISSING, NOT_CHOSEN, READ, UNREADABLE
from pipelines.labels.read import read_labels
from pipelines.labels.reading import read_run
from pipelines.video_files import FrameReader
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.serving.image_files import read_image_bytes
from tests.conftest import run_without_tensorflow, succeeded
from tests.label_files import header, picture, write_csv, write_picture
from tests.slp_files import (
    NAN,
    POINTS,
    animal,
    embed,
    embedded_in,
    png,
    write_package,
    write_slp,
    write_video,
)

ONE = [(0, 4, [animal((1, 2), (3, 4))])]


def decode(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


# Labels.


def test_keypoints_are_named_by_the_skeletons_ids_not_by_the_list_of_nodes(tmp_path):
    nodes = ("ear", "tail", "spare", "nose")
    found = read_label_file(write_slp(tmp_path / "a.slp", ONE, nodes=nodes, ids=[(3, 1)]))
    assert found.names == ("nose", "tail")
    np.testing.assert_array_equal(found.points, [[[1.5, 2.5], [3.5, 4.5]]])
    assert (found.unit, found.numbers, found.notes) == ("instance", (0,), ())


def test_a_label_is_visible_and_has_coordinates_and_complete_means_nothing(tmp_path):
    """Files are written with `complete` false everywhere; these are."""
    points = (1, 2, True), (NAN, NAN, True), (5, 6, False), (NAN, NAN, False)
    frames = [(0, 0, [animal(*points)])]
    found = read_label_file(write_slp(tmp_path / "a.slp", frames, nodes="abcd", ids=[range(4)]))
    assert found.visibility.tolist() == [[2, 0, 0, 0]]
    np.testing.assert_array_equal(found.points, [[[1.5, 2.5]] + [[NAN, NAN]] * 3])


@pytest.mark.parametrize(("version", "shift"), [(1.0, 0.0), (1.1, 0.5), (1.2, 0.5), (2.0, 0.5)])
def test_before_format_1_1_coordinates_count_from_the_corner(tmp_path, version, shift):
    """sleap-io subtracts 0.5 from the former, whose pixels have their centres at (0.5, 0.5)."""
    found = read_label_file(write_slp(tmp_path / "a.slp", ONE, version=version))
    np.testing.assert_array_equal(found.points - shift, [[[1, 2], [3, 4]]])
    np.testing.assert_array_equal(found.centred, found.points - 0.5)


def test_what_is_no_label_is_counted(tmp_path):
    guess = animal((9, 9), (9, 9), kind=1)
    frames = [(0, 0, [guess, guess]), (0, 3, []), (0, 7, [guess, animal((1, 2), (3, 4))])]
    path = write_slp(tmp_path / "a.slp", frames, suggestions=5, negatives=1)
    found = read_label_file(path)
    assert found.numbers == (3,)
    np.testing.assert_array_equal(found.points, [[[1.5, 2.5], [3.5, 4.5]]])
    assert found.notes == (
        f"{path}: 3 predicted instances left out",
        f"{path}: 2 frames without user labels left out, 1 of them marked as negative",
        f"{path}: 5 suggested frames are not labels",
    )


def test_animals_are_chosen_by_their_track(tmp_path):
    first, second = animal((1, 2), (3, 4), track=1), animal((5, 6), (7, 8), track=0)
    frames = [(0, 9, [first, second]), (0, 2, [second])]
    path = write_slp(tmp_path / "a.slp", frames, tracks=["anna", "bert"])
    with pytest.raises(ConfigError) as error:
        read_label_file(path)
    assert str(error.value) == (
        f"{path}: several animals; choose one with --individual (there are anna, bert)"
    )
    found = read_label_file(path, "bert")
    np.testing.assert_array_equal(found.points, [[[1.5, 2.5], [3.5, 4.5]]])
    assert found.notes == (f"{path}: 2 instances of other animals not chosen",)
    # In the order of the video, so that it is read in one pass.
    found = read_label_file(path, "anna")
    assert (found.numbers, [name[-6:-4] for name in found.images]) == ((2, 1), ["02", "09"])
    with pytest.raises(ConfigError, match="--individual=cleo: .*no such animal .there are anna, b"):
        read_label_file(path, "cleo")


def test_animals_without_tracks_are_chosen_by_their_place_in_the_frame(tmp_path):
    frames = [(0, 0, [animal((1, 2), (3, 4)), animal((5, 6), (7, 8))])]
    path = write_slp(tmp_path / "a.slp", frames)
    with pytest.raises(ConfigError, match=r"--individual \(there are 1, 2\)"):
        read_label_file(path)
    np.testing.assert_array_equal(read_label_file(path, "2").points, [[[5.5, 6.5], [7.5, 8.5]]])


def test_one_animal_may_have_several_tracks(tmp_path):
    """Tracks of a tracker break off."""
    frames = [(0, n, [animal((1, 2), (3, n), track=n - 1)]) for n in range(3)]
    path = write_slp(tmp_path / "a.slp", frames, tracks=["track_0", "track_1"])
    found = read_label_file(path)
    assert found.points[:, 1, 1].tolist() == [0.5, 1.5, 2.5]
    assert found.notes == (f"{path}: 3 tracks, never two in a frame: read as one animal",)


def test_skeletons_of_one_file_must_agree(tmp_path):
    frames = [
        (0, 0, [animal((1, 2), (3, 4), track=0), animal((1, 2), track=1, skeleton=1)]),
        (0, 1, [animal((5, 6), (7, 8), track=0, skeleton=2)]),
    ]
    about = {"ids": [(1, 0), (0,), (1, 0)], "tracks": ["a", "b"]}
    path = write_slp(tmp_path / "a.slp", frames, **about)
    assert read_label_file(path, "b").names == ("tail",)
    assert len(read_label_file(path, "a").images) == 2
    frames = [(0, n, [animal(*[(1, 2)] * (2 - n), skeleton=n)]) for n in range(2)]
    path = write_slp(tmp_path / "b.slp", frames, **about)
    with pytest.raises(UserError, match="instance 0 and 1 have skeletons with different keypoints"):
        read_label_file(path)


# Where images are.


def test_images_are_named_as_the_file_has_them(tmp_path):
    videos = [
        "C:\\films\\clip.mp4",
        {"filename": "a.png", "filenames": ["in\\a.png", "in/b.png"]},
        embedded_in("video7"),
        {"filename": "old.h5", "dataset": "/box"},
        {"filename": "other.pkg.slp", "dataset": "video1/video"},
    ]
    # Packages may leave out videos; their numbers are those of the groups.
    places = [(0, 12), (1, 1), (7, 3), (3, 1234567), (1, 0)]
    frames = [(video, frame, [animal((1, 2), (3, 4))]) for video, frame in places]
    found = read_label_file(write_slp(tmp_path / "a.pkg.slp", frames, videos=videos))
    assert found.images == (
        "C:/films/clip.mp4/frame000012.png",
        "in/a.png",
        "in/b.png",
        "old.h5/box/frame1234567.png",
        "a.pkg.slp/video7/frame000003.png",
    )


@pytest.mark.parametrize(
    ("container", "dataset"), [("a/b.mp4", ""), ("/x/l.pkg.slp", "video0"), ("a.h5", "in/box")]
)
def test_paths_of_frames_are_taken_apart(container, dataset):
    for number in (0, 12, 1234567):
        assert split_frame(frame_path(container, dataset, number)) == (container, dataset, number)


@pytest.mark.parametrize("path", ["frame000001.png", "v/frame000001.png", "a.mp4/img000001.png"])
def test_usual_paths_are_no_frames(path):
    assert split_frame(path) is None


def test_a_folder_may_be_called_as_a_video(tmp_path):
    write_picture(tmp_path / "clip.mp4" / "frame000001.png")
    path = write_csv(tmp_path / "l.csv", [*header(["nose"]), ["clip.mp4/frame000001.png", 1, 2]])
    data, _ = read_labels(str(path))
    assert data.paths == (tmp_path / "clip.mp4" / "frame000001.png",)
    assert not is_inside(data.paths[0])


def test_image_sequences_are_found_by_the_end_of_their_path(tmp_path):
    write_picture(tmp_path / "project" / "in" / "b.png")
    videos = [{"filename": "x", "filenames": ["C:\\me\\in\\a.png", "C:\\me\\in\\b.png"]}]
    frames = [(0, n, [animal((1, 2), (3, 4))]) for n in range(2)]
    path = write_slp(tmp_path / "project" / "a.slp", frames, videos=videos)
    data, ledger = read_labels(str(path))
    assert data.paths == (tmp_path / "project" / "in" / "b.png",)
    assert {k: c.labels for k, c in ledger.counts().items()} == {READ: 2, MISSING: 2}


# Packages.


# The ways in which images are embedded, here frames 5 and 2, all with the same pixels.
ENCODED = [png(picture(seed=seed)) for seed in (5, 2)]
RAW = np.stack([picture(seed=seed) for seed in (5, 2)])[..., ::-1]
FORMS = {
    "any length": (ENCODED, {"format": "png"}),
    "padded": (ENCODED, {"format": "png", "padded": True}),
    "raw": (RAW, {"format": "hdf5"}),
    "channels first": (RAW.transpose(0, 3, 2, 1), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_images_of_packages_are_read_whatever_their_form(tmp_path, form):
    images, about = FORMS[form]
    frames = [(0, n, [animal((1, 2), (3, 4))]) for n in (2, 5)]
    path = write_slp(tmp_path / "a.pkg.slp", frames, videos=[embedded_in()])
    embed(path, images, (5, 2), channel_order="RGB", **about)
    elsewhere = tmp_path / "empty"
    elsewhere.mkdir()
    data, ledger = read_labels(str(path), images_root=str(elsewhere))  # they are in the file itself
    assert [p.name for p in data.paths] == ["frame000002.png", "frame000005.png"]
    assert data.groups == ("a.pkg.slp/video0",) * 2
    assert data.sizes.tolist() == [[40, 30]] * 2
    assert [*ledger.counts()] == [READ]
    for file, seed in zip(data.paths, (2, 5), strict=True):
        np.testing.assert_array_equal(decode(ImageFiles().read(file)), picture(seed=seed))


@pytest.mark.parametrize(
    ("version", "order", "is_swapped"),
    [(1.2, None, True), (1.3, "RGB", False), (1.4, None, False), (1.4, "BGR", True)],
)
def test_packages_before_1_4_hold_blue_where_red_is(tmp_path, version, order, is_swapped):
    """sleap-io: what OpenCV reads from these, blue first, is red first."""
    image = np.zeros((30, 40, 3), np.uint8)
    image[..., 0] = 200  # blue, to anyone who opens the PNG
    image[0, 0, 1] = 50
    path = write_slp(tmp_path / "a.slp", ONE, videos=[embedded_in()], version=version)
    embed(path, [png(image)], [4], format="png", **({"channel_order": order} if order else {}))
    found = decode(ImageFiles().read(path / "video0" / "frame000004.png"))
    np.testing.assert_array_equal(found, image[..., ::-1] if is_swapped else image)


def test_grey_and_jpeg_images_of_packages(tmp_path):
    grey = picture(channels=1)
    path = write_slp(tmp_path / "a.slp", ONE, videos=[embedded_in()])
    photo = png(picture(), ".jpg")
    embed(path, [png(grey), photo], [4, 5], padded=True, format="png")
    files, folder = ImageFiles(), path / "video0"
    assert files.read(folder / "frame000004.png") == png(grey)  # nothing to be done
    found = decode(files.read(folder / "frame000005.png"))
    np.testing.assert_array_equal(found, decode(photo)[..., ::-1])
    assert files.size(folder / "frame000005.png") == (40, 30)


def test_images_that_a_package_lacks_are_accounted_for(tmp_path):
    frames = [(0, n, [animal((1, 2), (3, 4))]) for n in (4, 6, 7, 8)]
    path = write_slp(tmp_path / "a.slp", frames, videos=[embedded_in()])
    cut = png(picture())[:-20]
    embed(path, [png(picture()), cut, b"GIF89a"], [4, 6, 7], format="png", channel_order="RGB")
    data, ledger = read_labels(str(path))
    assert len(data) == 1
    assert {k: c.labels for k, c in ledger.counts().items()} == {READ: 2, UNREADABLE: 6}
    for line, why in zip(
        ledger.lines(), ("cut off before its end", "not a PNG or JPEG", "no frame 8"), strict=True
    ):
        assert why in line
        assert line.startswith(f"{path} instance ")


def test_other_containers_are_looked_for_as_images_are(tmp_path):
    """Here a package without labels of its own, and raw images, grey, in another HDF5 file."""
    images = tmp_path / "films" / "box.h5"
    images.parent.mkdir()
    grey = picture(channels=1)
    with h5py.File(images, "w") as file:
        file["box"] = np.stack([grey, grey])[..., None]
        file["floats"] = np.zeros((2, 30, 40, 1))
    backends = [{"filename": "/gone/films/box.h5", "dataset": name} for name in ("/box", "floats")]
    frames = [(n, 1, [animal((1, 2), (3, 4))]) for n in range(2)]
    path = write_slp(tmp_path / "a.slp", frames, videos=backends)
    data, ledger = read_labels(str(path))
    assert data.paths == (images / "box" / "frame000001.png",)
    np.testing.assert_array_equal(decode(ImageFiles().read(data.paths[0])), grey)
    assert "images of float64; must be uint8" in ledger.lines()[0]


# Videos.


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A video of 12 frames, 30 x 40, and what is in them; the first is grey."""
    frames = [picture(seed=seed) for seed in range(12)]
    frames[0] = np.repeat(picture(channels=1)[..., None], 3, axis=-1)
    return write_video(tmp_path_factory.mktemp("film") / "clip.avi", frames), frames


def test_frames_of_videos_are_read_in_any_order(film):
    path, frames = film
    files = ImageFiles()
    for number in (3, 11, 4, 4, 0):
        image = decode(files.read(path / f"frame{number:06}.png"))
        np.testing.assert_array_equal(image, frames[number] if number else frames[0][..., 0])
    assert files.size(path / "frame000011.png") == (40, 30)
    for read in (files.read, files.size):
        with pytest.raises(ValueError, match="no frame 12; the video"):
            read(path / "frame000012.png")


def test_a_video_is_opened_once_for_all_frames(film, tmp_path, monkeypatch):
    """Each pass decodes it from the start."""
    path, frames = film
    passes = []

    def read_frames(video, *how):
        passes.append(video.path)
        return video_files.read_frames(video, *how)

    monkeypatch.setattr(FrameReader, "_read_frames", staticmethod(read_frames))
    picture_file = write_picture(tmp_path / "a.png", frames[5])
    numbers = [*range(12)]
    random.Random(0).shuffle(numbers)
    paths = [*(path / f"frame{number:06}.png" for number in numbers), picture_file]
    found = each_image(lambda index, files: (index, files.read(paths[index])), paths)
    assert [index for index, _ in found] == [*range(13)]
    for number, (_, data) in zip(numbers, found, strict=False):
        expected = frames[number] if number else frames[0][..., 0]
        np.testing.assert_array_equal(decode(data), expected)
    assert found[-1][1] == picture_file.read_bytes()
    assert passes == [path]


def test_a_reader_that_is_let_go_closes_its_video(film):
    path, _ = film
    open_files = Path("/proc/self/fd")
    gc.collect()
    gc.disable()
    try:
        before = len([*open_files.iterdir()])
        for _ in range(3):
            FrameReader(str(path)).read(1)
        assert len([*open_files.iterdir()]) == before
    finally:
        gc.enable()


def test_labels_on_a_video(film, tmp_path):
    """What is missing or damaged is a line of the ledger, as for files."""
    path, _ = film
    (tmp_path / "bad.avi").write_bytes(b"RIFF" + bytes(100))
    videos = ["D:\\films\\clip.avi", "gone.avi", "D:\\films\\bad.avi"]
    frames = [(v, f, [animal((1, 2), (3, 4))]) for v, f in ((0, 7), (0, 99), (1, 0), (2, 0))]
    labels = write_slp(tmp_path / "a.slp", frames, videos=videos)
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "clip.avi").symlink_to(path)
    (tmp_path / "bad.avi").rename(tmp_path / "films" / "bad.avi")
    data, ledger = read_labels(str(labels))
    assert data.keys == ("D:/films/clip.avi/frame000007.png",)
    counts = {READ: 2, UNREADABLE: 4, MISSING: 2}
    assert {k: c.labels for k, c in ledger.counts().items()} == counts
    said = "\n".join(ledger.lines())
    assert "frame000099.png: no frame 99; the video has 12" in said
    assert "bad.avi/frame000000.png: not a video that can be decoded" in said


# What is done with them.


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Thirty frames, which are different, but for the first and the last."""
    images = [picture(seed=number % 29) for number in range(30)]
    frames = [(0, n, [animal((10, 12), (n, 20))]) for n in range(30)]
    return write_package(tmp_path_factory.mktemp("package") / "a.pkg.slp", frames, images)


def test_check_labels_of_a_package(package, tmp_path):
    sheet = tmp_path / "sheet.png"
    done = run_without_tensorflow(
        "rectloc_tf.check_labels", f"--data={package}", f"--output={sheet}"
    )
    said = succeeded(done)
    assert "images: 30, 40 x 30 (30)" in said
    assert f"{package} instance 29: the same picture as {package} instance 0, labels up to" in said
    assert "sheet.png: 24 of 30 images" in said
    assert cv2.imread(str(sheet)).shape[1] == 1728


def test_a_run_on_a_package_is_the_same_as_on_its_images(package, tmp_path):
    """Digest and pixels."""
    from pipelines.labels.source import LabelledSource

    rows = [*header(["nose", "tail"])]
    for number in range(30):
        image = picture(seed=number % 29)
        name = write_picture(tmp_path / "v" / f"frame{number:06}.png", image).name
        rows.append([f"v/{name}", 10, 12, number, 20])
    plain = write_csv(tmp_path / "l.csv", rows)
    runs = [
        RunConfig(source="images", data=str(path), arch="score_map", image_size=64)
        for path in (package, plain)
    ]
    (first, ours), (second, theirs) = map(read_run, runs)
    assert first.data == second.data
    assert first.channels == 3
    sources = [LabelledSource(run, files=f) for run, f in ((first, ours), (second, theirs))]
    batches = [source.take(np.arange(3)) for source in sources]
    for name in ("images", "points"):
        np.testing.assert_array_equal(batches[0][name], batches[1][name])


def test_predict_reads_what_is_inside(package, film):
    files = ImageFiles()
    data = read_image_bytes(package / "video0" / "frame000001.png", files)
    np.testing.assert_array_equal(decode(data), picture(seed=1))
    assert read_image_bytes(film[0] / "frame000002.png", files).startswith(b"\x89PNG")
    for path in (package / "video0" / "frame000077.png", film[0] / "frame000077.png"):
        with pytest.raises(UserError, match="frame000077.png: no frame 77"):
            read_image_bytes(path, files)


def test_keypoints_that_are_not_chosen_are_accounted_for(package):
    data, ledger = read_labels(str(package), keypoints="tail")
    assert data.names == ("tail",)
    assert ledger.counts()[NOT_CHOSEN].labels == 30


# Damaged files.


def without(name):
    def change(file):
        del file[name]

    return change


def replaced(name, values):
    def change(file):
        del file[name]
        file[name] = values

    return change


def with_field(table, field, value):
    def change(file):
        rows = file[table][:]
        rows[field][0] = value
        file[table][:] = rows

    return change


def with_json(**changes):
    def change(file):
        attributes = file["metadata"].attrs
        metadata = json.loads(attributes["json"]) | changes
        attributes["json"] = np.bytes_(json.dumps(metadata))

    return change


def with_text(file):
    file["metadata"].attrs["json"] = np.bytes_(b"{")


TEXTS = np.array([("1", 2.0, True, True)], [("x", "S3"), *POINTS[1:]])
DAMAGED = {
    "no metadata": (without("metadata"), "an HDF5 file without labels of SLEAP"),
    "no table": (without("instances"), "no table /instances; SLEAP has /frames, /instances"),
    "no column": (replaced("points", np.zeros(2, POINTS[:2])), "/points has no column 'visible'"),
    "no table but numbers": (replaced("frames", [[1, 2]]), "/frames has no column 'video'"),
    "texts": (replaced("points", TEXTS), "/points: x is |S3, not a number"),
    "a group": (
        lambda file: (without("points")(file), file.create_group("points")),
        "no table /po",
    ),
    "json": (with_text, "metadata: damaged JSON"),
    "nodes": (with_json(nodes=[{"name": "a"}]), "metadata: node 1; there are 0 to 0"),
    "no nodes": (with_json(skeletons=[{}]), "metadata: no node names"),
    "empty": (with_json(skeletons=[{"nodes": []}]), "the skeleton has no nodes"),
    "ids": (with_json(skeletons=[{"nodes": [{"id": "x"}] * 2}]), "metadata: node 'x'"),
    "one node twice": (
        with_json(skeletons=[{"nodes": [{"id": 1}] * 2}]),
        "node names of a skeleton must differ",
    ),
    "names": (with_json(nodes=[{"name": ""}] * 2), "'' cannot be the name of a node"),
    "a line break": (with_json(nodes=[{"name": "a\nb"}] * 2), "cannot be the name of a node"),
    "skeletons": (with_json(skeletons=[]), "instance 0: skeleton 0; there are 0"),
    "points": (with_field("instances", "point_id_end", 9), "points 0 to 9; there are 2, 2 for"),
    "fewer": (with_field("instances", "point_id_end", 1), "instance 0: points 0 to 1; there"),
    "huge": (with_field("instances", "point_id_start", 2**64 - 1), "instance 0: points -1 to 2"),
    "instances": (with_field("frames", "instance_id_end", 7), "/frames 0: instances 0 to 7"),
    "track": (with_field("instances", "track", 3), "instance 0: track 3; there are 0"),
    "tracks": (replaced("tracks_json", [b"7"]), "tracks_json: 7 is not a track"),
    "video": (with_field("frames", "video", 2), "video 2 is missing in videos_json; there are 1"),
    "videos": (replaced("videos_json", [b"[]"]), "videos_json: video 0 has no backend"),
    "file": (
        replaced("videos_json", [b'{"backend":{}}']),
        "video 0: None is not the path of a file",
    ),
    "sequence": (
        replaced("videos_json", [b'{"backend":{"filenames":["a.png"]}}']),
        "video 0 has no image 4 among its filenames",
    ),
    "half": (with_field("points", "y", NAN), "instance 0, nose: x 1, y nan; must be two numbers"),
    "endless": (with_field("points", "x", np.inf), "instance 0, nose: x inf, y 2; must be two"),
    "predicted": (
        with_field("instances", "instance_type", 1),
        "no user instances",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_end_in_one_line(tmp_path, case):
    change, message = DAMAGED[case]
    path = write_slp(tmp_path / "a.slp", ONE)
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(UserError) as error:
        read_label_file(path)
    text = str(error.value)
    assert text.startswith(f"{path}")
    assert message in text
    assert "\n" not in text


def test_files_cut_short_end_in_one_line(tmp_path):
    whole = write_slp(tmp_path / "a.slp", ONE).read_bytes()
    path = tmp_path / "cut.slp"
    lengths = [0, 1, 8, 100, *range(500, len(whole), len(whole) // 12), len(whole) - 1]
    for length in lengths:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError) as error:
            read_label_file(path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)


def test_a_file_of_another_kind_with_the_name_is_refused(tmp_path):
    path = tmp_path / "a.slp"
    path.write_text("scorer,a\n")
    with pytest.raises(UserError, match=r"a\.slp: not an HDF5 file, as labels of SLEAP are"):
        read_label_file(path)
