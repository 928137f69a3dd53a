"""What each decoder makes of the same maps."""

import keras
import numpy as np
import pytest
from keras import ops

from figures import decoders as figure_module
from pipelines.source import make_source
from rectloc_tf.config import RunConfig
from rectloc_tf.experiments import decoders
from rectloc_tf.experiments.plan import Task
from rectloc_tf.heads.decoders import DECODERS
from rectloc_tf.models import run_head
from rectloc_tf.results.decoding import FLOOR, OWN, measure_decoders, summary
from tests.test_plan import SETTINGS

SIZE = 64


def test_errors_are_summed_up_by_distance():
    found = summary(np.array([0.2, 0.5, 0.9, 3.0, 7.0]))
    assert found == {
        "median": 0.9, "mean": pytest.approx(2.32), "within_0.5": 0.4, "within_1": 0.6,
        "within_2": 0.6, "within_5": 0.8,
    }  # fmt: skip
    assert set(summary(np.zeros(0)).values()) == {None}


def test_decoders_read_a_models_maps_and_the_floor_is_that_of_its_cells():
    """The map is the image of one solid rectangle, whose middle is its centre of mass."""
    run = RunConfig(arch="deconv", domain=1, image_size=SIZE, solid=True, max_side=14)
    images = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    model = keras.Model(images, ops.cast(images, "float32"))
    found = measure_decoders(model, run_head(run), make_source(run), range(9000, 9060))
    assert [*found["decoders"]] == [*DECODERS, OWN, FLOOR]
    assert 0 < found["images"] <= 60
    by_name = found["decoders"]
    assert by_name["centre of mass"]["median"] < 0.2 < by_name["argmax"]["median"]
    assert by_name[OWN]["median"] == pytest.approx(by_name["centre of mass"]["median"], abs=0.1)
    # Middles lie at whole or half working pixels, of 3.5 px: at the corner of a cell, in the middle
    # of a side, or in its centre.
    assert by_name[FLOOR]["mean"] == pytest.approx(3.5 * (0.25 * 0.5**0.5 + 0.5 * 0.5), rel=0.15)
    assert by_name[FLOOR]["within_5"] == 1


def test_heads_without_maps_are_refused():
    run = RunConfig(arch="xy", image_size=SIZE)
    images = keras.Input((SIZE, SIZE, 1), dtype="uint8")
    model = keras.Model(images, ops.mean(ops.cast(images, "float32"), axis=(1, 2)))
    with pytest.raises(ValueError, match="xy has no maps"):
        measure_decoders(model, run_head(run), make_source(run), range(9000, 9003))


@pytest.fixture
def made():
    """The summary of every run, each decoder's median its number and the seed."""
    summaries = {}
    for about, run in decoders.runs(SETTINGS):
        measured = {
            name: {"median": n + about["seed"], "mean": 1.0, "within_0.5": 0.1, "within_1": 0.2,
                   "within_2": 0.3, "within_5": 0.4 + 0.1 * about["seed"]}
            for n, name in enumerate([*DECODERS, OWN, FLOOR])
        }  # fmt: skip
        summaries[Task(run).name] = {"decoded": {"3": {"images": 900, "decoders": measured}}}
    return decoders.summarise(SETTINGS, summaries)


def test_the_plan_has_each_kind_of_map():
    tasks = decoders.EXPERIMENT.plan(SETTINGS)
    assert {t.decoded for t in tasks} == {(3,)}
    described = {(t.run.arch, t.run.target, t.run.batch_norm, t.run.seed) for t in tasks}
    kinds = {("deconv", "disc", False), ("deconv", "gaussian", False)}
    kinds |= {("score_map", "disc", True), ("dsnt", "disc", True)}
    assert described == {(*kind, seed) for kind in kinds for seed in (0, 1)}
    gaussian = next(t.run for t in tasks if t.run.target == "gaussian")
    assert gaussian.sigma == pytest.approx(7 / 2**0.5)


def test_tables_and_figures_have_every_decoder(made, tmp_path):
    assert len(made["rows"]) == 4 * 2 * 7
    assert {row["stride"] for row in made["rows"] if row["who"] == "score_map"} == {4}
    lines = figure_module.table(made, {}, tmp_path).splitlines()
    assert len(lines) == 2 + 7
    assert lines[0].split("|")[1:3] == [" median px; within 1 px ", " heatmap (deconv) "]
    assert [line.split("|")[1].strip() for line in lines[2:]] == [*DECODERS, OWN, FLOOR]
    assert lines[2] == f"| argmax |{4 * ' 0.50 (0.00–1.00); 20 % |'}"
    axes = figure_module.draw(made, {}, tmp_path)[""].axes
    assert [len(axis.get_lines()) for axis in axes] == [7] * 4
    assert axes[3].get_lines()[0].get_ydata().tolist() == pytest.approx([10, 20, 30, 45])
    rows = figure_module.long_table(made, {})
    assert len(rows) == 1 + 4 * 2 * 7
    numbers = figure_module.numbers(made, {}, tmp_path)
    assert numbers["deconv_gaussian_dark"] == "2.50 (2.00–3.00)"
    assert numbers["score_map_the_heads_own"] == "5.50 (5.00–6.00)"
    assert figure_module.draw({"rows": []}, {}, tmp_path) == {}
