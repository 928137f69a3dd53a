"""Kills trainings at bad moments, again and again, and looks whether anything is lost.

    python benchmarks/kill_campaign.py --output=benchmarks/kill_campaign.json

Runs in a checkout, in about half an hour; --kinds makes some, and leaves the others in the file.
A tiny run is killed (SIGKILL) ten times while it writes a checkpoint, another ten times in the
middle of a step, a third ten times between epochs; of two workers one or the other is killed six
times. After each kill the same command takes the run up. Each must end with bitwise the weights,
and with the rows, of a run that was never killed, and whatever a kill leaves must be readable.
"""

import argparse
import csv
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from rectloc_tf.models import load_model
from rectloc_tf.processor import describe_machine
from rectloc_tf.results.data_files import write_json
from rectloc_tf.results.rundir import RunFolder

ROOT = Path(__file__).resolve().parents[1]
FLAGS = (
    "--arch=xy", "--domain=2", "--image_size=64", "--num_images=400", "--batch_size=8",
    "--epochs=30", "--precision=float32", "--deterministic",
)  # fmt: skip
COMMAND = (sys.executable, "-m", "tests.few_scenes", "tests.narrow", "rectloc_tf.train", *FLAGS)
KILLS = {"while saving": 10, "in a step": 10, "between epochs": 10}
OF_TWO, WORKER_KILLS = "one of two workers", 6
GLANCE = 0.001  # seconds between two looks at a folder
TIMES = {"seconds", "images_per_second"}  # columns that no two runs share
LOST = 180.0  # seconds in which a worker must notice that the other is gone


class Watched:
    """What a run folder shows to those who look at it."""

    def __init__(self, folder: Path):
        self.folder, self.checkpoints = folder, folder / "checkpoints"

    def newest(self) -> int:
        """The step of the newest whole checkpoint, 0 if there is none."""
        found = (re.fullmatch(r"ckpt-(\d+)\.index", name) for name in self._names())
        return max((int(match[1]) for match in found if match), default=0)

    def is_saving(self) -> bool:
        """Whether a checkpoint is half written."""
        return any(name.startswith(".tmp-") for name in self._names())

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.checkpoints)
        except FileNotFoundError:
            return []

    def rows(self) -> list[dict[str, str]]:
        """The history, without times."""
        path = self.folder / "history.csv"
        if not path.exists():
            return []
        with open(path, newline="") as file:
            return [
                {k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)
            ]

    def last_row(self) -> int:
        """The step of the last row, 0 if there is none."""
        rows = self.rows()
        return int(rows[-1]["step"]) if rows else 0


def wait_until(true: Callable[[], bool], process: subprocess.Popen) -> bool:
    """Waits for it; False if the process ended first."""
    while not true():
        if process.poll() is not None:
            return False
        time.sleep(GLANCE)
    return True


def progressed(step: Callable[[], int], process: subprocess.Popen, rng: random.Random) -> bool:
    """Waits until a step is a later one, once or twice: not always the same epoch is hit."""
    for _ in range(1 + rng.randrange(2)):
        before = step()
        if not wait_until(lambda before=before: step() > before, process):
            return False
    return True


def while_saving(watched: Watched, process: subprocess.Popen, rng: random.Random) -> bool:
    """Waits until a checkpoint is being written, after at least one that is whole."""
    ready = progressed(watched.newest, process, rng)
    return ready and wait_until(watched.is_saving, process)


def in_a_step(watched: Watched, process: subprocess.Popen, rng: random.Random) -> bool:
    """Waits until an epoch is under way: its steps take longer than the longest pause here."""
    ready = progressed(watched.last_row, process, rng)
    time.sleep(rng.uniform(0.1, 0.4))
    return ready


def between_epochs(watched: Watched, process: subprocess.Popen, rng: random.Random) -> bool:
    """Waits until an epoch's checkpoint is there and its row is not, or just is."""
    ready = progressed(watched.newest, process, rng)
    if rng.random() < 0.5:
        ready = ready and wait_until(lambda: watched.last_row() == watched.newest(), process)
    return ready


MOMENTS = {"while saving": while_saving, "in a step": in_a_step, "between epochs": between_epochs}
HALF, NO_ROW, WHOLE = "checkpoint half written", "checkpoint without its row", "checkpoint and row"
HITS = {"while saving": {HALF}, "in a step": {WHOLE}, "between epochs": {NO_ROW, WHOLE}}


def state_of(watched: Watched) -> str:
    """Where a kill has hit a run."""
    if watched.is_saving():
        return HALF
    return NO_ROW if watched.newest() > watched.last_row() else WHOLE


def unreadable(folder: Path) -> list[str]:
    """Files of a run that stand under their own name and cannot be read."""
    run, bad = RunFolder(folder), []
    readers: list[tuple[str, Callable[[], Any]]] = [("history.csv", run.read_history)]
    readers += [(name, lambda name=name: read_checkpoint(folder / "checkpoints" / name))
                for name in checkpoints(folder)]  # fmt: skip
    readers.append(("snapshots", run.read_snapshots))
    if run.exists():
        readers.append(("config.json", run.run_config))
    readers += [(path.name, lambda path=path: load_model(path)) for path in folder.glob("*.keras")]
    for name, read in readers:
        try:
            read()
        except Exception as error:  # of many kinds, and each is what is looked for
            bad.append(f"{name}: {str(error)[:200]}")
    keras.backend.clear_session()
    return bad


def checkpoints(folder: Path) -> list[str]:
    """Names of the checkpoints that look whole."""
    return sorted(path.stem for path in folder.glob("checkpoints/ckpt-*.index"))


def read_checkpoint(path: Path) -> None:
    """Reads all of it, with its checksums."""
    reader = tf.train.load_checkpoint(str(path))
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)


def start(folder: Path, *flags: str, **environment: str) -> subprocess.Popen:
    """The command that begins a run, and that takes it up."""
    return subprocess.Popen(
        [*COMMAND, f"--run_dir={folder}", *flags], cwd=ROOT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment,
    )  # fmt: skip


def resumed_after(out: str) -> int:
    """The step that a session says it took up, 0 if it began."""
    found = re.search(r"resuming after step (\d+)", out)
    return int(found[1]) if found else 0


def kill_again_and_again(kind: str, folder: Path, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Kills a run at one kind of moment, until so many have hit it; yields what each has left."""
    watched, kills = Watched(folder), 0
    while kills < KILLS[kind]:
        kept, process = watched.newest(), start(folder)
        if not MOMENTS[kind](watched, process, rng):
            raise SystemExit(f"{kind}: the run ended first\n{process.communicate()}")
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
        left = state_of(watched)
        kills += left in HITS[kind]
        yield {
            "kind": kind, "hit": left in HITS[kind], "left": left,
            "newest_checkpoint": watched.newest(),
            "last_row": watched.last_row(), "resumed_after": resumed_after(out),
            "resumed_the_newest": resumed_after(out) == kept, "unreadable": unreadable(folder),
            "called_damaged": out.count("damaged"),
        }  # fmt: skip


def finish(*processes: subprocess.Popen) -> None:
    """Waits for sessions that must succeed."""
    for process in processes:
        out, err = process.communicate()
        if process.returncode != 0 or "damaged" in out:
            raise SystemExit(f"the last session failed\n{out}\n{err}")


def start_two(folder: Path) -> list[subprocess.Popen]:
    """Two workers on loopback."""
    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    tasks = [{"type": "worker", "index": index} for index in range(2)]
    configs = [json.dumps({"cluster": {"worker": addresses}, "task": task}) for task in tasks]
    return [start(folder, "--strategy=multi_worker", TF_CONFIG=config) for config in configs]


def kill_one_of_two(folder: Path, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Kills the chief and the other worker in turns; yields how the one that is left ended."""
    watched = Watched(folder)
    for kill in range(WORKER_KILLS):
        kept, workers = watched.newest(), start_two(folder)
        if not in_a_step(watched, workers[0], rng):
            raise SystemExit(f"two workers: the run ended first\n{workers[0].communicate()}")
        lost, left = workers[kill % 2], workers[1 - kill % 2]
        lost.send_signal(signal.SIGKILL)
        began = time.monotonic()
        outs = {lost: lost.communicate()[0]}
        try:
            outs[left], err = left.communicate(timeout=LOST)
        finally:
            left.kill()
        out = outs[workers[0]]
        yield {
            "kind": OF_TWO, "killed": ["the chief", "the other"][kill % 2],
            "left": state_of(watched), "newest_checkpoint": watched.newest(),
            "last_row": watched.last_row(), "resumed_after": resumed_after(out),
            "resumed_the_newest": resumed_after(out) == kept, "unreadable": unreadable(folder),
            "called_damaged": out.count("damaged"), "exit_code_of_the_other": left.returncode,
            "seconds_until_it_ended": round(time.monotonic() - began, 1),
            "its_last_line": re.sub(r":\d+\)", ":PORT)", err.strip().splitlines()[-1]),
        }  # fmt: skip


def compare(folder: Path, whole: Path) -> dict[str, Any]:
    """Whether a killed run ended as one that was never killed."""
    pairs = [
        zip(load_model(a).get_weights(), load_model(b).get_weights(), strict=True)
        for a, b in ((folder / f"{n}.keras", whole / f"{n}.keras") for n in ("best", "final"))
    ]
    rows = Watched(folder).rows()
    steps = [int(row["step"]) for row in rows]
    return {
        "weights_bitwise_equal": all(np.array_equal(a, b) for pair in pairs for a, b in pair),
        "rows_equal": rows == Watched(whole).rows(),
        "rows": len(rows),
        "rows_twice": len(steps) - len({*steps}),
        "left_over": sorted(path.name for path in folder.rglob("*") if "tmp" in path.name),
    }


def campaign(kind: str, root: Path, rng: random.Random) -> tuple[list[dict[str, Any]], dict]:
    """All kills of one kind, and how the killed run ended beside a whole one."""
    folder, whole, kills = root / kind.replace(" ", "_"), root / "whole", []
    if kind == OF_TWO:
        whole = root / "whole_two"
        begin, found = (lambda path: start_two(path)), kill_one_of_two(folder, rng)
    else:
        begin, found = (lambda path: [start(path)]), kill_again_and_again(kind, folder, rng)
    if not whole.exists():
        finish(*begin(whole))
    for kill in found:
        print(json.dumps(kill), flush=True)
        kills.append(kill)
    finish(*begin(folder))
    return kills, compare(folder, whole)


def main() -> None:
    """Runs the campaign and writes its summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--kinds", nargs="+", choices=[*KILLS, OF_TWO], default=[*KILLS, OF_TWO])
    given = parser.parse_args()
    before = json.loads(given.output.read_text()) if given.output.exists() else {}
    kills = [kill for kill in before.get("kills", []) if kill["kind"] not in given.kinds]
    ends = before.get("ends", {})
    with tempfile.TemporaryDirectory() as place:
        for kind in given.kinds:
            found, ends[kind] = campaign(kind, Path(place), random.Random(kind))
            kills += found
            print(kind, json.dumps(ends[kind]), flush=True)
    write_json(given.output, {
        "schema": 1, "machine": describe_machine(), "tensorflow": tf.__version__,
        "flags": [*FLAGS], "kills": kills, "ends": ends,
    })  # fmt: skip


if __name__ == "__main__":
    main()
