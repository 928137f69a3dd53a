"""Redraws every figure and writes REPORT.md and all tables: `python -m figures.make_all`.

REPORT.md is made of the texts in `figures/sections/`; see `report`. `--check` only says whether
REPORT.md, README.md and the long tables are what the summaries give. With names of experiments it
draws their figures and leaves the documents alone.
"""

import argparse
import csv
import io
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from figures import style
from figures.report import Report
from rectloc_tf import registry
from rectloc_tf.errors import UserError
from rectloc_tf.results.data_files import read_json, write_text
from rectloc_tf.results.output_files import atomic_path

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS: dict[str, ModuleType] = {
    name: import_module(f"figures.{name}") for name in registry.EXPERIMENTS
}

IN_README = ("in_short", "which_head")  # texts of the report that README.md shows too


def load(name: str, results_dir: Path) -> tuple[dict, dict[str, dict]]:
    """An experiment's summary, and those of its runs by name.

    Raises:
        UserError: if one is missing or damaged.
    """
    summary = read_json(results_dir / f"{name}.json")
    return summary, {
        run: read_json(results_dir / "runs" / f"{run}.json") for run in summary["runs"]
    }


def draw(name: str, results_dir: Path, figures_dir: Path) -> list[Path]:
    """Draws an experiment's figures; returns the files written."""
    summary, runs = load(name, results_dir)
    paths = []
    for suffix, figure in EXPERIMENTS[name].draw(summary, runs, results_dir).items():
        paths.append(figures_dir / f"{name}{suffix}.png")
        with atomic_path(paths[-1]) as temporary:
            figure.savefig(temporary, dpi=100)
    return paths


def _machine(machine: dict) -> str:
    return machine.get("gpu") or f"{machine['cpu']}, {machine['cores']} cores"


def _values(runs: dict[str, dict], field: str) -> str:
    """A setting of some runs: its value, or its least and greatest, or all words that it has."""
    found = sorted({run["config"][field] for run in runs.values()})
    if isinstance(found[0], str):
        return " and ".join(found)
    return str(found[0]) if len(found) == 1 else f"{found[0]}–{found[-1]}"


def facts(summary: dict, configs: dict[str, dict]) -> str:
    """The line under a table: what was run, and on what.

    Args:
        summary: of an experiment.
        configs: the summaries of its runs, by name.
    """
    runs = len(summary["runs"])
    if not runs:
        return ""
    made = sorted({run["config"]["seed"] for run in configs.values()})
    seeds = ", ".join(map(str, made))
    # Once each: machines that differ in their operating system only read alike.
    machines = "; ".join(dict.fromkeys(map(_machine, summary["machines"])))
    size = f"{_values(configs, 'image_size')} px, batch {_values(configs, 'batch_size')}"
    size += f", {_values(configs, 'schedule')} schedule, {_values(configs, 'precision')}"
    seeded = f"{style.count(len(made), 'seed')} ({seeds})"
    text = f"{style.count(runs, 'run')} at {size}, {seeded}; "
    text += f"on {machines}"
    more = len({*summary["missing"]} - {*summary["runs"]})
    if more:
        text += f"; {style.count(more, 'more run')} of this plan not made yet"
    return f"*{text}.*"


def blocks(results_dir: Path) -> dict[str, str]:
    """For each experiment that has a summary: its table, and what was run."""
    made = {}
    for name in made_experiments(results_dir):
        summary, runs = load(name, results_dir)
        parts = [EXPERIMENTS[name].table(summary, runs, results_dir), facts(summary, runs)]
        made[name] = "\n\n".join(filter(None, parts))
    return made


def made_experiments(results_dir: Path) -> list[str]:
    """The experiments that have a summary, in order."""
    return [name for name in EXPERIMENTS if (results_dir / f"{name}.json").exists()]


def fill_in(text: str, made: dict[str, str]) -> str:
    """Puts blocks between their markers, `<!-- results: NAME -->` and `<!-- end -->`."""

    def replace(match: re.Match) -> str:
        block = made.get(match[1], "*Not measured yet.*")
        return f"<!-- results: {match[1]} -->\n\n{block}\n\n<!-- end -->"

    return re.sub(r"<!-- results: (\w+) -->.*?<!-- end -->", replace, text, flags=re.DOTALL)


def tables(results_dir: Path) -> dict[Path, str]:
    """The long tables, one a file: CSV beside the summaries."""
    made = {}
    for name in made_experiments(results_dir):
        long_table = getattr(EXPERIMENTS[name], "long_table", None)
        if long_table:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows(long_table(*load(name, results_dir)))
            made[results_dir / "tables" / f"{name}.csv"] = text.getvalue()
    return made


def documents(results_dir: Path) -> dict[Path, str]:
    """What README.md, REPORT.md and the long tables have to hold."""
    made = blocks(results_dir)
    values = {
        f"{name}.{key}": value
        for name in made_experiments(results_dir)
        for key, value in numbers(name, results_dir).items()
    }
    report = Report(ROOT / "figures" / "sections", values, made)
    readme = ROOT / "README.md"
    shown = made | {name: report.section(name) for name in IN_README}
    filled = fill_in(readme.read_text(encoding="utf-8"), shown)
    return {readme: filled, ROOT / "REPORT.md": report.text(), **tables(results_dir)}


def numbers(name: str, results_dir: Path) -> dict[str, str]:
    """The numbers that texts name, as they are to be shown; none of a study too small for them."""
    made = getattr(EXPERIMENTS[name], "numbers", None)
    summary, runs = load(name, results_dir)
    try:
        return made(summary, runs, results_dir) if made else {}
    except (LookupError, ValueError):  # values or runs are not there: the report will say which
        return {}


def update_documents(results_dir: Path, check: bool) -> None:
    """Writes the documents and tables, or with `check` only compares.

    Raises:
        UserError: naming the file that holds something else.
    """
    for path, after in documents(results_dir).items():
        before = path.read_text(encoding="utf-8") if path.exists() else None
        if check and after != before:
            raise UserError(f"{path.name}: what it shows is not what the summaries give")
        if after != before:
            write_text(path, after)


def main() -> int:
    """Redraws, or checks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="experiment", help="draw only its figures")
    parser.add_argument("--results_dir", type=Path, default=ROOT / "figures" / "results")
    parser.add_argument("--figures_dir", type=Path, default=ROOT / "figures")
    parser.add_argument("--check", action="store_true", help="only compare")
    options = parser.parse_args()
    results_dir, figures_dir, names = options.results_dir, options.figures_dir, options.names
    if unknown := [name for name in names if name not in EXPERIMENTS]:
        parser.error(f"no experiment {unknown[0]!r}; there are {', '.join(EXPERIMENTS)}")
    if names and options.check:
        parser.error("--check compares whole documents: leave the names out")
    try:
        if not options.check:
            found = [name for name in EXPERIMENTS if (results_dir / f"{name}.json").exists()]
            for name in names or found:
                for path in draw(name, results_dir, figures_dir):
                    print(path)
        if not names:
            update_documents(results_dir, options.check)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
