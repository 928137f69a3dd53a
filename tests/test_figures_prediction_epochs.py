"""What maps show as a network learns."""

import json

import numpy as np
import pytest

from figures import prediction_epochs
from rectloc_tf.config import RunConfig
from rectloc_tf.experiments.summaries import write_sheet


@pytest.fixture
def study(tmp_path):
    """A run with a black map, and a square of 16 px that is then brighter and half as wide."""
    scenes = np.zeros((2, 112, 112), np.uint8)
    wide, narrow = scenes.copy(), scenes.copy()
    wide[:, 10:26, 10:26] = 40
    narrow[:, 10:18, 10:18] = 200
    write_sheet(tmp_path / "runs" / "sheet.png", [scenes, scenes, wide, narrow])
    points = {"points": [[1.0, 2.0]] * 2}
    shown = {"0": (1.0, 0.0), "1": (0.5, 3.0), "12": (0.7, 5.0)}
    snapshots = {
        epoch: {"black_share": black, "brightness": bright, **points}
        for epoch, (black, bright) in shown.items()
    }
    rows = [
        {"run": "xy", "arch": "xy", "variant": "plain", "epochs": 12, "snapshots": {"0": points}},
        {"run": "map", "arch": "deconv", "variant": "improved", "epochs": 12,
         "snapshots": snapshots},
    ]  # fmt: skip
    config = RunConfig(arch="deconv", image_size=112, domain=1).to_json()
    history = [{"epoch": float(e), "val_mean_px": 30.0 / e} for e in range(1, 13)]
    sheet = {"sheet": "sheet.png", "rectangles": [[[10, 10, 30, 30]]] * 2}
    runs = {"map": {"config": config, "history": history, "snapshot_sheet": sheet},
            "xy": {"config": config, "history": history}}  # fmt: skip
    return {"rows": rows}, runs, tmp_path


def test_peaks_widths_and_black_pixels_are_those_of_maps(study):
    lines = prediction_epochs.table(*study).splitlines()[2:]
    assert lines == [
        "| 0 | 0 | – | 100 % | 0.0 | – |",
        "| 1 | 40 | 32.0 | 50 % | 3.0 | 30.0 |",
        "| 12 | 200 | 16.0 | 70 % | 5.0 | 2.5 |",
    ]
    numbers = prediction_epochs.numbers(*study)
    assert numbers["improved_12_width"] == "16.0"
    assert numbers["deconv_improved_error_last"] == "2.5"
    summary, runs, _ = study
    rows = prediction_epochs.long_table(summary, runs)
    assert rows[1] == ["xy", "xy", "plain", "0", None, None, None]
    assert rows[-1] == ["map", "deconv", "improved", "12", 0.7, 5.0, 2.5]
    assert prediction_epochs.draw(*study).keys() == {"_deconv", "_blob"}


def test_the_width_of_the_target_is_that_of_its_cells(study):
    _, runs, _ = study
    # Around the corner of four cells, 3.5 cells far: 3, 3 and 2 in the rows of each quarter.
    assert prediction_epochs.target_width(runs["map"]) == pytest.approx(2 * np.sqrt(4 * 8))


def test_curves_are_the_long_runs_of_the_headline(tmp_path):
    history = [
        {"epoch": float(e), "val_mean_px": 60.0 / e, "val_loss": 2.0, "train_loss": 1.0}
        for e in range(1, 7)
    ]
    rows = [
        {"run": name, "arch": "deconv", "variant": name, "seed": 0, "epochs": 6}
        for name in ("short", "improved", "longer")
    ]
    assert prediction_epochs._curves(tmp_path) == []
    (tmp_path / "runs").mkdir()
    (tmp_path / "headline.json").write_text(json.dumps({"rows": rows}))
    for row in rows:
        path = tmp_path / "runs" / f"{row['run']}.json"
        path.write_text(json.dumps({"history": history}))
    curves = prediction_epochs._curves(tmp_path)
    assert [row["variant"] for row, _ in curves] == ["improved", "longer"]
    assert prediction_epochs._curve_numbers(curves)["deconv_longer_curve_last"] == "10.0 px"
    assert prediction_epochs._curve_numbers(curves)["deconv_improved_curve_5"] == "12.0 px"
    assert prediction_epochs._curve_numbers(curves)["deconv_improved_curve_ratio"] == "2.0"
    error, losses = prediction_epochs._draw_curves(curves).axes
    assert [line.get_linestyle() for line in error.lines] == ["-", "--"]
    assert len(losses.lines) == 4
