"""What is trained on, validated and tested: pure functions of the images' names.

Images of one video resemble each other, so videos (groups) go to a split as a whole. Where there
are too few, each is cut into blocks of its sorted images, with a gap between the blocks: frames
beside each other are nearly the same image.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.labels.split_file import read_split_file
from rectloc_tf.config.images import parse_fold
from rectloc_tf.errors import ConfigError, UserError

SHARES = (0.8, 0.1, 0.1)  # train, validation, test
GAP = 0.02  # of a group's images, between two blocks
TESTED_AT_RANDOM = 0.05  # DeepLabCut's TrainingFraction is 0.95
BY_GROUP, AT_RANDOM = "group", "random"
_FEWEST_GROUPS = 3


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of images, int64, each ascending; no image is in two of them.

    Attributes:
        train, validation, test: at least one image each.
        left_out: the gaps between blocks, and what a file of splits leaves out.
        how: how they were chosen, for people.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    left_out: np.ndarray
    how: str


def split_images(
    groups: Sequence[str], keys: Sequence[str], split_by: str = BY_GROUP, fold: str = ""
) -> Split:
    """Splits N images.

    Args:
        groups: N, the video or folder of each.
        keys: N, what each is called, as `LabelledImages.keys`.
        split_by: "group"; "random" to compare with DeepLabCut's way; or a CSV file with the
            columns image and split.
        fold: "2/5": the second of five parts is tested, by groups or in blocks; or nothing.

    Raises:
        ConfigError: if the arguments do not go together.
        UserError: if there are too few images, or the file is not as it must be.
    """
    if fold:
        if split_by != BY_GROUP:
            raise ConfigError(f"--fold={fold}: works with --split_by=group only")
        return _split_fold(groups, keys, *parse_fold(fold))
    if split_by == AT_RANDOM:
        return _split_at_random(keys)
    if split_by != BY_GROUP:
        return _make(read_split_file(Path(split_by).expanduser(), keys), f"as {split_by} says")
    number = len(set(groups))
    if number < _FEWEST_GROUPS:
        how = f"blocks of neighbouring images, with gaps: only {_in_words(number)}"
        return _make(_by_group(groups, keys, _cut_into_blocks), how)
    splits = split_groups(set(groups))
    return _make([splits[group] for group in groups], f"{_in_words(number)}, each in one split")


def choose_labelled(split: Split, keys: Sequence[str], number: int, seed: int) -> Split:
    """As if only `number` of the images that are not tested had been labelled.

    They are chosen at random; a smaller choice of the same seed lies within a larger one, and so
    do its training images. Every tenth validates, the first one among them.

    Args:
        split: of all images.
        keys: N, what each is called, as `LabelledImages.keys`.
        number: how many, two at least.
        seed: which ones.

    Raises:
        ConfigError: if there are fewer.
    """
    pool = np.concatenate([split.train, split.validation])
    if not 2 <= number <= len(pool):
        rule = f"must be from 2 to {len(pool)}, the images that are not tested"
        raise ConfigError(f"--num_labelled={number}: {rule}")
    order = sorted(pool.tolist(), key=lambda i: (_uniform(f"{seed}/{keys[i]}"), keys[i]))
    chosen, rest = np.array(order[:number]), order[number:]
    validates = np.arange(number) % round(1 / SHARES[1]) == 0
    return Split(
        np.sort(chosen[~validates]),
        np.sort(chosen[validates]),
        split.test,
        np.sort(np.array([*split.left_out, *rest], np.int64)),
        f"{split.how}; {number} of the {len(pool)} that are not tested",
    )


def split_groups(groups: set[str]) -> dict[str, str]:
    """The split of each of three or more groups, by a hash of its name.

    While every split has a group, the split of one does not depend on the other groups.
    """
    place = {group: _uniform(group) for group in groups}
    ordered = sorted(groups, key=lambda group: (place[group], group))
    bounds = np.cumsum(SHARES)[:-1]
    names = ("train", "validation", "test")
    splits = {g: names[int(np.searchsorted(bounds, place[g], "right"))] for g in ordered}
    # An empty split takes the nearest group from a split that has several.
    for name in ("test", "validation", "train"):
        if name not in splits.values():
            many = [g for g in ordered if [*splits.values()].count(splits[g]) > 1]
            splits[many[0] if name == "train" else many[-1]] = name
    return splits


def natural(text: str) -> list[tuple[int, str]]:
    """A key that sorts img2 before img10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)
    ]


def _uniform(text: str) -> float:
    """A pseudorandom number in [0, 1), a hash of the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def _split_at_random(keys: Sequence[str]) -> Split:
    order = sorted(range(len(keys)), key=lambda index: (_uniform(keys[index]), keys[index]))
    tested = max(1, round(TESTED_AT_RANDOM * len(keys)))
    validated = max(1, round(TESTED_AT_RANDOM * (len(keys) - tested)))
    splits = np.array(["train"] * len(keys), object)
    splits[order[:tested]] = "test"
    splits[order[tested : tested + validated]] = "validation"
    how = (
        "95 % for training at random, as DeepLabCut does: neighbouring frames are in both, so "
        "errors on new videos are larger; validation is taken from the 95 %"
    )
    return _make(splits, how)


def _split_fold(groups: Sequence[str], keys: Sequence[str], part: int, count: int) -> Split:
    names = set(groups)
    if len(names) < count:
        splits = _by_group(groups, keys, lambda n: _cut_out_block(n, part, count))
        return _make(splits, f"block {part} of {count} of each of {_in_words(len(names))}, gaps")
    tested = _deal(groups, count)[part - 1]
    rest = [g for g in groups if g not in tested]
    if len(set(rest)) < _FEWEST_GROUPS:
        splits = _by_group(groups, keys, _cut_off_validation)
        how = "validation is the last block of the others"
    else:
        validated = _take_groups(rest)
        splits = ["validation" if group in validated else "train" for group in groups]
        how = f"validation is {_in_words(len(validated))} of the others"
    splits = ["test" if g in tested else s for g, s in zip(groups, splits, strict=True)]
    return _make(splits, f"fold {part} of {count}, {_in_words(len(tested))}; {how}")


def _deal(groups: Sequence[str], count: int) -> list[set[str]]:
    """Deals groups to `count` hands with about as many images each, the large ones first."""
    sizes = {group: groups.count(group) for group in set(groups)}
    hands, loads = [set() for _ in range(count)], [0] * count
    for group in sorted(sizes, key=lambda g: (-sizes[g], _uniform(g), g)):
        least = loads.index(min(loads))
        hands[least].add(group)
        loads[least] += sizes[group]
    return hands


def _take_groups(groups: Sequence[str]) -> set[str]:
    """Groups with about a validation's share of the images, at least one and not all."""
    taken, images = set(), 0
    ordered = sorted(set(groups), key=lambda group: (_uniform(group), group))
    for group in ordered[:-1]:
        taken.add(group)
        images += groups.count(group)
        if images >= SHARES[1] * len(groups):
            break
    return taken


def _by_group(groups: Sequence[str], keys: Sequence[str], cut) -> np.ndarray:
    """Splits the images of each group by `cut`: their number -> the split of each, in order."""
    splits = np.full(len(groups), "train", object)
    for group in set(groups):
        inside = [index for index, other in enumerate(groups) if other == group]
        inside.sort(key=lambda index: natural(keys[index]))
        splits[inside] = cut(len(inside))
    return splits


def _gap(count: int) -> int:
    return max(1, round(GAP * count))


def _blocks(count: int, *sizes: tuple[str, int]) -> np.ndarray:
    """Blocks in a row, `train` first, with gaps; all is trained on where they have no room."""
    gap = _gap(count)
    trained = count - sum(size + gap for _, size in sizes)
    if trained < 1:
        return np.full(count, "train", object)
    splits = ["train"] * trained
    for name, size in sizes:
        splits += [""] * gap + [name] * size
    return np.array(splits, object)


def _cut_into_blocks(count: int) -> np.ndarray:
    """Training, validation and test, one after the other."""
    validated, tested = (max(1, round(share * count)) for share in SHARES[1:])
    return _blocks(count, ("validation", validated), ("test", tested))


def _cut_off_validation(count: int) -> np.ndarray:
    return _blocks(count, ("validation", max(1, round(SHARES[1] * count))))


def _cut_out_block(count: int, part: int, parts: int) -> np.ndarray:
    """One block is tested; validation is the end that is farthest from it."""
    gap, start, stop = _gap(count), (part - 1) * count // parts, part * count // parts
    before, after = max(start - gap, 0), max(count - stop - gap, 0)
    splits = np.full(count, "", object)
    if start == stop or max(before, after) < 1 + gap + 1:
        return np.full(count, "train", object)
    splits[start:stop] = "test"
    rest = max(1, round(SHARES[1] * (before + after)))
    rest = min(rest, max(before, after) - gap - 1)
    longer = _blocks_of(max(before, after), rest, gap)
    if before >= after:
        splits[:before], splits[count - after :] = longer, "train"
    else:
        splits[:before], splits[count - after :] = "train", longer[::-1]
    return splits


def _blocks_of(count: int, validated: int, gap: int) -> list[str]:
    return ["validation"] * validated + [""] * gap + ["train"] * (count - validated - gap)


def _make(splits: Sequence[str] | np.ndarray, how: str) -> Split:
    """From the split of each image; what is in none is left out."""
    splits = np.asarray(splits, object)
    names = ("train", "validation", "test")
    for name in names:
        if not (splits == name).any():
            raise UserError(f"no images for {name} ({len(splits)} images; {how}): label more")
    left_out = np.flatnonzero(~np.isin(splits.astype(str), names))
    train, validation, test = (np.flatnonzero(splits == name) for name in names)
    return Split(train, validation, test, left_out, how)


def _in_words(groups: int) -> str:
    return f"{groups} group{'s' * (groups != 1)}"
