"""Measure speed against the alternatives: `python -m rectloc_tf.benchmark`.

`--suite=input` measures drawing scenes, `train` training steps, `sweep` steps at other batch sizes
and depths, `end_to_end` whole epochs, `serve` the exports in every format, `live` frames one by
one; `all` everything. Workers take turns, and ratios are taken within a round. The peers need a
checkout (they are not in the wheel); PyTorch, OpenVINO and formats are used if installed.
"""

import sys
import tempfile

from rectloc_tf import cli
from rectloc_tf.benchmarking import suites
from rectloc_tf.benchmarking.groups import as_markdown, measure_group
from rectloc_tf.errors import EXIT_ERROR, UserError, one_line
from rectloc_tf.processor import INSTRUCTIONS, cpu_flags, describe_machine
from rectloc_tf.results.data_files import write_json
from rectloc_tf.results.output_files import check_writable, message_stream
from rectloc_tf.training.progress import ProgressLine


def benchmark() -> int:
    """Measures the suites, prints the table, and writes it to --output as it grows.

    A group that fails is named and left out; returns the exit code.
    """
    rows, ratios, output = [], {}, cli.path_option("output")
    machine = describe_machine() | {"instructions": sorted(INSTRUCTIONS & cpu_flags())}
    failed = False
    progress = ProgressLine(message_stream(output))
    if output:
        check_writable("output", output)
    names = list(suites.SUITES) if cli.option("suite") == "all" else [cli.option("suite")]
    groups = [group for name in names for group in suites.SUITES[name]()]
    with tempfile.TemporaryDirectory() as scratch:
        for number, group in enumerate(groups, start=1):
            place = f"{number}/{len(groups)} {group.suite}: {group.work}"

            def show(who: str, turn: int, place=place) -> None:
                if progress.due():
                    progress.update(f"{place}: {who}, turn {turn}")

            try:
                found = measure_group(group, cli.option("rounds"), show, scratch)
            except UserError as error:
                failed = True
                progress.print(f"{place}: left out")
                sys.stderr.write(f"error: {one_line(str(error))}\n")
                continue
            rows += found[0]
            ratios |= found[1]
            if output:  # the others may take an hour more
                report = {"schema": 1, "machine": machine, "rows": rows, "ratios": ratios}
                write_json(output, report)
            progress.print(f"{place}: done")
    progress.print(f"{machine['cpu']}, {machine['cores']} cores, {machine['platform']}\n")
    progress.print(f"{as_markdown(rows)}\n")
    for key, value in ratios.items():
        progress.print(f"{key}: {value:.3g}")
    return EXIT_ERROR if failed else 0


if __name__ == "__main__":
    cli.main("benchmark", benchmark)
