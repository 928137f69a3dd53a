"""A disc against a Gaussian."""

import json

import numpy as np

from figures import target_density


def test_the_neighbourhood_of_a_point_ends_in_black():
    tile = np.arange(1, 257, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(target_density._around(tile, (8.2, 5.9)), tile[3:7, 6:10])
    corner = target_density._around(tile, (0.5, 15.5))
    np.testing.assert_array_equal(corner[:3, 2:], tile[13:, :2])
    assert corner[3].max() == corner[:, :2].max() == 0


def _row(target, seed, mean):
    errors = {"mean": mean, "median": 2.0}
    test = {"center_error_px": errors, "center_error_px_right": {"median": 1.0}, "r2": 0.2,
            "right_rate": 0.9, "wrong_rate": 0.06, "nowhere_rate": 0.04}  # fmt: skip
    return {"run": "run", "target": target, "seed": seed, "sigma": 4.95, "test": test}


def test_differences_are_of_seeds_that_have_both(tmp_path):
    rows = [_row("disc", 0, 10.0), _row("gaussian", 0, 9.0), _row("disc", 1, 8.0)]
    rows += [_row("gaussian", 1, 8.5), _row("disc", 2, 8.0)]
    summary = {"rows": rows}
    errors = target_density.paired(summary, lambda test: test["center_error_px"]["mean"])
    assert errors == [-1.0, 0.5]
    numbers = target_density.numbers(summary, {"run": {"epochs": 5}}, tmp_path)
    assert numbers["difference_px"] == "−0.25"
    assert numbers["difference_px_range"] == "−1.00 to +0.50"
    lines = target_density.table(summary, {}, tmp_path).splitlines()[2:]
    assert lines[1].startswith("| Gaussian | 2 | 8.75 (8.50–9.00) | 2.00 (2.00–2.00) | 1.00")
    assert len(target_density.long_table(summary, {})) == 6


def test_the_cost_of_drawing_is_the_one_measured_in_turns(tmp_path, monkeypatch):
    cost = {"median": 1.25, "min": 1.0, "max": 1.5}
    rows = [
        {"work": "target=gaussian domain=3", "who": "gaussian", "ours_over_theirs": {"median": 9}},
        {"work": target_density.IN_TURNS, "who": "disc"},
        {"work": target_density.IN_TURNS, "who": "gaussian", "ours_over_theirs": cost},
    ]
    path = tmp_path / "benchmark.json"
    monkeypatch.setattr(target_density, "BENCHMARK", path)
    assert target_density.drawing_cost() is None
    path.write_text(json.dumps({"rows": rows}))
    assert target_density.drawing_cost() == cost
