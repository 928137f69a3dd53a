"""Redraws every figure and every table of the documents: `python -m figures.make_all`.

`--check` only says whether what REPORT.md and README.md show is what the summaries give. With
names of experiments it draws their figures and leaves the documents alone.
"""

import argparse
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from figures import style
from rectloc_tf import registry
from rectloc_tf.errors import UserError
from rectloc_tf.results.output_files import atomic_path
from rectloc_tf.results.rundir import read_json, write_text

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS: dict[str, ModuleType] = {
    name: import_module(f"figures.{name}") for name in registry.EXPERIMENTS
}
MAX_ROWS = 20  # of a table that is shown without being asked for
DOCUMENTS = ("REPORT.md", "README.md")


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


def facts(summary: dict) -> str:
    """The line under a table: what was run, on what, for how long."""
    base, runs = summary["base"], len(summary["runs"])
    if not runs:
        return ""
    seeds = ", ".join(map(str, summary["seeds"]))
    # Once each: machines that differ in their operating system only read alike.
    kinds = dict.fromkeys(f"{m['cpu']}, {m['cores']} cores" for m in summary["machines"])
    machines = "; ".join(kinds)
    size = f"{base['image_size']} px, batch {base['batch_size']}, {base['schedule']} schedule"
    size += f", {base['precision']}"
    seeded = f"{style.count(len(summary['seeds']), 'seed')} ({seeds})"
    text = f"{style.count(runs, 'run')} at {size}, {seeded}; "
    text += f"{summary['hours']:.1f} hours on {machines}"
    more = len({*summary["missing"]} - {*summary["runs"]})
    if more:
        text += f"; {style.count(more, 'more run')} of this plan not made yet"
    return f"*{text}.*"


def pictures(name: str, figures_dir: Path) -> list[str]:
    """An experiment's figures as Markdown, those that have been drawn."""
    found = [p for p in figures_dir.glob("*.png") if re.fullmatch(rf"{name}(_.*)?", p.stem)]
    return [f"![{p.stem.replace('_', ' ')}](figures/{p.name})" for p in sorted(found)]


def blocks(results_dir: Path, figures_dir: Path) -> dict[str, str]:
    """For each experiment that has a summary: its figures, its table, and what was run."""
    made = {}
    for name, module in EXPERIMENTS.items():
        if (results_dir / f"{name}.json").exists():
            summary, runs = load(name, results_dir)
            tables = module.table(summary, runs).split("\n\n")
            parts = [*pictures(name, figures_dir), *map(folded, tables), facts(summary)]
            made[name] = "\n\n".join(filter(None, parts))
    return made


def folded(table: str) -> str:
    """A Markdown table, behind a line to open it by if it is long."""
    rows = table.count("\n") - 1
    if rows <= MAX_ROWS:
        return table
    return f"<details><summary>The table, {rows} rows</summary>\n\n{table}\n\n</details>"


def fill_in(text: str, made: dict[str, str]) -> str:
    """Puts blocks between their markers, `<!-- results: NAME -->` and `<!-- end -->`."""

    def replace(match: re.Match) -> str:
        block = made.get(match[1], "*Not measured yet.*")
        return f"<!-- results: {match[1]} -->\n\n{block}\n\n<!-- end -->"

    return re.sub(r"<!-- results: (\w+) -->.*?<!-- end -->", replace, text, flags=re.DOTALL)


def update_documents(made: dict[str, str], check: bool) -> None:
    """Puts blocks into the documents, or with `check` only compares.

    Raises:
        UserError: naming the document that shows something else.
    """
    for document in DOCUMENTS:
        path = ROOT / document
        before = path.read_text(encoding="utf-8")
        after = fill_in(before, made)
        if check and after != before:
            raise UserError(f"{document}: what it shows is not what the summaries give")
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
            update_documents(blocks(results_dir, figures_dir), options.check)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
