"""How many maps stay empty."""

import numpy as np

from figures import collapse


def test_runs_and_maps_are_counted_apart(tmp_path):
    unweighted, deconv = "score_map, unweighted", "deconv, targets 0–1"
    shares = {
        unweighted: [[0.9, 0.98, 1.1], [0.5, 0.6, 0.97], [1.0, 1.0, 1.0]],
        deconv: [[0.979], [0.981]],
    }
    rows = [
        {"run": "run", "variant": variant, "seed": seed, "empty_answers": values}
        for variant, of_runs in shares.items()
        for seed, values in enumerate(of_runs)
    ]
    summary = {"rows": rows}
    np.testing.assert_array_equal(
        collapse.empty(shares)[unweighted],
        [[False, True, True], [False, False, False], [True, True, True]],
    )
    lines = collapse.table(summary, {}, tmp_path).splitlines()[2:]
    assert lines == [
        f"| {unweighted} | 2 of 3 | 1 of 3 | 5 of 9 | 0.89 (0.50–1.10) |",
        f"| {deconv} | 1 of 2 | 1 of 2 | 1 of 2 | 0.98 (0.98–0.98) |",
    ]
    numbers = collapse.numbers(summary, {}, tmp_path)
    assert numbers["unweighted"] == "2 of 3"
    assert numbers["unweighted_interval"] == "21 to 94 %"  # Wilson's, of 2 in 3
    assert numbers["deconv_1_maps"] == "1 of 2"
    assert len(collapse.long_table(summary, {})) == 1 + 9 + 2
    axis = collapse.draw(summary, {}, tmp_path)[""].axes[0]
    crosses = [len(line.get_xdata()) for line in axis.lines if line.get_marker() == "X"]
    assert crosses == [1, 2, 2, 1]
