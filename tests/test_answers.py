"""The answers that are kept beside a run's summary."""

import numpy as np
import pytest

from rectloc_tf.errors import UserError
from rectloc_tf.results.answers import Answers, read_answers, write_answers


def test_answers_come_back_to_a_hundredth_of_a_pixel(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.uniform(-50, 300, (1000, 2, 2))
    confidence = rng.uniform(0, 1, (1000, 2))
    kept = {("3", "best"): Answers(points, confidence), ("3", "final"): Answers(points + 1, None)}
    path = tmp_path / "runs" / "a.npz"
    write_answers(path, kept)
    read = read_answers(path)
    assert read.keys() == kept.keys()
    np.testing.assert_allclose(read["3", "best"].points, points, atol=0.00501)
    np.testing.assert_allclose(read["3", "best"].confidence, confidence, atol=2**-11)
    np.testing.assert_allclose(read["3", "final"].points, points + 1, atol=0.00501)
    assert read["3", "final"].confidence is None


def test_a_domain_and_its_weights_take_at_most_15_kB(tmp_path):
    rng = np.random.default_rng(0)
    noise = Answers(rng.uniform(0, 224, (1000, 1, 2)), rng.uniform(0, 1, (1000, 1)))
    path = tmp_path / "a.npz"
    write_answers(path, {("3", "best"): noise, ("3", "final"): noise})
    assert path.stat().st_size <= 15_000


def test_what_is_far_out_or_no_number_is_far_out(tmp_path):
    points = np.array([[[1e9, -1e9]], [[np.inf, -np.inf]], [[np.nan, 7.0]]])
    write_answers(tmp_path / "a.npz", {("1", "best"): Answers(points, None)})
    read = read_answers(tmp_path / "a.npz")["1", "best"].points
    np.testing.assert_allclose(
        read[:, 0], [[327.67, -327.68], [327.67, -327.68], [-327.68, 7]], atol=1e-4
    )


def test_answers_that_were_not_kept_are_none(tmp_path):
    assert read_answers(tmp_path / "a.npz") == {}


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK no archive")
    with pytest.raises(UserError, match=r"a\.npz: damaged .*delete it to recreate it"):
        read_answers(path)
