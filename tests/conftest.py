"""Shared helpers: entry points run for real, in their own process, on tiny settings."""

import atexit
import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import rectloc_tf  # noqa: F401 (before TensorFlow: it sets oneDNN)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.forks import HANGS
from tests.narrow import narrow

ROOT = Path(__file__).resolve().parents[1]
# Files that take minutes, the longest first: begun last, one of them would run alone at the end.
LONG = (
    "test_experiments", "test_train", "test_train_images", "test_inference", "test_strategies",
    "test_multi_worker", "test_examples",
    "test_plugins", "test_figures", "test_serving", "test_entry_points", "test_old_runs",
    "test_labelled_source", "test_benchmark", "test_keras_settings", "test_initial_weights",
    "test_pretrained", "test_models", "test_heads", "test_memory", "test_serve",
)  # fmt: skip
# How an entry point is run for a test, if not as it is: by modules that run it.
WAYS = {
    "eager": "tests.eagerly",  # compiles nothing
    "narrow": "tests.narrow",  # few blocks and filters in its networks
    "few": "tests.few_scenes",  # measures few scenes
}
TINY = ("--image_size=64", "--num_images=40", "--batch_size=8", "--epochs=3", "--deterministic")


def pytest_collection_modifyitems(items):
    """Puts the tests of LONG first; files stay whole."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


def command(module: str, *flags: str, **how: bool) -> list[str]:
    """What follows `python -m` to run rectloc_tf.<module>.

    Args:
        module: an entry point.
        flags: its flags.
        how: of WAYS.
    """
    through = [WAYS[way] for way, chosen in how.items() if chosen]
    return [*through, f"rectloc_tf.{module}", *flags]


def start(module: str, *flags: str, **options) -> subprocess.Popen:
    """Starts `python -m rectloc_tf.<module>` from the repository's root; options may be WAYS."""
    how = {way: options.pop(way, False) for way in WAYS}
    return subprocess.Popen(
        [sys.executable, "-m", *command(module, *flags, **how)],
        cwd=options.pop("cwd", ROOT),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run_cold(module: str, *flags: str, **options) -> subprocess.CompletedProcess:
    """Runs an entry point to its end as a user does: in a new interpreter."""
    process = start(module, *flags, **options)
    try:
        out, err = process.communicate(timeout=HANGS)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@functools.cache
def _forks(kind: str) -> subprocess.Popen:
    """This test process's `tests.forks`; ends with it."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    server = subprocess.Popen([sys.executable, "-m", "tests.forks", kind], cwd=ROOT, **pipes)
    atexit.register(server.__exit__, None, None, None)  # closes the pipes, and waits
    return server


def fork(kind: str, argv: list[str], cwd: Path) -> subprocess.CompletedProcess:
    """Runs `python -m argv` to its end, in a fork of what has loaded the slow modules.

    Args:
        kind: of `tests.forks`.
        argv: a module and its flags.
        cwd: the working directory.
    """
    server = _forks(kind)
    with tempfile.TemporaryDirectory() as folder:
        files = {name: f"{folder}/{name}" for name in ("out", "err")}
        server.stdin.write(json.dumps([argv, {**files, "cwd": str(cwd)}]) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        out, err = (Path(path).read_text() for path in files.values())
    return subprocess.CompletedProcess(argv, code, out, err)


def run(module: str, *flags: str, cwd=ROOT, **how: bool) -> subprocess.CompletedProcess:
    """Runs an entry point to its end, in a process that has TensorFlow loaded already."""
    return fork("tensorflow", command(module, *flags, **how), cwd)


def run_without_tensorflow(module: str, *flags: str) -> subprocess.CompletedProcess:
    """Runs `python -m <module>` where TensorFlow cannot be imported: that ends in a traceback."""
    return fork("blocked", [module, *flags], ROOT)


def succeeded(done: subprocess.CompletedProcess) -> str:
    """What a command printed that must succeed, quietly."""
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def run_ok(module: str, *flags: str, **options) -> str:
    """Runs an entry point that must succeed, quietly; returns what it printed."""
    return succeeded(run(module, *flags, **options))


@pytest.fixture
def narrow_networks():
    """Narrow networks in the test's own process: where one learns nothing, it need not be whole."""
    with narrow():
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """arch, flags -> a finished tiny run, which one of the test processes makes for all.

    Of a narrow network, measured on a whole test split, or on few scenes (`few`).
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def make(arch: str, *flags: str, few: bool = True) -> Path:
        folder, copy = shared / f"{arch}_run", tmp_path_factory.mktemp(arch) / "run"
        with open(shared / f"{arch}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / "result.json").exists():
                flags = (f"--arch={arch}", "--domain=2", *TINY, *flags, f"--run_dir={folder}")
                run_ok("train", *flags, few=few, narrow=True)
        return Path(shutil.copytree(folder, copy))  # commands lock a run's folder

    return make


@pytest.fixture(scope="session")
def deconv_run(trained) -> Path:
    """A finished tiny deconv run, measured on all scenes; read only.

    In float32: its map is all but black, and its brightest place a matter of bfloat16's rounding.
    """
    return trained("deconv", "--precision=float32", few=False)


@pytest.fixture(scope="session")
def score_map_run(trained) -> Path:
    """A finished tiny score_map run, measured on few scenes; read only.

    In float32: its offsets show bfloat16's rounding, which differs from graph to graph.
    """
    return trained("score_map", "--precision=float32")


@pytest.fixture(scope="session")
def find_all_run(tmp_path_factory) -> Path:
    """A finished tiny score_map run for every rectangle; read only."""
    folder = tmp_path_factory.mktemp("find_all") / "run"
    flags = ("--arch=score_map", "--domain=2", "--labels=unordered", "--precision=float32", *TINY)
    run_ok("train", *flags, f"--run_dir={folder}", few=True, narrow=True)
    return folder


@pytest.fixture(scope="session")
def xy_run(trained) -> Path:
    """A finished tiny xy run, measured on few scenes; read only."""
    return trained("xy")
