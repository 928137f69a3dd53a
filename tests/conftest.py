"""Shared helpers: entry points run for real, in their own process, on tiny settings."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rectloc_tf  # noqa: F401 (before TensorFlow: it sets oneDNN)

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

ROOT = Path(__file__).resolve().parents[1]
HANGS = 1800  # seconds; ends a test that hangs, and is no measure of speed
# Files that take minutes, the longest first: begun last, one of them would run alone at the end.
LONG = (
    "test_train", "test_experiments", "test_entry_points", "test_strategies", "test_models",
    "test_initial_weights", "test_serving", "test_keras_settings", "test_inference",
    "test_plugins", "test_train_images", "test_old_runs", "test_golden_training",
)  # fmt: skip
TINY = ("--image_size=64", "--num_images=40", "--batch_size=8", "--epochs=3", "--deterministic")


def pytest_collection_modifyitems(items):
    """Puts the tests of LONG first; files stay whole."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


def start(module: str, *flags: str, **options) -> subprocess.Popen:
    """Starts `python -m rectloc_tf.<module>` from the repository's root."""
    return subprocess.Popen(
        [sys.executable, "-m", f"rectloc_tf.{module}", *flags],
        cwd=options.pop("cwd", ROOT),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(module: str, *flags: str, **options) -> subprocess.CompletedProcess:
    """Runs an entry point to its end."""
    timeout = options.pop("timeout", HANGS)
    process = start(module, *flags, **options)
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_ok(module: str, *flags: str, **options) -> str:
    """Runs an entry point that must succeed, quietly; returns what it printed."""
    done = run(module, *flags, **options)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# An import of either then fails, with a traceback.
_WITHOUT_TENSORFLOW = """
import runpy, sys
sys.modules.update(tensorflow=None, keras=None)
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def run_without_tensorflow(module: str, *flags: str, **options) -> subprocess.CompletedProcess:
    """Runs `python -m <module>` where TensorFlow cannot be imported."""
    command = [sys.executable, "-c", _WITHOUT_TENSORFLOW, module, *flags]
    return subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options
    )


def _trained(arch: str, folder: Path, *flags: str) -> Path:
    run_ok("train", f"--arch={arch}", "--domain=2", *TINY, *flags, f"--run_dir={folder}")
    return folder


@pytest.fixture(scope="session")
def deconv_run(tmp_path_factory) -> Path:
    """A finished tiny deconv run; read only."""
    return _trained("deconv", tmp_path_factory.mktemp("deconv") / "run")


@pytest.fixture(scope="session")
def score_map_run(tmp_path_factory) -> Path:
    """A finished tiny score_map run; read only.

    In float32: its offsets show bfloat16's rounding, which differs from graph to graph.
    """
    folder = tmp_path_factory.mktemp("score_map") / "run"
    return _trained("score_map", folder, "--precision=float32")


@pytest.fixture(scope="session")
def xy_run(tmp_path_factory) -> Path:
    """A finished tiny xy run; read only."""
    return _trained("xy", tmp_path_factory.mktemp("xy") / "run")
