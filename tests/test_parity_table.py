"""benchmarks/parity_table.py: what is made again, and what is printed."""

import importlib.util
import json

import pytest

from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.registry import FORMATS, FormatSpec
from rectloc_tf.results.rundir import RunFolder
from tests.conftest import ROOT

spec = importlib.util.spec_from_file_location("parity", ROOT / "benchmarks" / "parity_table.py")
parity = importlib.util.module_from_spec(spec)
spec.loader.exec_module(parity)

RUN = RunConfig(arch="xy", image_size=64, precision="float32")
GOOD = {"difference_px": {"max": 3e-5}, "flips": 0, "mib": 43.2}
FLIPPED = {"difference_px": {"max": 0.187}, "flips": 3, "mib": 11.4}
FAR = {"refused": "--format=onnx: refused, it differs from the network by up to 0.69 px, 0.5 al"}
OTHER = {"refused": "--format=x: refused, it picks another peak in 12 of 200 images, 1% allowed"}


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """A run's folder; there are two formats, of which one is not installed."""
    (tmp_path / "run").mkdir()
    RunFolder(tmp_path / "run").claim(RUN)
    monkeypatch.setitem(FORMATS, "mine", FormatSpec("", quantize=("none", "int8")))
    monkeypatch.setitem(FORMATS, "gone", FormatSpec("", modules=("no_such_module",)))
    cells = [("mine", "none"), ("mine", "int8"), ("gone", "none")]
    monkeypatch.setattr(parity, "CELLS", cells)
    return tmp_path / "run"


def test_what_is_there_is_not_made_again(run_dir, tmp_path, monkeypatch, capsys):
    made, output = [], tmp_path / "parity.json"

    def export(name, quantize):
        if quantize == "int8" and len(made) < 2:
            made.append("stopped")
            raise UserError("no space left")
        made.append((name, quantize))
        return GOOD

    monkeypatch.setattr(parity, "exporter", lambda folder, run: export)
    assert parity.main([run_dir], output) == 1
    assert capsys.readouterr().err == "error: no space left\n"
    assert parity.main([run_dir], output) == 0
    assert made == [("mine", "none"), "stopped", ("mine", "int8")]
    monkeypatch.setattr(parity, "exporter", lambda folder, run: pytest.fail("opened again"))
    assert parity.main([run_dir], output) == 0
    assert "left out: gone (no_such_module is not installed)" in capsys.readouterr().out
    report = json.loads(output.read_text())
    [(name, found)] = report.items()
    assert f"runs/{name}" == RUN.default_folder
    assert (found["arch"], found["image_size"], found["depth"]) == ("xy", 64, 18)
    assert found["cells"] == {"mine": GOOD, "mine int8": GOOD}


@pytest.mark.parametrize(
    ("cell", "text", "size"),
    [
        (GOOD, "< 0.0001", "43"),
        (FLIPPED, "0.19; 3", "11"),
        (GOOD | {"difference_px": {"max": 0.0}}, "0", "43"),
        (FAR, "refused: 0.69 px", "–"),
        (OTHER, "refused: 12 flips", "–"),
        ({"refused": "its runtime cannot run it"}, "refused", "–"),
        ({}, "–", "–"),
    ],
)
def test_a_cell_in_words(cell, text, size):
    assert (parity.parity_text(cell), parity.size_text(cell)) == (text, size)


def test_the_table_has_a_row_for_each_run_and_the_kinds_that_there_are(run_dir):
    cells = {"a": {"mine": GOOD}, "b": {"mine": FLIPPED, "mine int8": FAR}}
    about = {"arch": "xy", "labels": "largest", "depth": 18}
    report = {name: {**about, "cells": its} for name, its in cells.items()}
    report["b"] |= {"labels": "unordered", "depth": 50}
    assert parity.table(report, parity.parity_text) == (
        "| head | mine | mine int8 |\n| --- | --- | --- |\n| `xy` | < 0.0001 | – |\n"
        "| `xy`, every rectangle, depth 50 | 0.19; 3 | refused: 0.69 px |"
    )


def test_half_precision_is_a_cell_of_its_own():
    assert parity.half_precision_text(GOOD) == "–"
    assert parity.half_precision_text(GOOD | {"half_precision": FLIPPED}) == "0.19; 3"
