"""Heads, networks and training steps without a run folder."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from pipelines.source import Source, make_source
from rectloc_tf.config import RunConfig
from rectloc_tf.heads.head import Head
from rectloc_tf.models import build_run_model, make_head, run_head
from rectloc_tf.training.state import TrainState
from rectloc_tf.training.step import make_train_step


def small_head(arch: str = "xy", **fields) -> Head:
    """A head at 64 px, for the keypoints of its run."""
    return run_head(RunConfig(arch=arch, image_size=64, **fields))


def small_network(
    arch: str, channels: int = 1, precision: str = "float32", **fields
) -> tuple[keras.Model, Head]:
    """A new network of 64 px, and its head."""
    run = RunConfig(arch=arch, image_size=64, precision=precision, **fields)
    head = run_head(run)
    return build_run_model(run, head, channels), head


class Training(NamedTuple):
    """What trains a run, on one device."""

    source: Source
    head: Head
    state: TrainState
    step: Callable


def start_training(run: RunConfig, source: Source | None = None) -> Training:
    """A new network of a run and its step, not compiled by XLA."""
    source = source or make_source(run)
    head = make_head(run, run.image_size, source.keypoints)
    strategy = tf.distribute.get_strategy()
    state = TrainState(run, head, source.channels, strategy)
    step = make_train_step(run, source, head, state, strategy, jit=False)
    return Training(source, head, state, step)
