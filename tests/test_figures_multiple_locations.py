"""What heatmaps find beside what they were labelled for."""

import numpy as np
import pytest

from figures import multiple_locations
from figures.multiple_locations import Kind
from rectloc_tf.results.agreement import mean_kappa
from rectloc_tf.results.metrics import location_metrics


def test_bits_are_ranks():
    centers = np.array([[[20.0, 20.0], [100.0, 20.0]], [[20.0, 100.0], [200.0, 200.0]]])
    rectangles = np.concatenate([centers - 8, centers + 8], axis=-1)
    points = [centers[0, 1:], centers[1]]
    text = location_metrics(points, rectangles)["found"]
    found = multiple_locations.found_bits(text, 2)
    np.testing.assert_array_equal(found, [[False, True], [True, True]])


@pytest.fixture
def study():
    """Two seeds on four images of one and of two; the seeds choose different thresholds."""
    bits = {
        # seed, domain, threshold -> of each image
        (0, 1, 16): "1 1 1 0", (0, 1, 32): "1 0 0 0", (1, 1, 16): "1 1 1 1", (1, 1, 32): "1 1 0 0",
        (0, 2, 16): "3 1 1 0", (0, 2, 32): "1 1 0 0", (1, 2, 16): "3 3 3 3", (1, 2, 32): "3 1 0 0",
    }  # fmt: skip
    rows, runs = [], {}
    for (seed, domain, threshold), found in bits.items():
        run = runs.setdefault(f"run{seed}", {"locations": {}, "pictures": {}})
        entries = run["locations"].setdefault(str(domain), [])
        entries.append({"threshold": threshold, "found": found})
        ranks = multiple_locations.found_bits(found, domain)
        outside = {(0, 16): 0.5, (1, 32): 0.25}.get((seed, threshold))
        rows.append(
            {"run": f"run{seed}", "training": "1", "seed": seed, "epochs": 5,
             "chosen": 16 + 16 * seed, "tested": domain, "threshold": threshold,
             "recall": ranks.mean(), "precision": 1.0,
             "recall_by_rank": ranks.mean(axis=0).tolist(), "points_per_image": 1.5,
             "count_error": 0.0, "count_abs_error": 0.0, "outside_rate": outside}
        )  # fmt: skip
    return {"domains": [1, 2], "rows": rows}, runs


def test_each_run_is_measured_from_its_own_threshold_on(study, tmp_path):
    summary, runs = study
    found = multiple_locations.measured(summary, runs)[Kind("1", 5)]
    assert [row["threshold"] for row in found[2].rows] == [16, 32]
    expected = [
        [[1, 1], [1, 0], [1, 0], [0, 0]],
        [[1, 1], [1, 0], [0, 0], [0, 0]],
    ]
    np.testing.assert_array_equal(found[2].found, expected)
    assert found[2].outside == [0.5, 0.25]
    at_32 = multiple_locations.measured(summary, runs, 32)[Kind("1", 5)]
    assert [row["threshold"] for row in at_32[1].rows] == [32, 32]
    assert at_32[1].outside == [0.25]  # no places, no share of them
    shares = multiple_locations.recalls({Kind("1", 5): found})
    assert shares[Kind("1", 5), 2].value == pytest.approx((4 + 3) / 16)
    assert shares[Kind("1", 5), 1].value == pytest.approx((3 + 2) / 8)
    kappa = multiple_locations.kappa(found[2].found)
    assert kappa is not None
    assert kappa.value == pytest.approx(mean_kappa(np.array(expected).reshape(2, -1)))
    assert multiple_locations.kappa(found[2].found[:1]) is None


def test_tables_and_numbers(study, tmp_path):
    summary, runs = study
    (line,) = multiple_locations.table(summary, runs, tmp_path).splitlines()[2:]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["1", "5", "2", "16, 32"]
    assert cells[4].startswith("62 % (")
    assert cells[5].startswith("44 % (")
    assert cells[6:8] == ["38 (25–50) %", "38 (25–50) %"]
    rows = multiple_locations.long_table(summary, runs)
    assert len(rows) == 1 + len(summary["rows"])
    assert {len(row) for row in rows} == {len(rows[0])}
    chosen = rows[0].index("chosen_on_validation")
    assert sum(row[chosen] for row in rows[1:]) == 4
    numbers = multiple_locations.numbers(summary, runs, tmp_path)
    assert numbers["one_first_2"] == "62 %"  # 3 and 2 of 4
    assert numbers["one_last_2"] == "25 %"
    assert numbers["one_agreed"] == "75 %"  # of four that any finds, three
    assert numbers["one_found_2_from_32"] == "31 %"
    figures = multiple_locations.draw(summary, runs, tmp_path)
    assert figures.keys() == {""}
