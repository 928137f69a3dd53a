"""Scenes as a pure function of (data_seed, domain, index; image size and sides).

A scene is its rectangles, int32 [n, 4] = (x0, y0, x1, y1) in working pixels, largest
first. All scenes of a domain make a table that is drawn at once; row i is scene i.
"""

import functools

import numpy as np
import tensorflow as tf

from rectloc_tf.config import IMAGES_PER_DOMAIN, SceneConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.geometry import areas

# A scene in which two areas coincide is drawn again, this many times at most.
MAX_ATTEMPTS = 100


def _uniforms(config: SceneConfig, attempt: int) -> np.ndarray:
    """Uniform numbers in [0, 1), float64 [scenes, n, 4]: width, height, x and y of each."""
    # Eagerly and on the CPU, also when a graph is being traced.
    with tf.init_scope(), tf.device("CPU"):
        seed = tf.constant([config.data_seed, config.domain], tf.int32)
        seed = tf.random.fold_in(seed, attempt, alg="philox")
        shape = [IMAGES_PER_DOMAIN, config.domain, 4]
        return tf.random.stateless_uniform(shape, seed, alg="philox").numpy().astype(np.float64)


def _rectangles(uniforms: np.ndarray, config: SceneConfig) -> np.ndarray:
    """Rectangles int32 [..., 4]: sides uniform in the range, then placed uniformly inside."""
    low, high = config.side_range
    sides = low + np.floor(uniforms[..., :2] * (high - low + 1))
    corners = np.floor(uniforms[..., 2:] * (config.image_size - sides + 1))
    return np.concatenate([corners, corners + sides], axis=-1).astype(np.int32)


def _by_area(rectangles: np.ndarray) -> np.ndarray:
    order = np.argsort(-areas(rectangles), axis=-1, kind="stable")
    return np.take_along_axis(rectangles, order[..., None], axis=-2)


@functools.lru_cache(maxsize=32)
def scene_table(config: SceneConfig) -> np.ndarray:
    """All scenes of a domain: int32 [10000, n, 4], read-only, largest first, areas distinct.

    Scene i is the first of a bounded sequence of independent draws in which all areas
    differ, so it depends on nothing but `config` and i.

    Raises:
        ConfigError: if the range of sides makes such a draw too rare.
    """
    table = np.zeros([IMAGES_PER_DOMAIN, config.domain, 4], np.int32)
    missing = np.arange(IMAGES_PER_DOMAIN)
    for attempt in range(MAX_ATTEMPTS):
        drawn = _by_area(_rectangles(_uniforms(config, attempt)[missing], config))
        accepted = (np.diff(areas(drawn), axis=-1) < 0).all(axis=-1)
        table[missing[accepted]] = drawn[accepted]
        missing = missing[~accepted]
        if missing.size == 0:
            table.flags.writeable = False
            return table
    raise ConfigError(
        f"--min_side={config.min_side} --max_side={config.max_side}: {config.domain} rectangles "
        f"of different areas are too rare at {config.image_size} px; widen the range of sides"
    )
