"""Matrices, differences and failures of `figures.cross_domain`."""

import math

import numpy as np
import pytest

from figures import cross_domain
from tests.kept_answers import keep, metrics

LARGEST, SMALL = [20, 20, 60, 60], [80, 80, 90, 90]
SCENES = {n: np.array([[LARGEST] + [SMALL] * (n - 1)] * 4) for n in (1, 3)}
# Errors on four scenes by head, trained and tested; right up to 16 px.
ERRORS = {
    ("xy", 1, 1): [1, 1, 1, 1], ("xy", 1, 3): [50, 50, 50, 50],
    ("xy", 3, 1): [20, 1, 1, 1], ("xy", 3, 3): [1, 20, 20, 20],
    ("deconv", 1, 1): [2, 2, 2, 2], ("deconv", 1, 3): [60, 60, 60, 1],
    ("deconv", 3, 1): [1, 1, 1, 1], ("deconv", 3, 3): [1, 1, 1, 1],
}  # fmt: skip


@pytest.fixture
def study(tmp_path):
    rows, runs = [], {}
    for (arch, trained, tested), errors in ERRORS.items():
        for in_matrix in (True, False):
            name = f"{arch}-{trained}-{tested}-{in_matrix}"
            runs[name] = keep(tmp_path, name, SCENES[tested], errors, arch=arch)
            right = float(np.mean(np.array(errors) <= 16))
            rows.append(
                {"run": name, "arch": arch, "seed": 0, "trained": trained, "tested": tested,
                 "epochs": 5 if in_matrix else 12, "in_matrix": in_matrix,
                 "final": metrics(float(np.mean(errors)), right), "test": metrics(99.0)}
            )  # fmt: skip
    return {"domains": [1, 3], "rows": rows}, runs, tmp_path


def test_the_matrix_is_of_the_short_runs_final_weights():
    def row(in_matrix, tested, ln_mse):
        return {
            "arch": "xy", "trained": 3, "tested": tested, "in_matrix": in_matrix,
            "epochs": 5 if in_matrix else 12,
            "final": {"ln_mse": ln_mse, "right_rate": 0.5}, "test": {"ln_mse": 99.0},
        }  # fmt: skip

    rows = [row(True, 1, 5.0), row(True, 1, 7.0), row(True, 4, 6.0), row(False, 1, 4.0)]
    summary = {"domains": [1, 3, 4], "rows": rows}
    matrix = cross_domain._matrix(summary, "xy", lambda t: t["ln_mse"])
    np.testing.assert_array_equal(matrix, [[np.nan] * 3, [6, np.nan, 6], [np.nan] * 3])
    assert cross_domain._epochs(summary, "xy", False) == "12"


def test_the_all_black_map_is_drawn_where_the_metrics_have_it():
    tests = {"xy": {"ln_mse": 5.0}, "deconv": {"ln_mse": 5.0, "zero_map_mse": math.exp(4)}}
    rows = [
        {"arch": arch, "trained": 3, "tested": d, "in_matrix": True, "epochs": 5, "final": test}
        for arch, test in tests.items()
        for d in (1, 3)
    ]
    axes = cross_domain._draw_ln_mse({"domains": [1, 3], "rows": rows}).axes
    black = [[a for a in axis.lines if a.get_label() == "all-black map"] for axis in axes]
    assert black[0] == []
    (line,) = black[1]
    np.testing.assert_allclose(np.asarray(line.get_xydata(), float), [[1, 4], [3, 4]])


def test_heads_are_compared_on_the_same_scenes(study):
    answers = cross_domain.Answers(*study)
    assert answers.gap(3, 3).value == 75
    assert answers.gap(3, 3, "px").value == pytest.approx(1 - 61 / 4)
    assert answers.gap(3, 1).value == 25
    assert ("xy", 1, 3) in answers
    assert ("xy", 1, 2) not in answers
    # Trained on three and on one, both tested on one: one scene of four is lost.
    found = answers.difference(("xy", 3, 1), ("xy", 1, 1))
    assert found.value == -25
    assert found.low < found.high <= 0


def test_cells_are_counted_by_which_head_is_clearly_ahead(study):
    found = dict(cross_domain._gaps(study[0], cross_domain.Answers(*study)))
    assert found["gap_3_3"].startswith("+75.0 points (+")
    assert found["gap_1_1"] == "+0.0 points (+0.0 to +0.0)"
    # Four images: 3 of 4 more may be clear, 1 of 4 cannot be.
    assert (found["cells"], found["deconv_ahead"], found["xy_ahead"]) == ("4", "1", "0")
    # Coordinates have the smaller mean on (1, 1), by 1 px each, and not on (1, 3): 50 and 45.25.
    assert (found["xy_smaller_error"], found["xy_ahead_by_error"]) == ("1", "1")


def test_near_ties_are_counted():
    areas = ([10, 9.5], [10, 9], [10, 8.9], [10, 1])
    rectangles = [[[0, 0, size, 1] for size in pair] for pair in areas]
    assert cross_domain.alike(np.array(rectangles)) == 2


def test_the_table_is_of_networks_of_three(study):
    lines = cross_domain.table(*study).splitlines()[2:]
    one, three = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    assert one[:3] == ["1", "75.0 %", "100.0 %"]
    assert one[3].startswith("+25.0 (")
    assert one[4].startswith("−25.0 (")
    assert one[5] == "+0.0 (+0.0 to +0.0)"
    assert three[:3] == ["3", "25.0 %", "100.0 %"]
    assert three[4:] == ["–", "–"]  # trained on that number itself


def test_the_long_table_has_final_and_best_weights(study):
    head, *rows = cross_domain.long_table(study[0], study[1])
    assert len(rows) == len(study[0]["rows"])
    row = dict(zip(head, rows[0], strict=True))
    assert (row["head"], row["trained on"], row["tested on"], row["epochs"]) == ("xy", 1, 1, 5)
    assert (row["final, mean px"], row["best, mean px"]) == (1, 99)


def test_the_difference_is_drawn_with_its_interval_and_the_diagonal_framed(study):
    xy, gap, deconv = cross_domain.draw(*study)[""].axes
    assert [text.get_text() for text in xy.texts] == ["100.0", "0.0", "75.0", "25.0"]
    assert [text.get_text() for text in deconv.texts] == ["100.0", "25.0", "100.0", "100.0"]
    texts = [text.get_text() for text in gap.texts]
    assert texts[::2] == ["+0.0", "+25.0", "+25.0", "+75.0"]
    assert texts[1] == "+0.0 to +0.0"
    for axis in (xy, gap, deconv):
        assert len(axis.patches) == 2
        corners = [axis.transData.inverted().transform(f.get_extents().min) for f in axis.patches]
        np.testing.assert_allclose(np.min(corners, axis=1), [-0.5, 0.5])


def test_failures_are_those_of_the_matrix():
    rows = [
        {"run": name, "arch": "xy", "trained": trained}
        for name, trained in (("five", 5), ("three", 3), ("longer", 3))
    ]
    runs = {name: {"failures": {"4": {"of": name}}} for name in ("five", "three", "longer")}
    assert cross_domain._failures({"rows": rows}, runs) == {"xy": {"of": "three"}}
