"""The files that a run's images come from: where they lie, and whether they are still the same.

A digest of their contents is part of the run's identity; their paths are not, and are kept only in
the run's `flags.flags`.
"""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Any

from pipelines.labels.data_files import find_label_files, split_at_commas
from pipelines.labels.reading import split_expected
from pipelines.source import read_files
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.results.output_files import check_not_input
from rectloc_tf.results.rundir import RunFolder


def places_of(asked: RunConfig, run: RunConfig, images_root: str) -> dict[str, str]:
    """The flags that find a run's files from anywhere: absolute paths, and their digest.

    Args:
        asked: with paths.
        run: the same with digests, as `read_files` returned it.
        images_root: the value of the flag.
    """
    if asked.data == run.data:
        return {}
    path, _ = split_expected(asked.data)
    data = ",".join(_absolute(name) for name in split_at_commas(path, _exists))
    places = {"data": f"{data}@{run.data}"}
    if images_root:
        places["images_root"] = _absolute(images_root)
    if asked.split_by != run.split_by:
        places["split_by"] = _absolute(asked.split_by)
    return places


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _exists(path: str) -> bool:
    return os.path.exists(os.path.expanduser(path))


def require_same(asked: RunConfig, run: RunConfig, folder: RunFolder, files: Any) -> None:
    """Refuses to resume a run whose files have changed.

    Args:
        asked: with paths and, from a run's `flags.flags`, the digest that they had.
        run: with the digest that they have, its precision resolved.
        folder: where it is to be trained.
        files: what was read, or None.

    Raises:
        UserError: naming the first difference.
    """
    if files is None:
        return
    path, expected = split_expected(asked.data)
    if folder.exists() and folder.run_config().source == run.source:
        expected, made = folder.run_config().data, folder
    else:  # where the run was made that `flags.flags` is of
        same = {"keypoints": asked.keypoints, "split_sizes": asked.split_sizes}
        was = dataclasses.replace(run, data=expected or run.data, **same)
        made = RunFolder(was.default_folder)
    if expected and expected != run.data:
        why = files.difference(made.read_contents()) if made.has_contents() else ""
        raise UserError(
            f"--data={path}: labels have changed: {why or 'other contents'} ({expected} there, "
            f"{run.data} here); for a new run leave out @sha256:... and choose another --run_dir"
        )


def open_files(run: RunConfig, folder: RunFolder, data: str = "", images_root: str = "") -> Any:
    """The files of a trained run, for `make_source`; None where its source has none.

    Args:
        run: of the folder.
        folder: which knows where they were.
        data, images_root: where they are now, if that is somewhere else.

    Raises:
        UserError: if they are gone, or have changed.
    """
    places = folder.places()
    if not run.data:
        return None
    asked = dataclasses.replace(
        run,
        data=data or places.get("data", run.data),
        split_by=places.get("split_by", run.split_by),
    )
    now, files = read_files(asked, images_root or places.get("images_root", ""))
    require_same(asked, now, folder, files)
    return files


def check_output(
    flag: str, path: Path, folder: RunFolder, data: str = "", files: Any = None
) -> None:
    """Refuses to write over a file of a run: one of its folder, its labels or its images.

    Args:
        flag: that names the output.
        path: of the output.
        folder: of the run, which knows where its label files were.
        data: where they are now, if that is somewhere else.
        files: what `open_files` returned, if that was called.

    Raises:
        ConfigError: naming both.
    """
    places, inputs = folder.places(), folder.files()
    for place in filter(None, (data, split_expected(places.get("data", ""))[0])):
        with contextlib.suppress(UserError):  # they are gone
            inputs += find_label_files(place)[0]
    inputs += [Path(places["split_by"])] if "split_by" in places else []
    check_not_input(flag, path, [*inputs, *(files.labels.paths if files else ())])
