"""The commands and the flags that each of them uses: the only list of both. No TensorFlow.

The module of a command is `rectloc_tf.<name>`; the first line of its docstring describes it.
"""

import ast
import difflib
import itertools
import pkgutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rectloc_tf.config import (
    DISTORTIONS,
    SOURCE_SETTINGS,
    ExecutionConfig,
    HeadConfig,
    ImagesConfig,
    RunConfig,
    SceneConfig,
    implied,
)
from rectloc_tf.registry import EXPERIMENTS, SOURCES
from rectloc_tf.settings import OneOf, settings_of

# Settings without effect while the other is not 0.
_BY_STEPS = {"epochs": "steps", "validate_every": "validate_steps"}
_MEANS = {"domains": "domain"}  # flags that are other values of a setting
RUN, EXECUTION = tuple(settings_of(RunConfig)), tuple(settings_of(ExecutionConfig))
# Where --run_dir is left out; --precision=auto depends on the strategy.
_FIND = (*RUN, "images_root", "strategy")


@dataclass(frozen=True)
class Command:
    """What a command does with the flags.

    Attributes:
        flags: the flags that it uses.
        idle: pairs (given, without effect): once all of the first are given, the second are
            not used.
        chosen: flags whose values it chooses itself; refused even from a flagfile.
    """

    flags: tuple[str, ...]
    idle: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()
    chosen: tuple[str, ...] = ()


def _on_a_run(*own: str, idle: tuple = ()) -> Command:
    """A command on a trained run: `own` are used whether or not --run_dir is given."""
    find = tuple(name for name in _FIND if name not in own)
    return Command(("run_dir", "weights", *own, *find), ((("run_dir",), find), *idle))


_CHOSEN = (
    "arch", "domain", "augment", "init_from", "backbone_weights", "source", "data", "run_dir",
    "steps", "validate_steps",
)  # fmt: skip
_PLACES = ("runner", "task_cpus", "task_gpus", "shard", "runs")
_STUDY = (
    *(name for name in RUN if name not in (*_CHOSEN, "seed")), *EXECUTION, "seeds",
    "plain_epochs", "short_epochs", "runs_root", "results_dir", "figures_dir", "dry_run", *_PLACES,
)  # fmt: skip
_BUDGET = ("arch", "seed", "fold", "num_labelled", "domain", "run_dir", "split_by", "split_sizes")
_OF_SCENES = {*settings_of(SceneConfig)} - {*settings_of(ImagesConfig), "image_size"}
_ALL = tuple(dict.fromkeys(name for own in EXPERIMENTS.values() for name in own))

COMMANDS = {
    "train": Command((*RUN, *EXECUTION, "run_dir", "weights", "images_root")),
    "evaluate": _on_a_run(
        "data", "images_root", "labels", "domains", "split", "threshold", "output"
    ),
    "predict": _on_a_run(
        "data", "images_root", "domain", "images", "video", "ignore_exif", "num", "split",
        "threshold", "min_confidence", "output", "overlay_dir", "overlay_video",
        idle=(
            (("video",), ("images", "num", "split", "ignore_exif", "overlay_dir")),
            (("images",), ("num", "split")),
            (("images", "run_dir"), ("domain", "data", "images_root")),
            (("video", "run_dir"), ("domain", "data", "images_root")),
        ),
    ),
    "export": _on_a_run("export_dir", "format", "quantize", "data", "images_root"),
    "serve": Command(("run_dir", "weights", "threshold", "host", "port", "allowed_hosts")),
    "check_labels": Command(
        ("data", "images_root", "individual", "keypoints", "swap", "split_by", "fold", "output")
    ),
    "convert_labels": Command(
        ("data", "images_root", "individual", "keypoints", "output", "images_dir")
    ),
    "suggest_frames": Command(
        ("video", "num", "output_dir", "run_dir", "weights", "keypoints", "scorer"),
        ((("run_dir",), ("keypoints",)),),
    ),
    "benchmark": Command(("suite", "rounds", "output")),
    "selftest": Command(("strategy", "precision", "jit")),
    **{
        f"experiments.{name}": Command((*own, *_STUDY), chosen=_CHOSEN)
        for name, own in {"all": _ALL, **EXPERIMENTS}.items()
    },
    "experiments.label_budget": Command(
        (
            *(name for name in RUN if name not in {*_BUDGET} | _OF_SCENES), *EXECUTION,
            "weights", "images_root", "archs", "sizes", "folds", "seeds", "more_labels",
            "runs_root", "output_dir", "dry_run", *_PLACES,
        ),
        chosen=_BUDGET,
    ),
}  # fmt: skip


def docstring(name: str) -> str:
    """What a command's module says about itself, read without importing it."""
    source = pkgutil.get_data("rectloc_tf", f"{name.replace('.', '/')}.py") or b""
    return ast.get_docstring(ast.parse(source)) or ""


def list_commands(prefix: str = "") -> str:
    """The commands whose name starts with `prefix`, one line each."""
    names = [name for name in COMMANDS if name.startswith(prefix)]
    width = max(map(len, names))
    lines = [f"  {name:<{width}}  {docstring(name).splitlines()[0]}" for name in names]
    # The list names the module already.
    lines = [line.split(": `")[0].removesuffix(".") for line in lines]
    return "\n".join(["Run `python -m rectloc_tf.<command>`; --help shows its flags.", "", *lines])


def did_you_mean(word: str, names: Iterable[str], mark: str = "", cutoff: float = 0.7) -> str:
    """The end of a message about a wrong word: the names that look like it, or nothing.

    Args:
        word: what was typed.
        names: what is possible.
        mark: put before each name, as `--`.
        cutoff: how alike they must be, from 0 to 1.
    """
    word, names = word.replace("-", "_").lower(), list(names)
    initials = [name for name in names if "_" in name and word == _initials(name)]
    found = initials or difflib.get_close_matches(word, names, n=2, cutoff=cutoff)
    return f"; did you mean {' or '.join(mark + name for name in found)}?" if found else ""


def _initials(name: str) -> str:
    return "".join(part[:1] for part in name.split("_"))


def refusal(name: str, typed: Iterable[str], given: Collection[str]) -> str | None:
    """What is wrong with the flags of a command, None if nothing is.

    A typed flag that is not used is a mistake; in a flagfile, which serves all commands, it is
    none.

    Args:
        name: a key of COMMANDS.
        typed: the flags on the command line itself.
        given: the flags with a value, on the command line or in a flagfile.
    """
    command = COMMANDS[name]
    for flag in command.chosen:
        if flag in given:
            return f"--{flag}: set by the experiments themselves; leave it out"
    for flag in typed:
        others = [other for other in command.flags if other != flag]
        similar = did_you_mean(flag, others, "--", cutoff=0.85)
        owners = [other for other, its in COMMANDS.items() if flag in its.flags]
        if owners and name not in owners:
            return f"{name} does not use --{flag}; it belongs to {_in_words(owners)}{similar}"
        for deciding, without_effect in command.idle:
            if flag in without_effect and set(deciding) <= set(given):
                beside = " and ".join(f"--{other}" for other in deciding)
                return f"--{flag}: has no effect with {beside}; leave it out{similar}"
    return None


def unused_setting(name: str, typed: Iterable[str], given: Mapping[str, Any]) -> str | None:
    """What is wrong with typed flags that the chosen head or source does not use, None if nothing.

    In a flagfile, which serves all heads and sources, they are no mistake.

    Args:
        name: a key of COMMANDS.
        typed: the flags on the command line itself; `refusal` accepts them.
        given: the values of all flags that have one, on the command line or in a flagfile.

    Raises:
        ConfigError: if the values describe no run.
    """
    command = COMMANDS[name]
    idle = any("arch" in flags for deciding, flags in command.idle if set(deciding) <= set(given))
    if idle or "arch" not in command.flags:
        return None
    run = RunConfig(**implied({flag: value for flag, value in given.items() if flag in RUN}))
    return unused_by(run, typed)


def unused_by(run: RunConfig, typed: Iterable[str]) -> str | None:
    """What is wrong with typed flags that a run's head or source does not use, None if nothing."""
    for flag in typed:
        setting = _MEANS.get(flag, flag)
        if setting in run.unused:
            return _without_use(run, flag, setting)
    return None


def unused_by_all(runs: Sequence[RunConfig], flag: str) -> str | None:
    """What is wrong with a typed flag that none of some runs uses, None if one does."""
    problems = [unused_by(run, [flag]) for run in runs]
    return problems[0] if all(problems) else None


def _without_use(run: RunConfig, flag: str, setting: str) -> str:
    """Names the choices that leave a setting unused, and the nearest ones that use it."""
    changes = [
        {name: value for name, value in choice.items() if getattr(run, name) != value}
        for choice in choices_that_use(setting)
    ]
    fewest = min(map(len, changes), default=0)
    nearest = [change for change in changes if len(change) == fewest]
    deciding = [name for name in RUN if any(name in change for change in nearest)] or ["arch"]
    if run.data and deciding == ["source"]:
        return f"--{flag}: is for drawn images, not for --data; leave it out"
    now = _as_flags({name: getattr(run, name) for name in deciding})
    verb = "does" if len(nearest) == 1 else "do"
    hint = f" ({_in_words([*map(_as_flags, nearest)])} {verb})" if nearest else ""
    return f"--{flag}: {now} does not use it; leave it out{hint}"


def choices_that_use(setting: str) -> list[dict[str, Any]]:
    """The choices of a source, or of a head and what it can be set to, that use a setting."""
    if setting in _BY_STEPS:
        return [{_BY_STEPS[setting]: 0}]
    if setting in DISTORTIONS:
        return [{"source": name, "augment": True} for name in sources_that_use(setting)]
    if users := sources_that_use(setting):
        return [{"source": name} for name in users]
    options = {
        name: found.kind.values
        for name, found in settings_of(HeadConfig).items()
        if isinstance(found.kind, OneOf) and found.by_head is None
    }
    every = itertools.product(*options.values())
    choices = [dict(zip(options, values, strict=True)) for values in every]
    return [choice for choice in choices if setting not in HeadConfig(**choice).unused]


def sources_that_use(setting: str) -> list[str]:
    """The sources that use a setting which not all of them do; none if all do."""
    if setting in SOURCE_SETTINGS:
        return [name for name, spec in SOURCES.items() if setting in spec.uses]
    users = [name for name, spec in SOURCES.items() if setting not in spec.ignores]
    return users if len(users) < len(SOURCES) else []


def _as_flags(values: Mapping[str, Any]) -> str:
    return " ".join(
        f"--{'' if value else 'no'}{name}" if isinstance(value, bool) else f"--{name}={value}"
        for name, value in values.items()
    )


def _in_words(names: list[str]) -> str:
    experiments = {name for name in COMMANDS if name.startswith("experiments.")}
    if experiments <= set(names):
        names = [*(name for name in names if name not in experiments), "the experiments"]
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
