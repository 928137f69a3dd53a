"""README.md and its neighbours: commands, flags, files and sections that they name exist."""

import re

import pytest

from rectloc_tf.cli.commands import COMMANDS
from tests.conftest import ROOT

DOCUMENTS = sorted(path.name for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md")
OF_ABSL = {"flagfile", "help"}
COMMAND = re.compile(r"python -m rectloc_tf\.([a-z_.]*[a-z])((?: +[^\s`]+)*)")
FLAG = re.compile(r"--([a-z_]+)")


def _text(name):
    return (ROOT / name).read_text()


def _is_flag(name, flags):
    return name in OF_ABSL or name in flags or name.removeprefix("no") in flags


def _anchors(text):
    """Names of a document's sections in links, by GitHub's rule."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_that_are_shown_exist_with_their_flags(document):
    shown = COMMAND.findall(_text(document))
    assert shown or document not in ("README.md", "GUIDE.md", "BUILD.md")
    for command, arguments in shown:
        assert command in COMMANDS
        wrong = [f for f in FLAG.findall(arguments) if not _is_flag(f, COMMANDS[command].flags)]
        assert not wrong, (command, wrong)


@pytest.mark.parametrize("document", ["README.md", "GUIDE.md", "REPORT.md"])
def test_flags_that_are_named_exist(document):
    every = {flag for command in COMMANDS.values() for flag in command.flags}
    code = re.findall(r"`(--[^`]*)`", _text(document))
    named = {flag for piece in code for flag in FLAG.findall(piece)}
    assert len(named) > 1
    assert not {flag for flag in named if not _is_flag(flag, every)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    for path, _, anchor in re.findall(r"\]\((?!http)([^)#\s]*)(#([^)\s]*))?\)", _text(document)):
        assert (ROOT / path).exists(), path
        if anchor:
            assert anchor in _anchors(_text(path or document)), (path, anchor)


def test_every_command_is_in_the_guide_or_the_readme():
    text = _text("README.md") + _text("GUIDE.md")
    for command in COMMANDS:
        if not command.startswith("experiments."):  # `experiments.all` makes those of the study
            assert f"`{command}`" in text or f"rectloc_tf.{command}" in text, command
