"""The processor's instruction sets, and oneDNN."""

import os
import platform
import subprocess
import sys
import warnings

import pytest

from rectloc_tf import processor
from rectloc_tf.processor import ONEDNN, cpu_flags, describe_machine, enable_onednn


def test_cpu_flags_are_read_from_every_flags_line(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(
        "processor\t: 0\nmodel name\t: A flags: CPU\nflags\t\t: fpu sse2 avx512_bf16\n\n"
        "processor\t: 1\nflags\t\t: fpu avx2\nbugs\t\t: spectre_v1\n"
    )
    assert cpu_flags(path) == {"fpu", "sse2", "avx512_bf16", "avx2"}


def test_cpu_flags_of_arm(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert cpu_flags(path) == {"fp", "asimd", "bf16"}


def test_no_cpuinfo_no_flags(tmp_path):
    assert cpu_flags(tmp_path / "missing") == set()


def test_a_machine_is_described_by_its_first_processor(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("model name\t: One: a CPU\nflags\t: fpu\nmodel name\t: Another\n")
    expected = {"platform": platform.platform(), "cores": os.cpu_count()}
    assert describe_machine(path) == {**expected, "cpu": "One: a CPU"}
    assert describe_machine(tmp_path / "missing") == {**expected, "cpu": platform.processor()}


@pytest.fixture
def fresh(monkeypatch):
    """A process on x86 that has not loaded TensorFlow and has no setting of its own."""
    monkeypatch.delenv(ONEDNN, raising=False)
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.setattr(processor.platform, "machine", lambda: "x86_64")


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("flags", "setting"),
    [
        ({"avx2", "fma"}, "1"),
        ({"avx2", "avx512f", "avx512_vnni"}, "1"),
        ({"avx"}, None),
        ({}, None),
    ],
)
def test_onednn_is_turned_on_where_it_wins(flags, setting):
    enable_onednn(set(flags))
    assert os.environ.get(ONEDNN) == setting


@pytest.mark.usefixtures("fresh")
def test_not_on_other_processors(monkeypatch):
    monkeypatch.setattr(processor.platform, "machine", lambda: "aarch64")
    enable_onednn({"avx2"})
    assert ONEDNN not in os.environ


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("setting", ["0", "1", ""])
@pytest.mark.parametrize("loaded", [False, True])
def test_a_setting_of_the_user_stays(monkeypatch, setting, loaded):
    monkeypatch.setenv(ONEDNN, setting)
    if loaded:
        monkeypatch.setitem(sys.modules, "tensorflow", object())
    enable_onednn({"avx2"})
    assert os.environ[ONEDNN] == setting


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("is_on", [True, False])
def test_one_warning_if_tensorflow_came_first_and_runs_without(monkeypatch, is_on):
    monkeypatch.setitem(sys.modules, "tensorflow", object())
    monkeypatch.setattr(processor, "onednn_is_on", lambda: is_on)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        enable_onednn({"avx2"})
    assert [ONEDNN in str(w.message) for w in caught] == ([] if is_on else [True])
    assert ONEDNN not in os.environ  # it would not be true


def test_importing_any_module_of_ours_turns_it_on():
    script = (
        "import pipelines.scenes.render; from rectloc_tf.processor import *; print(onednn_is_on())"
    )
    environment = {name: value for name, value in os.environ.items() if name != ONEDNN}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "True\n" or "avx2" not in cpu_flags(), done.stderr
