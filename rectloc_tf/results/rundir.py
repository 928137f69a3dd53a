"""The run folder: its only reader and writer. Imports no TensorFlow.

    config.json  flags.flags   what the run is: as JSON, and as a flagfile
    environment.json           how and on what each session ran
    labels.json                the names and contents of labelled images, and their split
    history.csv                one row per validation
    checkpoints/               training state, see `checkpoints`
    best.keras  final.keras    models: best by validation, and last
    result.json                metrics of best.keras; its presence means "finished"
    snapshots/epoch_*.npz      predictions on a few validation images, as training went; step_* of
                               runs whose length is in steps
    *.png  tensorboard/        pictures of the run

Every file is written under a temporary name and renamed, so a reader or a kill never meets
half a file.
"""

import contextlib
import csv
import dataclasses
import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rectloc_tf.config import PRECISIONS, RunConfig
from rectloc_tf.errors import BusyError, ConfigError, UserError, reason
from rectloc_tf.registry import UNORDERED
from rectloc_tf.results import lease
from rectloc_tf.results.data_files import (
    MAX_CONTENTS,
    read_arrays,
    read_json,
    read_text,
    write_json,
    write_text,
)
from rectloc_tf.results.output_files import atomic_path

History = list[dict[str, float]]

DEFAULT_THRESHOLD = 0.5  # minimum confidence of a detection


class RunFolder:
    """One run's folder, `path`."""

    def __init__(self, path: str | Path):
        self.path = Path(os.path.expanduser(path))
        self.checkpoints = self.path / "checkpoints"
        self.tensorboard = self.path / "tensorboard"
        self.best_model = self.path / "best.keras"
        self.final_model = self.path / "final.keras"
        self.result = self.path / "result.json"
        self._config = self.path / "config.json"
        self._flags = self.path / "flags.flags"  # written before the config, so maybe alone
        self._history = self.path / "history.csv"
        self._environment = self.path / "environment.json"
        self._contents = self.path / "labels.json"
        self._snapshots = self.path / "snapshots"
        self._lease: lease.Lease | None = None

    def files(self) -> list[Path]:
        """The files of the run that are there, its pictures left out."""
        named = [self.best_model, self.final_model, self.result, self._config, self._flags]
        named += [self._history, self._environment, self._contents]
        for folder in (self.checkpoints, self.tensorboard, self._snapshots):
            named += folder.rglob("*")
        return [path for path in named if path.is_file()]

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for this process, on all machines that share it; see `lease`.

        Raises:
            UserError: if the folder cannot be made.
            BusyError: if another process holds it; names that and its machine.
        """
        with contextlib.ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                self._lease = stack.enter_context(lease.hold(self.path))
            except OSError as error:
                why = self._inside_a_run() or f"cannot be written ({reason(error)})"
                raise UserError(f"--run_dir={self.path}: {why}") from error
            for leftover in self.path.rglob(".tmp-*"):  # of a process that was killed
                if leftover.is_file():
                    leftover.unlink()
            yield

    def require_held(self) -> None:
        """Raises BusyError if another process took the folder over, as after a long sleep."""
        if self._lease and not self._lease.is_ours():
            raise BusyError(f"--run_dir={self.path}: another process has taken this folder over")

    def claim(
        self,
        run: RunConfig,
        places: Mapping[str, str] | None = None,
        contents: Mapping[str, Any] | None = None,
    ) -> None:
        """Makes the folder this run's, or checks that it already is.

        Args:
            run: what it is.
            places: values of flags that find its files again.
            contents: what its files hold, if it has some.

        Raises:
            UserError: if it holds another run (naming the flags that differ), or files that are
                no run at all.
        """
        if self._config.exists():
            theirs, ours = self.run_config().identity(), run.identity()
            names = [n for n in {**theirs, **ours} if theirs.get(n) != ours.get(n)]
            if names:
                differences = ", ".join(
                    f"--{name}={theirs.get(name, '-')} there, {ours.get(name, '-')} here"
                    for name in names
                )
                raise UserError(
                    f"--run_dir={self.path}: holds another run ({differences}); "
                    f"{self._ways_on(theirs, ours, set(names))}"
                )
            return
        others = [
            p.name
            for p in self.path.iterdir()
            if not p.name.startswith(".") and p not in (self._flags, self._contents)
        ]
        if others:
            raise UserError(
                f"--run_dir={self.path}: not a run folder, but not empty ({others[0]} ...); "
                "choose an empty or a new one"
            )
        if contents:
            write_json(self._contents, contents)
        values = {**run.to_json(), **(places or {})}
        values = {name: value for name, value in values.items() if value != ""}
        flags = [f"--{name}={_flag_value(value)}" for name, value in values.items()]
        write_text(self._flags, "\n".join(flags) + "\n")
        write_json(self._config, run.to_json())

    def _ways_on(self, theirs: dict[str, Any], ours: dict[str, Any], differ: set[str]) -> str:
        """What a user may have meant who asked for another run in this folder."""
        here = shlex.quote(str(self.path))
        flagfile = f"--flagfile={shlex.quote(str(self._flags))}"
        more = ours.get("epochs", 0) - theirs.get("epochs", 0)
        if differ <= {"epochs", "precision"} and more > 0 and self.best_model.exists():
            return (
                "to train its weights further, start a new run from them: python -m "
                f"rectloc_tf.train {flagfile} --init_from={here} --epochs={more}"
            )
        if self._flags.exists():
            return f"choose another folder, or to resume it: {flagfile} --run_dir={here}"
        return "choose another folder, or leave --run_dir out"

    def places(self) -> dict[str, str]:
        """The values in `flags.flags` by name, as written: where the run's files lie among them."""
        if not self._flags.exists():
            return {}
        lines = read_text(self._flags).splitlines()
        parts = (line.removeprefix("--").partition("=") for line in lines)
        return {name: value for name, _, value in parts}

    def has_contents(self) -> bool:
        """Whether it is known what the run's files held."""
        return self._contents.exists()

    def read_contents(self) -> dict[str, Any]:
        """What the run's files held when it was made, see `pipelines.labels.reading`.

        Raises:
            UserError: if it is damaged.
        """
        contents = read_json(self._contents, MAX_CONTENTS)
        try:
            if all(image["name"] for image in contents["images"]) and contents["keypoints"]:
                return contents
        except (KeyError, TypeError):
            pass
        raise UserError(f"{self._contents}: damaged, not the contents of a run's files")

    def has_checkpoint(self) -> bool:
        """Whether there is a state to resume from."""
        return any(self.checkpoints.glob("ckpt-*.index"))

    def run_config(self) -> RunConfig:
        """What this run is.

        Raises:
            UserError: if there is no run here, or its config is damaged.
        """
        if not self._config.exists():
            why = self._inside_a_run() or "no run here (config.json is missing)"
            raise UserError(f"--run_dir={self.path}: {why}")
        values = read_json(self._config)
        if not isinstance(values, dict):
            raise UserError(f"{self._config}: damaged, not a JSON object")
        try:
            return RunConfig.from_json(values)
        except (ConfigError, TypeError) as error:
            raise UserError(f"{self._config}: {reason(error)}") from error

    def _inside_a_run(self) -> str | None:
        """Says which folder to name where the path is one of a run's files."""
        if not self.path.exists():
            return None
        runs = (parent for parent in self.path.parents if (parent / "flags.flags").exists())
        run = next(runs, None)
        return run and f"this is inside a run; name its folder: --run_dir={shlex.quote(str(run))}"

    def model_path(self, which: str) -> Path:
        """The file of the run's "best" or "final" model."""
        return self.best_model if which == "best" else self.final_model

    def exists(self) -> bool:
        """Whether a run has been started here."""
        return self._config.exists()

    def is_finished(self) -> bool:
        """Whether training ended and was measured."""
        return self.result.exists()

    def read_result(self) -> dict[str, Any]:
        """The contents of `result.json`.

        Raises:
            UserError: if it is damaged.
        """
        result = read_json(self.result)
        if not isinstance(result, dict) or not {"splits", "epochs"} <= result.keys():
            raise UserError(f"{self.result}: damaged, not the result of a run")
        return result

    def threshold(self, run: RunConfig) -> float:
        """Minimum confidence of a detection, for points of one class: chosen on validation images.

        DEFAULT_THRESHOLD where none was: before the run ends, in runs of older versions, and of
        other points, whose result is not read.

        Args:
            run: what it is.

        Raises:
            UserError: as `read_result`.
        """
        if run.labels != UNORDERED or not self.is_finished():
            return DEFAULT_THRESHOLD
        return self.read_result().get("threshold", DEFAULT_THRESHOLD)

    def write_result(self, result: dict[str, Any]) -> None:
        """Writes `result.json`: the run is finished."""
        write_json(self.result, result)

    def add_session(self, environment: dict[str, Any]) -> None:
        """Appends the description of a training session to `environment.json`."""
        try:
            sessions = read_json(self._environment)
        except UserError:  # none yet, or damaged: it only informs
            sessions = []
        sessions = sessions if isinstance(sessions, list) else []
        write_json(self._environment, [*sessions, environment])

    def read_history(self) -> History:
        """The rows of `history.csv`, in order; none if there is no file."""
        if not self._history.exists():
            return []
        text = read_text(self._history)
        try:
            if "\0" in text:
                raise ValueError("zero bytes")
            rows = [
                {name: float(value) for name, value in row.items()}
                for row in csv.DictReader(text.splitlines())
            ]
            if not all("step" in row for row in rows):
                raise ValueError("no column 'step'")
            return rows
        except (ValueError, TypeError, csv.Error) as error:
            raise UserError(f"{self._history}: damaged ({error})") from error

    def write_history(self, history: History) -> None:
        """Writes all rows; numbers keep every bit."""
        lines = [",".join(history[0])] if history else []
        lines += [",".join(_csv_value(v) for v in row.values()) for row in history]
        write_text(self._history, "\n".join(lines) + "\n")

    def write_snapshot(self, done: int, arrays: dict[str, Any], unit: str = "epoch") -> None:
        """Saves predictions after `done` epochs or steps (see `training`)."""
        with atomic_path(self._snapshots / f"{unit}_{done:08d}.npz") as temporary:
            np.savez_compressed(temporary, **arrays)

    def read_snapshots(self, unit: str = "epoch") -> dict[int, dict[str, np.ndarray]]:
        """All snapshots by epoch or step, in order."""
        paths = sorted(self._snapshots.glob(f"{unit}_*.npz"))
        return {int(path.stem.removeprefix(f"{unit}_")): read_arrays(path) for path in paths}

    def save_figure(self, name: str, figure) -> None:
        """Writes a Matplotlib figure as `<name>.png`."""
        with atomic_path(self.path / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=100)

    def save_model(self, model, path: Path) -> None:
        """Saves a Keras model as `path` (`.keras`), whole or not at all."""
        with atomic_path(path) as temporary:
            model.save(temporary)


def locate(asked: RunConfig, run: RunConfig, run_dir: str | None, new_run: str = "") -> RunFolder:
    """The folder of a run: `run_dir`, or the one that its name gives.

    Args:
        asked: the run as the flags describe it; its precision may be "auto".
        run: the same with the precision that "auto" means on this machine.
        run_dir: the value of --run_dir, if it is given.
        new_run: what to say of starting a new run, where the command can.

    Raises:
        UserError: if "auto" means another precision here than where the run was made.
    """
    folder = RunFolder(run_dir or run.default_folder)
    if asked.precision != "auto" or (folder.exists() and not run_dir):
        return folder
    for precision in PRECISIONS[1:]:
        other = dataclasses.replace(run, precision=precision)
        there = RunFolder(run_dir or other.default_folder)
        if other != run and there.exists() and there.run_config().identity() == other.identity():
            raise UserError(
                f"{there.path}: this run was made with --precision={precision}, but on this machine"
                f" --precision=auto means {run.precision}; add --precision={precision} to use that"
                f" run{new_run}"
            )
    return folder


def _flag_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _csv_value(value: float) -> str:
    return repr(float(value)).removesuffix(".0")
