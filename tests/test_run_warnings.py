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


NAMES = ("nose", "left ear", "right ear")


def rows(*epochs):
    return [{"epoch": epoch} for epoch in epochs]


def test_an_empty_map_is_named_once_after_a_third():
    said = [collapse(RUN, NAMES, [1.0], rows(*range(1, epoch + 1))) for epoch in range(1, 10)]
    assert [text is not None for text in said] == [epoch == 3 for epoch in range(1, 10)]


def test_it_is_named_in_the_first_row_after_a_third():
    assert collapse(RUN, NAMES, [1.0], rows(2, 4)) is not None
    assert collapse(RUN, NAMES, [1.0], rows(2, 4, 6)) is None


@pytest.mark.parametrize(
    ("share", "empty"), [(180 / 190, False), (187 / 190, True), (1.3, True), (None, False)]
)
def test_a_map_is_empty_if_its_loss_is(share, empty):
    assert (collapse(RUN, NAMES, [share], rows(3)) is not None) == empty


def test_the_warning_says_how_near_and_what_helps():
    text = collapse(RUN, NAMES, [0.9912], rows(3))
    assert text.startswith("the heatmap is still empty after a third of the epochs")
    assert "validation loss 99.1% of that of an empty map" in text
    for flag in ("--learning_rate", "--seed", "--batch_size", "--radius"):
        assert flag in text


@pytest.mark.parametrize(
    ("shares", "which"),
    [
        ([0.5, 0.99, 0.2], "the map of left ear is still empty"),
        ([1.0, 0.99, 0.2], "the map of nose, left ear is still empty"),
        ([1.0, 1.0, 1.0], "the map of nose, left ear, right ear is still empty"),
        ([None, 0.5, 0.99], "the map of right ear is still empty"),
        ([0.5, 0.97, 0.2], None),
        ([None, None, None], None),
    ],
)
def test_maps_that_are_empty_are_named_by_their_keypoints(shares, which):
    text = collapse(RUN, NAMES, shares, rows(3))
    assert text is None if which is None else text.startswith(which)


def test_the_worst_map_says_how_near():
    assert "loss 99.5% of that" in collapse(RUN, NAMES, [0.99, 0.995, 0.2], rows(3))


def test_coordinates_are_never_empty():
    run = RunConfig(arch="xy", epochs=9)
    assert collapse(run, ("largest",), None, rows(3)) is None


def test_a_run_in_steps_is_warned_of_after_a_third_of_them():
    run = RunConfig(
        arch="deconv", source="images", data="sha256:0", split_sizes="80,10,10", steps=900
    )
    history = [{"epoch": 20.0, "step": 250}, {"epoch": 40.0, "step": 500}]
    assert collapse(run, NAMES, [1.0], history[:1]) is None
    assert "after a third of the steps" in collapse(run, NAMES, [1.0], history)
    text = long_run(run, 10, 0.1)
    assert "--steps (900)" in text
    assert "--epochs" not in text
