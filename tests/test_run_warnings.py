"""What a run warns of as it trains."""

import pytest

from rectloc_tf.config import RunConfig
from rectloc_tf.training.run_warnings import collapse, long_run

RUN = RunConfig(arch="deconv", num_images=1000, batch_size=8, epochs=9)  # 900 steps


@pytest.mark.parametrize(("step", "rate", "hours"), [(0, 0.5, "4:00:00"), (300, 0.25, "5:20:00")])
def test_a_long_run_says_how_long_and_what_shortens_it(step, rate, hours):
    text = long_run(RUN, step, rate)
    assert hours in text
    for flag in ("--flagfile=flags/quick.flags", "--image_size", "--num_images", "--epochs"):
        assert flag in text


@pytest.mark.parametrize(("step", "rate"), [(0, 1.0), (450, 0.5), (895, 0.01)])
def test_two_hours_are_not_long(step, rate):
    assert long_run(RUN, step, rate) is None


def row(epoch, loss, black=190.0):
    return {"epoch": epoch, "val_loss": loss, "val_zero_map_loss": black}


def test_a_black_map_is_named_once_after_a_third():
    history, said = [], []
    for epoch in range(1, 10):
        history.append(row(epoch, 190.0))
        said.append(collapse(RUN, history) is not None)
    assert said == [epoch == 3 for epoch in range(1, 10)]


@pytest.mark.parametrize(("loss", "black"), [(180.0, False), (187.0, True), (float("nan"), True)])
def test_a_map_is_black_if_its_loss_is(loss, black):
    assert (collapse(RUN, [row(3, loss)]) is not None) == black


def test_coordinates_are_never_black():
    run = RunConfig(arch="xy", epochs=9)
    assert collapse(run, [row(3, 190.0, float("nan"))]) is None
