"""What is kept of a finished run, and of an experiment: small JSON files and sheets of pictures.

`figures/results/runs/<run>.json` is all that figures and reports need of a run, so that it may
be committed, and the run folder thrown away. `figures/results/<experiment>.json` sums up an
experiment's runs.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rectloc_tf.config import RunConfig, SceneConfig
from rectloc_tf.errors import UserError
from rectloc_tf.experiments.plan import Experiment, Part, Task
from rectloc_tf.results.data_files import read_json, write_json
from rectloc_tf.results.output_files import atomic_path
from rectloc_tf.results.rundir import RunFolder

_HISTORY = (
    "epoch", "step", "train_loss", "zero_map_loss", "val_loss", "val_zero_map_loss", "val_r2",
    "val_median_px", "val_mean_px", "val_right_rate", "seconds", "images_per_second",
)  # fmt: skip


def summary_path(results_dir: Path, name: str) -> Path:
    """The path of the summary of the run `name`."""
    return results_dir / "runs" / f"{name}.json"


def answers_path(results_dir: Path, name: str) -> Path:
    """Where the answers of the run `name` lie."""
    return results_dir / "runs" / f"{name}.npz"


def scenes_path(results_dir: Path, run: RunConfig) -> Path:
    """Where the rectangles of the test scenes of a run's domain lie."""
    sides, usual = (run.min_side, run.max_side), (SceneConfig.min_side, SceneConfig.max_side)
    other = "" if sides == usual else f"_sides{sides[0]}to{sides[1]}"
    name = f"domain{run.domain}_{run.image_size}px{other}_seed{run.data_seed}.npz"
    return results_dir / "scenes" / name


def write_scenes(results_dir: Path, run: RunConfig, rectangles: np.ndarray) -> None:
    """Keeps the test scenes that answers are of, once for all runs.

    Args:
        results_dir: folder of the summaries.
        run: on them.
        rectangles: int [N, n, 4], largest first, in working pixels.
    """
    path = scenes_path(results_dir, run)
    if not path.exists():
        with atomic_path(path) as temporary:
            small = rectangles.astype(np.int16)
            np.savez_compressed(temporary, rectangles=small, image_size=run.image_size)


def read_summary(results_dir: Path, name: str) -> dict[str, Any] | None:
    """The summary of a run; None if there is none yet.

    Raises:
        UserError: if it is damaged.
    """
    path = summary_path(results_dir, name)
    if not path.exists():
        return None
    summary = read_json(path)
    if not isinstance(summary, dict) or not {"config", "splits", "pictures"} <= summary.keys():
        raise UserError(f"{path}: damaged, not the summary of a run; delete it to recreate it")
    return summary


def held(summary: dict[str, Any], run: RunConfig) -> Task:
    """What a summary answers, as a task."""
    there = {
        "domains": summary["splits"]["test"],
        "pictured": summary["pictures"],
        "failures": summary.get("failures", {}),
        "located": summary.get("locations", {}),
        "detected": summary.get("detections", {}).get("domains", {}),
        "answered": summary.get("final", {}).get("test", {}),
        "decoded": summary.get("decoded", {}),
    }
    return Task(run, **{name: tuple(map(int, domains)) for name, domains in there.items()})


def answers(summary: dict[str, Any] | None, task: Task) -> bool:
    """Whether a summary holds all that a task asks for."""
    return summary is not None and task.asks_no_more_than(held(summary, task.run))


def make_summary(folder: RunFolder, machine: dict[str, Any]) -> dict[str, Any]:
    """The summary of a finished run, without further domains and pictures."""
    result = folder.read_result()
    rows = [
        {name: row[name] if row[name] == row[name] else None for name in _HISTORY}
        for row in folder.read_history()
    ]
    snapshots = {
        str(epoch): snapshot_numbers(arrays) for epoch, arrays in folder.read_snapshots().items()
    }
    return {**result, "machine": machine, "history": rows, "snapshots": snapshots, "pictures": {}}


def fastest_rate(summary: dict[str, Any]) -> float | None:
    """Training images per second in a run's fastest epoch; None if no epoch was timed.

    Whatever else the machine did slows the others.
    """
    rates = [row["images_per_second"] for row in summary["history"]]
    return max((rate for rate in rates if rate), default=None)


def snapshot_numbers(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """The share of black pixels of some heatmaps, and the mean brightness (0-255) of the rest.

    Black is what is shown as 0: brightness below 0.5. Empty for coordinates.
    """
    if "heatmaps" not in arrays:
        return {}
    lit = arrays["heatmaps"][arrays["heatmaps"] > 0]
    share = 1 - lit.size / arrays["heatmaps"].size
    return {"black_share": share, "brightness": float(lit.mean()) if lit.size else 0.0}


def write_summary(results_dir: Path, name: str, summary: dict[str, Any]) -> None:
    """Writes a run's summary, whole or not at all."""
    write_json(summary_path(results_dir, name), summary)


def experiment_path(results_dir: Path, experiment: Experiment) -> Path:
    """The path of the summary of an experiment."""
    return results_dir / f"{experiment.name}.json"


def read_experiment(path: Path) -> dict[str, Any] | None:
    """The summary of an experiment; None if there is none yet.

    Raises:
        UserError: if it is damaged.
    """
    if not path.exists():
        return None
    summary = read_json(path)
    if not isinstance(summary, dict) or not {"base", "seeds", "runs", "missing"} <= summary.keys():
        raise UserError(
            f"{path}: damaged, not the summary of an experiment; delete it to recreate it"
        )
    return summary


def write_experiment(part: Part) -> Path:
    """Writes an experiment's summary from those of its runs that are there; returns its path.

    A run that the summary had before stays in it, even if more is asked of the run now; until
    that is measured it counts as missing too.
    """
    settings, experiment, tasks = part.settings, part.experiment, part.tasks
    found = {task.name: read_summary(settings.results_dir, task.name) for task in tasks}
    missing = [task.name for task in tasks if not answers(found[task.name], task)]
    done = {
        name: summary
        for name, summary in found.items()
        if summary is not None and (name not in missing or name in part.kept)
    }
    machines = {tuple(s["machine"].values()): s["machine"] for s in done.values()}
    summary = {
        "schema": 1,
        "experiment": experiment.name,
        "base": settings.base.to_json(),
        **({"given": dict(settings.given)} if settings.given else {}),
        "seeds": list(dict.fromkeys(task.run.seed for task in tasks)),
        "epochs": settings.epochs,
        "plain_epochs": settings.plain_epochs,
        "short_epochs": settings.short_epochs,
        "updates": settings.updates,
        "long_updates": settings.long_updates,
        "runs": list(done),
        "missing": missing,
        "hours": sum(s["seconds"] for s in done.values()) / 3600,
        "machines": list(machines.values()),
        **{name: list(getattr(settings, name)) for name in experiment.lists},
        **experiment.summarise(settings, done),
    }
    path = experiment_path(settings.results_dir, experiment)
    write_json(path, summary)
    return path


def write_sheet(path: Path, rows: list[np.ndarray]) -> None:
    """Writes pictures as one PNG: a row for each of the arrays, uint8 [N, S, S].

    Raises:
        UserError: if it cannot be written.
    """
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    with atomic_path(path) as temporary:
        ok, data = cv2.imencode(".png", sheet)
        if not ok:
            raise UserError(f"{path}: cannot be encoded as PNG")
        temporary.write_bytes(data.tobytes())


def picture_rows(pictured: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The rows of a sheet: scenes and, where there are any, heatmaps, uint8 [N, S, S] each."""
    rows = [pictured["images"]]
    if "heatmaps" in pictured:
        rows.append(np.clip(pictured["heatmaps"], 0, 255).round().astype(np.uint8))
    return rows
