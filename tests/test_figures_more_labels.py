"""One label against two."""

import math

import numpy as np
import pytest

from figures import more_labels
from rectloc_tf.config import RunConfig
from rectloc_tf.experiments.summaries import answers_path, write_scenes
from rectloc_tf.results.answers import Answers, write_answers
from rectloc_tf.results.intervals import paired_difference

IMAGES = 12


def _test(error):
    errors = {"mean": error, "median": error / 2}
    rates = {"right_rate": 0.5, "wrong_rate": 0.25, "nowhere_rate": 0.25}
    return {"center_error_px": errors, "mse": 100.0, "ln_mse": math.log(100), **rates,
            "zero_map_mse": 200.0}  # fmt: skip


def _row(arch, seed, labelled, error, epochs=5):
    run = f"{arch}-{seed}-{labelled}"
    return {"run": run, "arch": arch, "seed": seed, "labelled": labelled, "epochs": epochs,
            "final": _test(error), "own_final": _test(2 * error)}  # fmt: skip


@pytest.fixture
def answered(tmp_path):
    """Runs with answers a known way off the largest's centre: `off` px, image by image."""
    rng = np.random.default_rng(0)
    config = RunConfig(arch="deconv", image_size=112, domain=2, labels="largest")
    runs = {}
    (tmp_path / "runs").mkdir()
    (tmp_path / "scenes").mkdir()
    boxes = {
        1: np.tile([[[10, 10, 90, 90]]], (IMAGES, 1, 1)),
        2: np.tile([[[10, 10, 90, 90], [60, 60, 100, 100]]], (IMAGES, 1, 1)),
    }
    for domain, rectangles in boxes.items():
        write_scenes(tmp_path, config.changed(domain=domain), rectangles)
    off = {}

    def make(run, scale):
        runs[run] = {"config": config.to_json(), "pictures": {}, "epochs": 5}
        kept = {}
        for domain in boxes:
            off[run, domain] = (scale * domain * rng.random(IMAGES) * 10).round(2)
            points = np.stack([100 + off[run, domain], np.full(IMAGES, 100.0)], axis=-1)
            kept[str(domain), "final"] = Answers(points[:, None], None)
        write_answers(answers_path(tmp_path, run), kept)

    return make, runs, off, tmp_path


def test_labels_are_compared_in_pairs(answered):
    make, runs, off, folder = answered
    rows = [_row("deconv", s, k, 3.0) for s in (0, 1) for k in ("one", "both")]
    rows.append(_row("deconv", 2, "one", 5.0))  # without its pair
    rows += [_row("xy", 0, "one", 1.0)]
    for row in rows:
        make(row["run"], 3 if row["labelled"] == "both" else 1)
    summary = {"rows": rows}
    (pair,) = more_labels.pairs(summary)
    assert (pair.key, len(pair.one), len(pair.both)) == ("deconv_5", 2, 2)
    found = more_labels.differences(summary, runs, folder)
    both, one = (
        np.stack([off[f"deconv-{s}-{k}", 2] for s in (0, 1)]) for k in ("both", "one")
    )  # fmt: skip
    expected = paired_difference(both, one, paired_seeds=True)
    seeds, interval = found["deconv_5", 2, "px"]
    assert (interval.value, interval.low, interval.high) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=0.01
    )
    np.testing.assert_allclose(seeds, (both - one).mean(axis=1), atol=0.01)
    right = (both <= 16).astype(float) - (one <= 16)
    assert found["deconv_5", 2, "points"].interval.value == pytest.approx(100 * right.mean())
    lines = more_labels.table(summary, runs, folder).splitlines()[2:]
    assert [line.split(" | ")[:6] for line in lines] == [
        ["| one rectangle", "heatmap (deconv)", "5", "2", "3.0 (3.0–3.0)", "3.0 (3.0–3.0)"],
        ["| two", "heatmap (deconv)", "5", "2", "6.0 (6.0–6.0)", "6.0 (6.0–6.0)"],
    ]
    assert len(more_labels.long_table(summary, runs)) == 1 + 2 * len(rows)
    assert more_labels.draw(summary, runs, folder).keys() == {"", "_ln_mse"}
    assert more_labels.numbers(summary, runs, folder)["deconv_5_one_on_2_mean"] == "6.0 px"


def test_without_pairs_nothing_is_drawn(tmp_path):
    rows = [_row("xy", 0, "one", 3.0)]
    assert more_labels.draw({"rows": rows}, {}, tmp_path) == {}


def test_the_original_and_ours_are_on_one_axis(tmp_path):
    rows = [_row("deconv", 0, k, 3.0) for k in ("one", "both")]
    axes = more_labels._draw_ln_mse(more_labels.pairs({"rows": rows})).axes
    values = [[line.get_ydata()[0] for line in axis.lines] for axis in axes]
    log = math.log
    # By label: the value, then an all-black map's, against discs of 255 and of 150.
    assert values[0] == pytest.approx([log(196), log(202), log(70), log(202 * (150 / 255) ** 2)])
    assert values[1] == pytest.approx([log(100), log(200)] * 2)
    assert axes[0].get_ylim() == axes[1].get_ylim()


def test_dimmer_discs_of_later_ranks():
    assert more_labels.target_values(1) == [255]
    assert more_labels.target_values(2) == [255, 127.5]


def test_far_scenes_are_shown_first():
    near, far = [[0, 0, 10, 10], [10, 0, 20, 10]], [[0, 0, 10, 10], [50, 50, 60, 60]]
    assert more_labels._apart(np.array([near, far, near, far])) == [1, 3, 0, 2]
