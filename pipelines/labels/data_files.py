"""Which label files `--data` means."""

import os
from collections.abc import Callable
from pathlib import Path

from pipelines.folders import folders_below
from rectloc_tf.errors import ConfigError, UserError

_COPIES = "training-datasets"  # where DeepLabCut keeps copies of label files


def find_label_files(data: str) -> tuple[list[Path], list[str]]:
    """The label files that --data names, each once; and notes on those that are left out.

    Raises:
        ConfigError: if it is empty.
        UserError: if there is no such file, or no label file in a folder.
    """
    found, notes = [], []
    for name in split_at_commas(data, lambda text: os.path.exists(os.path.expanduser(text))):
        path = Path(os.path.expanduser(name))
        if path.is_dir():
            inside = _label_files_in(path)
            copies = [p for p in inside if _COPIES in p.relative_to(path).parts]
            notes += [f"{p}: left out, DeepLabCut's copy of other label files" for p in copies]
            found += [p for p in inside if p not in copies]
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"--data={data}: no such file or folder: {name}")
    if not found:
        raise ConfigError(f"--data={data}: names no label file")
    return [*{os.path.realpath(path): path for path in found}.values()], notes


def _label_files_in(folder: Path) -> list[Path]:
    inside = [
        path
        for below in folders_below(str(folder))
        for path in sorted(Path(below).glob("CollectedData*.csv"))
    ]
    if not inside:
        raise UserError(f"--data={folder}: no CollectedData*.csv in this folder; name the file")
    return inside


def split_at_commas(text: str, exists: Callable[[str], bool]) -> list[str]:
    """'a,b' -> ['a', 'b'], but names that hold commas stay whole where they are known.

    Args:
        text: names with commas.
        exists: whether there is something of exactly this name.
    """
    parts, names = text.split(","), []
    while parts:
        whole = (n for n in range(len(parts), 0, -1) if exists(",".join(parts[:n])))
        taken = next(whole, 1)
        names.append(",".join(parts[:taken]))
        parts = parts[taken:]
    return [name for name in names if name]
