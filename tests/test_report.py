"""The table that train and evaluate print."""

import copy

import pytest

from rectloc_tf.registry import SOURCES, SourceSpec
from rectloc_tf.results.report import format_result

METRICS = {
    "num_images": 1000,
    "mse": 123.456,
    "r2": 0.98765,
    "center_error_px": {"median": 1.234, "mean": 2.345, "p95": 7.891, "rmse": 3.0},
    "right_rate": 0.912,
    "wrong_rate": 0.0634,
    "nowhere_rate": 0.0246,
}


@pytest.fixture
def result():
    return {
        "config": {"arch": "xy"},
        "splits": {"test": {"1": copy.deepcopy(METRICS), "3": copy.deepcopy(METRICS)}},
        "epochs": 40,
        "seconds": 321.4,
        "images_per_second": 1234.4,
    }


def test_a_line_a_split_and_domain_holds_the_numbers(result):
    result["splits"]["validation"] = {"1": METRICS}
    header, *rows = format_result(result).splitlines()[:4]
    assert header.split() == (
        "split domain images MSE R2 median px mean px p95 px right wrong nowhere".split()
    )
    numbers = "1000 123.46 0.988 1.23 2.35 7.89 91.2% 6.3% 2.5%".split()
    assert [row.split() for row in rows] == [
        ["test", "1", *numbers],
        ["test", "3", *numbers],
        ["validation", "1", *numbers],
    ]


def test_columns_line_up_with_their_names(result):
    header, row = format_result(result).splitlines()[:2]
    assert len(row) == len(header)
    for name, value in (("images", "1000"), ("MSE", "123.46"), ("nowhere", "2.5%")):
        assert row[: header.index(name) + len(name)].endswith(value)


def test_numbers_that_do_not_exist_are_dashes(result):
    metrics = result["splits"]["test"]["1"]
    metrics["mse"] = metrics["r2"] = None
    metrics["center_error_px"] = dict.fromkeys(metrics["center_error_px"])
    row = format_result(result).splitlines()[1]
    assert row.split() == ["test", "1", "1000", *"-----", "91.2%", "6.3%", "2.5%"]
    assert "None" not in row
    metrics |= dict.fromkeys(("right_rate", "wrong_rate", "nowhere_rate"))
    assert format_result(result).splitlines()[1].split() == ["test", "1", "1000", *"--------"]


def test_last_line_summarises_the_training(result):
    text = format_result(result)
    assert text.splitlines()[-1] == "trained for 40 epochs in 321 s at 1234 images/s"


def test_the_lines_are_in_the_words_of_the_source(result, monkeypatch):
    assert format_result(result).splitlines()[3] == (
        "centre errors in px of 224; right: within 16 px of the true centre of the largest"
    )
    monkeypatch.setitem(SOURCES, "files", SourceSpec("", lambda run: "files"))
    result["config"]["source"] = "files"
    lines = format_result(result).splitlines()
    assert lines[0].split()[:3] == ["split", "set", "images"]
    assert lines[3] == "errors in px; right: within 16 px of the true point"


NAMED = {
    "num_images": 9,
    "center_error_px": {"median": 1.234, "mean": 2.345, "p95": 7.891, "rmse": 3.0},
    "keypoint_error_px": {
        "nose": {"median": 1.5, "mean": 2.5, "p95": 3.5, "rmse": 4.5},
        "left ear": dict.fromkeys(("median", "mean", "p95", "rmse")),
    },
    "keypoint_labels": {"nose": 7, "left ear": 0},
    "pck": {"share": 0.875, "within": 0.1, "of": "the box", "n": 7},
    "oks": {"mean": 0.6789, "sigma": 0.05, "n": 4},
}
INTERVALS = {"error_interval_px": {"median": [1.111, 2.222], "mean": [0.5, 10.0]}}


def test_named_keypoints_have_a_table_of_their_own(result):
    result |= {"splits": {"train": {"images": NAMED}, "test": {"images": NAMED | INTERVALS}}}
    result |= {"config": {"arch": "xy", "source": "images"}, "epochs": None, "steps": 50}
    header, train, test, intervals, words, empty, *by_name, last = format_result(
        result
    ).splitlines()
    names, nose, ear = by_name
    columns = "labels median px mean px p95 px rmse px".split()
    assert header.split() == ["split", "set", "images", *columns, "PCK", "OKS"]
    assert train.split() == "train images 9 7 1.23 2.35 7.89 3.00 87.5% 0.679".split()
    assert test.split() == "test images 9 7 1.23 2.35 7.89 3.00 87.5% 0.679".split()
    assert intervals == (
        "test: 95 % intervals over images like these: median 1.11–2.22, mean 0.50–10.00 px"
    )
    assert words == (
        "errors in px of the file (DeepLabCut calls the mean RMSE); PCK: within 0.1 of the box; "
        "OKS: sigma 0.05, area of that box"
    )
    assert empty == ""
    assert names.split() == ["test", *columns]
    assert nose.split() == "nose 7 1.50 2.50 3.50 4.50".split()
    assert ear.split() == "left ear 0 - - - -".split()
    assert len({len(line) for line in (names, nose, ear)}) == len({len(header), len(train)}) == 1
    assert last == "trained for 50 steps in 321 s at 1234 images/s"


def test_results_without_similarity_and_intervals_are_shown_too(result):
    older = {name: value for name, value in NAMED.items() if name != "oks"}
    result |= {"splits": {"test": {"images": older}}, "config": {"source": "images"}}
    test, words = format_result(result).splitlines()[1:3]
    assert test.split()[-2:] == ["87.5%", "-"]
    assert words.endswith("PCK: within 0.1 of the box")


def test_detections_have_a_table_of_their_own(result):
    found = {"threshold": 0.074, "precision": 0.9567, "recall": 0.5, "f1": 0.65, "f1_5px": 0.6123}
    for metrics in result["splits"]["test"].values():
        metrics["detections"] = found | {"count_error": 1.25}
    header, *rows, words = format_result(result).splitlines()[-5:-1]
    assert header.split() == (
        "split domain images precision recall F1 F1 in 5 px count error".split()
    )
    numbers = "1000 95.7% 50.0% 0.650 0.612 1.25".split()
    assert [row.split() for row in rows] == [["test", "1", *numbers], ["test", "3", *numbers]]
    assert len({len(line) for line in (header, *rows)}) == 1
    assert words.startswith("detections with a confidence of 0.074 or more")


def test_unknown_speed_is_left_out(result):
    result["images_per_second"] = None
    assert format_result(result).splitlines()[-1] == "trained for 40 epochs in 321 s"


def test_a_run_that_is_not_finished_has_no_line_of_training(result):
    result |= {"epochs": None, "seconds": None, "images_per_second": None}
    text = format_result(result)
    assert "trained" not in text
    assert "None" not in text
    assert "123.46" in text
