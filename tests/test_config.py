"""Configs: what they refuse, what they derive, what names a run."""

import dataclasses
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rectloc_tf.config import (
    ADDED_LATER,
    IMAGES_PER_DOMAIN,
    LABELS,
    SPLITS,
    ExecutionConfig,
    ModelConfig,
    RunConfig,
    SceneConfig,
    TargetConfig,
)
from rectloc_tf.errors import ConfigError, UserError

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
]
REFUSED_TARGETS = [
    ("labels", "smallest"),
    ("labels", None),
    ("radius", 0.49),
    ("radius", 112.1),
    ("radius", -7),
    ("radius", NAN),
    ("radius", INF),
    ("sigma", 0),
    ("sigma", 112.1),
    ("sigma", NAN),
]
REFUSED_RUNS = [
    *REFUSED_SCENES,
    *REFUSED_TARGETS,
    ("arch", "unet"),
    ("arch", None),
    ("depth", 101),
    ("depth", "18"),
    ("target", "xy"),
    ("target", "square"),
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
]
REFUSED_MODELS = [
    ("arch", "unet"),
    ("depth", 101),
    ("image_size", 100),
    ("channels", 2),
    ("num_labels", 0),
    ("num_labels", 21),
    ("precision", "auto"),
    ("precision", "float64"),
]
REFUSED_EXECUTIONS = [
    ("strategy", "horovod"),
    ("jit", True),
    ("renderer", "cairo"),
    ("render_on", "moon"),
    ("checkpoint_minutes", 0),
    ("checkpoint_minutes", -5.0),
    ("checkpoint_minutes", NAN),
]
CASES = [
    *((SceneConfig, *case) for case in REFUSED_SCENES),
    *((TargetConfig, *case) for case in REFUSED_TARGETS),
    *((RunConfig, *case) for case in REFUSED_RUNS),
    *((ModelConfig, *case) for case in REFUSED_MODELS),
    *((ExecutionConfig, *case) for case in REFUSED_EXECUTIONS),
]

# A second value of every field, used where one field at a time changes.
OTHER = {
    "arch": {"xy": "deconv", "deconv": "xy"},
    "depth": 34,
    "domain": 2,
    "image_size": 112,
    "min_side": 12,
    "max_side": 100,
    "solid": True,
    "labels": "all",
    "target": {"disc": "gaussian", "gaussian": "disc"},
    "radius": 9.0,
    "sigma": 3.0,
    "data_seed": 1,
    "num_images": 1000,
    "augment": True,
    "batch_size": 32,
    "learning_rate": 1e-4,
    "schedule": "cosine",
    "epochs": 7,
    "validate_every": 2,
    "seed": 1,
    "precision": "float32",
    "init_from": "sha256:0123",
}
FIELDS = [field.name for field in dataclasses.fields(RunConfig)]
RUNS = {
    "xy": (RunConfig(arch="xy"), {"target", "radius", "sigma"}),
    "disc": (RunConfig(arch="deconv", target="disc"), {"sigma"}),
    "gaussian": (RunConfig(arch="deconv", target="gaussian"), {"radius"}),
}


@st.composite
def run_configs(draw):
    return RunConfig(
        arch=draw(st.sampled_from(["xy", "deconv"])),
        domain=draw(st.integers(1, 20)),
        image_size=16 * draw(st.integers(4, 64)),
        solid=draw(st.booleans()),
        labels=draw(st.sampled_from(LABELS)),
        target=draw(st.sampled_from(["disc", "gaussian"])),
        radius=draw(st.floats(0.5, 112)),
        sigma=draw(st.floats(0.5, 112)),
        num_images=draw(st.integers(1, 10_000)),
        augment=draw(st.booleans()),
        batch_size=draw(st.integers(1, 1000)),
        learning_rate=draw(st.floats(1e-6, 1)),
        epochs=draw(st.none() | st.integers(1, 500)),
        seed=draw(st.integers(0, 2**31 - 1)),
        precision=draw(st.sampled_from(["auto", "float32", "mixed_bfloat16"])),
    )


@pytest.mark.parametrize(("kind", "name", "value"), CASES)
def test_refusal_names_the_flag_and_the_value(kind, name, value):
    with pytest.raises(ConfigError) as caught:
        kind(**{name: value})
    assert str(caught.value).startswith(f"--{name}={value}: must be ")
    assert "\n" not in str(caught.value)


def test_target_kind_is_refused_under_the_name_of_its_flag():
    with pytest.raises(ConfigError, match="^--target=square: must be one of xy, disc, gaussian$"):
        TargetConfig(kind="square")


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


def test_defaults_of_a_run():
    run = RunConfig()
    assert (run.num_train, run.batch_size, run.total_steps) == (8000, 64, 5000)
    assert run.scene == SceneConfig()
    assert run.targets == TargetConfig(kind="xy")
    assert (TargetConfig().radius, TargetConfig().sigma) == (7.0, 5.0)


@pytest.mark.parametrize("kind", [RunConfig, SceneConfig, TargetConfig, ExecutionConfig])
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


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("name", FIELDS)
def test_folder_changes_with_every_field_that_the_run_uses(kind, name):
    run, unused = RUNS[kind]
    other = OTHER[name]
    if isinstance(other, dict):
        other = other[getattr(run, name)]
    changed = dataclasses.replace(run, **{name: other})
    assert (name not in changed.identity()) == (name in unused)
    assert (changed.default_folder == run.default_folder) == (name in unused)
    assert (changed.identity() == run.identity()) == (name in unused)


def test_a_field_added_later_is_part_of_a_run_only_when_it_is_set():
    for name in ADDED_LATER:
        assert name not in RunConfig().identity()
        assert RunConfig(**{name: OTHER[name]}).identity()[name] == OTHER[name]


def test_committed_runs_keep_their_names():
    found = sorted((ROOT / "figures" / "results" / "runs").glob("*.json"))
    assert len(found) > 50
    for path in found:
        run = RunConfig.from_json(json.loads(path.read_text())["config"])
        assert Path(run.default_folder).name == path.stem


def test_folder_tells_arch_and_domain():
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


@settings(deadline=None, max_examples=50, derandomize=True)
@given(run_configs())
def test_json_round_trip(run):
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
    ],
)
def test_label_ranks(labels, domain, ranks):
    assert TargetConfig(labels=labels).ranks(domain) == ranks
    run = RunConfig(labels=labels, domain=domain, precision="float32")
    assert run.model.num_labels == len(ranks)


@pytest.mark.parametrize(
    ("fields", "kind", "is_heatmap"),
    [
        ({"arch": "xy", "target": "gaussian"}, "xy", False),
        ({"arch": "deconv", "target": "gaussian"}, "gaussian", True),
        ({"arch": "deconv", "target": "disc"}, "disc", True),
    ],
)
def test_kind_of_target_follows_the_arch(fields, kind, is_heatmap):
    targets = RunConfig(**fields).targets
    assert (targets.kind, targets.is_heatmap) == (kind, is_heatmap)
