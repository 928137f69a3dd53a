"""Numbered version folders, as TensorFlow Serving reads them. Imports no TensorFlow."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from rectloc_tf.errors import UserError, reason
from rectloc_tf.results.output_files import clear_leftovers, temporary_path


@contextlib.contextmanager
def new_version(export_dir: Path) -> Iterator[tuple[Path, Callable[[], Path]]]:
    """Yields a new folder, and a function that makes it the next `export_dir/<version>`.

    The function returns the new path; the number is chosen then, as another export may have
    finished meanwhile. Without its call, or if the block fails, nothing is left. Folders that
    killed processes left are removed now.

    Raises:
        UserError: if it cannot be written; earlier versions are untouched.
    """
    try:
        export_dir.mkdir(parents=True, exist_ok=True)
        clear_leftovers(export_dir)
        temporary = temporary_path(export_dir / "export")
        temporary.mkdir()
    except OSError as error:
        raise _unwritable(export_dir, error) from error

    def publish() -> Path:
        while True:
            versions = [int(p.name) for p in export_dir.iterdir() if p.name.isdecimal()]
            target = export_dir / str(max(versions, default=0) + 1)
            try:
                os.rename(temporary, target)
                return target
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise

    try:
        yield temporary, publish
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
