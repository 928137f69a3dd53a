"""What the report says of errors and choices, on answers that are known."""

import dataclasses

import numpy as np
import pytest

from figures import headline, headline_choice, headline_runs, noise, original_settings
from figures.noise import Chosen, Fit
from rectloc_tf.results.choice import expected_right, fit_sigma
from tests.conftest import ROOT

RESULTS = ROOT / "figures" / "results"


def _rectangles(ratios):
    """Two squares a scene, at (40, 40) and (160, 160), of areas 1600 and ratio * 1600."""
    sides = 40 * np.sqrt(np.stack([np.ones_like(ratios), ratios], axis=1))
    places = np.array([40.0, 160.0])[None, :, None]
    half = sides[..., None] / 2
    return np.concatenate([places - half, places - half, places + half, places + half], axis=2)


@dataclasses.dataclass
class _Answer:
    points: np.ndarray
    chosen: np.ndarray
    rectangles: np.ndarray
    confidence: np.ndarray | None = None


class _Made(headline_runs.Runs):
    """As `headline_runs.Runs`, of the same answers whatever the head and variant."""

    def __init__(self, answers):
        super().__init__({"rows": []}, {}, RESULTS)
        self._answers = answers

    def answers(self, arch, variant, seed=None):
        return self._answers

    def right(self, arch, variant, seed=None):
        return 100.0 * np.stack([a.chosen == 0 for a in self._answers])


@pytest.fixture(scope="module")
def judged():
    """3,000 scenes of two rectangles, judged by three runs with a noise of 0.1."""
    rng = np.random.default_rng(0)
    ratios = rng.uniform(0.5, 1, 3000)
    noise_of_lead = 0.1 * np.sqrt(2) * rng.standard_normal((3, 3000))
    right = (-np.log(ratios) + noise_of_lead > 0).astype(float)
    return _rectangles(ratios), right


def test_the_sigma_that_judged_is_matched_again(judged):
    rectangles, right = judged
    found = noise.match_sigma(Chosen(right, noise.wrong_curves(rectangles)), resamples=300)
    assert found.sigma == pytest.approx(0.1, rel=0.07)
    assert found.interval.low < 0.1 < found.interval.high
    # By another way: the model is as often wrong as the answers.
    log_areas = np.log(np.prod(rectangles[..., 2:] - rectangles[..., :2], axis=2))
    assert expected_right(log_areas, found.sigma) == pytest.approx(right.mean(), abs=1e-3)
    assert fit_sigma(log_areas, right) == pytest.approx(found.sigma, rel=0.05)


def test_an_answer_nowhere_is_not_counted(judged):
    rectangles, right = judged
    wrong = noise.wrong_curves(rectangles)
    # One run without its answers to the first half is as the same run on the second half.
    half = right[:1].copy()
    half[:, :1500] = np.nan
    whole = noise.match_sigma(Chosen(half, wrong), resamples=1).sigma
    part = noise.match_sigma(Chosen(right[:1, 1500:], wrong[1500:]), resamples=1).sigma
    assert whole == pytest.approx(part, rel=1e-9)


def test_answers_that_are_never_wrong_have_the_least_sigma(judged):
    rectangles, right = judged
    answers = Chosen(np.ones_like(right), noise.wrong_curves(rectangles))
    assert noise.match_sigma(answers, resamples=1).sigma == pytest.approx(noise.GRID[0])


def test_wrong_choices_elsewhere_are_predicted(judged):
    rectangles, right = judged
    wrong = noise.wrong_curves(rectangles)
    fitted, tested = Chosen(right[:, :1500], wrong[:1500]), Chosen(right[:, 1500:], wrong[1500:])
    found = noise.predict_wrong(noise.match_sigma(fitted, 400), tested, resamples=400)
    observed = 1 - right[:, 1500:].mean()
    assert found.observed.value == pytest.approx(observed)
    assert found.gap.value == pytest.approx(found.predicted.value - observed)
    assert found.gap.low < 0 < found.gap.high
    # A sigma that is far too large predicts too many, beyond doubt.
    fit = Fit(0.3, np.full(400, 0.3))
    too_many = noise.predict_wrong(fit, tested, resamples=400)
    assert too_many.predicted.low == too_many.predicted.high == too_many.predicted.value
    assert too_many.gap.low > 0


def test_no_rectangle_is_missing():
    np.testing.assert_array_equal(
        noise.right_where_chosen(np.array([[0, 2, -1]])), [[1, 0, np.nan]]
    )


def test_points_between_the_two_largest_are_recognised():
    rectangles = np.repeat(_rectangles(np.array([0.9])), 5, axis=0)  # centres 40 and 160
    off = 15 / np.sqrt(2)  # px, across the diagonal
    points = np.array(
        [[100, 100], [100 - off, 100 + off], [100 - 2 * off, 100 + 2 * off], [30, 30], [20, 20]]
    )
    found = headline_choice.beside_segment(points, rectangles)
    np.testing.assert_array_equal(found, [True, True, False, True, False])


def test_the_least_certain_tenth_is_dropped():
    confidence = np.array([0.9, 0.2, 0.2, *np.full(17, 1.0)])
    np.testing.assert_array_equal(np.flatnonzero(headline_choice.dropped(confidence)), [1, 2])
    np.testing.assert_array_equal(np.flatnonzero(headline_choice.dropped(confidence, 0.05)), [1])


def test_a_share_of_the_error_is_of_sums():
    whole = np.array([[1.0, 3.0, 4.0, 2.0], [2.0, 2.0, 2.0, 4.0]])
    part = np.array([[1.0, 0.0, 4.0, 0.0], [0.0, 0.0, 2.0, 0.0]])
    found = headline_choice.share_of(part, whole)
    assert found.value == pytest.approx(7 / 20)
    assert found.low < found.value < found.high
    constant = headline_choice.share_of(0.25 * whole, whole)
    assert (constant.low, constant.high) == pytest.approx((0.25, 0.25))


def test_what_confidence_catches():
    rectangles = np.repeat(_rectangles(np.array([0.9])), 20, axis=0)
    chosen = np.zeros(20, int)
    chosen[[3, 7, 11, 12]] = 1
    confidence = np.ones(20)
    confidence[[3, 5]] = 0.1  # one of the four errors, and a right answer
    answers = [_Answer(np.zeros((20, 2)), chosen, rectangles, confidence)] * 2
    found = headline_choice._confidence(_Made(answers))
    assert found["plain_deconv_kept"] == "83.3 %"  # 15 of 18
    assert found["plain_deconv_gain"].startswith("+3.3 points (")
    assert found["plain_deconv_caught"] == "25 %"


def test_answers_nowhere_are_compared_with_shuffled_ones():
    rectangles = _rectangles(np.array([0.9, 0.5, 0.9]))
    rectangles[1] += 64  # centres (104, 104) and (224, 224)
    points = np.array([[70.0, 70.0], [200.0, 200.0], [40.0, 40.0]])
    answers = [_Answer(points, np.array([-1, -1, 0]), rectangles)]
    found = headline_choice._between(_Made(answers))
    assert found["plain_between"] == "100 %"
    assert found["plain_between_shuffled"] == "0 %"  # (70, 70) and (200, 200), the other way round
    assert found["plain_between_ties"] == "50 %"


def test_runs_are_found_by_head_variant_and_seed():
    rows = [
        {"run": f"{arch}{variant}{seed}", "arch": arch, "variant": variant, "seed": seed}
        for arch in ("xy", "deconv")
        for variant in ("plain", "improved")
        for seed in (0, 1)
    ]
    made = headline_runs.Runs({"rows": rows[:-1]}, {}, RESULTS)
    assert [row["run"] for row in made.rows("xy", "plain")] == ["xyplain0", "xyplain1"]
    assert made.has(("xy", "plain"), ("deconv", "improved"))
    assert not made.has(("xy", "plain"), ("score_map", "plain"))


@pytest.mark.parametrize("experiment", [headline, original_settings])
def test_a_study_without_runs_says_nothing(experiment, tmp_path):
    summary = {"rows": []}
    assert experiment.draw(summary, {}, tmp_path) == {}
    assert experiment.numbers(summary, {}, tmp_path) == {}
    assert len(experiment.table(summary, {}, tmp_path).splitlines()) == 2  # no row


def test_the_long_table_has_both_weights_of_each_run():
    def test(mean, r2):
        errors = {"median": 1.0, "mean": mean, "p95": 3.0, "rmse": 4.0}
        rates = {"right_rate": 0.9, "wrong_rate": 0.06, "nowhere_rate": 0.04}
        return {"center_error_px": errors, "center_error_px_right": errors, "r2": r2, **rates}

    row = {"run": "r", "arch": "score_map", "variant": "plain", "epochs": 12, "seed": 1}
    found = headline.long_table(
        {"rows": [{**row, "test": test(2.0, None), "final": test(2.5, 0.123456)}]}, {}
    )
    head, best, final = found
    assert dict(zip(head, best, strict=True))["weights"] == "best"
    shown = dict(zip(head, final, strict=True))
    assert (shown["weights"], shown["mean_px"], shown["r2"]) == ("final", 2.5, 0.1235)
    assert dict(zip(head, best, strict=True))["r2"] == ""
    assert (shown["right"], shown["wrong"], shown["nowhere"]) == (0.9, 0.06, 0.04)


def _epoch(epoch, mean, loss=100.0, r2=0.5):
    return {
        "epoch": float(epoch), "val_mean_px": mean, "val_loss": loss, "val_r2": r2,
        "val_zero_map_loss": 200.0,
    }  # fmt: skip


def test_the_best_weights_are_those_of_the_least_mean_error():
    history = [_epoch(1, 9.0, 50.0), _epoch(2, 6.0, 70.0), _epoch(3, 8.0, 40.0)]
    assert original_settings._best(history)["epoch"] == 2
    assert original_settings._curve(history) == ([1.0, 2.0, 3.0], [9.0, 6.0, 8.0])


def test_longer_runs_are_drawn_beside_if_they_are_made(tmp_path):
    assert original_settings._longer(tmp_path) == {}
    assert original_settings._longer(RESULTS).keys() == {"xy", "deconv"}
