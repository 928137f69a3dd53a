"""The flagfiles and the flags module."""

import dataclasses
import json
import subprocess
import sys

import pytest

from rectloc_tf import cli
from rectloc_tf.config import ExecutionConfig, RunConfig
from rectloc_tf.registry import HEADS
from rectloc_tf.settings import OneOf, settings_of
from tests.conftest import ROOT

FLAGFILES = sorted((ROOT / "flags").glob("*.flags"))
SHOW = (
    "import dataclasses, json, sys\n"
    "from rectloc_tf import cli\n"
    "cli.FLAGS(sys.argv)\n"
    "print(json.dumps(dataclasses.asdict(cli.run_config())))\n"
    "print(json.dumps(dataclasses.asdict(cli.execution_config())))\n"
    "assert 'tensorflow' not in sys.modules, 'flags must parse before TensorFlow loads'\n"
)


def parse(*flags):
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *flags], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_without_flags_the_configs_are_the_defaults():
    run, how = parse()
    assert run == dataclasses.asdict(RunConfig())
    assert how == dataclasses.asdict(ExecutionConfig())


def test_profiles():
    names = [path.stem for path in FLAGFILES]
    assert {"base", "quick", "reduced", "full"} <= set(names)


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda p: p.stem)
@pytest.mark.parametrize("arch", HEADS)
def test_each_flagfile_parses(path, arch):
    run, _ = parse(f"--flagfile={path}", f"--arch={arch}")
    config = RunConfig(**run)
    assert config.arch == arch
    expected = {"quick": 64, "reduced": 112, "study": 112, "tiny": 64}.get(path.stem, 224)
    assert config.image_size == expected


def test_each_flagfile_says_how_to_use_it_and_what_to_expect():
    for path in FLAGFILES:
        header = [line for line in path.read_text().splitlines() if line.startswith("#")]
        text = "\n".join(header)
        assert f"--flagfile=flags/{path.name}" in text, path
        assert "Cost:" in text, path
        assert "Expect:" in text, path


def test_a_flag_after_the_flagfile_wins():
    run, _ = parse("--flagfile=flags/quick.flags", "--epochs=3")
    assert run["epochs"] == 3


FIELDS = [field for kind in (RunConfig, ExecutionConfig) for field in dataclasses.fields(kind)]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_field_has_one_flag_of_its_kind_and_its_default(field):
    ours = [flag.name for flag in cli.FLAGS.flags_by_module_dict()["rectloc_tf.cli.definitions"]]
    assert ours.count(field.name) == 1
    flag, found = cli.FLAGS[field.name], field.metadata["setting"]
    assert flag.default == field.default
    assert flag.help.endswith(found.help)
    kinds = {int: "int", float: "float", bool: "bool", str: "string"}
    values = found.kind.values if isinstance(found.kind, OneOf) and field.type is str else None
    assert flag.flag_type() == ("string enum" if values else kinds[field.type])
    assert getattr(flag.parser, "enum_values", None) == (values and [*values])


def test_no_flag_belongs_to_two_fields():
    assert not {*settings_of(RunConfig)} & {*settings_of(ExecutionConfig)}


def test_what_is_typed_reaches_its_field():
    typed = {
        "arch": "deconv", "loss": "huber", "units": "centred",
        "target": "gaussian", "radius": 4.5, "sigma": 3.5, "peak": 2.0,
        "stride": 8, "positive_weight": 3.0, "offset_weight": 0.5, "votes": 1,
        "regularizer_weight": 2.0, "splitting": 4, "batch_norm": False, "domain": 3,
        "image_size": 112,
        "min_side": 12, "max_side": 100, "solid": True, "labels": "all", "data_seed": 4,
        "withheld": False,
        "source": "images", "depth": 34, "num_images": 50, "augment": True, "batch_size": 8,
        "learning_rate": 0.5, "schedule": "constant", "epochs": 6, "validate_every": 2, "seed": 5,
        "precision": "float32", "init_from": "runs/other",
        "backbone_weights": "resnet18.weights.h5", "data": "a.csv",
        "keypoints": "nose,tail", "individual": "mouse1", "split_by": "random", "fold": "1/3",
        "split_sizes": "9,3,2", "num_labelled": 12,
        "channels": 3, "swap": "a:b", "rotate": 5.0, "zoom": 0.5, "shift": 0.2, "brightness": 0.4,
        "contrast": 0.1, "steps": 12, "validate_steps": 4, "strategy": "single", "jit": "off",
        "renderer": "opencv", "render_on": "host", "steps_per_call": 8, "deterministic": True,
        "checkpoint_minutes": 1.5,
    }  # fmt: skip
    run, how = parse(*(f"--{name}={value}" for name, value in typed.items()))
    assert {**run, **how} == typed


def test_every_field_of_a_config_has_its_flag():
    run, how = parse(
        "--solid",
        "--labels=all",
        "--sigma=3.5",
        "--radius=4",
        "--jit=off",
        "--checkpoint_minutes=1",
    )  # fmt: skip
    assert (run["solid"], run["labels"], run["sigma"], run["radius"]) == (True, "all", 3.5, 4.0)
    assert (how["jit"], how["checkpoint_minutes"]) == ("off", 1.0)


def test_no_flag_takes_the_next_for_its_value_and_none_is_empty():
    script = (
        "from rectloc_tf import cli\n"
        "ours = [f.name for f in cli.FLAGS.flags_by_module_dict()['rectloc_tf.cli.definitions']]\n"
        "texts = ('string', 'multi string', 'comma separated list of strings')\n"
        "names = [n for n in ours if cli.FLAGS[n].flag_type() in texts]\n"
        "assert {'output', 'run_dir', 'images', 'domains', 'runs_root'} <= set(names), names\n"
        "def refusal(name, *arguments):\n"
        "    cli.FLAGS(['x', *arguments])\n"
        "    try:\n"
        "        cli._check_values_are_given()\n"
        "    except cli.ConfigError as error:\n"
        "        assert str(error).startswith(f'--{name}'), error\n"
        "        return True\n"
        "    finally:\n"
        "        cli.FLAGS.unparse_flags()\n"
        "        cli.FLAGS[name].unparse()\n"
        "for name in names:\n"
        "    assert refusal(name, f'--{name}', '--seed=1'), name\n"
        "    assert not refusal(name, f'--{name}=a,--b'), name\n"
        "    assert refusal(name, f'--{name}=') or 'list' in cli.FLAGS[name].flag_type(), name\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
