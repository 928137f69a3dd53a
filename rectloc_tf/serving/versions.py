"""Numbered version folders, as TensorFlow Serving reads them. Imports no TensorFlow."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from rectloc_tf.errors import UserError, reason
from rectloc_tf.results.output_files import clear_leftovers, temporary_path


@contextlib.contextmanager
def new_version(export_dir: Path) -> Iterator[tuple[Path, Path]]:
    """Yields a new folder, and `export_dir/<version>`, which it is renamed to when the block ends.

    If the block fails, nothing is left; what a killed process left goes now.

    Raises:
        UserError: if it cannot be written; earlier versions are untouched.
    """
    try:
        export_dir.mkdir(parents=True, exist_ok=True)
        clear_leftovers(export_dir)
        versions = [int(p.name) for p in export_dir.iterdir() if p.name.isdecimal()]
        target = export_dir / str(max(versions, default=0) + 1)
        temporary = temporary_path(target)
        temporary.mkdir()
    except OSError as error:
        raise _unwritable(export_dir, error) from error
    try:
        yield temporary, target
        os.rename(temporary, target)
    except UserError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] != "tensorflow":
            raise
        raise _unwritable(export_dir, error) from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(temporary, ignore_errors=True)


def _unwritable(export_dir: Path, error: Exception) -> UserError:
    return UserError(f"--export_dir={export_dir}: cannot be written ({reason(error)})")
