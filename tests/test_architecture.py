"""The house: rooms, arrows and where heads are asked for."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGES = ("rectloc_tf", "pipelines", "figures")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
VERBS = (
    "train", "evaluate", "predict", "export", "serve", "check_labels", "convert_labels",
    "suggest_frames", "benchmark", "selftest",
)  # fmt: skip
# Asking which head it is, whatever the name of what is asked.
ASKS_WHICH_HEAD = re.compile(
    r"""["'](xy|deconv|score_map|dsnt|simcc)["']\s*(==|!=|\bin\b)|(==|!=)\s*["'](xy|deconv|score_map|dsnt|simcc)["']"""
    r"""|is_heatmap|\b(arch|\.name|head)\b\s*(==|!=|in)\s*[("']"""
)


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def imported(path: Path) -> set[str]:
    """The modules of ours that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
    return found & {*MODULES} - {module_of(path)}


def room_of(module: str) -> str:
    """A package, but for the modules that lie flat in rectloc_tf: each of them is a room."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "rectloc_tf" else parts[0]


def order(arrows: dict[str, set[str]]) -> list[str]:
    try:
        return list(TopologicalSorter(arrows).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def test_files_do_not_import_each_other_in_circles():
    assert set(order({module: imported(path) for module, path in MODULES.items()})) <= {*MODULES}


def test_rooms_do_not_import_each_other_in_circles():
    arrows: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        others = {room_of(other) for other in imported(path)} - {room_of(module)}
        # The package's own __init__ is loaded with every module of it.
        arrows.setdefault(room_of(module), set()).update(others - {"rectloc_tf"})
    rooms = order(arrows)
    for lower, upper in (
        ("rectloc_tf.config", "pipelines"),
        ("rectloc_tf.network", "rectloc_tf.heads"),
        ("pipelines", "rectloc_tf.results"),
        ("rectloc_tf.heads", "rectloc_tf.results"),
        ("rectloc_tf.results", "rectloc_tf.training"),
        ("rectloc_tf.results", "rectloc_tf.serving"),
        ("rectloc_tf.training", "rectloc_tf.experiments"),
    ):
        assert rooms.index(lower) < rooms.index(upper), (lower, upper)


def test_figures_are_drawn_from_summaries_and_imported_by_nothing():
    for module, path in MODULES.items():
        if not module.startswith("figures"):
            assert not any(name.startswith("figures") for name in imported(path)), module


def test_sources_know_nothing_of_heads_and_heads_nothing_of_sources():
    for module, path in MODULES.items():
        names = imported(path)
        if module.startswith("pipelines"):
            assert not any(name.startswith("rectloc_tf.heads") for name in names), module
        if module.startswith("rectloc_tf.heads"):
            assert not any(name.startswith("pipelines") for name in names), module


def test_at_most_eighteen_modules_lie_flat():
    assert len(list((ROOT / "rectloc_tf").glob("*.py"))) <= 18


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_modules_are_short(path):
    assert len(path.read_text().splitlines()) <= 350


@pytest.mark.parametrize("name", VERBS)
def test_entry_points_are_short(name):
    functions = [
        node for node in ast.parse((ROOT / f"rectloc_tf/{name}.py").read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]  # fmt: skip
    assert [f for f in functions if f.end_lineno - f.lineno < 70] == functions != []


def test_which_head_it_is_matters_to_heads_alone():
    asking = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in [*FILES, *(ROOT / "benchmarks").glob("*.py")]
        if "heads" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if ASKS_WHICH_HEAD.search(line)
    ]
    assert len(asking) <= 3, "\n".join(asking)


def test_only_cli_reads_flags():
    readers = [module for module, path in MODULES.items() if "flags.FLAGS" in path.read_text()]
    assert readers == ["rectloc_tf.cli"]
