"""What was to be reached, and what was."""

import importlib.util
import json

import numpy as np
import pytest

from figures import find_all
from tests.conftest import ROOT

SHARP = "score_map, sharper"


def _row(who, seed, tested, f1, f1_5px=0.9, trained=3):
    arch = who.split(",")[0]
    return {
        "run": "run", "who": who, "arch": arch, "trained": trained, "seed": seed, "tested": tested,
        "threshold": 20.0,
        "precision": 0.5, "recall": 0.25, "f1": f1, "f1_5px": f1_5px, "count_error": 0.5,
    }  # fmt: skip


@pytest.fixture
def summary():
    rows = [_row(SHARP, 0, 3, 0.99, 0.96), _row(SHARP, 1, 3, 0.97, 0.95)]
    rows += [_row("deconv", 0, 3, 1.0), _row(SHARP, 0, 5, 0.97, 0.89)]
    return {"domains": [3, 5], "rows": rows, "runs": ["run"]}


def test_a_target_is_reached_by_every_seed_or_not(summary):
    assert find_all.reached(summary) == {
        ("f1", 3): False,  # by one of two
        ("f1", 5): True,
        ("f1_5px", 3): True,  # just
        ("f1_5px", 5): False,
    }
    numbers = find_all.numbers(summary, {"run": {"epochs": 5}}, None)
    assert (numbers["targets"], numbers["reached"], numbers["epochs"]) == ("4", "2", "5")
    assert numbers["score_map_sharper_f1_3"] == "0.980 (0.970–0.990)"
    assert numbers["score_map_sharper_recall_5"] == "25 %"


def test_the_table_has_targets_below_what_they_are_of(summary, tmp_path):
    lines = find_all.table(summary, {}, tmp_path).splitlines()[2:]
    sharper = "score map (score_map), sharper"
    assert lines[0] == f"| {sharper} | F1 within 16 px | 0.980 (0.970–0.990) | 0.970 |"
    assert lines[2] == "| heatmap (deconv) | F1 within 16 px | 1.000 | – |"
    assert lines[4] == "| set before, for score_map | F1 within 16 px | ≥ 0.98 | ≥ 0.96 |"
    assert len(lines) == 6
    rows = find_all.long_table(summary, {})
    assert len(rows) == 5
    assert rows[1][rows[0].index("f1")] == 0.99


def test_detections_are_those_with_enough_score():
    tile = np.zeros((64, 64), np.uint8)
    tile[20:24, 20:24] = 250
    tile[40:44, 40:44] = 100
    peaks = find_all.scored(tile, [[25.5, 22.0], [41.0, 41.0], [5.0, 5.0]], 200)
    assert [tuple(peak) for peak in peaks] == [(25.5, 22.0, 250.0)]


def test_networks_trained_on_fewer_have_lines_and_a_figure_of_their_own(summary, tmp_path):
    fewer = [_row("deconv", 0, 3, 0.4, trained=1), _row("score_map", 0, 3, 0.6, trained=1)]
    fewer += [_row("score_map", 0, 3, 0.8)]
    summary["rows"] += fewer
    lines = find_all.table(summary, {}, tmp_path).splitlines()[2:]
    assert "| heatmap (deconv), trained on 1 | 0.400 | – |" in lines
    assert "| heatmap (deconv) | F1 within 16 px | 1.000 | – |" in lines
    assert find_all.reached(summary)["f1", 5]  # those trained on three alone count
    numbers = find_all.numbers(summary, {"run": {"epochs": 5}}, None)
    assert numbers["score_map_from_1_f1_3"] == "0.600"
    assert numbers["score_map_f1_3"] == "0.800"
    figure = find_all._draw_trained(summary)
    deconv, score_map = figure.axes
    assert [line.get_ydata().tolist() for line in deconv.get_lines()] == [[0.4], [1.0]]
    assert [line.get_ydata().tolist() for line in score_map.get_lines()] == [[0.6], [0.8]]
    assert find_all._draw_trained({**summary, "rows": summary["rows"][:4]}) is None


def test_what_is_found_of_two_has_a_table_by_their_distance(summary, tmp_path, monkeypatch):
    rows = [
        {"from_px": 0, "to_px": 30, "both": 0.25, "none": 0.5},
        {"from_px": 30, "to_px": 320, "both": 1.0, "none": 0.0},
    ]
    about = {"who": SHARP, "trained": 1, "rows": rows}
    path = tmp_path / "neighbours.json"
    path.write_text(json.dumps({"run": about, "of another study": about}))
    monkeypatch.setattr(find_all, "NEIGHBOURS", path)
    found = find_all.table(summary, {}, tmp_path).split("\n\n")[-1].splitlines()
    assert found[0].endswith("(none found), % | 0–30 px apart | over 30 px |")
    assert found[2:] == ["| score map (score_map), sharper, trained on 1 | 25 (50) | 100 (0) |"]
    numbers = find_all.numbers(summary, {"run": {"epochs": 5}}, None)
    assert numbers["score_map_sharper_from_1_at_0_none"] == "50 %"
    assert numbers["score_map_sharper_from_1_at_30_both"] == "100 %"


def test_each_centre_is_found_by_a_detection_of_its_own():
    spec = importlib.util.spec_from_file_location("n", ROOT / "benchmarks" / "neighbours.py")
    neighbours = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(neighbours)
    truths = np.array([[[50, 50], [60, 50]], [[50, 50], [150, 50]], [[9, 9], [99, 9]]], float)
    points = np.array([[[54, 50], [200, 200]], [[50, 50], [150, 60]], [[9, 9], [99, 9]]], float)
    values = np.array([[9, 9], [9, 9], [9, 1]], float)
    found = neighbours.which_are_found(points, values, truths, 5)
    assert found.tolist() == [[True, False], [True, True], [True, False]]
    made = neighbours.rows(found, truths)
    assert [(row["from_px"], row["to_px"], row["scenes"]) for row in made] == [
        (0, 30, 1), (90, 320, 2),
    ]  # fmt: skip
    shares = [{word: row[word] for word in ("none", "one", "both")} for row in made]
    assert shares == [{"none": 0, "one": 1, "both": 0}, {"none": 0, "one": 0.5, "both": 0.5}]
