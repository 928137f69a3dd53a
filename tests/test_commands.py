"""Which command uses which flags: the table, the list of commands, help and refusals."""

import ast
import os
import shlex
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rectloc_tf import cli
from rectloc_tf.cli import commands
from rectloc_tf.cli.commands import COMMANDS, EXECUTION, RUN, did_you_mean, refusal, unused_setting
from rectloc_tf.cli.help import help_text
from rectloc_tf.config import HeadConfig, ImagesConfig, RunConfig
from rectloc_tf.errors import ConfigError
from rectloc_tf.experiments.all import EXPERIMENTS
from rectloc_tf.registry import HEADS, SOURCES, HeadSpec, SourceSpec
from rectloc_tf.settings import settings_of
from tests.conftest import ROOT, run_without_tensorflow
from tests.test_plan import SETTINGS

OURS = {flag.name for flag in cli.FLAGS.flags_by_module_dict()["rectloc_tf.cli.definitions"]}
MEASURING = ("benchmark", "selftest")
ON_A_RUN = ("evaluate", "predict", "export")
UNUSED = [(name, flag) for name in COMMANDS for flag in sorted(OURS - {*COMMANDS[name].flags})]


def source(name):
    return (ROOT / "rectloc_tf" / f"{name.replace('.', '/')}.py").read_text()


# The table.


def test_every_entry_point_is_a_command():
    modules = [*ROOT.glob("rectloc_tf/[!_]*.py"), *ROOT.glob("rectloc_tf/experiments/[!_]*.py")]
    names = [".".join(m.relative_to(ROOT / "rectloc_tf").with_suffix("").parts) for m in modules]
    assert {n for n in names if '__name__ == "__main__"' in source(n)} == set(COMMANDS)


def test_every_flag_is_used_by_a_command_and_every_used_flag_exists():
    assert {flag for command in COMMANDS.values() for flag in command.flags} == OURS
    for name, command in COMMANDS.items():
        assert len(set(command.flags)) == len(command.flags), name


@pytest.mark.parametrize(
    "name", [*ON_A_RUN, "serve", "check_labels", "convert_labels", "suggest_frames", *MEASURING]
)
def test_a_command_uses_the_flags_that_its_code_reads(name):
    readers = ("cli.option", "cli.path_option", "cli.is_given")
    calls = [node for node in ast.walk(ast.parse(source(name))) if isinstance(node, ast.Call)]
    read = {node.args[0].value for node in calls if ast.unparse(node.func) in readers}
    read |= {"threshold"} & {ast.unparse(node.func).removeprefix("cli.") for node in calls}
    assert read <= set(COMMANDS[name].flags)
    to_find = {*RUN, *EXECUTION, "run_dir", "images_root"}  # read by `cli.open_run`
    assert set(COMMANDS[name].flags) - to_find <= read
    if name in ON_A_RUN:
        (given, without_effect), *_ = COMMANDS[name].idle
        assert given == ("run_dir",)
        assert not read & set(without_effect)


class Recorder:
    """Settings that remember which of their attributes were read."""

    def __init__(self, settings):
        self.read, self._settings = set(), settings

    def __getattr__(self, name):
        self.read.add(name)
        value = getattr(type(self._settings), name, None)
        return value.__get__(self) if callable(value) else getattr(self._settings, name)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_an_experiment_uses_the_sizes_that_its_plan_reads(experiment):
    settings = Recorder(SETTINGS)
    experiment.plan(settings)
    sizes = {"domains", "batch_sizes", "learning_rates", "depths"}
    sizes |= {"fractions", "updates", "long_fractions", "long_updates"}
    assert settings.read & sizes == sizes & {*COMMANDS[f"experiments.{experiment.name}"].flags}
    assert sizes <= {*COMMANDS["experiments.all"].flags}


# Refusals.


@pytest.mark.parametrize(("name", "flag"), UNUSED)
def test_a_typed_flag_that_is_not_used_is_refused_and_one_from_a_flagfile_is_not(name, flag):
    chosen = flag in COMMANDS[name].chosen
    message = refusal(name, [flag], [flag])
    if chosen:
        assert message == f"--{flag}: set by the experiments themselves; leave it out"
    else:
        assert message.startswith(f"{name} does not use --{flag}; it belongs to ")
    assert (refusal(name, [], [flag]) is None) == (not chosen)


@pytest.mark.parametrize("name", COMMANDS)
def test_used_flags_are_not_refused(name):
    for flag in (*COMMANDS[name].flags, "verbosity", "help"):
        assert refusal(name, [flag], [flag]) is None


@pytest.mark.parametrize("name", ON_A_RUN)
def test_with_a_run_folder_the_flags_of_the_run_have_no_effect(name):
    used = {"evaluate": {"labels", "data"}, "predict": {"domain", "data"}, "export": {"data"}}[name]
    for flag in (*RUN, "strategy"):
        message = refusal(name, [flag, "run_dir"], [flag, "run_dir"])
        if flag in used:
            assert message is None
        else:
            assert message.startswith(f"--{flag}: has no effect with --run_dir; leave it out")
        assert refusal(name, ["run_dir"], [flag, "run_dir"]) is None  # from a flagfile


def test_with_images_the_flags_of_scenes_have_no_effect():
    for flag in ("num", "split"):
        message = f"--{flag}: has no effect with --images; leave it out"
        assert refusal("predict", [flag], ["images", flag]) == message
    assert refusal("predict", ["domain"], ["images", "domain"]) is None  # it finds the run
    message = "--domain: has no effect with --images and --run_dir; leave it out"
    assert refusal("predict", ["domain"], ["images", "domain", "run_dir"]) == message


def test_a_refusal_says_where_a_flag_belongs():
    belongs = "it belongs to train, evaluate, predict and export; did you mean --seeds?"
    assert refusal("experiments.all", ["seed"], []).endswith(belongs)
    assert refusal("export", ["images"], []).endswith("it belongs to predict")
    assert refusal("train", ["dry_run"], []).endswith("it belongs to the experiments")
    assert refusal("train", ["updates"], []).endswith(
        "it belongs to experiments.all and experiments.data_efficiency"
    )


@pytest.fixture
def two_heads():
    """No heads but xy and deconv."""
    every = {**HEADS}
    for head in {*HEADS} - {"xy", "deconv"}:
        del HEADS[head]
    yield
    HEADS.clear()
    HEADS.update(every)  # in their order, which help shows


@pytest.fixture
def four_heads(two_heads):
    """xy and deconv, and two heads that use other settings."""
    HEADS["cells"] = HeadSpec(
        "", "", {"epochs": 9}, lambda head: ("stride",), losses=("sigmoid_cross_entropy",)
    )
    HEADS["dots"] = HeadSpec("", "", {"epochs": 9}, lambda head: ("sigma",))


@pytest.mark.usefixtures("four_heads")
@pytest.mark.parametrize("name", ["train", *ON_A_RUN])
@pytest.mark.parametrize(
    ("given", "flag", "now", "hint"),
    [
        ({}, "stride", "--arch=xy", " (--arch=cells does)"),
        ({}, "radius", "--arch=xy", " (--arch=deconv does)"),
        ({}, "target", "--arch=xy", " (--arch=deconv does)"),
        ({}, "sigma", "--arch=xy", " (--arch=dots does)"),
        ({}, "offset_weight", "--arch=xy", ""),
        ({"target": "gaussian"}, "sigma", "--arch=xy", " (--arch=deconv and --arch=dots do)"),
        ({"arch": "deconv"}, "stride", "--arch=deconv", " (--arch=cells does)"),
        (
            {"arch": "deconv"}, "sigma", "--arch=deconv --target=disc",
            " (--target=gaussian and --arch=dots do)",
        ),
        (
            {"arch": "deconv", "target": "gaussian"}, "radius", "--target=gaussian",
            " (--target=disc does)",
        ),
        ({"arch": "dots"}, "radius", "--arch=dots", " (--arch=deconv does)"),
        (
            {"arch": "dots", "target": "gaussian"}, "radius", "--arch=dots --target=gaussian",
            " (--arch=deconv --target=disc does)",
        ),
    ],
)  # fmt: skip
def test_a_typed_setting_that_the_head_does_not_use_is_refused(name, given, flag, now, hint):
    given = {flag: getattr(RunConfig(), flag), **given}
    message = f"--{flag}: {now} does not use it; leave it out{hint}"
    assert unused_setting(name, ["arch", flag], given) == message
    assert unused_setting(name, ["arch"], given) is None  # from a flagfile


@pytest.mark.usefixtures("four_heads")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_typed_setting_that_the_head_uses_is_not_refused(name):
    used = {
        "xy": ["loss"],
        "deconv": ["loss", "target", "radius", "peak"],
        "cells": ["loss", "stride"],
        "dots": ["loss", "sigma"],
    }
    others = {*RUN} - {*settings_of(HeadConfig)} - {*settings_of(ImagesConfig)} | {"arch"}
    for arch, settings in used.items():
        given = RunConfig(arch=arch).to_json()
        typed = [flag for flag in (*others, *settings) if flag in COMMANDS[name].flags]
        assert unused_setting(name, typed, given) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fold": "1/3"}, "--fold: --source=scenes does not use it; leave it out (--source="),
        ({"rotate": 5.0}, "--rotate: --source=scenes --noaugment does not use it; leave it out ("),
        ({"epochs": 3, "steps": 9, "data": "a"}, "--epochs: --steps=9 does not use it; leave "),
        ({"num_images": 9, "data": "a"}, "--num_images: is for drawn images, not for --data"),
        ({"domain": 2, "data": "a"}, "--domain: is for drawn images, not for --data; leave it out"),
        ({"zoom": 0.1, "augment": False, "data": "a"}, "--zoom: --noaugment does not use it; "),
    ],
)  # fmt: skip
def test_a_setting_of_labelled_images_is_refused_where_it_has_no_use(given, message):
    assert unused_setting("train", [*given], given).startswith(message)


def test_a_label_file_and_epochs_are_enough_for_a_run_on_images():
    given = {"data": "a.csv", "epochs": 3, "swap": "a:b", "rotate": 9.0}
    assert unused_setting("train", [*given], given) is None


def test_a_typed_setting_that_the_source_does_not_use_is_refused(monkeypatch):
    monkeypatch.setitem(SOURCES, "files", SourceSpec("", lambda run: "files", ("data_seed",)))
    for flag in ("domain", "solid", "labels"):
        given = {"source": "files", flag: getattr(RunConfig(), flag)}
        assert unused_setting("train", [flag], given) == (
            f"--{flag}: --source=files does not use it; leave it out (--source=scenes does)"
        )
    for flag in ("data_seed", "image_size", "source"):
        given = {flag: getattr(RunConfig(), flag), "source": "files"}
        assert unused_setting("train", [flag], given) is None


def test_what_the_head_uses_is_asked_only_where_flags_describe_a_run():
    given = {"run_dir": "runs/x", "arch": "xy", "radius": 9.0, "depth": 19}
    for name in ON_A_RUN:
        assert unused_setting(name, ["radius"], given) is None  # `refusal` has refused it
    for name in ("benchmark", "experiments.headline"):
        assert unused_setting(name, ["radius"], given) is None
    with pytest.raises(ConfigError, match="^--depth=19: "):
        unused_setting("train", [], given)


def test_a_setting_without_effect_ends_in_one_line(tmp_path):
    done = run_without_tensorflow("rectloc_tf.train", "--arch=xy", "--radius=5")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --radius: --arch=xy does not use it; leave it out (")
    assert done.stderr.count("\n") == 1
    (tmp_path / "my.flags").write_text("--arch=xy\n--radius=5\n")
    flagfile = f"--flagfile={tmp_path / 'my.flags'}"
    done = run_without_tensorflow("rectloc_tf.train", flagfile, "--init_from=nowhere")
    assert done.stderr.startswith("error: --init_from=nowhere: no run there")


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--arch=unet", f"flag --arch=unet: value should be one of <{'|'.join(HEADS)}>"),
        ("--depth=x", "flag --depth=x: invalid literal for int() with base 10: 'x'"),
        ("--depth=19", "--depth=19: must be one of 18, 34, 50"),
        ("--seed=-1", "--seed=-1: must be a whole number from 0 to 2147483647"),
        ("--learning_rate=0", "--learning_rate=0.0: must be a number above 0"),
        ("--checkpoint_minutes=0", "--checkpoint_minutes=0.0: must be a number above 0"),
        ("--runs=", "--runs=: empty; give a value, or leave the flag out"),
        ("--init_from=", "--init_from=: empty; give a value, or leave the flag out"),
    ],
)
def test_a_wrong_value_is_refused_by_its_flag(flag, message):
    done = run_without_tensorflow("rectloc_tf.train", flag)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {message}\n"


def values(flag):
    return {"arch": "xy", "images": "a.png"}.get(flag, "1")


@given(
    st.lists(st.sampled_from(["arch", "depth", "images", "solid", "dry_run", "flagfile"])),
    st.data(),
)
def test_typed_flags_are_those_on_the_command_line(names, data):
    arguments = []
    for name in names:
        dashes = data.draw(st.sampled_from(["-", "--"]))
        if name in ("solid", "dry_run"):
            arguments += [dashes + data.draw(st.sampled_from([name, f"no{name}", f"{name}=true"]))]
        elif data.draw(st.booleans()):
            arguments += [f"{dashes}{name}={values(name)}"]
        else:
            arguments += [dashes + name, values(name)]
    expected = [name for name in names if name != "flagfile"]
    assert cli.typed_flags(arguments) == expected
    for end in (["--"], ["stray"], ["-"]):
        assert cli.typed_flags([*arguments, *end, "--epochs=3"]) == expected


def test_short_names_are_known():
    assert cli.typed_flags(["-v", "1", "--depth=18"]) == ["verbosity", "depth"]


def test_flags_of_other_commands_may_come_from_nested_flagfiles(tmp_path):
    (tmp_path / "inner.flags").write_text("--images=*.png\n--jit=off\n--seeds=3\n")
    (tmp_path / "outer.flags").write_text(f"--flagfile={tmp_path}/inner.flags\n--depth=34\n")
    flagfile = f"--flagfile={tmp_path / 'outer.flags'}"
    done = run_without_tensorflow("rectloc_tf.evaluate", flagfile, "--run_dir=nowhere")
    assert "--run_dir=nowhere: no run here" in done.stderr
    done = run_without_tensorflow("rectloc_tf.evaluate", flagfile, "--jit=off")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: evaluate does not use --jit; it belongs to train, selftest and the experiments\n"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_entry_point_refuses_and_helps(name):
    wrong = "rounds" if name != "benchmark" else "depth"
    done = run_without_tensorflow(f"rectloc_tf.{name}", f"--{wrong}=18")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {name} does not use --{wrong}; ")
    done = run_without_tensorflow(f"rectloc_tf.{name}", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == help_text(name, cli.FLAGS) + "\n"


# Help.


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_the_docstring_and_each_flag_once(name):
    text = help_text(name, cli.FLAGS)
    assert text.startswith(commands.docstring(name))
    words = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    shown = [w.split("=")[0].removeprefix("--").removeprefix("[no]") for w in words]
    assert sorted(shown) == sorted(COMMANDS[name].flags)
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "verbosity=" not in text
    assert "--verbosity=N" in help_text(name, cli.FLAGS, full=True)


def test_help_shows_kinds_and_defaults():
    lines = [" ".join(line.split()) for line in help_text("train", cli.FLAGS).splitlines()]
    arch = f"arch={'|'.join(HEADS)} Head: what the network predicts. [xy]"
    assert entries("train")["arch"] == arch  # too long for one line
    assert "--depth=N ResNet depth: 18, 34 or 50. [18]" in lines
    assert "--[no]solid scenes: fill the rectangles. [false]" in lines
    assert "--learning_rate=X Adam's peak learning rate. [0.001]" in lines
    assert "--init_from=... Run folder to take the initial weights from (see --weights)." in lines


def entries(name):
    """The entries of a command's help, each in one line."""
    text = " ".join(help_text(name, cli.FLAGS).split())
    return {
        entry.split("=")[0].removeprefix("[no]").split()[0]: entry for entry in text.split(" --")
    }


@pytest.mark.usefixtures("two_heads")
def test_help_shows_the_defaults_of_each_head():
    assert entries("train")["epochs"].endswith(
        " Passes over the training images. [40; deconv: 100]"
    )
    assert entries("train")["radius"].endswith(" deconv: radius of the disc, px of 224. [7.0]")
    defaults = {"epochs": 100, "radius": 17.0}
    for head in ("cells", "dots"):
        HEADS[head] = HeadSpec("", "", defaults, lambda head: ("radius",), losses=("huber",))
    assert entries("train")["epochs"].endswith(" [40; deconv, cells, dots: 100]")
    radius = "deconv, cells, dots: radius of the disc, px of 224. [7.0; cells, dots: 17.0]"
    assert entries("train")["radius"].endswith(radius)
    assert entries("train")["loss"].endswith(" [squared_error; cells, dots: huber]")


@pytest.mark.usefixtures("two_heads")
def test_help_shows_which_heads_and_sources_use_a_setting(monkeypatch):
    assert " deconv: sigma of the Gaussian" in entries("train")["sigma"]  # with one target
    for flag in ("arch", "loss", "depth", "schedule", "image_size", "strategy"):
        assert "deconv:" not in entries("train")[flag]
        assert "scenes:" not in entries("train")[flag]
    monkeypatch.setitem(SOURCES, "files", SourceSpec("", lambda run: "files", ("data_seed",)))
    assert " scenes: rectangles in each image" in entries("train")["domain"]
    assert " scenes, files: seed of the scenes" in entries("train")["data_seed"]
    assert " images: label file" in entries("train")["data"]
    assert entries("train")["augment"].endswith(" [false; images: true]")
    assert entries("train")["steps"].endswith(" [0; images: 1500]")
    assert " Working size" in entries("train")["image_size"]


@pytest.mark.parametrize("flag", ["-h", "-help", "--helpshort", "--helpfull"])
def test_every_spelling_of_help_prints_it(flag):
    done = run_without_tensorflow("rectloc_tf.train", "--epochs=many", flag)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(help_text("train", cli.FLAGS).split("--flagfile=FILE")[0])
    assert ("--verbosity=N" in done.stdout) == (flag == "--helpfull")


@pytest.mark.parametrize("module", ["rectloc_tf", "rectloc_tf.experiments"])
@pytest.mark.parametrize("flag", [None, "-h", "--help"])
def test_the_package_lists_its_commands(module, flag):
    done = run_without_tensorflow(f"{module}.__main__", *filter(None, [flag]))
    assert (done.returncode, done.stderr) == (0, "")
    listed = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert listed == [name for name in COMMANDS if f"rectloc_tf.{name}".startswith(module)]
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines() if line)


@pytest.mark.parametrize("module", ["rectloc_tf", "rectloc_tf.train"])
def test_help_ends_quietly_when_its_reader_has_gone(module):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_package_runs_a_command_by_its_name():
    done = run_without_tensorflow("rectloc_tf.__main__", "train", "--depth=19")
    assert done.returncode == 2
    assert done.stderr == "error: --depth=19: must be one of 18, 34, 50\n"
    done = run_without_tensorflow("rectloc_tf.__main__", "trian")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: no command 'trian'; did you mean train?\n"


# Mistakes.


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("lr", "learning_rate"),
        ("bs", "batch_size"),
        ("ach", "arch"),
        ("learning-rate", "learning_rate"),
        ("epoch", "epochs"),
        ("noslid", "solid"),
        ("Depth", "depth"),
    ],
)
def test_an_unknown_flag_gets_a_suggestion(typed, meant):
    assert did_you_mean(typed, (*RUN, *EXECUTION), "--") == f"; did you mean --{meant}?"


@pytest.mark.parametrize("typed", ["foo", "x", "n", "gpu", "workers", "momentum"])
def test_what_looks_like_no_flag_gets_none(typed):
    assert did_you_mean(typed, OURS, "--") == ""


@given(st.sampled_from(sorted(OURS)), st.data())
def test_a_letter_too_many_is_seen_through(name, data):
    place = data.draw(st.integers(0, len(name)))
    typed = name[:place] + data.draw(st.sampled_from("aeiou")) + name[place:]
    assert name in did_you_mean(typed, OURS)


@pytest.mark.parametrize("form", ["--images {}", "--images={}", "--run_dir=RUN {}"])
def test_a_pattern_that_the_shell_expanded_is_refused(form, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).touch()
    pictures = " ".join(str(path) for path in sorted(tmp_path.iterdir()))
    flags = shlex.split(form.format(pictures))
    done = run_without_tensorflow("rectloc_tf.predict", *flags)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "quotes" in done.stderr
    assert f"--images='{tmp_path}/*.png'" in done.stderr
