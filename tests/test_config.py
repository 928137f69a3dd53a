"""Configs: what they refuse, what they derive, what names a run."""

import dataclasses
import itertools
import json
import math
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rectloc_tf.config import (
    IMAGES_PER_DOMAIN,
    SPLITS,
    ExecutionConfig,
    HeadConfig,
    ImagesConfig,
    Keypoints,
    ModelConfig,
    RunConfig,
    SceneConfig,
    implied,
)
from rectloc_tf.errors import ConfigError, UserError
from rectloc_tf.registry import HEADS, LOSSES, SOURCES, HeadSpec, SourceSpec
from rectloc_tf.settings import Number, OneOf, Setting, Switch, Text, Whole, settings_of

ROOT = Path(__file__).parents[1]
NAN, INF = float("nan"), float("inf")

REFUSED_SCENES = [
    ("data_seed", -1),
    ("data_seed", 2**31),
    ("data_seed", 1.0),
    ("domain", 0),
    ("domain", 21),
    ("domain", 3.0),
    ("domain", True),
    ("image_size", 48),
    ("image_size", 100),
    ("image_size", 1040),
    ("image_size", 224.0),
    ("image_size", "224"),
    ("max_side", 0),
    ("max_side", 225),
    ("max_side", 112.0),
    ("min_side", 0),
    ("min_side", 1),  # would be drawn one pixel wide
    ("min_side", 113),  # above max_side
    ("min_side", "10"),
    ("solid", 1),
    ("solid", "true"),
    ("labels", "smallest"),
    ("labels", None),
]
REFUSED_HEADS = [
    ("arch", "unet"),
    ("arch", None),
    ("loss", "hinge"),
    ("loss", 1),
    ("target", "xy"),
    ("target", "square"),
    ("units", "metres"),
    ("radius", 0.49),
    ("radius", 112.1),
    ("radius", -7),
    ("radius", NAN),
    ("radius", INF),
    ("sigma", 0),
    ("sigma", 112.1),
    ("sigma", NAN),
    ("stride", 2),
    ("stride", 4.0),
    ("stride", True),
    ("positive_weight", -1),
    ("positive_weight", 1_000_001),
    ("positive_weight", INF),
    ("offset_weight", -0.1),
    ("offset_weight", NAN),
    ("offset_weight", True),
]
REFUSED_RUNS = [
    *REFUSED_SCENES,
    *REFUSED_HEADS,
    ("source", "camera"),
    ("source", None),
    ("depth", 101),
    ("depth", "18"),
    ("depth", 18.0),
    ("num_images", 0),
    ("num_images", 10_001),
    ("num_images", 0.5),
    ("batch_size", 0),
    ("batch_size", 65_537),
    ("batch_size", 32.0),
    ("learning_rate", 0),
    ("learning_rate", -1e-3),
    ("learning_rate", INF),
    ("learning_rate", NAN),
    ("learning_rate", "fast"),
    ("schedule", "linear"),
    ("epochs", 0),
    ("epochs", 2.5),
    ("epochs", 10_000_001),
    ("validate_every", 0),
    ("validate_every", True),
    ("seed", -1),
    ("seed", 2**31),
    ("precision", "float16"),
    ("augment", 1),
    ("init_from", None),
    ("backbone_weights", None),
    ("data", None),
    ("fold", "3"),
    ("fold", "0/3"),
    ("fold", "4/3"),
    ("fold", "1/1"),
    ("fold", "a/b"),
    ("split_sizes", "9,3"),
    ("split_sizes", "a,b,c"),
    ("keypoints", "nose,"),
    ("keypoints", "nose,nose"),
    ("swap", "left"),
    ("swap", "left:"),
    ("swap", "left:left"),
    ("swap", "a:b,b:c"),
    ("swap", "a:b:c"),
    ("channels", 2),
    ("channels", True),
    ("rotate", 181),
    ("rotate", NAN),
    ("zoom", -0.1),
    ("shift", 0.6),
    ("brightness", 1.1),
    ("contrast", INF),
    ("steps", -1),
    ("steps", 1.5),
    ("validate_steps", -1),
]
REFUSED_MODELS = [
    ("depth", 101),
    ("image_size", 100),
    ("channels", 2),
    ("channels", True),
    ("precision", "auto"),
    ("precision", "float64"),
    ("pretrained", 1),
]
REFUSED_EXECUTIONS = [
    ("strategy", "horovod"),
    ("jit", True),
    ("renderer", "cairo"),
    ("render_on", "moon"),
    ("steps_per_call", -1),
    ("steps_per_call", 1001),
    ("steps_per_call", 2.0),
    ("steps_per_call", True),
    ("checkpoint_minutes", 0),
    ("checkpoint_minutes", -5.0),
    ("checkpoint_minutes", NAN),
    ("checkpoint_minutes", INF),
    ("deterministic", "yes"),
]
CASES = [
    *((SceneConfig, *case) for case in REFUSED_SCENES),
    *((HeadConfig, *case) for case in REFUSED_HEADS),
    *((RunConfig, *case) for case in REFUSED_RUNS),
    *((ModelConfig, *case) for case in REFUSED_MODELS),
    *((ExecutionConfig, *case) for case in REFUSED_EXECUTIONS),
]

# What a run of each head is if nothing is said. Folders are named after it, and so a default that
# was released never changes, and a field that comes later is `later`.
RELEASED_FOR_ALL = {
    "units": "pixels",
    "target": "disc",
    "radius": 7.0,
    "sigma": 5.0,
    "peak": 255.0,
    "stride": 4,
    "positive_weight": 20.0,
    "offset_weight": 0.3,
    "votes": 1,
    "num_labelled": 0,
    "regularizer_weight": 1.0,
    "splitting": 2,
    "batch_norm": False,
    "domain": 1,
    "image_size": 224,
    "min_side": 10,
    "max_side": 112,
    "solid": False,
    "labels": "largest",
    "data_seed": 0,
    "withheld": False,
    "source": "scenes",
    "depth": 18,
    "num_images": 10_000,
    "augment": False,
    "batch_size": 64,
    "learning_rate": 0.001,
    "schedule": "constant",
    "validate_every": 1,
    "seed": 0,
    "precision": "auto",
    "init_from": "",
    "backbone_weights": "",
    "data": "",
    "keypoints": "",
    "individual": "",
    "split_by": "group",
    "fold": "",
    "split_sizes": "",
    "channels": 0,
    "swap": "",
    "rotate": 25.0,
    "zoom": 0.25,
    "shift": 0.1,
    "brightness": 0.2,
    "contrast": 0.25,
    "steps": 0,
    "validate_steps": 0,
}
RELEASED = {
    "xy": {**RELEASED_FOR_ALL, "arch": "xy", "loss": "squared_error", "epochs": 40},
    "deconv": {**RELEASED_FOR_ALL, "arch": "deconv", "loss": "squared_error", "epochs": 100},
    "score_map": {
        **RELEASED_FOR_ALL,
        "arch": "score_map",
        "loss": "sigmoid_cross_entropy",
        "epochs": 40,
        "radius": 10.0,
    },
    "dsnt": {
        **RELEASED_FOR_ALL,
        "arch": "dsnt",
        "loss": "jensen_shannon",
        "epochs": 40,
        "batch_norm": True,
    },
    "simcc": {
        **RELEASED_FOR_ALL,
        "arch": "simcc",
        "loss": "kl_divergence",
        "epochs": 40,
        "sigma": 2.5,
        "batch_norm": True,
    },
}
# As the first version named them.
FOLDERS = [
    ({"arch": "xy"}, "runs/xy-d1-f6ba68e8"),
    ({"arch": "deconv"}, "runs/deconv-d1-98329d4d"),
    ({"arch": "deconv", "target": "gaussian"}, "runs/deconv-d1-7598d90f"),
    ({"augment": True, "domain": 3}, "runs/xy-d3-c9fc39d4"),
    ({"init_from": "sha256:0123"}, "runs/xy-d1-45e96092"),
    (
        {"arch": "deconv", "labels": "all", "domain": 4, "solid": True, "radius": 9, "sigma": 2},
        "runs/deconv-d4-754555aa",
    ),
]

# A second value of every field, used where one field at a time changes.
OTHER = {
    "arch": {"xy": "deconv", "deconv": "xy", "cells": "xy"},
    "loss": {"squared_error": "huber", "sigmoid_cross_entropy": "huber"},
    "units": "centred",
    "target": {"disc": "gaussian", "gaussian": "disc"},
    "radius": 9.0,
    "sigma": 3.0,
    "peak": 1.0,
    "stride": 8,
    "positive_weight": 3.0,
    "offset_weight": 0.5,
    "votes": {1: 5, 5: 1},
    "regularizer_weight": 0.5,
    "splitting": 3,
    "batch_norm": {False: True, True: False},
    "domain": 2,
    "image_size": 112,
    "min_side": 12,
    "max_side": 100,
    "solid": True,
    "labels": "all",
    "data_seed": 1,
    "withheld": True,
    "source": {"scenes": "elsewhere", "elsewhere": "nowhere", "images": "elsewhere"},
    "depth": 34,
    "num_images": 1000,
    "augment": {False: True, True: False},
    "batch_size": 32,
    "learning_rate": 1e-4,
    "schedule": {"constant": "cosine", "cosine": "constant"},
    "epochs": 7,
    "validate_every": 2,
    "seed": 1,
    "precision": "float32",
    "init_from": "sha256:0123",
    "backbone_weights": "sha256:4567",
    "data": "sha256:0123",
    "keypoints": "nose,tail",
    "individual": "mouse1",
    "split_by": "random",
    "fold": "2/3",
    "split_sizes": "9,3,2",
    "num_labelled": 40,
    "channels": 3,
    "swap": "left:right",
    "rotate": 10.0,
    "zoom": 0.5,
    "shift": 0.2,
    "brightness": 0.0,
    "contrast": 0.5,
    "steps": 50,
    "validate_steps": 20,
}
FIELDS = settings_of(RunConfig)
LATER = [name for name, found in FIELDS.items() if found.later]
SCENES = {"domain", "min_side", "max_side", "solid", "labels", "data_seed", "withheld"}
IMAGES = {
    "data", "keypoints", "individual", "split_by", "fold", "num_labelled", "split_sizes",
    "channels", "swap", "rotate", "zoom", "shift", "brightness", "contrast",
}  # fmt: skip
CELLS = {"stride", "positive_weight", "offset_weight", "votes", "batch_norm"}
OTHERS = {*CELLS, "regularizer_weight", "splitting"}
# What a run depends on, and the settings that it does not use.
RUNS = {
    "xy": ({"arch": "xy"}, {"target", "radius", "sigma", "peak", *OTHERS, *IMAGES}),
    "disc": ({"arch": "deconv", "target": "disc"}, {"units", "sigma", *OTHERS, *IMAGES}),
    "gaussian": ({"arch": "deconv", "target": "gaussian"}, {"units", "radius", *OTHERS, *IMAGES}),
    "cells": (
        {"arch": "cells"},
        {"units", "target", "sigma", "peak", *OTHERS - CELLS, *IMAGES},
    ),
    "elsewhere": (
        {"arch": "deconv", "source": "elsewhere"},
        {"units", "sigma", *OTHERS, *SCENES, *IMAGES},
    ),
    "images": (
        {"arch": "xy", "source": "images", "data": "sha256:45"},
        {
            "target", "radius", "sigma", "peak", *OTHERS, *SCENES, "num_images", "epochs",
            "validate_every",
        },
    ),
}  # fmt: skip


@pytest.fixture
def extensions(monkeypatch):
    """A head and two sources beside those that there are, as a user's module may add."""
    head = HeadSpec(
        "user.heads:Cells",
        "cells",
        {"epochs": 9, "radius": 17.0},
        lambda head: ("radius", *CELLS),
        losses=("sigmoid_cross_entropy", "huber"),
    )
    monkeypatch.setitem(HEADS, "cells", head)
    for name in ("elsewhere", "nowhere"):
        monkeypatch.setitem(SOURCES, name, SourceSpec("user.source:S", lambda run: "mine"))


TEXTS = {
    "keypoints": st.sampled_from(["", "nose", "nose,tail"]),
    "fold": st.sampled_from(["", "1/2", "2/5"]),
    "split_sizes": st.sampled_from(["", "8,2,2", "40,5,5"]),
    "swap": st.sampled_from(["", "a:b", "a:b,c:d"]),
}


def values_of(name):
    """A strategy for what a field accepts."""
    if name in TEXTS:
        return TEXTS[name]
    kind = FIELDS[name].kind
    match kind:
        case OneOf(values):
            return st.sampled_from(list(values))
        case Whole(low, high, step):
            return st.integers(-(-low // step), high // step).map(lambda n: n * step)
        case Number(None):
            return st.floats(0, 1e300, exclude_min=True)
        case Number(low, high):
            return st.floats(low, high) | st.integers(math.ceil(low), math.floor(high))
        case Switch():
            return st.booleans()
        case Text():
            return st.text()


@st.composite
def run_fields(draw):
    """The arguments of a `RunConfig`, of which few do not fit together."""
    optional = {name: values_of(name) for name in FIELDS}
    values = {"min_side": 10, "max_side": 112, **draw(st.fixed_dictionaries({}, optional=optional))}
    sides = sorted((values["min_side"], values["max_side"]))
    loss = draw(st.none() | st.sampled_from(HEADS[values.get("arch", "xy")].losses))
    return {**values, "loss": loss, "min_side": sides[0], "max_side": sides[1]}


@st.composite
def few_fields(draw):
    """Up to two arguments of a `RunConfig`."""
    names = draw(st.lists(st.sampled_from([*FIELDS]), max_size=2))
    return {name: draw(values_of(name)) for name in names}


def run_of(**values):
    """The run, if there is one with these fields."""
    try:
        return RunConfig(**values)
    except ConfigError:
        assume(False)


def with_other(run, name):
    """The same run with a second value of a field; with another head, with that head's loss."""
    other = OTHER[name]
    if isinstance(other, dict):
        other = other[getattr(run, name)]
    values = {**run.to_json(), "loss": None} if name == "arch" else run.to_json()
    return RunConfig(**{**values, name: other})


@pytest.mark.parametrize(("kind", "name", "value"), CASES)
def test_refusal_names_the_flag_and_the_value(kind, name, value):
    with pytest.raises(ConfigError) as caught:
        kind(**{name: value})
    assert str(caught.value).startswith(f"--{name}={value}: must be ")
    assert "\n" not in str(caught.value)


def test_a_refusal_says_what_would_be_right():
    cases = {
        ("target", "square"): "one of disc, gaussian",
        ("depth", 19): "one of 18, 34, 50",
        ("radius", 0): "a number from 0.5 to 112 (px of 224)",
        ("learning_rate", 0): "a number above 0",
        ("image_size", 100): "a multiple of 16 from 64 to 1024",
        ("domain", 0): "a whole number from 1 to 20",
        ("solid", 1): "true or false",
        ("init_from", 1): "a run folder",
    }
    for (name, value), rule in cases.items():
        with pytest.raises(ConfigError) as caught:
            RunConfig(**{name: value})
        assert str(caught.value) == f"--{name}={value}: must be {rule}"


@pytest.mark.parametrize("kind", [HeadConfig, RunConfig])
@pytest.mark.parametrize("arch", ["xy", "deconv"])
def test_a_loss_that_does_not_go_with_the_head_is_refused(kind, arch):
    with pytest.raises(ConfigError) as caught:
        kind(arch=arch, loss="sigmoid_cross_entropy")
    assert str(caught.value) == (
        "--loss=sigmoid_cross_entropy: must be one of squared_error, absolute_error, huber with "
        f"--arch={arch}"
    )


@pytest.mark.parametrize("arch", HEADS)
def test_a_head_takes_its_losses_and_no_others(arch):
    for loss in HEADS[arch].losses:
        assert RunConfig(arch=arch, loss=loss).loss == loss
    for loss in {*LOSSES} - {*HEADS[arch].losses}:
        with pytest.raises(ConfigError, match=f"^--loss={loss}: must be one of .* --arch={arch}$"):
            RunConfig(arch=arch, loss=loss)


@pytest.mark.parametrize("arch", HEADS)
def test_points_without_an_order_are_refused_where_the_head_cannot_answer_them(arch):
    if "unordered" in HEADS[arch].points:
        assert RunConfig(arch=arch, labels="unordered").scene_keypoints.kind == "unordered"
        return
    with pytest.raises(ConfigError, match=f"^--labels=unordered: --arch={arch} cannot .*deconv"):
        RunConfig(arch=arch, labels="unordered")


def test_xy_cannot_answer_points_without_an_order_and_deconv_can():
    with pytest.raises(
        ConfigError, match="^--labels=unordered: --arch=xy cannot predict unordered"
    ):
        RunConfig(labels="unordered")
    assert RunConfig(arch="deconv", labels="unordered", domain=3).num_keypoints == 1


@pytest.mark.parametrize(
    ("fields", "areas"),
    [
        ({"min_side": 10, "max_side": 10, "domain": 2}, 1),
        ({"min_side": 10, "max_side": 11, "domain": 4}, 3),
        ({"min_side": 10, "max_side": 12, "domain": 3, "image_size": 64}, 1),  # all 3 px there
    ],
)
def test_too_few_different_areas_are_refused(fields, areas):
    with pytest.raises(ConfigError) as caught:
        SceneConfig(**fields)
    message = str(caught.value)
    assert f"only {areas} different areas" in message
    for name in ("min_side", "max_side", "domain"):
        assert f"--{name}={fields[name]}" in message


def test_just_enough_different_areas_are_accepted():
    assert SceneConfig(min_side=10, max_side=11, domain=3).side_range == (10, 11)


def test_a_side_that_shrinks_below_two_pixels_is_refused():
    assert SceneConfig(min_side=6, image_size=64).side_range == (2, 32)
    with pytest.raises(ConfigError, match="^--min_side=5: must be 2 pixels or more at 64 px$"):
        SceneConfig(min_side=5, image_size=64)


@pytest.mark.parametrize(
    ("size", "expected"), [(224, (10, 112)), (112, (5, 56)), (64, (3, 32)), (448, (20, 224))]
)
def test_side_range_is_in_working_pixels(size, expected):
    assert SceneConfig(image_size=size).side_range == expected


def test_opencv_does_not_draw_on_the_device():
    with pytest.raises(ConfigError, match="--render_on=device: OpenCV draws on the host"):
        ExecutionConfig(renderer="opencv", render_on="device")
    assert ExecutionConfig(renderer="opencv").render_on == "auto"


def test_xla_is_not_deterministic():
    with pytest.raises(ConfigError, match="^--jit=on: XLA .* leave out --deterministic, or use"):
        ExecutionConfig(jit="on", deterministic=True)


def test_config_errors_are_usage_errors_of_the_user():
    with pytest.raises(ConfigError) as caught:
        RunConfig(epochs=0)
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("arch", "epochs"), [("xy", 40), ("deconv", 100)])
def test_default_epochs(arch, epochs):
    assert RunConfig(arch=arch).epochs == epochs
    assert RunConfig(arch=arch) == RunConfig(arch=arch, epochs=epochs)
    assert RunConfig(arch=arch, epochs=3).epochs == 3


@pytest.mark.parametrize("arch", RELEASED)
def test_released_defaults_never_change(arch):
    assert RunConfig(arch=arch).to_json() == RELEASED[arch]


@pytest.mark.usefixtures("extensions")
def test_a_setting_that_is_left_out_is_the_heads_own():
    head = HeadConfig(arch="cells")
    assert (head.loss, head.radius, head.sigma) == ("sigmoid_cross_entropy", 17.0, 5.0)
    run = RunConfig(arch="cells", radius=4)
    assert (run.loss, run.radius, run.epochs) == ("sigmoid_cross_entropy", 4.0, 9)


def test_defaults_of_a_run():
    run = RunConfig()
    assert (run.num_train, run.batch_size, run.total_steps) == (8000, 64, 5000)
    assert run.scene == SceneConfig()
    assert run.head == HeadConfig(arch="xy")
    assert (HeadConfig().radius, HeadConfig().sigma) == (7.0, 5.0)


def test_the_parts_of_a_run_have_its_settings():
    run = RunConfig(arch="deconv", target="gaussian", sigma=3, domain=2, labels="all", depth=34)
    assert run.head == HeadConfig(arch="deconv", target="gaussian", sigma=3)
    assert run.scene == SceneConfig(domain=2, labels="all")
    assert type(run.head) is HeadConfig
    assert type(run.scene) is SceneConfig
    assert run.scene_keypoints == run.scene.scene_keypoints


@pytest.mark.parametrize("kind", [RunConfig, SceneConfig, HeadConfig, ExecutionConfig])
def test_configs_are_frozen_and_hashable(kind):
    config = kind()
    field = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, field, getattr(config, field))
    assert hash(config) == hash(kind())


@pytest.mark.parametrize(
    ("num_images", "num_train"), [(10_000, 8000), (1000, 800), (10, 8), (3, 2), (2, 2), (1, 1)]
)
def test_eighty_percent_is_trained_on(num_images, num_train):
    assert RunConfig(num_images=num_images).num_train == num_train


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    st.integers(1, 10_000),
    st.integers(1, 500) | st.integers(1, 65_536),
    st.integers(1, 300),
    st.data(),
)
def test_steps_and_epochs_agree(num_images, batch_size, epochs, data):
    run = RunConfig(num_images=num_images, batch_size=batch_size, epochs=epochs)
    wanted = epochs * run.num_train
    assert run.total_steps * batch_size >= wanted
    assert (run.total_steps - 1) * batch_size < wanted
    assert run.epochs_done(0) == 0
    assert run.epochs_done(run.total_steps) == epochs
    assert run.epochs_done(run.total_steps - 1) < epochs
    steps = data.draw(st.lists(st.integers(0, run.total_steps), min_size=2, max_size=5))
    done = [run.epochs_done(step) for step in sorted(steps)]
    assert done == sorted(done)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 20])
def test_epochs_done_counts_epochs_whose_last_image_was_seen(batch_size):
    run = RunConfig(num_images=10, batch_size=batch_size, epochs=5)
    for step in range(run.total_steps + 1):
        seen = range(step * batch_size)
        finished = sum(position % 8 == 7 for position in seen)
        assert run.epochs_done(step) == min(5, finished)


@pytest.mark.parametrize("num_images", [1, 10, 1001, 10_000])
def test_splits_are_disjoint_and_keep_their_place(num_images):
    run = RunConfig(num_images=num_images)
    train, validation, test = (run.split_indices(split) for split in SPLITS)
    assert train == range(run.num_train)
    assert validation == range(8000, 9000)
    assert test == range(9000, IMAGES_PER_DOMAIN)
    for a, b in itertools.combinations((train, validation, test), 2):
        assert not set(a) & set(b)


def test_the_table_of_other_values_is_complete():
    assert set(OTHER) == set(FIELDS)


@pytest.mark.usefixtures("extensions")
@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("name", FIELDS)
def test_folder_changes_with_every_field_that_the_run_uses(kind, name):
    values, unused = RUNS[kind]
    run = RunConfig(**values)
    assert run.unused == unused
    changed = with_other(run, name)
    assert (name not in changed.identity()) == (name in unused)
    assert (changed.default_folder == run.default_folder) == (name in unused)
    assert (changed.identity() == run.identity()) == (name in unused)


@pytest.mark.usefixtures("extensions")
@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in RUNS for name in LATER if (kind, name) != ("images", "data")],
)
def test_a_field_that_came_later_is_part_of_a_run_only_where_it_is_set_and_used(kind, name):
    values, unused = RUNS[kind]
    run = RunConfig(**{field: value for field, value in values.items() if field != name})
    assert name not in run.identity()
    changed = with_other(run, name)
    assert changed.identity().get(name) == (None if name in unused else getattr(changed, name))


@pytest.mark.parametrize("arch", HEADS)
def test_a_heads_own_default_counts_as_the_default(arch):
    run = RunConfig(arch=arch)
    assert not run.identity().keys() & {*LATER}
    assert RunConfig(arch=arch, loss=HEADS[arch].losses[0]).default_folder == run.default_folder


def test_what_came_after_the_first_version_is_marked_so():
    assert {*FIELDS} - {*LATER} == {
        "arch", "depth", "domain", "image_size", "min_side", "max_side", "solid", "labels",
        "target", "radius", "sigma", "data_seed", "num_images", "batch_size", "learning_rate",
        "schedule", "epochs", "validate_every", "seed", "precision",
    }  # fmt: skip


@pytest.mark.parametrize(("values", "folder"), FOLDERS)
def test_folders_keep_their_names(values, folder):
    assert RunConfig(**values).default_folder == folder


def test_committed_runs_keep_their_names():
    found = sorted((ROOT / "figures" / "results" / "runs").glob("*.json"))
    assert len(found) > 50
    for path in found:
        run = RunConfig.from_json(json.loads(path.read_text())["config"])
        assert run.default_folder == f"runs/{path.stem}"


@settings(deadline=None, max_examples=300, derandomize=True)
@given(run_fields(), few_fields())
def test_runs_have_the_same_folder_exactly_if_they_are_the_same(values, changes):
    run, other = run_of(**values), run_of(**{**values, **changes})
    used = {*FIELDS} - run.unused
    same = all(getattr(run, name) == getattr(other, name) for name in used)
    assert (run.identity() == other.identity()) == same
    assert (run.default_folder == other.default_folder) == same


def images_run(**fields):
    return RunConfig(arch="xy", source="images", data="sha256:45", **fields)


def test_split_sizes_are_of_images():
    assert RunConfig(split_sizes="5,1,1").num_train == RunConfig().num_train == 8000
    assert images_run(split_sizes="5,1,1").num_train == 5


def test_another_head_on_images_keeps_what_differs_from_their_defaults():
    run = images_run(augment=False, batch_size=64, schedule="constant")
    other = run.changed(arch="score_map")
    assert (other.augment, other.batch_size, other.schedule) == (False, 64, "constant")
    assert other.radius == 10


def test_runs_on_images_default_to_steps_and_augmentation():
    run = images_run()
    assert (run.augment, run.batch_size, run.steps, run.validate_steps) == (True, 16, 1500, 250)
    assert (run.unit, run.length, run.total_steps) == ("step", 1500, 1500)
    assert [run.validations_due(step) for step in (0, 249, 250, 1500)] == [0, 0, 1, 6]
    by_epochs = images_run(epochs=3, split_sizes="20,4,4", validate_steps=0)
    assert (by_epochs.steps, by_epochs.total_steps, by_epochs.num_train) == (0, 4, 20)
    assert {"epochs", "validate_every"} <= {*by_epochs.identity()} - by_epochs.unused
    assert run.unused >= {"epochs", "validate_every", "num_images"}
    assert images_run(augment=False).unused >= {"rotate", "zoom", "shift", "swap"}


def test_whole_epochs_of_a_run_in_steps_go_on_counting():
    run = images_run(split_sizes="20,4,4", steps=10, batch_size=64)
    assert [run.epochs_done(step) for step in (0, 1, 10)] == [0, 3, 32]
    assert run.done(7) == 7


def test_images_need_labels_and_a_label_file_means_images():
    with pytest.raises(ConfigError, match="^--source=images: name the label file .* --data=PATH$"):
        RunConfig(source="images")
    assert implied({"data": "a.csv"}) == {"data": "a.csv", "source": "images"}
    assert implied({"data": "a.csv", "source": "dots"})["source"] == "dots"
    assert implied({"data": ""}) == {"data": ""}


def test_keypoints_of_images_are_named():
    run = images_run(keypoints="nose,tail", swap="a:b,c:d")
    assert run.images.image_keypoints == Keypoints(("nose", "tail"), "named", 2)
    assert run.num_keypoints == 2
    assert run.swapped_pairs == (("a", "b"), ("c", "d"))


def test_folder_name_has_arch_and_domain():
    folder = RunConfig(arch="deconv", domain=3).default_folder
    assert folder.startswith("runs/deconv-d3-")
    assert len(folder) == len("runs/deconv-d3-") + 8


def test_default_epochs_written_out_name_the_same_folder():
    assert RunConfig(epochs=40).default_folder == RunConfig().default_folder


@pytest.mark.parametrize(
    ("fields", "same"),
    [
        ({"arch": "deconv", "radius": 8}, {"arch": "deconv", "radius": 8.0}),
        (
            {"arch": "deconv", "target": "gaussian", "sigma": 4},
            {"arch": "deconv", "target": "gaussian", "sigma": 4.0},
        ),
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
    ],
)
def test_equal_configs_name_the_same_folder(fields, same):
    assert RunConfig(**fields) == RunConfig(**same)
    assert RunConfig(**fields).default_folder == RunConfig(**same).default_folder


def test_zero_has_no_sign():
    run, other = RunConfig(offset_weight=-0.0), RunConfig(offset_weight=0)
    assert json.dumps(run.to_json()) == json.dumps(other.to_json())


@settings(deadline=None, max_examples=200, derandomize=True)
@given(run_fields())
def test_json_round_trip(values):
    run = run_of(**values)
    again = RunConfig.from_json(json.loads(json.dumps(run.to_json(), allow_nan=False)))
    assert again == run
    assert again.default_folder == run.default_folder


def test_unknown_field_is_refused_by_name():
    values = {**RunConfig().to_json(), "momentum": 0.9}
    with pytest.raises(ConfigError, match="'momentum'"):
        RunConfig.from_json(values)


def test_a_bad_value_in_json_is_refused_by_flag():
    with pytest.raises(ConfigError, match="^--depth=19: "):
        RunConfig.from_json({**RunConfig().to_json(), "depth": 19})


def test_a_model_needs_its_precision_resolved():
    run = RunConfig()
    with pytest.raises(ConfigError, match="^--precision=auto: "):
        _ = run.model
    model = dataclasses.replace(run, precision="mixed_bfloat16").model
    assert model == ModelConfig(precision="mixed_bfloat16")


@pytest.mark.parametrize(
    ("labels", "domain", "ranks"),
    [
        ("largest", 1, (0,)),
        ("largest", 5, (0,)),
        ("largest_and_smallest", 1, (0, 0)),
        ("largest_and_smallest", 2, (0, 1)),
        ("largest_and_smallest", 5, (0, 4)),
        ("all", 1, (0,)),
        ("all", 4, (0, 1, 2, 3)),
        ("unordered", 1, (0,)),
        ("unordered", 4, (0, 1, 2, 3)),
    ],
)
def test_label_ranks(labels, domain, ranks):
    scene = SceneConfig(labels=labels, domain=domain)
    assert scene.ranks == ranks
    assert scene.scene_keypoints.num_points == len(ranks)
    assert len(scene.scene_keypoints.names) == (1 if labels == "unordered" else len(ranks))


@pytest.mark.parametrize(
    ("labels", "keypoints"),
    [
        ("largest", Keypoints(("largest",), "ranked", 1)),
        ("largest_and_smallest", Keypoints(("largest", "smallest"), "ranked", 2)),
        ("all", Keypoints(("rank_1", "rank_2", "rank_3"), "ranked", 3)),
        ("unordered", Keypoints(("rectangle",), "unordered", 3)),
    ],
)
def test_keypoints_of_scenes(labels, keypoints):
    assert SceneConfig(labels=labels, domain=3).scene_keypoints == keypoints


@pytest.mark.parametrize(
    "kind", [SceneConfig, ImagesConfig, HeadConfig, ModelConfig, RunConfig, ExecutionConfig]
)
def test_settings_say_what_their_fields_are(kind):
    types = {Whole: int, Number: float, Switch: bool, Text: str}
    for field in dataclasses.fields(kind):
        found: Setting = field.metadata["setting"]
        options = [*found.kind.values] if isinstance(found.kind, OneOf) else []
        expected = type(options[0]) if options else types[type(found.kind)]
        assert {field.type, *map(type, options)} == {expected}, field.name
        default = getattr(kind(), field.name)
        assert type(default) is expected, field.name
        assert found.kind.accepts(default), field.name
        assert (field.default is None) == (found.by_head is not None), field.name
        assert found.help.endswith("."), field.name
