"""What `--help` prints: a command's docstring, and its flags in groups, with defaults."""

import textwrap
from typing import Any

from absl import flags

from rectloc_tf.cli.commands import (
    COMMANDS,
    EXECUTION,
    RUN,
    choices_that_use,
    docstring,
    sources_that_use,
)
from rectloc_tf.config import RunConfig
from rectloc_tf.registry import HEADS, SOURCES
from rectloc_tf.settings import settings_of

_WIDTH = 100
_INDENT = " " * 26
_REPEATED = "; repeat this option to specify a list of values"
_END = """\
--flagfile=FILE reads flags from a file, one per line; a flag after it overrides the file's.
--helpfull also lists the flags of absl, such as --verbosity."""


def help_text(name: str, values: flags.FlagValues, full: bool = False) -> str:
    """The help of a command.

    Args:
        name: a key of COMMANDS.
        values: the definitions of the flags.
        full: with absl's own flags, such as --verbosity.
    """
    command = COMMANDS[name]
    # Those without this flag take only what they need of a run's settings.
    settings = [n for n in command.flags if n in RUN] if "depth" in command.flags else []
    find = " (used to find the run if --run_dir is not given)" if command.idle else ""
    own = [n for n in command.flags if n not in (*settings, *EXECUTION)]
    groups = {
        f"Flags of {name}": own,
        f"Settings of the run{find}": settings,
        "Execution": [n for n in command.flags if n in EXECUTION],
    }
    if full:
        ours = {n for other in COMMANDS.values() for n in other.flags}
        groups["Flags of absl"] = [n for n in values if n not in ours and n == values[n].name]
    parts = [docstring(name)]
    for title, names in groups.items():
        if names:
            parts.append("\n".join([f"{title}:", *(_entry(values[n]) for n in names)]))
    return "\n\n".join([*parts, _END])


def _entry(flag: flags.Flag) -> str:
    """A flag's lines: how it is written, what it means and, in brackets, its default."""
    if flag.boolean:
        written = f"--[no]{flag.name}"
    elif isinstance(flag, flags.EnumFlag):
        written = f"--{flag.name}={'|'.join(flag.parser.enum_values)}"
    else:
        kinds = {"int": "N", "float": "X"}
        kind = "A,B,..." if isinstance(flag.parser, flags.ListParser) else "..."
        written = f"--{flag.name}={kinds.get(flag.parser.flag_type(), kind)}"
    # absl begins the help of an enum with its values, and adds to that of a repeated flag.
    text = " ".join((flag.help or "").split()).rsplit(">: ", 1)[-1].removesuffix(_REPEATED)
    if users := _users(flag.name):
        text = f"{', '.join(users)}: {text[0].lower()}{text[1:]}"
    if default := _default(flag):
        text += f" [{default}]"
    start = f"  {written}"
    start = f"{start:<{len(_INDENT)}}" if len(start) < len(_INDENT) else f"{start}\n{_INDENT}"
    # textwrap knows nothing of a line break in the first indent.
    body = textwrap.wrap(text, _WIDTH - len(_INDENT), break_on_hyphens=False)
    return start + f"\n{_INDENT}".join(body)


def _users(name: str) -> list[str]:
    """The heads, or the sources, that use a setting; none if all of them do."""
    if sources := sources_that_use(name):
        return sources
    heads = (choice.get("arch") for choice in choices_that_use(name))
    users = [*dict.fromkeys(head for head in heads if head)]
    return users if len(users) < len(HEADS) else []


def _default(flag: flags.Flag) -> str:
    """What a flag is if it is left out, and the heads with which that is something else."""
    found = settings_of(RunConfig).get(flag.name)
    if found is None or found.by_head is None:
        return (flag.default_as_str or "").strip("'")
    own: dict[Any, list[str]] = {found.by_head: []}
    for head in HEADS:
        own.setdefault(getattr(RunConfig(arch=head), flag.name), []).append(head)
    for name, spec in SOURCES.items():
        if flag.name in spec.defaults:
            own.setdefault(spec.defaults[flag.name], []).append(name)
    written = [str(value).lower() if isinstance(value, bool) else str(value) for value in own]
    others = zip(written[1:], [*own.values()][1:], strict=True)
    return "; ".join([written[0], *(f"{', '.join(users)}: {value}" for value, users in others)])
