"""Where the images of a label file lie, on whatever computer it was written.

A path of a label file is tried below each root as it is. Otherwise it is the file whose own path
has the longest end in common with it. Upper and lower case differ; accents may be written in
either of Unicode's ways, since macOS and Windows choose different ones. Of an image inside a
package or a video the file is looked for in the same way.
"""

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from pipelines.folders import folders_below
from pipelines.image_files import split_frame
from rectloc_tf.errors import ConfigError, UserError

_DATA = "labeled-data"  # DeepLabCut's and Lightning Pose's folder of images


def default_roots(label_file: Path) -> tuple[Path, ...]:
    """Where images are looked for: the label file's folder and its parents, the nearest first.

    They end where `labeled-data` lies; the folder alone if none of them has it.
    """
    folder = Path(os.path.abspath(label_file)).parent
    for number, parent in enumerate((folder, *folder.parents)):
        if parent.name != _DATA and (parent / _DATA).is_dir():
            return (folder, *folder.parents)[: number + 1]
    return (folder,)


def chosen_root(images_root: str) -> tuple[Path, ...]:
    """The folder of --images_root.

    Raises:
        ConfigError: if there is no such folder.
    """
    root = Path(os.path.abspath(os.path.expanduser(images_root)))
    if not root.is_dir():
        raise ConfigError(f"--images_root={images_root}: no such folder")
    return (root,)


Listing = dict[str, list[tuple[str, ...]]]  # name -> the parts of the paths of files that have it


class Listings:
    """All files below some folders, each folder listed once and only where it is needed."""

    def __init__(self):
        self._below: dict[Path, Listing] = {}

    def below(self, root: Path) -> Listing:
        """The files below an absolute folder; their names are in Unicode's normal form."""
        if root not in self._below:
            files: Listing = {}
            for folder in folders_below(str(root)):
                for name in _names_in(folder):
                    files.setdefault(_normal(name), []).append(Path(folder, name).parts)
            self._below[root] = files
        return self._below[root]


class ImageFinder:
    """Finds images below some roots."""

    def __init__(
        self,
        roots: Sequence[Path],
        listings: Listings,
        may_be_elsewhere: bool = True,
        label_file: Path | None = None,
    ):
        """Looks below the last of `roots`, which holds the others.

        Args:
            roots: absolute folders.
            listings: shared by the finders of several label files.
            may_be_elsewhere: whether an absolute path in a label file is taken as it is.
            label_file: which may hold images itself, wherever the others lie.
        """
        self._roots = tuple(roots)
        self._listings = listings
        self._anywhere = may_be_elsewhere
        self._label_file = label_file and Path(os.path.abspath(label_file))

    def find(self, name: str) -> Path | None:
        """The image that a label file calls `name`, with slashes; None if there is none.

        Raises:
            UserError: if two files suit equally well, naming both.
        """
        frame = split_frame(name)
        container = self._find_container(frame.container) if frame else None
        if frame and container:
            return Path(container, frame.dataset, PurePosixPath(name).name)
        return self._find_file(name)

    def place(self, name: str) -> str:
        """The real path of `find`, or what it is below the nearest root if there is none."""
        return os.path.realpath(self.find(name) or self._roots[0] / name)

    def _find_container(self, name: str) -> Path | None:
        if self._label_file and name == self._label_file.name:
            return self._label_file
        return self._find_file(name)

    def _find_file(self, name: str) -> Path | None:
        if not os.path.isabs(name) or self._anywhere:
            for root in self._roots:
                if os.path.isfile(root / name):
                    return root / name
        return self._longest_match(name)

    def _longest_match(self, name: str) -> Path | None:
        wanted = _normal_parts(name)
        files = self._listings.below(self._roots[-1]).get(wanted[-1], []) if wanted else []
        common = {parts: _common_end(parts, wanted) for parts in files}
        best = max(common.values(), default=0)
        found = [Path(*parts) for parts, count in common.items() if count == best]
        found = [path for path in found if path.is_file()]
        if best == 1 and len(wanted) > 1:
            # Cameras reuse file names: a match by name alone, in another folder, does not count.
            found = [path for path in found if path.parent in self._roots]
        real = {os.path.realpath(path): path for path in reversed(found)}
        if len(real) > 1:
            first, second, *_ = sorted(real.values())
            raise UserError(
                f"{name}: {first} and {second} match equally well; give their folder "
                "with --images_root"
            )
        return found[0] if found else None


def _names_in(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:  # no permission: its images count as missing
        return []


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _normal_parts(name: str) -> list[str]:
    parts = os.path.normpath(_normal(name)).split("/")
    return [part for part in parts if part not in ("", ".", "..")]


def _common_end(parts: Sequence[str], wanted: Sequence[str]) -> int:
    """How many of the last parts of two paths are the same."""
    count = 0
    for part, other in zip(reversed(parts), reversed(wanted), strict=False):
        if _normal(part) != other:
            break
        count += 1
    return count
