"""Splits that users choose: a CSV file with the columns image and split."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipelines.labels.tables import align, read_rows
from rectloc_tf.errors import UserError

SPLITS = ("train", "validation", "test", "none")
_HEADER = ["image", "split"]


def read_split_file(path: Path, keys: Sequence[str]) -> list[str]:
    """The split of each image, "none" for those that are left out.

    Args:
        path: rows of an image and one of SPLITS. An image is named by the end of its path that
            tells it from the others: 'img1.png', or 'video/img1.png'.
        keys: N, what the images are called, as `LabelledImages.keys`.

    Raises:
        UserError: if the file is malformed, names an image twice, or lacks one.
    """
    rows = read_rows(path)
    (number, header), *body = rows
    if [cell.strip().lower() for cell in header] != _HEADER:
        raise UserError(f"{path} row {number}: must be image,split")
    ends: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        ends.setdefault(PurePosixPath(key).name, []).append(index)
    found: dict[int, tuple[str, int]] = {}
    for number, (name, split) in align(path, body, header, 2):
        index = _image(f"{path} row {number}", name, keys, ends)
        if index in found:
            raise UserError(f"{path} row {number}: {name} is in row {found[index][1]} already")
        split = split.strip().lower()
        if split not in SPLITS:
            raise UserError(f"{path} row {number}: {split!r} must be one of {', '.join(SPLITS)}")
        found[index] = split, number
    lacking = [key for index, key in enumerate(keys) if index not in found]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise UserError(f"{path}: no row for {lacking[0]}{more}; 'none' leaves an image out")
    return [found[index][0] for index in range(len(keys))]


def _image(where: str, name: str, keys: Sequence[str], ends: dict[str, list[int]]) -> int:
    """The index of the image that a row names."""
    wanted = PurePosixPath(name.replace("\\", "/")).parts
    best, found = 0, []
    for index in ends.get(wanted[-1] if wanted else "", []):
        parts = PurePosixPath(keys[index]).parts
        pairs = zip(reversed(parts), reversed(wanted), strict=False)
        common = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(parts), len(wanted)))
        if common < len(wanted) and common < len(parts):
            continue  # another folder
        best, found = max(best, common), [*found, (common, index)]
    suiting = [index for common, index in found if common == best]
    if not suiting:
        raise UserError(f"{where}: {name} is not one of the labelled images")
    if len(suiting) > 1:
        first, second, *_ = (keys[index] for index in suiting)
        raise UserError(f"{where}: {name} may be {first} or {second}; name its folder too")
    return suiting[0]
