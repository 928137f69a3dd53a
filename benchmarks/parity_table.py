"""How far exports are from their networks: each run in every format, with every kind of weights.

    python benchmarks/parity_table.py RUN_DIR ... --output=benchmarks/parity.json

Each export is checked as `rectloc_tf.export` does it, on 200 pictures, and thrown away; the file
gets what it wrote into its `parity.json` with its size, or why it was refused. What the file has
already is not made again, so an interrupted command continues. Prints tables for GUIDE.md.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rectloc_tf.config import RunConfig
from rectloc_tf.errors import UserError
from rectloc_tf.registry import FORMATS
from rectloc_tf.results.data_files import read_json, write_json
from rectloc_tf.results.markdown import markdown
from rectloc_tf.results.rundir import RunFolder

KEPT = (  # of a run
    "arch", "labels", "depth", "image_size", "epochs", "steps", "num_images", "precision",
)  # fmt: skip
CELLS = [(name, kept) for name, spec in FORMATS.items() for kept in spec.quantize]
VERDICTS = (": refused, ", "cannot be converted")  # others are errors of the machine
Report = dict[str, dict[str, Any]]


def cell_name(name: str, quantize: str) -> str:
    """The heading of a cell: a format, and how its weights are kept."""
    return name if quantize == "none" else f"{name} {quantize}"


def complete(report: Report, folder: RunFolder, save: Callable[[], None]) -> None:
    """Makes the cells of a run that a report lacks and whose packages are installed.

    Args:
        report: by the name of a run's identity; changed.
        folder: of the run, which is only read.
        save: called after each cell.
    """
    run = folder.run_config()
    about = {name: getattr(run, name) for name in KEPT}
    entry = report.setdefault(Path(run.default_folder).name, {"cells": {}})
    entry |= about
    cells = entry["cells"]
    wanted = [(name, kept) for name, kept in CELLS if cell_name(name, kept) not in cells]
    for name, kept in wanted:
        if missing := FORMATS[name].missing(kept):
            print(f"left out: {cell_name(name, kept)} ({', '.join(missing)} is not installed)")
    here = [(name, kept) for name, kept in wanted if not FORMATS[name].missing(kept)]
    if not here:
        return
    export = exporter(folder, run)
    for name, kept in here:
        print(f"{folder.path}: {cell_name(name, kept)}", flush=True)
        cells[cell_name(name, kept)] = export(name, kept)
        save()


def exporter(folder: RunFolder, run: RunConfig) -> Callable[[str, str], dict[str, Any]]:
    """A function of a format and a kind of weights that makes a cell of a run."""
    from rectloc_tf.serving.exporting import PARITY, export_checked, open_served

    served, source = open_served(folder, run)

    def export(name: str, quantize: str) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as place:
            try:
                made = export_checked(served, source, Path(place), name, quantize).folder
            except UserError as error:
                if not any(verdict in str(error) for verdict in VERDICTS):
                    raise
                return {"refused": str(error)}
            size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
            return json.loads((made / PARITY).read_text()) | {"mib": round(size / 2**20, 1)}

    return export


def parity_text(cell: dict[str, Any]) -> str:
    """The greatest difference in px and, if there are any, the pictures of another peak."""
    if not cell:
        return "–"
    if "refused" in cell:
        found = re.search(r"up to (\S+ px)|peak in (\d+) of \d+ images", cell["refused"])
        how = f": {found[1] or f'{found[2]} flips'}" if found else ""
        return f"refused{how}"
    most = cell["difference_px"]["max"]
    text = "0" if most == 0 else "< 0.0001" if most < 1e-4 else f"{most:.2g}"
    return f"{text}; {cell['flips']}" if cell["flips"] else text


def size_text(cell: dict[str, Any]) -> str:
    """MiB on disk."""
    return f"{cell['mib']:.0f}" if "mib" in cell else "–"


def half_precision_text(cell: dict[str, Any]) -> str:
    """As `parity_text`, of the network in half precision against itself in float32."""
    found = cell.get("half_precision")
    return parity_text(found) if found else "–"


def run_text(run: dict[str, Any]) -> str:
    """What a run is, in a few words."""
    parts = [f"`{run['arch']}`"]
    parts += ["every rectangle"] if run["labels"] == "unordered" else []
    parts += [f"depth {run['depth']}"] if run["depth"] != 18 else []
    return ", ".join(parts)


def table(report: Report, show: Callable[[dict[str, Any]], str]) -> str:
    """Markdown: a row for each run, a column for each kind of export that any of them has."""
    headings = [cell_name(*cell) for cell in CELLS]
    headings = [name for name in headings if any(name in run["cells"] for run in report.values())]
    lines = []
    for run in report.values():
        cells = [show(run["cells"].get(name, {})) for name in headings]
        lines.append([run_text(run), *cells])
    return markdown(["head", *headings], lines)


def main(run_dirs: list[Path], output: Path) -> int:
    """Completes the file and prints its tables; 1 if a run could not be opened."""
    report: Report = read_json(output) if output.exists() else {}
    failed = 0
    for run_dir in run_dirs:
        try:
            complete(report, RunFolder(run_dir), lambda: write_json(output, report))
        except UserError as error:
            failed = 1
            sys.stderr.write(f"error: {error}\n")
    print(f"\n{table(report, parity_text)}\n\nMiB:\n\n{table(report, size_text)}")
    print(f"\nThe network itself in half precision:\n\n{table(report, half_precision_text)}")
    return failed


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dirs", nargs="+", type=Path, help="folders of trained runs")
    parser.add_argument("--output", type=Path, required=True, help="JSON file")
    sys.exit(main(**vars(parser.parse_args())))
