"""What is kept of a run."""

import json

import cv2
import numpy as np
import pytest

from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.experiments import summaries
from rectloc_tf.experiments.plan import Task

SUMMARY = {
    "config": RunConfig(domain=3).to_json(),
    "splits": {"test": {"3": {"r2": 0.5}, "4": {"r2": 0.1}}},
    "pictures": {"4": {}},
    "failures": {"2": {}},
    "locations": {"1": {}},
}


@pytest.mark.parametrize(
    ("domains", "pictured", "failures", "located", "expected"),
    [
        ((), (), (), (), True),
        ((3, 4), (4,), (2,), (1,), True),
        ((5,), (), (), (), False),
        ((), (3,), (), (), False),
        ((), (), (4,), (), False),
        ((), (), (), (1, 2), False),
    ],
)
def test_a_summary_answers_what_it_holds(domains, pictured, failures, located, expected):
    task = Task(RunConfig(domain=3), domains, pictured, failures, located)
    assert summaries.answers(SUMMARY, task) == expected
    assert not summaries.answers(None, task)


def test_summaries_are_written_and_read(tmp_path):
    assert summaries.read_summary(tmp_path, "run") is None
    summaries.write_summary(tmp_path, "run", SUMMARY)
    assert summaries.read_summary(tmp_path, "run") == SUMMARY
    assert json.loads((tmp_path / "runs" / "run.json").read_text()) == SUMMARY


@pytest.mark.parametrize("text", ["[]", "{}", '{"config": 1}', "no json"])
def test_a_damaged_summary_is_named(tmp_path, text):
    path = summaries.summary_path(tmp_path, "run")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UserError, match=r"run\.json: damaged"):
        summaries.read_summary(tmp_path, "run")


def test_the_fastest_epoch_counts():
    history = [{"images_per_second": rate} for rate in (None, 90.0, 120.0, 100.0)]
    assert summaries.fastest_rate({"history": history}) == 120
    assert summaries.fastest_rate({"history": history[:1]}) is None


def test_black_and_brightness_of_heatmaps():
    maps = np.zeros((2, 4, 5), np.uint8)
    maps[0, 0, 0], maps[1, 2, 3] = 100, 200
    numbers = summaries.snapshot_numbers({"heatmaps": maps, "points": np.zeros((2, 2))})
    assert numbers == {"black_share": pytest.approx(38 / 40), "brightness": 150.0}
    black = summaries.snapshot_numbers({"heatmaps": 0 * maps})
    assert black == {"black_share": 1.0, "brightness": 0.0}
    assert summaries.snapshot_numbers({"points": np.zeros((2, 2))}) == {}


def test_sheets_keep_every_pixel(tmp_path):
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 256, (3, 8, 8), np.uint8) for _ in range(2)]
    summaries.write_sheet(tmp_path / "sheet.png", rows)
    sheet = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_GRAYSCALE)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            np.testing.assert_array_equal(sheet[8 * i : 8 * i + 8, 8 * j : 8 * j + 8], tile)
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]


def test_a_sheet_has_a_row_of_maps_where_there_are_any():
    images = np.ones((2, 4, 4), np.uint8)
    (only,) = summaries.picture_rows({"images": images, "points": np.zeros((2, 2))})
    assert only is images
    maps = np.full((2, 4, 4), -3, np.float32)
    maps[0, 0, :3] = 1.6, 254.4, 300
    _, row = summaries.picture_rows({"images": images, "heatmaps": maps})
    assert row.dtype == np.uint8
    assert row[0, 0].tolist() == [2, 254, 255, 0]
    assert row.sum() == 2 + 254 + 255
