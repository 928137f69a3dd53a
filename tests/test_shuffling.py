"""The order of training images, as a function of (seed, position)."""

import numpy as np
import pytest
import tensorflow as tf

from pipelines.shuffling import WORDS, epochs_and_words, index_shuffle


def training_indices(positions, num_train, seed):
    """Images at consecutive positions of the training stream, as `streams` finds them."""
    places, words = epochs_and_words(positions, num_train, seed)
    return index_shuffle(places, words[:, :3], num_train)


def _epochs(num_train, seed, epochs):
    """The order of each epoch, [epochs, num_train]."""
    order = tf.function(lambda positions: training_indices(positions, num_train, seed))
    positions = tf.range(num_train * epochs, dtype=tf.int64)
    return order(positions).numpy().reshape(epochs, num_train)


@pytest.mark.parametrize("num_train", [1, 2, 3, 8, 63, 800])
def test_epochs_of_any_size_are_permutations(num_train):
    orders = _epochs(num_train, 3, 5)
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(num_train), (5, 1)))


@pytest.mark.parametrize("first", [0, 5, 15, 16, 10**12 + 3])
@pytest.mark.parametrize("count", [1, 7, 40])
def test_an_index_depends_on_its_position_alone(first, count):
    positions = first + tf.range(count, dtype=tf.int64)
    together = training_indices(positions, 16, 0).numpy()
    alone = [int(training_indices(position[None], 16, 0)[0]) for position in positions]
    assert together.tolist() == alone


@pytest.mark.parametrize(
    ("num_train", "seed", "expected"),
    [
        # Pinned: these change only with a major version.
        (8, 0, [7, 4, 1, 2, 6, 3, 0, 5, 6, 1, 7, 4, 0, 2, 5, 3]),
        (8, 1, [1, 0, 7, 5, 3, 2, 4, 6, 1, 2, 0, 5, 3, 6, 7, 4]),
        (8000, 0, [150, 1976, 1108, 5173, 7970, 3428, 7314, 1363]),
    ],
)
def test_pinned_orders(num_train, seed, expected):
    positions = tf.range(len(expected), dtype=tf.int64)
    assert training_indices(positions, num_train, seed).numpy().tolist() == expected


def test_places_and_words_are_those_of_the_epoch():
    positions = 5 + tf.range(20, dtype=tf.int64)
    places, words = epochs_and_words(positions, 8, 3)
    assert (places.dtype, words.dtype) == (tf.int64, tf.uint32)
    assert words.shape == (20, WORDS)
    np.testing.assert_array_equal(places, np.arange(5, 25) % 8)
    epochs = np.arange(5, 25) // 8
    for epoch in range(4):
        same = np.unique(words.numpy()[epochs == epoch], axis=0)
        assert same.shape == (1, WORDS)  # all images of an epoch share its words
        assert len(np.unique(same)) == WORDS
    assert len(np.unique(words, axis=0)) == 4


def test_a_shuffle_takes_a_key_for_each_element():
    places = tf.range(6, dtype=tf.int64)
    words = tf.cast(tf.reshape(tf.range(18), [6, 3]), tf.uint32)
    moved = index_shuffle(places, words, 6)
    alone = [index_shuffle(places[n : n + 1], words[n : n + 1], 6)[0] for n in range(6)]
    np.testing.assert_array_equal(moved, alone)


def test_orders_differ_between_epochs_and_seeds():
    orders = np.concatenate([_epochs(32, seed, 20) for seed in range(4)])
    assert len(np.unique(orders, axis=0)) == 80


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1])
def test_order_is_not_biased(seed):
    # How often each image stood at each place: 1 +- 0.022 if the orders are fair.
    n, epochs = 64, 2000
    orders = _epochs(n, seed, epochs)
    table = np.zeros((n, n))
    np.add.at(table, (np.tile(np.arange(n), epochs), orders.ravel()), 1)
    expected = epochs / n
    chi2 = ((table - expected) ** 2 / expected).sum()
    assert 0.8 < chi2 / (n - 1) ** 2 < 1.3


@pytest.mark.parametrize("seed", [0, 1])
def test_neighbours_in_the_order_are_not_biased(seed):
    # How often image j comes right after image i: a hash may be fair at each place alone.
    n, epochs = 32, 2000
    orders = _epochs(n, seed, epochs)
    table = np.zeros((n, n))
    np.add.at(table, (orders[:, :-1].ravel(), orders[:, 1:].ravel()), 1)
    expected = epochs / n
    off = table[~np.eye(n, dtype=bool)]
    chi2 = ((off - expected) ** 2 / expected).sum()
    assert 0.8 < chi2 / (off.size - 2 * n + 1) < 1.3
