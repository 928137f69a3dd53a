"""Random scenes for the page, drawn as those that networks are tested on."""

import dataclasses
import functools
from typing import Any

from pipelines.scenes.sampling import scene_table
from rectloc_tf.config import IMAGES_PER_DOMAIN, MAX_DOMAIN, SceneConfig
from rectloc_tf.config.scenes import TEST_START
from rectloc_tf.errors import ConfigError
from rectloc_tf.serving.rest.app import Stage
from rectloc_tf.serving.rest.values import ServingError

MAX_COUNT = 100


def make_stage(config: SceneConfig) -> Stage:
    """What the page draws scenes like: as those of a config."""
    about = {"size": config.image_size, "solid": config.solid, "domain": config.domain}
    return Stage(about, functools.partial(pick_scenes, config))


def pick_scenes(config: SceneConfig, domain: int, start: int, count: int) -> dict[str, Any]:
    """Some of the test scenes of a domain, which no network was trained on.

    Args:
        config: which scenes; its domain and labels do not matter.
        domain: rectangles in each, 1 to 20.
        start: number of the first one, from 0; after the last one comes the first again.
        count: how many, 1 to 100.

    Returns:
        `size`, the side of the image; and `scenes`, each a list of (x0, y0, x1, y1) in its pixels,
        the largest first. Both for JSON.

    Raises:
        ServingError: if a number is out of range, or there are no such scenes.
    """
    total = IMAGES_PER_DOMAIN - TEST_START
    bounds = {"domain": (domain, 1, MAX_DOMAIN), "count": (count, 1, MAX_COUNT)}
    for name, (value, low, high) in {**bounds, "start": (start, 0, 2**31 - 1)}.items():
        if not low <= value <= high:
            raise ServingError(f"{name}={value}: must be {low} to {high}")
    try:
        table = scene_table(dataclasses.replace(config, domain=domain, labels="largest"))
    except ConfigError as error:
        raise ServingError(str(error)) from error
    chosen = [table[TEST_START + (start + number) % total].tolist() for number in range(count)]
    return {"size": config.image_size, "scenes": chosen}
