"""The order of training images, as a pure function of (seed, position).

Position p of the endless stream of training images is image `index_shuffle(p mod n)` of epoch
p // n, shuffled with a hash of (seed, epoch). No shuffle buffer, no iterator state.
"""

import tensorflow as tf

WORDS = 6  # random numbers of an epoch: three for the order of its images, three for augmentation


def epochs_and_words(
    positions: tf.Tensor, num_train: int, seed: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """For each of some consecutive positions its place in its epoch, and the epoch's random words.

    The words are a Philox draw keyed by (seed, epoch): index_shuffle, which they are for, is
    biased for small raw seeds.

    Args:
        positions: int64 [B], B static.
        num_train: images of an epoch.
        seed: of the run.

    Returns:
        int64 [B], and uint32 [B, WORDS].
    """
    epochs = positions // num_train
    max_epochs = (positions.shape[0] - 1) // num_train + 2  # that one batch can touch
    words = tf.map_fn(
        lambda epoch: tf.random.stateless_uniform(
            [WORDS],
            tf.stack([tf.constant(seed, tf.int64), epoch]),
            None,
            None,
            tf.uint32,
            alg="philox",
        ),
        epochs[0] + tf.range(max_epochs, dtype=tf.int64),
        fn_output_signature=tf.TensorSpec([WORDS], tf.uint32),
    )
    return positions % num_train, tf.gather(words, epochs - epochs[0])


def index_shuffle(places: tf.Tensor, words: tf.Tensor, size: int) -> tf.Tensor:
    """Where each of `places` (int64 [B], 0 to size - 1) is moved by the shuffle of its key.

    The raw op takes a key for each element, words uint32 [B, 3], which the public wrapper does not.
    """
    max_index = tf.constant(size - 1, tf.int64)
    return tf.raw_ops.RandomIndexShuffle(index=places, seed=words, max_index=max_index)
