"""Sums up finished runs on labelled images, as a small JSON: what was trained, and its test errors.

    python benchmarks/collect_runs.py runs/openfield/* > benchmarks/openfield.json

Each RUN.eval.json beside a run, of `evaluate --output`, replaces the run's own measurement.
"""

import json
import sys
from pathlib import Path

KEPT = ("arch", "image_size", "split_by", "fold", "split_sizes", "batch_size", "seed", "precision")
METRICS = (
    "center_error_px", "error_interval_px", "keypoint_error_px", "keypoint_labels", "pck", "oks",
)  # fmt: skip


def collect(folder: Path) -> dict:
    """What is kept of a run folder with a `result.json`."""
    result = json.loads((folder / "result.json").read_text())
    config, measured = result["config"], result
    again = folder.with_name(f"{folder.name}.eval.json")
    if again.exists():
        measured = json.loads(again.read_text())
    metrics = measured["splits"]["test"]["images"]
    session = json.loads((folder / "environment.json").read_text())[-1]
    return {
        **{name: config[name] for name in KEPT},
        "steps": result["steps"],
        "minutes": round(result["seconds"] / 60, 1),
        "cores": session["cores"],
        "instructions": session["instructions"],
        **{name: rounded(metrics[name]) for name in METRICS},
    }


def rounded(value):
    """Numbers in JSON values with three decimals."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 3) if isinstance(value, float) else value


if __name__ == "__main__":
    folders = [Path(name) for name in sys.argv[1:] if (Path(name) / "result.json").exists()]
    json.dump([collect(folder) for folder in sorted(folders)], sys.stdout, indent=1)
    print()
