"""Overlays: what is drawn, how they are named, and what they never replace."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.results.drawing import keypoint_colors
from rectloc_tf.serving.overlays import check_overlays, overlay_paths, write_overlay

POINTS, IMAGE = np.array([[25.0, 15.0]]), np.zeros((30, 50), np.uint8)


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def draw(path, image=IMAGE, points=POINTS, **more):
    write_overlay(path, image, points, **more)


# What is drawn.


def test_overlay_is_a_picture_with_both_markers(tmp_path):
    draw(tmp_path / "out" / "a.png", truths=np.array([[10.0, 20.0]]))
    assert names_in(tmp_path) == ["out", "out/a.png"]
    drawn = cv2.imread(str(tmp_path / "out" / "a.png"))
    height, width, _ = drawn.shape
    assert width / height == pytest.approx(50 / 30, rel=0.02)
    blue, green, red = (drawn.astype(int)[..., channel] for channel in range(3))
    scale = width / 50
    for mask, (x, y) in (
        ((red > 200) & (blue > 100), (25, 15)),
        ((green > 150) & (red < 50), (10, 20)),
    ):
        rows, columns = np.nonzero(mask)
        assert columns.mean() + 0.5 == pytest.approx(x * scale, abs=1)
        assert rows.mean() + 0.5 == pytest.approx(y * scale, abs=1)


def test_every_point_is_marked_and_an_absent_truth_is_not(tmp_path):
    points = np.array([[10.0, 8.0], [40.0, 8.0], [25.0, 24.0]])
    truths = np.array([[10.0, 24.0], [np.nan, np.nan]])
    draw(tmp_path / "a.png", points=points, truths=truths)
    drawn = cv2.imread(str(tmp_path / "a.png")).astype(int)
    scale = drawn.shape[1] / 50
    blue, green, red = (drawn[..., channel] for channel in range(3))
    masks = ((red > 200) & (blue > 100), points), ((green > 150) & (red < 50), truths[:1])
    for mask, places in masks:
        count, _, _, found = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        assert count - 1 == len(places)
        expected = places[np.lexsort(places.T)] * scale
        found = found[1:][np.lexsort(found[1:].T.round())] + 0.5
        np.testing.assert_allclose(found, expected, atol=1)


def test_overlay_shows_the_heatmap(tmp_path):
    heatmap = np.zeros((64, 64), np.float32)
    heatmap[:32, 32:] = 200
    draw(tmp_path / "a.png", points=np.array([[5.0, 25.0]]), heatmap=heatmap)
    drawn = cv2.imread(str(tmp_path / "a.png")).max(axis=-1)
    height, width = drawn.shape
    bright = drawn[5 : height // 2 - 5, width // 2 + 5 : -5]
    assert bright.min() > 100
    assert drawn[5 : height // 2 - 5, 5 : width // 2 - 5].max() < 20


def test_named_keypoints_have_their_own_colours_and_a_key_below(tmp_path):
    places = np.array([[60.0, 40.0], [200.0, 40.0], [130.0, 90.0], [np.nan, np.nan]])
    names = ("snout", "left ear", "tail base", "paw")
    image = np.zeros((120, 260), np.uint8)
    draw(tmp_path / "a.png", image, places, names=names)
    draw(tmp_path / "plain.png", image, places)
    drawn, plain = (cv2.imread(str(tmp_path / name)) for name in ("a.png", "plain.png"))
    assert drawn.shape[1] == plain.shape[1]
    assert drawn.shape[0] > plain.shape[0]
    assert (drawn[plain.shape[0] :] < 128).any()  # the names, on white
    scale = drawn.shape[1] / 260
    expected = (keypoint_colors(4)[:, 2::-1] * 255).round()  # BGR, as OpenCV reads
    for place, color in zip(places[:3], expected, strict=False):
        column, row = (scale * place).astype(int)
        np.testing.assert_allclose(drawn[row, column], color, atol=30)
    key = drawn[plain.shape[0] :].reshape(-1, 3).astype(int)
    for color in expected:
        assert (np.abs(key - color).max(axis=1) < 30).any()


# Names.


@pytest.mark.parametrize(
    ("names", "overlays"),
    [
        (["in/a.png"], ["a.png.png"]),
        (["in/gray.jpeg", "in/gray.png"], ["gray.jpeg.png", "gray.png.png"]),
        (["in/x/a.png", "in/y/a.png"], ["x/a.png.png", "y/a.png.png"]),
        (["in/a.png", "in/y/z/a.png"], ["a.png.png", "y/z/a.png.png"]),
        (["../in/a.png", "/far/a.png"], None),
        (["domain1_00003", "domain2_00003"], ["domain1_00003.png", "domain2_00003.png"]),
    ],
)
def test_overlays_are_named_as_their_pictures(tmp_path, monkeypatch, names, overlays):
    monkeypatch.chdir(tmp_path)
    found = overlay_paths(tmp_path / "out", names)
    assert list(found) == names
    assert all(path.is_relative_to(tmp_path / "out") for path in found.values())
    assert len(set(found.values())) == len(names)
    if overlays:
        assert list(found.values()) == [tmp_path / "out" / name for name in overlays]


def test_a_name_of_too_many_bytes_is_shortened(tmp_path):
    names = [f"{'é' * 125}{letter}.png" for letter in "ab"]  # 255 bytes
    overlays = overlay_paths(tmp_path, names)
    for path in overlays.values():
        draw(path)
    assert len(names_in(tmp_path)) == 2
    assert all(len(name.encode()) <= 255 for name in names_in(tmp_path))


NAMES = st.text(st.sampled_from("aAé.-"), min_size=1, max_size=5).filter(lambda n: n.strip("."))


@settings(deadline=None)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=6, unique_by=tuple))
def test_each_picture_has_an_overlay_of_its_own(tmp_path_factory, parts):
    names = ["/".join(name) for name in parts]
    overlays = overlay_paths(tmp_path_factory.getbasetemp(), names)
    assert len(set(overlays.values())) == len(names)


# What they never replace.


def foreign(path, kind):
    """A file that predict did not make."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "photo":
        cv2.imwrite(str(path), np.full((9, 9), 77, np.uint8))
    elif kind == "plot":  # of Matplotlib too, but not ours
        Figure(figsize=(1, 1)).savefig(path)
    elif kind == "link":
        foreign(path.with_name("photo.png"), "photo")
        path.symlink_to("photo.png")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_text(kind)


@pytest.mark.parametrize("kind", ["photo", "plot", "link", "folder", "", "some text"])
def test_files_of_others_are_kept_and_refused_early(tmp_path, kind):
    path = tmp_path / "out" / "a.png"
    foreign(path, kind)
    before = None if kind == "folder" else path.read_bytes()
    with pytest.raises(ConfigError) as caught:
        check_overlays(tmp_path / "out", [tmp_path / "out" / "b.png", path], [])
    assert str(caught.value).startswith(f"--overlay_dir={tmp_path / 'out'}: {path} exists")
    with pytest.raises(UserError) as caught:
        draw(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert kind == "folder" or path.read_bytes() == before


def test_our_own_are_replaced(tmp_path):
    path = tmp_path / "a.png"
    draw(path)
    before = path.read_bytes()
    check_overlays(tmp_path, [path], [])
    draw(path, image=IMAGE + 200)
    assert path.read_bytes() != before


@pytest.mark.parametrize("how", ["itself", "link"])
def test_overlays_do_not_lie_among_the_pictures(tmp_path, how):
    folder = tmp_path / "in"
    folder.mkdir()
    if how == "link":
        (tmp_path / "link").symlink_to("in")
        folder = tmp_path / "link"
    pictures = [tmp_path / "in" / "a.png", tmp_path / "in" / "b.png"]
    overlays = overlay_paths(folder, [str(path) for path in pictures])
    with pytest.raises(ConfigError, match=f"--overlay_dir={folder}: holds the input images"):
        check_overlays(folder, overlays.values(), pictures)
    check_overlays(tmp_path / "new", overlay_paths(tmp_path / "new", ["a.png"]).values(), pictures)


# What cannot be written.


def test_one_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError) as caught:
        draw(tmp_path / "taken" / "a.png")
    assert str(tmp_path / "taken" / "a.png") in str(caught.value)


def test_one_that_cannot_be_drawn_is_named(tmp_path):
    with pytest.raises(UserError, match=r"a\.png: cannot be drawn") as caught:
        draw(tmp_path / "a.png", image=np.zeros((1, 20_000_000), np.uint8))
    assert "\n" not in str(caught.value)
    assert names_in(tmp_path) == []
