"""Walks users' folders. Does not import TensorFlow."""

import os
from collections.abc import Iterator


def folders_below(root: str) -> Iterator[str]:
    """`root` and all folders below it, links followed, each real folder once; hidden ones not."""
    seen, waiting = set(), [root]
    for folder in waiting:
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        yield folder
        try:
            names = sorted(os.listdir(folder or "."))
        except OSError:  # not ours to read: glob passes over it too
            continue
        below = (os.path.join(folder, name) for name in names if not name.startswith("."))
        waiting += (path for path in below if os.path.isdir(path))
