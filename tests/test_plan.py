"""What experiments plan, before anything is trained."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from rectloc_tf import registry
from rectloc_tf.config import RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.experiments import (
    collapse,
    cross_domain,
    data_efficiency,
    decoders,
    find_all,
    headline,
    heads,
    hyperparameter_sweep,
    more_labels,
    multiple_locations,
    original_settings,
    prediction_epochs,
    target_density,
)
from rectloc_tf.experiments.all import EXPERIMENTS
from rectloc_tf.experiments.plan import COMPARED, Settings, Task, merge
from rectloc_tf.experiments.summaries import scenes_path
from tests.conftest import ROOT

SETTINGS = Settings(
    base=RunConfig(image_size=112, precision="float32"),
    epochs=None,
    plain_epochs=12,
    short_epochs=5,
    seeds=(0, 1),
    fractions=(0.0005, 0.01, 1.0),
    batch_sizes=(8, 64),
    learning_rates=(1e-3, 1e-2),
    depths=(18, 50),
    updates=250,
    runs_root=Path("runs"),
    results_dir=Path("results"),
)


def _runs(experiment, settings=SETTINGS):
    return [task.run for task in experiment.EXPERIMENT.plan(settings)]


def test_a_run_that_several_ask_for_is_made_once_with_all_that_is_asked():
    run, other = RunConfig(domain=3), RunConfig(domain=2)
    merged = merge(
        [
            Task(run, (1, 2), (4,)),
            Task(other),
            Task(run, (2, 5), (3,), (2,)),
            Task(run, (), (), (), (1,)),
        ]
    )
    assert merged == [Task(run, (1, 2, 5), (3, 4), (2,), (1,)), Task(other)]
    assert merged[0].name == Path(run.default_folder).name


def test_headline_trains_three_heads_each_way_with_every_seed():
    pairs = headline.all_runs(SETTINGS)
    usual = ("short", "plain", "improved")
    runs = [run for about, run in pairs if about["variant"] in usual]
    assert {(r.arch, r.augment, r.seed) for r in runs} == {
        (arch, augment, seed)
        for arch in headline.HEADS
        for augment in (False, True)
        for seed in (0, 1)
    }
    assert {*headline.HEADS} == {"xy", "deconv", "score_map"}
    assert {r.domain for r in runs} == {3}
    improved = {(r.arch, r.epochs) for r in runs if r.augment}
    # Each head's default.
    assert improved == {("xy", 40), ("deconv", 100), ("score_map", 40)}
    assert {(r.arch, r.radius) for r in runs} == {("xy", 7), ("deconv", 7), ("score_map", 10)}
    plain = [(r.arch, r.seed, r.epochs) for r in runs if not r.augment]
    every = sorted(headline.HEADS)
    assert sorted(plain) == [(a, s, e) for a in every for s in (0, 1) for e in (5, 12)]
    alike = dataclasses.replace(SETTINGS, epochs=7, plain_epochs=None, short_epochs=None)
    made = [(r.epochs, r.augment) for r in _runs(headline, alike) if r.units == "pixels"]
    assert made == 2 * (3 * [(7, False)] + 3 * [(7, True)])
    assert [r.seed for r in runs] == sorted(r.seed for r in runs)  # a first seed of all first


def test_headline_separates_length_augmentation_and_the_unit_of_coordinates():
    settings = dataclasses.replace(SETTINGS, epochs=40)
    by_variant = {}
    for about, run in headline.all_runs(settings):
        by_variant.setdefault(about["variant"], []).append(run)
    plain = {(r.arch, r.seed): r for r in by_variant["plain"]}
    improved = {(r.arch, r.seed): r for r in by_variant["improved"]}
    assert [(r.arch, r.seed) for r in by_variant["longer"]] == [("xy", 0), ("deconv", 0)]
    assert [(r.arch, r.seed) for r in by_variant["augmented"]] == [("xy", 0), ("deconv", 0)]
    for longer, augmented in zip(by_variant["longer"], by_variant["augmented"], strict=True):
        key = longer.arch, longer.seed
        assert longer == dataclasses.replace(improved[key], augment=False)
        assert longer == dataclasses.replace(plain[key], epochs=40)
        assert augmented == dataclasses.replace(plain[key], augment=True)
    assert [dataclasses.replace(r, units="pixels") for r in by_variant["centred"]] == [
        plain["xy", 0], plain["xy", 1],
    ]  # fmt: skip


def test_the_original_s_settings_are_of_twice_the_size_at_a_constant_rate():
    runs = _runs(original_settings, dataclasses.replace(SETTINGS, epochs=40))
    assert [(r.arch, r.epochs) for r in runs] == [("xy", 40), ("deconv", 100)]
    assert [r.epochs for r in _runs(original_settings)] == [40, 100]  # each head's default
    assert {(r.image_size, r.schedule, r.augment, r.seed) for r in runs} == {
        (224, "constant", False, 0)
    }


def test_prediction_epochs_needs_no_run_of_its_own():
    names = {Task(r).name for r in _runs(prediction_epochs)}
    assert names < {Task(r).name for r in _runs(headline)}


def test_cross_domain_trains_on_each_and_tests_on_all():
    tasks = cross_domain.EXPERIMENT.plan(SETTINGS)
    described = sorted((t.run.domain, t.run.epochs, t.run.arch, t.run.seed) for t in tasks)
    trainings = sorted([(d, 5) for d in (1, 2, 3, 4, 5)] + [(3, 12)])
    assert described == [(*t, a, s) for t in trainings for a in ("deconv", "xy") for s in (0, 1)]
    assert {task.domains for task in tasks} == {(1, 2, 3, 4, 5)}
    failures = [(t.run.arch, t.run.epochs, t.failures) for t in tasks if t.failures]
    assert sorted(failures) == [(a, e, (4,)) for a in ("deconv", "xy") for e in (5, 12)]


def test_cross_domain_has_no_longer_runs_where_all_are_as_long():
    alike = dataclasses.replace(SETTINGS, plain_epochs=5)
    assert len(list(cross_domain.runs(alike))) == 5 * 2 * 2
    assert all(about["in_matrix"] for about, _ in cross_domain.runs(alike))


def test_data_efficiency_holds_updates_or_epochs_fixed():
    by_kind = {"updates": [], "long updates": [], "epochs": []}
    long = {"long_updates": 1500, "long_fractions": (0.5, 1.0)}
    settings = dataclasses.replace(SETTINGS, updates=625, **long)
    for about, run in data_efficiency.runs(settings):
        assert run.num_images == round(10_000 * about["fraction"])
        by_kind[about["fixed"]].append(run)
    steps = {run.total_steps for run in by_kind["updates"]}
    assert all(abs(s - 625) <= 1 for s in steps)
    assert {(run.epochs, run.seed) for run in by_kind["epochs"]} == {(5, 0)}
    assert [run.num_images for run in by_kind["epochs"]] == [5, 5, 10_000, 10_000]
    long = [(run.num_images, run.arch, run.seed) for run in by_kind["long updates"]]
    assert sorted(long) == [
        (size, arch, seed)
        for size in (5_000, 10_000)
        for arch in ("deconv", "score_map", "xy")
        for seed in (0, 1)
    ]
    assert {run.total_steps for run in by_kind["long updates"]} == {1500}
    rows = {run.epochs // run.validate_every for run in by_kind["updates"] if run.epochs >= 5}
    assert rows <= {5, 6, 7, 8, 9}
    first = (r for r in by_kind["updates"] if r.arch in COMPARED and r.seed == 0)
    whole = {r for r in first if r.num_images == 10_000}
    assert whole == {r for r in by_kind["epochs"] if r.num_images == 10_000}  # made once


def test_the_smaller_series_is_of_every_other_size_unless_its_sizes_are_given():
    sizes = (0.01, 0.05, 0.1, 0.2)
    settings = dataclasses.replace(SETTINGS, fractions=sizes, epoch_fractions=None)
    assert settings.epoch_fractions == (0.05, 0.2)  # the largest among them
    settings = dataclasses.replace(SETTINGS, fractions=sizes[::-1], epoch_fractions=None)
    assert settings.epoch_fractions == (0.05, 0.2)
    settings = dataclasses.replace(settings, epoch_fractions=(0.1,))
    series = [a["fraction"] for a, _ in data_efficiency.runs(settings) if a["fixed"] == "epochs"]
    assert series == [0.1, 0.1]


def test_no_batch_is_more_than_half_the_training_set():
    sizes = {(r.num_train, r.batch_size, r.total_steps) for r in _runs(data_efficiency)}
    assert sizes == {(4, 2, 250), (4, 2, 10), (80, 40, 250), (8000, 64, 250), (8000, 64, 625)}


def test_the_sweep_changes_one_thing_at_a_time_around_the_short_run():
    centre = {r.arch: r for r in _runs(headline) if (r.seed, r.epochs) == (0, 5)}
    changed = []
    for about, run in hyperparameter_sweep.runs(SETTINGS):
        arch, axis, value = about["arch"], about["axis"], about["value"]
        assert run == dataclasses.replace(centre[arch], **{axis: value})
        changed.append((arch, axis, value))
    values = {"batch_size": (8, 64), "learning_rate": (1e-3, 1e-2), "depth": (18, 50)}
    expected = [(arch, a, v) for arch in ("xy", "deconv") for a in values for v in values[a]]
    assert changed == expected


def test_multiple_locations_looks_for_all_rectangles_of_every_domain():
    tasks = multiple_locations.EXPERIMENT.plan(SETTINGS)
    described = [(t.run.domain, t.run.labels, t.run.seed, t.run.epochs) for t in tasks]
    trainings = ((3, "largest"), (1, "largest"), (2, "largest_and_smallest"))
    lengths = ((0, 5), (0, 12), (1, 5))  # longer ones of the first seed alone
    assert described == [(*training, *length) for length in lengths for training in trainings]
    pictured = {(t.run.seed, t.run.epochs) for t in tasks if t.pictured}
    assert pictured == {(0, 5)}
    assert {t.run.arch for t in tasks} == {"deconv"}
    assert {t.located for t in tasks} == {(1, 2, 3, 4, 5)}
    shared = {t.name for t in tasks} & {Task(r).name for r in _runs(cross_domain)}
    assert len(shared) == 5


def test_the_agreement_of_seeds_is_of_rectangles():
    # Ranks 0 and 1; 0; none: and by the other 0; 0 and 2; none. Both find 2 of 4.
    assert multiple_locations.agreement([[0b11, 0b1, 0], [0b1, 0b101, 0]]) == 0.5
    assert multiple_locations.agreement([[0b11], [0b11], [0b10]]) == 0.5
    assert multiple_locations.agreement([[0, 0], [0, 0]]) is None


def test_locations_are_summed_up_by_training_domain_and_threshold():
    measured = {1: ["1 1 0", "1 0 0"], 0: ["1 1 1", "1 0 0"]}  # by seed, at two thresholds
    summaries = {}
    for about, run in multiple_locations.runs(SETTINGS):
        found = [
            {"threshold": threshold, "recall": 0.5, "found": found}
            for threshold, found in zip((16, 64), measured[run.seed], strict=True)
        ]
        if run.epochs == 5 and (
            about["training"] != "1" or run.seed == 0
        ):  # the other has but one seed
            locations = {str(domain): found for domain in SETTINGS.domains}
            summaries[Task(run).name] = {"locations": locations}
    summary = multiple_locations.EXPERIMENT.summarise(SETTINGS, summaries)
    assert len(summary["rows"]) == 5 * 5 * 2
    assert "found" not in summary["rows"][0]
    assert {a["training"] for a in summary["agreements"]} == {"3, largest", "2, both"}
    assert len(summary["agreements"]) == 2 * 5 * 2
    for found in summary["agreements"]:
        assert found["agreement"] == pytest.approx({16: 2 / 3, 64: 1}[found["threshold"]])


@pytest.mark.parametrize("module", [multiple_locations, more_labels])
def test_no_run_is_summed_up_twice_where_lengths_are_alike(module):
    alike = dataclasses.replace(SETTINGS, plain_epochs=None, short_epochs=None)
    found = [run for _, run in module.runs(alike)]
    assert len({*found}) == len(found) < len([*module.runs(SETTINGS)])
    # 40 epochs are plain ones for coordinates, but not for the heatmap, whose default is 100.
    of_one_head = dataclasses.replace(SETTINGS, plain_epochs=None, short_epochs=40)
    assert len(module.runs(of_one_head)) == len(module.runs(SETTINGS))


def test_scenes_of_other_sides_have_a_file_of_their_own():
    usual = RunConfig(domain=3, image_size=112)
    assert scenes_path(Path("r"), usual) == Path("r/scenes/domain3_112px_seed0.npz")
    other = usual.changed(min_side=20, max_side=60)
    assert scenes_path(Path("r"), other) == Path("r/scenes/domain3_112px_sides20to60_seed0.npz")


def test_a_threshold_is_the_one_that_finds_most_on_validation():
    measured = [
        {"threshold": 8, "precision": 0.3, "recall": 1.0},
        {"threshold": 16, "precision": 0.9, "recall": 0.9},
        {"threshold": 32, "precision": 1.0, "recall": 0.5},
        {"threshold": 64, "precision": None, "recall": 0.0},
    ]
    assert multiple_locations.chosen_threshold({"validation_locations": measured}) == 16
    assert multiple_locations.chosen_threshold({}) is None


def test_more_labels_differ_in_labels_alone():
    runs = list(more_labels.runs(SETTINGS))
    for (one, a), (both, b) in zip(runs[::2], runs[1::2], strict=True):
        assert (one["labelled"], both["labelled"]) == ("one", "both")
        assert b == dataclasses.replace(a, labels="largest_and_smallest")
    assert {task.domains for task in more_labels.EXPERIMENT.plan(SETTINGS)} == {(1,)}
    assert {(r.arch, r.seed, r.epochs) for _, r in runs} == {
        (arch, seed, epochs)
        for arch, epochs in (("xy", 5), ("deconv", 5), ("deconv", 12))
        for seed in (0, 1)
    }


def test_densities_of_equal_mass():
    disc, gaussian = (run for _, run in list(target_density.runs(SETTINGS))[:2])
    cells = np.arange(224) + 0.5
    d2 = (cells - 112) ** 2 + (cells[:, None] - 112) ** 2
    mass = np.exp(-d2 / (2 * gaussian.sigma**2)).sum()
    assert mass == pytest.approx((d2 <= disc.radius**2).sum(), rel=0.04)
    assert Task(disc).name in {Task(r).name for r in _runs(headline)}


def test_runs_are_shared_between_experiments():
    pairs = headline.all_runs(SETTINGS)
    chosen = [r for a, r in pairs if a["variant"] in ("short", "plain") and r.arch in COMPARED]
    plain = {Task(r).name for r in chosen}
    matrix = {Task(r).name for r in _runs(cross_domain) if r.domain == 3}
    assert plain == matrix
    largest = {Task(r).name for r in _runs(data_efficiency) if r.num_images == 10_000}
    assert len(largest & matrix) == 2


def test_every_experiment_is_a_module_of_its_name():
    for experiment in EXPERIMENTS:
        assert experiment.plan.__module__ == f"rectloc_tf.experiments.{experiment.name}"


def test_the_list_names_every_experiment_that_there_is():
    modules = (ROOT / "rectloc_tf" / "experiments").glob("*.py")
    written = {p.stem for p in modules if "\nEXPERIMENT = " in p.read_text()}
    assert [experiment.name for experiment in EXPERIMENTS] == list(registry.EXPERIMENTS)
    assert written == set(registry.EXPERIMENTS)


def test_experiments_name_the_heads_that_they_compare(monkeypatch):
    compared = {"headline": {*headline.HEADS}, "find_all": {*find_all.HEADS}}
    compared["heads"] = {fields["arch"] for fields in heads.KINDS.values()}
    compared["decoders"] = {fields["arch"] for fields in decoders.KINDS.values()}
    compared["data_efficiency"] = {*data_efficiency.HEADS}
    compared["collapse"] = {fields["arch"] for fields in collapse.VARIANTS.values()}
    monkeypatch.setitem(registry.HEADS, "new", registry.HEADS["xy"])
    for experiment in EXPERIMENTS:
        found = {task.run.arch for task in experiment.plan(SETTINGS)}
        usual = ({"xy", "deconv"}, {"deconv"}, set())
        assert found in (usual, (compared.get(experiment.name),))[experiment.name in compared]


def test_heads_are_compared_on_equal_terms_with_and_without_a_quarter():
    pairs = [*heads.runs(SETTINGS)]
    assert {(about["who"], about["variant"], about["seed"]) for about, _ in pairs} == {
        (who, variant, seed)
        for who in heads.KINDS
        for variant in ("plain", "withheld")
        for seed in (0, 1)
    }
    assert {(r.epochs, r.augment, r.domain, r.labels, r.schedule) for _, r in pairs} == {
        (5, False, 3, "largest", "constant")
    }
    assert all(r.withheld == (about["variant"] == "withheld") for about, r in pairs)
    normalised = {about["who"] for about, r in pairs if r.batch_norm}
    assert normalised == {heads.NORMALISED, "dsnt", "simcc"}
    # The study has made some of them already.
    short = {
        Task(r).name for about, r in headline.all_runs(SETTINGS) if about["variant"] == "short"
    }
    shared = [about["who"] for about, r in pairs if Task(r).name in short]
    assert shared == 2 * ["xy", "deconv", "score_map"]
    assert {t.answered for t in heads.EXPERIMENT.plan(SETTINGS)} == {(3,)}


def test_find_all_trains_on_points_of_one_class_and_looks_for_them_in_every_domain():
    tasks = find_all.EXPERIMENT.plan(SETTINGS)
    described = [(t.run.arch, t.run.domain, t.run.batch_size, t.run.seed) for t in tasks]
    each = [("deconv", 3, 64), ("score_map", 3, 64), ("score_map", 3, 16)]
    each += [("deconv", 2, 64), ("score_map", 2, 64), ("deconv", 1, 64), ("score_map", 1, 64)]
    assert described == [(*run, seed) for seed in (0, 1) for run in each]
    assert {(t.run.labels, t.run.augment, t.run.epochs) for t in tasks} == {("unordered", True, 5)}
    assert {(t.run.batch_size, t.run.positive_weight) for t in tasks} == {(64, 20.0), (16, 1.0)}
    assert {t.detected for t in tasks} == {(1, 2, 3, 4, 5)}
    assert [t.pictured for t in tasks] == [(1, 2, 3, 4, 5)] * 3 + [()] * 11


def test_detections_are_summed_up_by_head_trained_and_tested():
    scores = iter((0.5, 0.6, 0.1, 0.2, 0.2, 0.4, 0.4, 0.7, 0.9, 0.3, 0.2, 0.2, 0.4, 0.4))
    summaries = {}
    for _, run in find_all.runs(SETTINGS):
        score = next(scores)
        found = dict.fromkeys(("precision", "recall", "f1", "f1_5px", "count_error"), score)
        detections = {"threshold": 100.0, "domains": {"3": found}}
        summaries[Task(run).name] = {"detections": detections}
    summary = find_all.EXPERIMENT.summarise(SETTINGS, summaries)
    assert len(summary["rows"]) == 14
    assert summary["rows"][0]["threshold"] == 100
    deconv = summary["deconv"]["3"]["3"]  # seeds 0 and 1: the first and eighth run
    assert deconv["recall"] == pytest.approx(0.6)
    assert deconv["f1"] == pytest.approx({"mean": 0.6, "min": 0.5, "max": 0.7})
    score_map = summary["score_map"]["3"]["3"]
    assert score_map["f1_5px"] == pytest.approx({"mean": 0.75, "min": 0.6, "max": 0.9})
    assert summary["score_map"]["3"].keys() == {"3"}
    assert summary["score_map"]["2"]["3"]["recall"] == pytest.approx(0.2)
    assert summary["deconv"]["1"]["3"]["recall"] == pytest.approx(0.4)
    assert summary["score_map, sharper"].keys() == {"3"}
    sharper = summary["score_map, sharper"]["3"]["3"]
    assert sharper["f1"] == pytest.approx({"mean": 0.2, "min": 0.1, "max": 0.3})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seeds": ()}, "^--seeds=: must be whole numbers from 0, separated by commas, each once"),
        ({"seeds": (0, 0)}, "^--seeds=0,0: "),
        ({"seeds": (-1,)}, "^--seeds=-1: "),
        ({"domains": (1, 21)}, "^--domains=1,21: must be from 1 to 20"),
        ({"depths": (0,)}, "^--depths=0: must be above 0"),
        ({"fractions": (0.5, 2.0)}, "^--fractions=0.5,2.0: must be from 0.0001 to 1"),
    ],
)
def test_wrong_lists_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SETTINGS, **fields)


def test_a_flag_holds_for_every_head_even_if_it_repeats_a_default_of_one():
    assert SETTINGS.short(arch="score_map").radius == 10
    asked = dataclasses.replace(SETTINGS, given={"radius": 7.0, "batch_norm": False})
    assert {run.radius for run in _runs(heads, asked) if run.arch == "score_map"} == {7.0}
    assert not any(run.batch_norm for run in _runs(heads, asked) if run.arch == "dsnt")
    # What an experiment sets itself stays.
    assert asked.short(arch="score_map", radius=12).radius == 12
    assert sum(run.batch_norm for run in _runs(heads, asked)) == 4  # the normalised score maps
