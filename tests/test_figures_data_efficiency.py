"""Crossings, sizes needed and tables of `figures.data_efficiency`, on answers of known errors."""

import math

import numpy as np
import pytest

from figures import data_efficiency
from rectloc_tf.results.intervals import Interval
from tests.kept_answers import keep, metrics

INF = math.inf
# Four scenes of three rectangles in px of 112; the centre of one's largest is the middle.
SCENES = np.array(
    [
        [[46, 46, 66, 66], [0, 0, 10, 10], [90, 90, 99, 99]],
        [[51, 46, 71, 66], [0, 0, 10, 10], [90, 90, 99, 99]],
        [[46, 16, 66, 36], [0, 0, 10, 10], [90, 90, 99, 99]],
        [[16, 46, 36, 66], [0, 0, 10, 10], [90, 90, 99, 99]],
    ]
)
ERRORS = {  # px, by head and training images
    ("xy", 100): 20, ("xy", 10_000): 10, ("deconv", 100): 30, ("deconv", 10_000): 0,
    ("score_map", 100): 10, ("score_map", 10_000): 5,
}  # fmt: skip


def constant(**errors):
    return {int(size[1:]): np.full((2, 4), float(error)) for size, error in errors.items()}


@pytest.fixture
def study(tmp_path):
    """Three heads at two sizes, two seeds each, every error the same."""
    rows, runs = [], {}
    for fixed in ("updates", "long updates"):
        for (arch, size), error in ERRORS.items():
            for seed in (0, 1):
                name = f"{arch}-{size}-{seed}-{fixed.split()[0]}"
                runs[name] = keep(tmp_path, name, SCENES, np.full(4, error), seed=seed)
                right = float(error <= 16)
                rows.append(
                    {"run": name, "fixed": fixed, "arch": arch, "seed": seed, "num_train": size,
                     "steps": 625, "final": metrics(error, right), "test": metrics(error + 1),
                     "train": metrics(error + 1 if (arch, size) == ("xy", 100) else 0.5)}
                )  # fmt: skip
    lengths = {"updates": 625, "long_updates": 1500, "short_epochs": 5}
    return {**lengths, "rows": rows}, runs, tmp_path


def test_one_head_overtakes_another_between_two_sizes():
    a, b = constant(_100=10, _10000=30), constant(_100=20, _10000=20)
    assert data_efficiency.overtakes(b, a) is not None
    found = data_efficiency.overtakes(a, b)  # the lead is -10 and +10: half way in log size
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((1000, 1000, 1000))
    rates = data_efficiency.overtakes(b, a, larger_is_better=True)
    assert rates is not None
    assert rates.value == pytest.approx(1000)
    assert data_efficiency.overtakes(a, constant(_100=20)) is None
    assert data_efficiency.overtakes({}, {}) is None


def test_an_error_is_reached_between_two_sizes_or_never():
    curve = constant(_10=90, _100=30, _10000=10)
    assert data_efficiency.reaches(curve, 20).value == pytest.approx(1000)
    assert data_efficiency.reaches(curve, 60).value == pytest.approx(10**1.5)
    assert data_efficiency.reaches(curve, 5) == Interval(INF, INF, INF)
    # Below 100 px at every size that can matter.
    assert data_efficiency.reaches(curve, 100) == Interval(0, 0, 0)
    assert data_efficiency.reaches(constant(_10=10, _100=90, _10000=10), 20).value > 100


def test_only_one_of_several_runs_may_reach_an_error():
    curve = {100: np.full((2, 4), 30.0), 10_000: np.array([[18.0] * 4, [26.0] * 4])}
    found = data_efficiency.reaches(curve, 20)  # 22 on the average; one run alone: 18
    assert found.value == found.high == INF
    assert found.low == pytest.approx(100 * 100 ** (10 / 12))


def test_numbers_of_images_have_two_digits():
    sizes = {4: None, 8000: None}
    text = data_efficiency.images
    assert text(Interval(1195, 1052, 1339), sizes) == "1,200 (1,100 to 1,300)"
    assert text(Interval(67.6, 55.1, 148), sizes) == "68 (55 to 150)"
    assert text(Interval(6416, 3303, INF), sizes) == "6,400 (3,300 to more than 8,000)"
    assert text(Interval(INF, INF, INF), sizes) == "more than 8,000"
    assert text(Interval(0, 0, 0), sizes) == "at most 4"
    assert text(Interval(0, 0, 322), sizes) == "at most 4 (at most 4 to 320)"


def test_answering_the_middle_is_as_far_off_as_the_largest_is_from_it():
    found = data_efficiency.middle_errors(2.0 * SCENES)
    np.testing.assert_allclose(found, [0, 10, 60, 60])


def test_numbers_are_of_the_final_answers(study, monkeypatch):
    differences = (("xy", "deconv", "px", 100), ("xy", "deconv", "px", 7))
    monkeypatch.setattr(data_efficiency, "DIFFERENCES", differences)
    monkeypatch.setattr(data_efficiency, "LONGER", (100, 7))
    found = data_efficiency.numbers(*study)
    assert found["deconv_minus_xy_100_px_short"] == "+10.0 px (+10.0 to +10.0)"
    assert not [key for key in found if "_7_" in key]  # no such size
    # Leads of -10 and +10, a crossing half way between 100 and 10,000.
    assert found["xy_deconv_px_short"] == found["xy_deconv_px_long"] == "1,000"
    assert found["xy_score_map_px_short"] == "at most 100"
    # Right are 0 and 100 % of each: the heatmap never more often than coordinates.
    assert found["xy_deconv_right_short"] == "more than 10,000"
    assert found["deconv_20px_short"] == "460"  # 100 ** (1 + 1 / 3)
    assert found["xy_10px_short"] == "more than 10,000"  # not below 10
    assert found["middle_px"] == "32.5 px"
    assert found["middle_right"] == "50.0 %"
    # Of 4 scenes 2 are right by chance, coordinates of 100 images on none.
    assert found["xy_over_chance"].startswith("−50.0 points (−100.0 to ")
    assert found["xy_100_longer"] == "+0.0 points (+0.0 to +0.0)"
    assert found["xy_100_final_short"] == "20.0 (20.0–20.0) px"
    assert found["xy_100_best_short"] == "21.0 (21.0–21.0) px"
    assert found["not_below_updates"] == "coordinates (xy), 100 images"
    assert found["not_below_epochs"] == "none"


def test_the_table_has_chosen_sizes_after_the_shorter_training(study, monkeypatch):
    monkeypatch.setattr(data_efficiency, "TABLE_SIZES", (100, 200))
    lines = data_efficiency.table(*study).splitlines()
    assert lines[0].startswith("| training images | coordinates (xy), mean px |")
    assert lines[2:] == [
        "| 100 | 20.0 (20.0–20.0) | 30.0 (30.0–30.0) | 10.0 (10.0–10.0) "
        "| 0.0 (0.0–0.0) | 0.0 (0.0–0.0) | 100.0 (100.0–100.0) |"
    ]
    assert len(data_efficiency.TABLE_SIZES) <= 8


def test_the_long_table_has_a_row_for_each_run(study):
    head, *rows = data_efficiency.long_table(study[0], study[1])
    assert len(rows) == len(study[0]["rows"])
    row = dict(zip(head, rows[0], strict=True))
    assert row["fixed"] == "625 updates"
    assert row["final, mean px"] == 20
    assert row["best, mean px"] == 21
    assert row["training images, mean px"] == 21


def test_seeds_are_dots_and_the_crossing_is_marked(study):
    figure = data_efficiency.draw(*study)[""]
    mean, longer, right, train = figure.axes
    (band,) = mean.patches
    edges = mean.transData.inverted().transform(band.get_extents().get_points())
    np.testing.assert_allclose(edges[:, 0], 1000)
    dots = mean.collections[0].get_offsets()
    np.testing.assert_array_equal(dots, [[100, 20], [100, 20], [10_000, 10], [10_000, 10]])
    middle = next(line for line in longer.lines if str(line.get_label()).startswith("always"))
    assert middle.get_label() == "always the middle, 32 px"
    assert len(train.lines) == 3
    assert len(right.lines) == 7  # three heads after two lengths, and chance


def test_nothing_is_drawn_of_no_runs(tmp_path):
    assert data_efficiency.draw({"rows": []}, {}, tmp_path) == {}
