"""Checkpoints of a training state, with a way back when one is damaged."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from rectloc_tf.errors import UserError, reason

KEEP = 3
_HALF = ".tmp-"  # before the names of a checkpoint's files until all of them are written
_PART = re.compile(r"(?P<half>\.tmp-)?ckpt-(?P<number>\d+)((?P<temp>_temp)|\..+)")


class Checkpointer:
    """Saves and restores trackable objects in a folder, keeping the last three."""

    def __init__(self, folder: Path, **objects):
        self._folder = folder
        self._checkpoint = tf.train.Checkpoint(**objects)

    def save(self, step: int) -> None:
        """Saves the state after `step` steps.

        Raises:
            UserError: if the disk is full or the folder cannot be written; older ones stay.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            # If killed while writing the index, TensorFlow would leave a truncated one in place.
            self._checkpoint.write(str(self._folder / f"{_HALF}ckpt-{step}"))
            self._publish(f"ckpt-{step}")
            self._keep_newest(KEEP)
        except (tf.errors.OpError, OSError) as error:
            self._remove_unfinished()
            message = f"{self._folder}: checkpoint cannot be written ({reason(error)})"
            raise UserError(message) from error

    def _publish(self, name: str) -> None:
        """Renames a complete checkpoint into place; the index, which makes it valid, comes last."""
        parts = self._folder.glob(f"{_HALF}{name}.*")
        for path in sorted(parts, key=lambda part: part.suffix == ".index"):
            os.replace(path, self._folder / path.name.removeprefix(_HALF))

    def prune(self) -> None:
        """Leaves only the newest checkpoint: the run is finished."""
        self._keep_newest(1)

    def _keep_newest(self, count: int) -> None:
        self._remove(self._numbers()[count:])

    def _remove(self, numbers: list[int]) -> None:
        for number in numbers:
            parts = self._folder.glob(f"ckpt-{number}.*")
            # The index first: without it the rest is not taken for a checkpoint.
            for path in sorted(parts, key=lambda part: part.suffix != ".index"):
                path.unlink()

    def _remove_unfinished(self) -> None:
        """Removes leftovers of an interrupted save or removal: parts without an index."""
        whole = {str(number) for number in self._numbers()}
        for path in self._folder.glob("*"):
            match = _PART.fullmatch(path.name)
            if not match or (match["number"] in whole and not (match["half"] or match["temp"])):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _numbers(self) -> list[int]:
        # Newest first.
        matches = (re.fullmatch(r"ckpt-(\d+)\.index", p.name) for p in self._folder.glob("*"))
        return sorted((int(match[1]) for match in matches if match), reverse=True)

    def restore(self, step: int) -> None:
        """Restores the state after `step` steps, which another worker could read.

        Raises:
            UserError: if it is not in the folder, or cannot be read.
        """
        path = self._folder / f"ckpt-{step}"
        try:
            self._read(path)
        except Exception as error:  # TensorFlow raises many kinds at a damaged file
            raise UserError(
                f"{path}: cannot be read ({reason(error)}); the run folder must lie on a disk that "
                "all workers share"
            ) from error

    def _read(self, path: Path) -> None:
        self._checkpoint.read(str(path)).assert_existing_objects_matched()

    def restore_latest(self, warn: Callable[[str], None]) -> bool:
        """Restores the newest readable checkpoint; calls `warn` for each damaged one.

        Returns:
            False if the folder holds none.

        Raises:
            UserError: if it holds some, and none can be read.
        """
        self._remove_unfinished()
        numbers = self._numbers()
        damaged = []
        for number in numbers:
            path = self._folder / f"ckpt-{number}"
            try:
                self._read(path)
            except Exception as error:  # as above
                warn(f"{path}: damaged, trying the previous one ({reason(error)})")
                damaged.append(number)
            else:
                self._remove(damaged)  # or pruning would keep them instead of good ones
                return True
        if numbers:
            raise UserError(
                f"{self._folder}: none of the checkpoints can be read; "
                "delete the run folder to train again from the start"
            )
        return False
