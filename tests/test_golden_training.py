"""Six training steps of each head, against numbers that were computed once.

Those of xy and deconv were computed by version 0.1.0, before heads were objects: existing runs
must not change. Those of score_map are of the day it came.
"""

import keras
import numpy as np
import pytest

from pipelines.streams import training_batches
from rectloc_tf.config import RunConfig
from tests.training import start_training

# So small a rate keeps rounding, which differs between processors, from growing: Adam makes a
# whole step of the sign of a gradient's last bit. At 1e-3 the losses of AVX-512, AVX2 and SSE, on
# one core and on two, come to differ by 6 %, at 1e-5 by 0.02 %.
RATE = 1e-5
RTOL = 1e-3

# What the numbers are of; defaults may change.
SETTINGS = {
    "xy": {},
    "deconv": {"target": "disc", "radius": 7.0},
    "score_map": {"radius": 10.0, "stride": 4, "positive_weight": 20.0, "offset_weight": 0.05},
}
GOLDEN = {
    "xy": {
        "losses": [16536.0195, 9810.4336, 14013.1895, 15615.7051, 14694.4746, 11204.2637],
        "moved": 3.0549658,
        "moved_head": 5.9335214,
        "normalisation": 0.73977684,
    },
    "deconv": {
        "losses": [190.741455, 194.568771, 192.659668, 196.615463, 192.619995, 196.537369],
        "empty": [190.502930, 194.471741, 192.487335, 196.456146, 192.487335, 196.456146],
        "moved": 2.8832754,
        "moved_head": 3.1441674,
        "normalisation": 0.73973947,
    },
    "score_map": {
        "losses": [1.08023453, 0.985663712, 0.9180969, 0.839821339, 0.76271677, 0.726668358],
        "empty": [0.418222904, 0.395453811, 0.395980179, 0.373258889, 0.373115361, 0.351351112],
        "moved": 3.0184185,
        "moved_head": 5.3371572,
        "normalisation": 0.73965233,
    },
}


def root_mean_square(arrays):
    return np.sqrt(np.mean(np.concatenate([np.ravel(array) for array in arrays]) ** 2))


@pytest.mark.parametrize("arch", GOLDEN)
def test_six_steps_of_training_have_not_changed(arch):
    run = RunConfig(
        arch=arch, **SETTINGS[arch], domain=3, image_size=64, num_images=60, batch_size=8,
        epochs=1, seed=5, learning_rate=RATE, precision="float32",
    )  # fmt: skip
    keras.utils.set_random_seed(run.seed)
    source, _, state, step = start_training(run)

    def weights(variables):
        return [variable.numpy().astype(np.float64) for variable in variables]

    before = weights(state.model.trainable_variables)
    losses = np.array([step(batch) for batch in training_batches(run, source)])
    after = weights(state.model.trainable_variables)
    moved = [(b - a) / RATE for a, b in zip(before, after, strict=True)]
    found = {
        "losses": losses[:, 0],
        "moved": root_mean_square(moved),
        "moved_head": root_mean_square(moved[-2:]),  # the last kernel and its bias
        "normalisation": root_mean_square(weights(state.model.non_trainable_variables)),
    }
    if losses.shape[1] == 2:
        found["empty"] = losses[:, 1]  # the loss of answering nothing
    assert found.keys() == GOLDEN[arch].keys()
    for name, value in found.items():
        np.testing.assert_allclose(value, GOLDEN[arch][name], rtol=RTOL, err_msg=name)
