"""Splits: disjoint, without leaks, and the same whatever else there is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.labels.splits import SHARES, natural, split_groups, split_images
from rectloc_tf.config.images import parse_fold
from rectloc_tf.errors import ConfigError, UserError
from tests.label_files import write_csv

NAMES = ("train", "validation", "test")
names = st.text("abcdefgh0123", min_size=1, max_size=5)
videos = st.dictionaries(names, st.integers(1, 12), min_size=3, max_size=20)


def images(counts):
    """Groups and keys of videos with so many images each, frame by frame in turn."""
    pairs = [(v, f"{v}/img{n}.png") for v, count in counts.items() for n in range(count)]
    pairs.sort(key=lambda pair: pair[1][::-1])
    return [group for group, _ in pairs], [key for _, key in pairs]


def of_each(split, count):
    """The split of each image; checks that each is in one and none of the three is empty."""
    parts = {name: getattr(split, name) for name in (*NAMES, "left_out")}
    assert sorted(np.concatenate([*parts.values()])) == [*range(count)]
    assert all(len(parts[name]) for name in NAMES)
    assert all((np.diff(part) > 0).all() for part in parts.values())
    return {index: name for name, part in parts.items() for index in part.tolist()}


# By group.


@settings(deadline=None)
@given(videos)
def test_a_group_is_in_one_split(counts):
    groups, keys = images(counts)
    found = of_each(split_images(groups, keys), len(groups))
    for group in counts:
        assert len({found[i] for i, other in enumerate(groups) if other == group}) == 1
    assert "left_out" not in found.values()


# Each split has some of them, so that no group is moved to fill one.
COMPANY = {f"video{number}" for number in range(40)}


@settings(deadline=None)
@given(st.sets(names, min_size=1, max_size=30), st.sets(names, max_size=30))
def test_other_groups_do_not_move_one(groups, others):
    for group in groups:
        alone = split_groups({group, *COMPANY})
        assert split_groups({*groups, *others, *COMPANY})[group] == alone[group]
        assert {g: alone[g] for g in COMPANY} == split_groups(COMPANY)


@settings(deadline=None)
@given(st.sets(names, min_size=3, max_size=4))
def test_three_groups_are_one_for_each_split(groups):
    splits = split_groups(groups)
    assert {*splits.values()} == {*NAMES}
    assert split_groups({*sorted(groups)}) == splits


def test_the_split_of_a_group_is_pinned():
    splits = split_groups({f"video{number}" for number in range(12)})
    others = {"video2": "test", "video7": "validation"}
    assert splits == dict.fromkeys(splits, "train") | others
    assert split_groups({"a", "b", "c"}) == {"a": "test", "b": "validation", "c": "train"}


def test_groups_have_their_shares():
    splits = split_groups({f"mouse {number}" for number in range(3000)})
    counts = [[*splits.values()].count(name) / 3000 for name in NAMES]
    np.testing.assert_allclose(counts, SHARES, atol=0.02)


# Fewer than three groups: blocks.


def blocks(found, keys, group):
    """The splits of a group's images in their order: ['train', 'left_out', ...] without repeats."""
    order = sorted((natural(k), i) for i, k in enumerate(keys) if k.startswith(f"{group}/"))
    splits = [found[index] for _, index in order]
    return [s for n, s in enumerate(splits) if n == 0 or splits[n - 1] != s], splits


@settings(deadline=None)
@given(st.lists(st.integers(5, 300), min_size=1, max_size=2))
def test_few_groups_are_cut_into_blocks_with_gaps(sizes):
    counts = dict(zip("vw", sizes, strict=False))
    groups, keys = images(counts)
    found = of_each(split_images(groups, keys), len(groups))
    for group, count in counts.items():
        order, splits = blocks(found, keys, group)
        assert order == ["train", "left_out", "validation", "left_out", "test"]
        assert splits.count("left_out") == 2 * max(1, round(0.02 * count))
        for name in ("validation", "test"):
            assert splits.count(name) == max(1, round(0.1 * count))


def test_a_hundred_images_in_blocks():
    groups, keys = images({"v": 100})
    _, splits = blocks(of_each(split_images(groups, keys), 100), keys, "v")
    assert splits == (
        ["train"] * 76 + ["left_out"] * 2 + ["validation"] * 10 + ["left_out"] * 2 + ["test"] * 10
    )


def test_frames_are_in_their_natural_order():
    frames = ["v/img10.png", "v/img9.png", "v/img100.png", "v/b1.png", "v/img9b.png"]
    ordered = ["v/b1.png", "v/img9.png", "v/img9b.png", "v/img10.png", "v/img100.png"]
    assert sorted(frames, key=natural) == ordered
    assert natural("a٣b") > natural("a2")  # digits of any script


def test_too_few_images_are_refused():
    groups, keys = images({"v": 4})
    with pytest.raises(UserError, match=r"^no images for validation \(4 images; blocks of .*label"):
        split_images(groups, keys)


# At random, as DeepLabCut.


@settings(deadline=None)
@given(st.integers(3, 400), st.randoms(use_true_random=False))
def test_five_percent_are_tested_at_random_whatever_the_order(count, random):
    groups, keys = images({"v": count})
    split = split_images(groups, keys, "random")
    found = of_each(split, count)
    tested = max(1, round(0.05 * count))
    assert len(split.test) == tested
    assert len(split.validation) == max(1, round(0.05 * (count - tested)))
    assert "DeepLabCut" in split.how
    shuffled = random.sample(keys, count)
    again = of_each(split_images(groups, shuffled, "random"), count)
    assert {shuffled[i]: s for i, s in again.items()} == {keys[i]: s for i, s in found.items()}


# Folds.


@settings(deadline=None)
@given(videos, st.integers(2, 8))
def test_each_image_is_tested_in_one_fold(counts, k):
    counts = {group: count + 8 * k for group, count in counts.items()}
    groups, keys = images(counts)
    tested = []
    for part in range(1, k + 1):
        split = split_images(groups, keys, fold=f"{part}/{k}")
        found = of_each(split, len(groups))
        tested += split.test.tolist()
        if len(counts) >= k:
            trained = {groups[index] for index, name in found.items() if name != "test"}
            assert not trained & {groups[index] for index in split.test}
    assert sorted(tested) == [*range(len(groups))]


@settings(deadline=None)
@given(st.integers(20, 300), st.integers(2, 5))
def test_blocks_of_a_fold_have_gaps(count, k):
    groups, keys = images({"v": count})
    gap = max(1, round(0.02 * count))
    for part in range(1, k + 1):
        found = of_each(split_images(groups, keys, fold=f"{part}/{k}"), count)
        order, splits = blocks(found, keys, "v")
        used = [name for name in order if name != "left_out"]
        assert sorted(used).count("test") == sorted(used).count("validation") == 1
        assert order[1::2] == ["left_out"] * (len(order) // 2)  # between any two
        # Where the first or the last part is shorter than a gap, all of it is left out.
        inner = [splits.index(a) for a in used]
        assert splits[inner[0] :].count("left_out") >= gap


def test_a_fold_of_thirty_images():
    groups, keys = images({"v": 30})
    found = of_each(split_images(groups, keys, fold="2/3"), 30)
    _, splits = blocks(found, keys, "v")
    letters = {"train": "t", "validation": "v", "left_out": ".", "test": "x"}
    assert "".join(letters[name] for name in splits) == "vv.tttttt.xxxxxxxxxx.ttttttttt"


def test_groups_are_dealt_with_as_many_images_each():
    groups, keys = images({"a": 30, "b": 10, "c": 10, "d": 10, "e": 1})
    tested = [
        {groups[i] for i in split_images(groups, keys, fold=f"{part}/2").test} for part in (1, 2)
    ]
    assert {frozenset(hand) for hand in tested} in (
        {frozenset("ae"), frozenset("bcd")},
        {frozenset("a"), frozenset("bcde")},
    )


def test_a_tenth_of_the_other_groups_validates():
    groups, keys = images({f"video{number}": 10 for number in range(20)})
    for part in range(1, 5):
        split = split_images(groups, keys, fold=f"{part}/4")
        assert [len(split.train), len(split.validation), len(split.test)] == [130, 20, 50]
        assert len({groups[index] for index in split.validation}) == 2  # 15 images are one tenth


@pytest.mark.parametrize("fold", ["0/3", "4/3", "1/1", "1", "a/b", "1/3/2", "-1/3", " 1/3", "٣/٣"])
def test_a_fold_that_is_none(fold):
    with pytest.raises(ConfigError) as caught:
        parse_fold(fold)
    assert str(caught.value) == f"--fold={fold}: must be i/k with i from 1 to k, as 2/5"


def test_folds_go_by_groups_only():
    with pytest.raises(ConfigError, match="--fold=1/2: works with --split_by=group only"):
        split_images(*images({"v": 9}), "random", "1/2")


# A file.


def split_file(tmp_path, rows, keys, head=("image", "split")):
    path = write_csv(tmp_path / "splits.csv", [head, *rows])
    return path, lambda: split_images([key.split("/")[0] for key in keys], keys, str(path))


def test_a_file_says_which(tmp_path):
    keys = ["v/a.png", "v/b.png", "w/a.png", "w/c, d.png"]
    rows = [
        ["w/a.png", "test"], ["b.png", "Train "], ["x\\labeled-data\\v\\a.png", "none"],
        ["w/c, d.png", "validation"],
    ]  # fmt: skip
    path, split = split_file(tmp_path, rows, keys)
    found = of_each(split(), 4)
    assert found == {0: "left_out", 1: "train", 2: "test", 3: "validation"}
    assert split().how == f"as {path} says"


GOOD = [["v/a.png", "train"], ["v/b.png", "validation"], ["w/a.png", "test"]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["v/a.png", "learn"]], "row 2: 'learn' must be one of train, validation, test, none"),
        ([["a.png", "test"]], "row 2: a.png may be v/a.png or w/a.png; name its folder too"),
        ([["x/b.png", "test"]], "row 2: x/b.png is not one of the labelled images"),
        ([["", "test"]], "row 2:  is not one of the labelled images"),
        ([*GOOD, ["b.png", "test"]], "row 5: b.png is in row 3 already"),
        (GOOD[:1], ": no row for v/b.png and 1 more; 'none' leaves an image out"),
        ([["v/a.png"]], "row 2: 1 cells; the header has 2"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path, rows, message):
    path, split = split_file(tmp_path, rows, ["v/a.png", "v/b.png", "w/a.png"])
    with pytest.raises(UserError) as caught:
        split()
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).endswith(message)


def test_a_file_needs_its_header_and_all_three_splits(tmp_path):
    keys = ["v/a.png", "v/b.png", "w/a.png"]
    _, split = split_file(tmp_path, GOOD, keys, head=("file", "split"))
    with pytest.raises(UserError, match="row 1: must be image,split"):
        split()
    _, split = split_file(tmp_path, [*GOOD[:2], ["w/a.png", "train"]], keys)
    with pytest.raises(UserError, match=r"no images for test \(3 images; as .*splits.csv says\)"):
        split()
    with pytest.raises(UserError, match=r"none\.csv: cannot be read"):
        split_images(["v"], ["v/a.png"], "none.csv")
