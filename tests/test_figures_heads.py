"""Five heads on equal terms, and places that were not shown."""

import json

import numpy as np
import pytest

from figures import heads, style
from rectloc_tf.experiments.heads import KINDS, NORMALISED
from tests.kept_answers import keep, metrics

IMAGES = 60


@pytest.fixture
def study(tmp_path):
    """Runs whose errors are known: of each kind twice as large as of the one before it.

    In the quarter that was withheld they are 40 px.
    """
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 80, (IMAGES, 3, 2))
    sides = np.array([30, 20, 10])[None, :, None]  # of squares, largest first
    rectangles = np.concatenate([corners, corners + sides], axis=-1).astype(np.int16)
    there = (rectangles[:, 0, :2] + 15 > 56).all(axis=1)
    assert 5 < there.sum() < IMAGES / 2
    summary, runs = {"rows": []}, {}
    for number, (who, fields) in enumerate(KINDS.items()):
        for variant in ("plain", "withheld"):
            for seed in (0, 1):
                errors = np.full(IMAGES, 0.1 * 2.0**number)
                if variant == "withheld" and who != "dsnt":
                    errors[there] = 40.0
                name = f"{number}-{variant}-{seed}"
                made = {"withheld": variant == "withheld", **fields}
                runs[name] = keep(tmp_path, name, rectangles, errors, **made)
                about = {"who": who, "arch": fields["arch"], "variant": variant, "seed": seed}
                summary["rows"].append({"run": name, **about, "final": metrics(1.0)})
    return summary, runs, tmp_path, there


def test_the_table_says_what_was_right_and_what_was_withheld(study):
    shown, withheld = (
        [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines()]
        for part in heads.table(*study[:3]).split("\n\n")
    )
    for cells in (shown, withheld):
        assert len(cells) == 2 + len(KINDS)
        assert len({len(row) for row in cells}) == 1
    by_title = {row[0]: row[1:] for row in shown[2:]}
    assert by_title["coordinates (xy)"][:6] == [
        "0.10 (0.10 to 0.10)", "0.1 (0.1 to 0.1)", "100.0 (100.0 to 100.0)", "0.0", "0.0", "0.10",
    ]  # fmt: skip
    assert by_title["score map (score_map), normalised"][0] == "0.80 (0.80 to 0.80)"
    everywhere, nowhere = "100.0 (100.0 to 100.0)", "0.0 (0.0 to 0.0)"
    by_title = {row[0]: row[1:] for row in withheld[2:]}
    lost, found = by_title["coordinates (xy)"], by_title["expected coordinate (dsnt)"]
    assert lost[:2] == [everywhere, nowhere]
    assert float(lost[2]) + float(lost[3]) == 100  # wrong or nowhere
    assert lost[4:] == ["40.0 (40.0 to 40.0)", "–"]
    assert found == [everywhere, everywhere, "0.0", "0.0", "1.6 (1.6 to 1.6)", "1.60"]


def test_times_are_those_of_the_first_group_of_each_suite(study, tmp_path, monkeypatch):
    def row(suite, work, who, rate):
        return {"suite": suite, "work": work, "who": who, "images_per_second": {"median": rate}}

    path = tmp_path / "report.json"
    rows = [
        row("train", "heads, depth=18 batch_size=32 precision=float32", "xy", 64.0),
        row("train", "sizes, batch_size=32", "xy", 1.0),
        row("serve", "heads, image_size=224 batch_size=1", "xy", 80.0),
        row("serve", "heads, image_size=224 batch_size=64", "xy", 3.0),
    ]
    path.write_text(json.dumps({"rows": rows}))
    assert heads.milliseconds(path) == {("xy", "step"): "500", ("xy", "prediction"): "12.5"}
    assert heads.milliseconds(tmp_path / "none.json") == {}
    monkeypatch.setattr(heads, "BENCHMARK", path)
    by_title = {
        line.split("|")[1].strip(): line.split("|")[9:11]
        for line in heads.table(*study[:3]).split("\n\n")[0].splitlines()
    }
    assert by_title["head"] == [" step, ms ", " prediction, ms "]
    assert by_title["coordinates (xy)"] == [" 500 ", " 12.5 "]
    assert by_title["heatmap (deconv)"] == [" – ", " – "]
    found = heads.numbers(*study[:3])
    assert (found["xy_step_ms"], found["xy_prediction_ms"]) == ("500", "12.5")


def test_the_withheld_quarter_is_the_sources(study):
    summary, runs, folder, there = study
    answers = heads._runs(summary, runs, folder).answers("xy", "plain")[0]
    np.testing.assert_array_equal(heads.withheld_places(answers.rectangles), there)


def test_errors_by_place_are_medians_of_enough_images():
    places = np.array([[10, 10]] * 3 + [[220, 100]] * 2 + [[100, 223.9]] * 4, float)
    errors = np.array([[1, 2, 9, 5, 5, 1, 2, 3, 4], [3, 4, 9, 5, 5, 1, 2, 3, 4]], float)
    found = heads.by_place(errors, places)
    assert found.shape == (7, 7)
    assert found[0, 0] == np.median([1, 2, 9, 3, 4, 9])
    assert np.isnan(found[3, 6])  # two images only
    assert found[6, 3] == 2.5
    assert np.isfinite(found).sum() == 2


def test_figures_show_every_head(study):
    figures = heads.draw(*study[:3])
    assert figures.keys() == {"", "_places"}
    curves, bars = figures[""].axes
    assert len(curves.get_lines()) == len(KINDS) + 1  # and the radius
    assert [text.get_text() for text in bars.get_yticklabels()] == [
        style.title_of(who) for who in KINDS
    ]
    maps = [axis for axis in figures["_places"].axes if axis.get_images()]
    assert len(maps) == 2 * len(KINDS)
    assert [len(axis.patches) for axis in maps] == [0] * len(KINDS) + [1] * len(KINDS)


def test_numbers_name_each_head(study):
    found = heads.numbers(*study[:3])
    assert found["score_map_normalised_median"] == "0.80 (0.80 to 0.80)"
    assert found["score_map_normalised_mean"] == "0.8 (0.8 to 0.8)"
    assert found["simcc_right"] == "100.0 % (100.0 to 100.0)"
    assert found["deconv_withheld"] == "0.0 % (0.0 to 0.0)"
    assert found["dsnt_withheld"] == found["dsnt_shown"] == "100.0 % (100.0 to 100.0)"
    assert (found["dsnt_withheld_wrong"], found["dsnt_withheld_px"]) == ("0 %", "1.6 px")


def test_a_study_without_withheld_runs_shows_the_rest(study):
    summary, runs, folder, _ = study
    rows = [row for row in summary["rows"] if row["variant"] == "plain" and row["who"] != "simcc"]
    assert heads.draw({"rows": rows}, runs, folder).keys() == {""}
    lines = heads.table({"rows": rows}, runs, folder).splitlines()
    assert len(lines) == 2 + len(KINDS) - 1  # and no second table
    assert heads.draw({"rows": []}, {}, folder) == {}
    assert NORMALISED in KINDS
