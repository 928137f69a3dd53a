"""What `--images` finds."""

import contextlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.serving.image_search import find_images


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes files, in a folder that becomes the current one."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")

    return make


def find(wanted):
    return [str(path) for path in find_images(wanted)]


def refusal(wanted):
    with pytest.raises(UserError) as caught:
        find_images(wanted)
    message = str(caught.value)
    assert message.startswith(f"--images={wanted}")
    assert "\n" not in message
    return message.removeprefix(f"--images={wanted}: ")


def test_a_pattern_finds_files_sorted_and_no_folders(make):
    make("b.png", "a.png", "c.jpg", "B.png", "folder.png/x.txt")
    assert find("*.png") == ["B.png", "a.png", "b.png"]
    assert find(f"{os.getcwd()}/*.png")[0] == f"{os.getcwd()}/B.png"


# What exists under this name comes before what it may mean.


@pytest.mark.parametrize("name", ["scan[1].png", "a,b.png", "{a,b}.png", "what?.png", "*.png"])
def test_a_file_of_exactly_this_name(make, name):
    make(name, "scan1.png", "a", "b.png", "a.png", "whats.png")
    assert find(name) == [name]


@pytest.mark.parametrize("folder", ["exp[1]", "a,b", "x*", "**"])
def test_a_folder_of_exactly_this_name(make, folder):
    make(f"{folder}/1.png", f"{folder}/2.png", "exp1/3.png", "xy/3.png")
    assert find(f"{folder}/1.png") == [f"{folder}/1.png"]
    assert find(folder) == [f"{folder}/1.png", f"{folder}/2.png"]
    if folder != "**":
        assert find(f"{folder}/*.png") == [f"{folder}/1.png", f"{folder}/2.png"]


def test_brackets_are_a_pattern_otherwise(make):
    make("scan1.png", "scan2.png", "scan3.png", "a/exp[1]/x[2].png")
    assert find("scan[12].png") == ["scan1.png", "scan2.png"]
    assert find("?/exp[1]/x[2].png") == ["a/exp[1]/x[2].png"]


# Folders.


@pytest.mark.parametrize("name", ["photos", "photos/", "./photos"])
def test_a_folder_means_its_pictures(make, name):
    make("photos/b.PNG", "photos/a.png", "photos/c.jpeg", "photos/d.JPG")
    make("photos/notes.txt", "photos/.hidden.png", "photos/below/e.png", "photos/f.png/g.txt")
    assert find(name) == [f"photos/{n}" for n in ("a.png", "b.PNG", "c.jpeg", "d.JPG")]


def test_a_folder_without_pictures_is_named(make):
    make("photos/notes.txt")
    assert refusal("photos/") == "no PNG or JPEG files in the folder photos/"


def test_home(make, tmp_path, monkeypatch):
    make("home/a.png", "home/b.png")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    both = [str(tmp_path / "home" / name) for name in ("a.png", "b.png")]
    assert find("~/*.png") == find("~") == find("~/a.png,~/b.png") == both


# Lists and braces.


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("a.png,b.png", ["a.png", "b.png"]),
        ("b.png,a.png,", ["a.png", "b.png"]),
        ("a.png,a.png,./a.png", ["a.png"]),
        ("x,y.png,a.png", ["a.png", "x,y.png"]),
        ("a.png,x,y.png", ["a.png", "x,y.png"]),
        ("x,?.png", ["x,y.png"]),
        ("*.{png,jpg}", ["a.png", "b.png", "brace{.png", "c.jpg", "x,y.png"]),
        ("*.{gif,jpg}", ["c.jpg"]),
        ("{a,b}.png,c.jpg", ["a.png", "b.png", "c.jpg"]),
        ("{a,{b,c}}.{png,jpg}", ["a.png", "b.png", "c.jpg"]),
        ("{d,a}{/,.png}", ["a.png", "d/e.png"]),
        ("d,a.png", ["a.png", "d/e.png"]),
        ("d/*,b.png", ["b.png", "d/e.png"]),
        ("brace{.png,a.png", ["a.png", "brace{.png"]),
    ],
)
def test_lists_and_braces(make, wanted, names):
    make("a.png", "b.png", "c.jpg", "x,y.png", "d/e.png", "brace{.png")
    assert find(wanted) == names


def test_a_comma_between_patterns_loses_nothing(make):
    make("a1.png", "b1.png", "ax,bx.png")
    assert find("a*,b*") == ["a1.png", "ax,bx.png", "b1.png"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("*.gif", "no such file"),
        ("missing.png", "no such file"),
        ("a.png,missing.png", "missing.png: no such file"),
        ("missing.png,a.png", "missing.png: no such file"),
        ("a.png,*.{gif,bmp},a.png", "*.{gif,bmp}: no such file"),
        ("folder.png/*", "no such file"),
        ("/dev/null", "/dev/null is neither a file nor a folder"),
        ("x" * 300, "no such file"),
        ("x/" * 3000, "no such file"),
    ],
    ids=lambda text: text[:20],
)
def test_the_part_that_finds_nothing_is_named(make, wanted, message):
    make("a.png", "folder.png/below/x.txt")
    assert refusal(wanted) == message


def test_braces_that_multiply_are_refused_before_they_fill_the_memory(make):
    make("a" * 13)
    assert find("{a,b}" * 13) == ["a" * 13]
    for number in (14, 40):
        assert refusal("{a,b}" * number) == "braces for over 10,000 patterns"


@pytest.mark.parametrize("wanted", ["", ",", ",,"])
def test_an_empty_list_is_refused(wanted):
    with pytest.raises(ConfigError, match="--images=: empty"):
        find_images(wanted)


# Subfolders, and each file once.


def test_two_stars_search_subfolders(make):
    make("1.png", "x/2.png", "x/y/3.png", "x/.hidden/4.png")
    paths = ["1.png", "x/2.png", "x/y/3.png"]
    assert find("**/*.png") == find("**/**/*.png") == find("**") == paths
    assert find("x/**/*.png") == find("x/**") == paths[1:]
    assert find("**/y/*.png") == paths[2:]


def test_links_in_circles_give_each_file_once(make, tmp_path):
    make("d/b.png", "d/x/a.png")
    for link, target in (("d/z", "."), ("d/y", ".."), ("d/x/w", "../x"), ("d/x/v", "../..")):
        (tmp_path / link).symlink_to(target)
    (tmp_path / "d" / "lost.png").symlink_to("lost.png")
    assert find("d/**/*.png") == ["d/b.png", "d/x/a.png"]
    assert find("**") == ["d/b.png", "d/x/a.png"]


def test_linked_folders_and_files_are_searched(make, tmp_path):
    make("far/a.png", "far/b.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to("../far")
    (tmp_path / "here" / "b2.png").symlink_to("../far/b.png")
    assert find("here/**/*.png") == ["here/b2.png", "here/link/a.png"]
    assert find("here/link") == ["here/link/a.png", "here/link/b.png"]


@settings(deadline=None)
@given(wanted=st.text("ab{},*?[]!./", max_size=12).filter(lambda text: text[:1] != "/"))
def test_any_text_finds_files_or_is_refused(tmp_path_factory, wanted):
    folder = tmp_path_factory.getbasetemp() / "search" / "inner"
    (folder / "a").mkdir(parents=True, exist_ok=True)
    (folder / "a" / "b").write_bytes(b"x")
    with contextlib.chdir(folder), contextlib.suppress(UserError):
        found = find_images(wanted)
        assert found
        assert all(path.is_file() for path in found)
