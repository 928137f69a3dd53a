"""Makes an experiment on a Ray cluster of two nodes on this machine, one of which is killed.

    python benchmarks/ray_nodes.py FOLDER [--output=benchmarks/ray_nodes.json]

Both nodes have one CPU. The second is killed, with all its processes, as soon as it has a run under
way. Then the run that it had must have been made by the other, and no run is missing. Needs [ray].
"""

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from rectloc_tf.processor import describe_machine
from rectloc_tf.results.data_files import write_json

EXPERIMENT = "cross_domain"


def main(folder: Path, output: Path | None) -> None:
    """Starts the cluster and the experiment, kills a node, and looks at what was made."""
    cluster = importlib.import_module("ray.cluster_utils").Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1}
    )
    second = cluster.add_node(num_cpus=1)
    names = {"runs_root": "runs", "results_dir": "results", "figures_dir": "figures"}
    flags = ["--flagfile=flags/tiny.flags", "--runner=ray", "--task_cpus=1", "--deterministic"]
    flags += [f"--{flag}={folder / name}" for flag, name in names.items()]
    command = [sys.executable, "-m", f"rectloc_tf.experiments.{EXPERIMENT}", *flags]
    process = subprocess.Popen(
        command, env=os.environ | {"RAY_ADDRESS": cluster.address}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while len(under_way := [*(folder / "runs").glob("*/config.json")]) < 2:
        if process.poll() is not None:
            sys.exit(process.communicate()[0])
        time.sleep(0.2)
    began = time.monotonic()
    cluster.remove_node(second, allow_graceful=False)
    said = process.communicate()[0]
    seconds = time.monotonic() - began
    cluster.shutdown()
    print(said)
    summary = json.loads((folder / "results" / f"{EXPERIMENT}.json").read_text())
    result = {
        "machine": describe_machine(),
        "experiment": EXPERIMENT,
        "runs_under_way_when_killed": len(under_way),
        "exit_code": process.returncode,
        "runs": len(summary["runs"]),
        "missing": summary["missing"],
        "failed": len(re.findall("^failed: ", said, re.MULTILINE)),
        "seconds_after_the_kill": round(seconds),
    }
    print(json.dumps(result, indent=1))
    if output:
        write_json(output, result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="empty folder for runs and results")
    parser.add_argument("--output", type=Path, help="JSON file for what was found")
    main(**vars(parser.parse_args()))
