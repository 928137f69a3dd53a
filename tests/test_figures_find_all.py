"""What was to be reached, and what was."""

import numpy as np
import pytest

from figures import find_all

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
    return {"domains": [3, 5], "rows": rows}


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
    assert "| heatmap (deconv), trained on 1 | F1 within 16 px | 0.400 | – |" in lines
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
