"""Checkpoints of a training state, with a way back when one is damaged."""

import re
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from rectloc_tf.errors import UserError

KEEP = 3


class Checkpointer:
    """Saves and restores trackable objects in a folder, keeping the last three."""

    def __init__(self, folder: Path, **objects):
        self._folder = folder
        self._checkpoint = tf.train.Checkpoint(**objects)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), max_to_keep=KEEP)

    def save(self, step: int) -> None:
        """Saves the state after `step` steps.

        Raises:
            UserError: if the disk is full or the folder cannot be written; older ones stay.
        """
        try:
            self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{self._folder}: checkpoint cannot be written ({reason})") from error

    def prune(self) -> None:
        """Leaves only the newest checkpoint: the run is finished."""
        for number in self._numbers()[1:]:
            for path in self._folder.glob(f"ckpt-{number}.*"):
                path.unlink()

    def _numbers(self) -> list[int]:
        # Newest first; by file name rather than by the manager's index, which may be damaged.
        matches = (re.fullmatch(r"ckpt-(\d+)\.index", p.name) for p in self._folder.glob("*"))
        return sorted((int(match[1]) for match in matches if match), reverse=True)

    def restore_latest(self, warn: Callable[[str], None]) -> bool:
        """Restores the newest readable checkpoint; tells `warn` of each that is damaged.

        Returns:
            False if the folder holds none.

        Raises:
            UserError: if it holds some, and none can be read.
        """
        numbers = self._numbers()
        for number in numbers:
            path = self._folder / f"ckpt-{number}"
            try:
                self._checkpoint.restore(str(path)).assert_existing_objects_matched()
            except (tf.errors.OpError, AssertionError, ValueError, OSError) as error:
                warn(f"{path}: damaged, trying the one before ({str(error).splitlines()[0][:100]})")
            else:
                return True
        if numbers:
            raise UserError(
                f"{self._folder}: none of the checkpoints can be read; "
                "delete the run folder to train again from the start"
            )
        return False
