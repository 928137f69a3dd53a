"""Times, final errors and tables of `figures.hyperparameter_sweep`."""

import json
import math

import numpy as np
import pytest

from figures import hyperparameter_sweep as sweep
from tests.kept_answers import keep, metrics

CENTRE = {"batch_size": 64, "learning_rate": 1e-3, "depth": 18}
RATES: sweep.Rates = {
    (arch, *setting): rate
    for arch in ("xy", "deconv")
    for setting, rate in (((64, 18), 80.0), ((8, 18), 40.0), ((64, 34), 20.0))
}
SCENES = np.array([[[20, 20, 60, 60], [80, 80, 90, 90], [1, 1, 9, 9]]] * 4)


def history(errors, batch_size):
    return [
        {"epoch": i + 1.0, "step": 8000 / batch_size * (i + 1), "val_mean_px": error,
         "val_median_px": error / 2, "val_right_rate": 0.5}
        for i, error in enumerate(errors)
    ]  # fmt: skip


@pytest.fixture
def study(tmp_path):
    """Two heads: the centre with a second seed, a smaller batch and a deeper network."""
    rows, runs, cross = [], {}, []
    settings = {"centre": {}, "small": {"batch_size": 8}, "deep": {"depth": 34}}
    errors = {"centre": [30.0, 14.0], "small": [20.0, 12.0], "deep": [40.0, 13.0]}
    for arch in ("xy", "deconv"):
        for name, change in settings.items():
            fields = {**CENTRE, **change, "arch": arch}
            run = keep(tmp_path, f"{arch}-{name}", SCENES, [1, 2, 3, 4], **fields)
            run["history"] = history(errors[name], fields["batch_size"])
            runs[f"{arch}-{name}"] = run
            for axis in CENTRE:
                if axis in change or not change:
                    rows.append(
                        {"run": f"{arch}-{name}", "arch": arch, "axis": axis,
                         "value": fields[axis], "validation": metrics(50.0), "test": metrics(60.0)}
                    )  # fmt: skip
        second = keep(tmp_path, f"{arch}-two", SCENES, [2, 3, 4, 5], **CENTRE, arch=arch, seed=1)
        second["history"] = history([30.0, 16.0], 64)
        other = {**second, "config": {**second["config"], "batch_size": 32}}
        kept = {"centre": runs[f"{arch}-centre"], "two": second, "other": other}
        for name, run in kept.items():
            path = tmp_path / "runs" / f"{arch}-{name}.json"
            path.write_text(json.dumps(run))
            cross.append({"run": f"{arch}-{name}", "arch": arch, "trained": 3, "in_matrix": True})
    cross.append({"run": "xy-not-read", "arch": "xy", "trained": 2, "in_matrix": True})
    (tmp_path / "cross_domain.json").write_text(json.dumps({"rows": cross}))
    return {"centre": CENTRE, "short_epochs": 5, "rows": rows}, runs, tmp_path


def test_rates_are_read_where_they_were_measured(tmp_path):
    path = tmp_path / "benchmark.json"
    assert sweep.training_rates(path) == {}
    path.write_text('{"rows": []}')
    assert sweep.training_rates(path) == {}
    row = {"arch": "xy", "batch_size": 8, "depth": 18, "images_per_second": 97.0}
    path.write_text(json.dumps({"rows": [], "sweep": {"rows": [row]}}))
    assert sweep.training_rates(path) == {("xy", 8, 18): 97.0}


def test_rates_are_read_from_the_suite(tmp_path):
    def row(who, rate, suite="sweep"):
        work = "batch sizes, arch=deconv image_size=112 precision=mixed_bfloat16"
        return {"suite": suite, "work": work, "who": who, "images_per_second": {"median": rate}}

    rows = [row("batch 64", 90.0), row("batch 8", 50.0), row("34 layers", 40.0)]
    rows += [row("18 layers", 91.0), row("batch 8", 1.0, "train"), row("ours", 2.0)]
    (tmp_path / "benchmark.json").write_text(json.dumps({"rows": rows}))
    found = {("deconv", 64, 18): 90.0, ("deconv", 8, 18): 50.0, ("deconv", 64, 34): 40.0}
    assert sweep.training_rates(tmp_path / "benchmark.json") == found


def test_seconds_are_those_of_the_images_seen(study):
    runs = study[1]
    for name, expected in (("xy-centre", [100, 200]), ("xy-small", [200, 400])):
        found = sweep.seconds(runs[name], RATES)
        assert found is not None
        np.testing.assert_allclose(found, expected)
    assert sweep.seconds(runs["xy-small"], {}) is None


def test_what_is_reached_in_a_time_is_the_last_whole_epoch(study):
    runs = study[1]
    assert sweep.reached(runs["xy-centre"], RATES, 200.0) == 14
    assert sweep.reached(runs["xy-centre"], RATES, 199.0) == 30
    assert math.isnan(sweep.reached(runs["xy-deep"], RATES, 200.0))
    assert math.isnan(sweep.reached(runs["xy-deep"], {}, 200.0))


def test_times_are_given_for_settings_that_end_better(study):
    text = sweep.by_time(study[0], study[1], RATES)
    xy = "coordinates (xy), 14.0 px after 200 s; batch size 8: 20.0 px, "
    assert xy + "ResNet depth 34: no epoch done" in text
    assert text.count("after 200 s") == 2
    unknown = "The seconds of training on a CPU are not measured."
    assert sweep.by_time(study[0], study[1], {}) == unknown


def test_the_centre_has_the_seeds_of_the_matrix(study):
    summary, _, results_dir = study
    assert list(sweep.centre_runs(summary, results_dir, "xy")) == ["xy-centre", "xy-two"]
    assert sweep.centre_runs(summary, results_dir / "nowhere", "xy") == {}


def test_numbers_are_of_final_weights(study, monkeypatch):
    monkeypatch.setattr(sweep, "_rates", dict)
    found = sweep.numbers(*study)
    assert found["xy_batch_size_8"] == "12.0 px"
    assert found["xy_batch_size_8_change"] == "−3.0 px"  # the seeds' mean is 15
    assert found["xy_depth_best"] == "34"
    assert found["xy_centre"] == "15.0 (14.0–16.0) px"
    assert found["xy_seeds"] == "2.0 px"
    assert found["xy_learning_rate_0.001_right"] == "50.0 %"
    # Errors differ by 1 px in every image.
    assert found["xy_images"] == "0.0 px"


def test_the_table_begins_with_the_centre_and_all_its_seeds(study, monkeypatch):
    lines = sweep.table(*study).splitlines()[2:]
    seeds = "15.0 (14.0–16.0) | 7.5 (7.0–8.0) | 50.0 (50.0–50.0)"
    assert lines == [
        f"| batch size 64, learning rate 0.001, ResNet depth 18 | {seeds} | {seeds} |",
        "| batch size 8 | 12.0 | 6.0 | 50.0 | 12.0 | 6.0 | 50.0 |",
        "| ResNet depth 34 | 13.0 | 6.5 | 50.0 | 13.0 | 6.5 | 50.0 |",
    ]
    assert 1 + sum(map(len, sweep.TABLE.values())) <= 8


def test_the_long_table_has_final_and_best_weights(study):
    head, *rows = sweep.long_table(study[0], study[1])
    row = dict(zip(head, rows[0], strict=True))
    assert row["final, validation, mean px"] == 14
    assert row["best, validation, mean px"] == 50
    assert row["best, test, mean px"] == 60
    assert len(rows) == len(study[0]["rows"])


@pytest.mark.parametrize(("rates", "places"), [({}, [1, 2]), (RATES, [100, 200])])
def test_curves_are_over_seconds_where_all_are_known(study, rates, places, monkeypatch):
    monkeypatch.setattr(sweep, "_rates", lambda: rates)
    figures = sweep.draw(*study)
    assert list(figures) == ["_xy", "_deconv"]
    axes = figures["_xy"].axes
    curve = axes[4].lines[0]  # of the learning rate: the centre alone
    found = np.asarray(curve.get_xydata(), float)
    np.testing.assert_allclose(found, [[places[0], 30], [places[1], 14]])
    assert axes[4].get_xlabel() == (
        "seconds on 2 CPU cores" if rates else "epoch (8,000 images each)"
    )
    seeds = axes[1].lines[-1]
    np.testing.assert_array_equal(seeds.get_xydata(), [[1e-3, 14], [1e-3, 16]])
    low, high = axes[0].get_ylim()
    assert low < 12
    assert high > 40  # the worst value of all panels is on the shared axis
