"""Figures and tables, drawn from summaries without TensorFlow."""

import ast
import json
import subprocess
import sys

import numpy as np
import pytest

from figures import (
    make_all,
    more_labels,
    multiple_locations,
    prediction_epochs,
    style,
    target_density,
)
from rectloc_tf.errors import UserError
from rectloc_tf.experiments.command import draw_figures
from rectloc_tf.experiments.summaries import write_sheet
from tests.conftest import ROOT


def test_the_documents_show_what_the_committed_summaries_give():
    done = subprocess.run(
        [sys.executable, "-m", "figures.make_all", "--check"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_every_summary_has_its_figures_committed():
    for path in (ROOT / "figures" / "results").glob("*.json"):
        summary, runs = make_all.load(path.stem, path.parent)
        drawn = make_all.EXPERIMENTS[path.stem].draw(summary, runs, path.parent)
        assert drawn or summary["missing"], path
        for suffix in drawn:
            assert (ROOT / "figures" / f"{path.stem}{suffix}.png").is_file(), (path, suffix)


def test_drawing_loads_no_tensorflow():
    code = "import sys, figures.make_all; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_table_that_is_not_its_summary_s_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "README.md").write_text("nothing")
    (tmp_path / "REPORT.md").write_text("<!-- results: headline -->\n\nwrong\n\n<!-- end -->")
    monkeypatch.setattr(make_all, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_all", "--check", f"--results_dir={tmp_path}"])
    assert make_all.main() == 1
    assert "REPORT.md: what it shows is not what the summaries give" in capsys.readouterr().err


@pytest.fixture
def density(tmp_path):
    """A folder of summaries with one experiment's only."""
    source = ROOT / "figures" / "results"
    (tmp_path / "results" / "runs").mkdir(parents=True)
    text = (source / "target_density.json").read_text()
    (tmp_path / "results" / "target_density.json").write_text(text)
    for run in json.loads(text)["runs"]:
        for path in (source / "runs").glob(f"{run}*"):
            (tmp_path / "results" / "runs" / path.name).write_bytes(path.read_bytes())
    return tmp_path / "results"


def test_named_experiments_are_drawn_and_documents_left_alone(density, tmp_path, monkeypatch):
    for document in make_all.DOCUMENTS:
        (tmp_path / document).write_text("<!-- results: headline --><!-- end -->")
    monkeypatch.setattr(make_all, "ROOT", tmp_path)
    folders = [f"--results_dir={density}", f"--figures_dir={tmp_path / 'drawn'}"]
    monkeypatch.setattr(sys, "argv", ["make_all", "target_density", *folders])
    assert make_all.main() == 0
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["target_density.png"]
    for document in make_all.DOCUMENTS:
        assert (tmp_path / document).read_text() == "<!-- results: headline --><!-- end -->"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["headlines"], "no experiment 'headlines'; there are headline, "),
        (["headline", "--check"], "--check compares whole documents: leave the names out"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_all", *arguments])
    with pytest.raises(SystemExit, match="2"):
        make_all.main()
    assert message in capsys.readouterr().err


def test_a_study_draws_its_figures_in_another_process(density, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    before = {name: (ROOT / name).read_text() for name in make_all.DOCUMENTS}
    draw_figures(["target_density"], density, tmp_path / "drawn")
    assert capsys.readouterr().out == f"{tmp_path / 'drawn' / 'target_density.png'}\n"
    assert (tmp_path / "drawn" / "target_density.png").stat().st_size > 5000
    assert {name: (ROOT / name).read_text() for name in make_all.DOCUMENTS} == before
    with pytest.raises(UserError, match=r"figures are not drawn: .*headline\.json: cannot be read"):
        draw_figures(["target_density", "headline"], density, tmp_path / "drawn")


@pytest.mark.parametrize("folder", [None, "figures"])
def test_a_study_outside_a_checkout_is_not_drawn(folder, tmp_path, monkeypatch, capsys):
    if folder:  # no package, but found as one: where summaries and figures go by default
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in [name for name in sys.modules if name.split(".")[0] == "figures"]:
        monkeypatch.delitem(sys.modules, name)
    draw_figures(["headline"], tmp_path, tmp_path)
    expected = "figures are drawn in a checkout only: python -m figures.make_all\n"
    assert capsys.readouterr().out == expected


def test_the_package_does_not_import_the_figures():
    for path in (ROOT / "rectloc_tf").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name and name.split(".")[0] == "figures"], path


def test_tables_go_between_their_markers():
    text = "a\n<!-- results: one -->\nold\n<!-- end -->\nb\n<!-- results: two --><!-- end -->\nc"
    filled = make_all.fill_in(text, {"one": "| new |"})
    assert filled == (
        "a\n<!-- results: one -->\n\n| new |\n\n<!-- end -->\nb\n"
        "<!-- results: two -->\n\n*Not measured yet.*\n\n<!-- end -->\nc"
    )
    assert make_all.fill_in(filled, {"one": "| new |"}) == filled


def test_a_long_table_is_folded_and_kept_whole():
    lines = ["| a |", "| --- |", *(f"| {n} |" for n in range(21))]
    assert make_all.folded("\n".join(lines[:-1])) == "\n".join(lines[:-1])
    folded = make_all.folded("\n".join(lines)).split("\n")
    assert folded[0] == "<details><summary>The table, 21 rows</summary>"
    assert folded[2:-2] == lines
    assert folded[1] == folded[-2] == ""  # without them Markdown takes the table for HTML


def test_spreads():
    assert style.spread([1.25], 1) == "1.2"
    assert style.spread([1.0, 3.0, 2.0], 1) == "2.0 (1.0–3.0)"
    assert style.spread([None, 2.0], 0, " px") == "2 px"
    assert style.spread([], 1) == "–"
    assert style.percent([0.5, 0.25]) == "37.5 (25.0–50.0) %"


def test_sheets_come_back_as_tiles(tmp_path):
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 256, (3, 8, 8), np.uint8) for _ in range(2)]
    write_sheet(tmp_path / "sheet.png", rows)
    np.testing.assert_array_equal(style.read_sheet(tmp_path / "sheet.png", 3), rows)


def test_a_missing_summary_of_a_run_is_named(tmp_path, monkeypatch, capsys):
    base = {"image_size": 64, "batch_size": 8, "schedule": "constant"}
    summary = {"runs": ["gone"], "base": base, "rows": []}
    (tmp_path / "headline.json").write_text(json.dumps(summary))
    monkeypatch.setattr(sys, "argv", ["make_all", f"--results_dir={tmp_path}"])
    assert make_all.main() == 1
    assert "gone.json: cannot be read" in capsys.readouterr().err


def _more_labels_row(arch, seed, labelled, error):
    return {
        "arch": arch, "seed": seed, "labelled": labelled,
        "test": {"center_error_px": {"mean": error}},
        "own": {"center_error_px": {"mean": 2 * error}},
    }  # fmt: skip


def test_labels_are_compared_in_pairs():
    rows = [
        _more_labels_row("xy", 0, "one", 3.0), _more_labels_row("xy", 0, "both", 2.0),
        _more_labels_row("xy", 1, "one", 5.0), _more_labels_row("xy", 1, "both", 2.0),
        _more_labels_row("xy", 2, "one", 5.0), _more_labels_row("deconv", 0, "one", 1.0),
    ]  # fmt: skip
    found = more_labels.pairs({"rows": rows}, "xy")
    assert found == {0: {"one": 3.0, "both": 2.0}, 1: {"one": 5.0, "both": 2.0}}
    assert more_labels.pairs({"rows": rows}, "deconv") == {}
    lines = more_labels.table({"rows": rows}, {}).splitlines()[2:]
    # Differences -1 and -3: mean -2, standard error 1, t = 12.706 (one degree of freedom).
    assert lines == [
        "| coordinates (xy) | one rectangle | 2 | 4.00 (3.00–5.00) | 2.00 (2.00–2.00) "
        "| -2.00 (-14.71 to +10.71) |",
        "| coordinates (xy) | two | 2 | 8.00 (6.00–10.00) | 4.00 (4.00–4.00) "
        "| -4.00 (-29.41 to +21.41) |",
    ]


def test_a_head_without_pairs_is_drawn_empty(tmp_path):
    rows = [_more_labels_row("xy", 0, "one", 3.0)]
    assert more_labels.draw({"rows": rows}, {}, tmp_path) == {}
    rows.append(_more_labels_row("xy", 0, "both", 2.0))
    left, right = more_labels.draw({"rows": rows}, {}, tmp_path)[""].axes
    assert left.get_legend() is not None
    assert right.get_legend() is None  # an empty one warns, and warnings are errors


def test_the_confidence_interval_is_student_s():
    assert more_labels.confidence_interval([1.0]) is None
    # Three differences: mean 2, standard error 1 / sqrt(3), t = 4.3027 (two degrees of freedom).
    mean, low, high = more_labels.confidence_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert high - mean == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert mean - low == pytest.approx(high - mean)


def test_locations_are_told_apart_by_threshold(tmp_path):
    def row(training, seed, tested, threshold, recall, points=1.5):
        outside = 0.25 if points else None
        return {
            "run": "run", "training": training, "seed": seed, "tested": tested,
            "threshold": threshold, "recall": recall, "precision": outside,
            "outside_rate": outside, "count_error": points - tested, "count_abs_error": 1.0,
        }  # fmt: skip

    rows = [row("1", seed, d, 16, (4 + seed) / 10 * d) for seed in (0, 1) for d in (1, 2)]
    rows += [row("1", 0, 1, 64, 0.3), row("1", 1, 1, 64, 0.2), row("3, largest", 0, 2, 16, 0, 0)]
    agreements = [{"training": "1", "tested": 2, "threshold": 16, "agreement": 0.7}]
    summary = {"domains": [1, 2], "rows": rows, "agreements": agreements}
    brief, whole = multiple_locations.table(summary, {}).split("\n\n")
    assert brief.splitlines()[2:] == [
        "| 3, largest | found | – | 0 % |",  # no point, no share of points
        "| 1 | found | 45 (40–50) % | 90 (80–100) % |",
        "| 1 | by every seed, of those by any | – | 70 % |",
        "| 1 | points outside | 25 (25–25) % | 25 (25–25) % |",
    ]
    lines = [line.split(" | ")[:5] for line in whole.splitlines()[2:]]
    assert lines == [
        ["| 3, largest", "16", "2", "1", "0.0 %"],
        ["| 1", "16", "1", "2", "45.0 (40.0–50.0) %"],
        ["| 1", "16", "2", "2", "90.0 (80.0–100.0) %"],
        ["| 1", "64", "1", "2", "25.0 (20.0–30.0) %"],
    ]
    figures = multiple_locations.draw(summary, {"run": {"pictures": {}}}, tmp_path)
    assert figures.keys() == {"", "_thresholds"}
    axis = figures["_thresholds"].axes[0]  # pictures of one: both thresholds on one line
    (line,) = (a for a in axis.lines if len(a.get_xdata()) == 2)
    np.testing.assert_allclose(line.get_xdata(), [45, 25])


def test_the_neighbourhood_of_a_point_ends_in_black():
    tile = np.arange(1, 257, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(target_density._around(tile, (8.2, 5.9)), tile[3:7, 6:10])
    corner = target_density._around(tile, (0.5, 15.5))
    np.testing.assert_array_equal(corner[:3, 2:], tile[13:, :2])
    assert corner[3].max() == corner[:, :2].max() == 0


def test_black_pixels_are_those_of_maps():
    points = {"points": [[1.0, 2.0]]}
    snapshots = {"0": {"black_share": 0.5, "brightness": 3.0, **points}}
    rows = [
        {"arch": "xy", "variant": "plain", "snapshots": {"0": points}},
        {"arch": "deconv", "variant": "improved", "snapshots": snapshots},
    ]
    lines = prediction_epochs.table({"rows": rows}, {}).splitlines()[2:]
    assert lines == ["| improved | 0 | 50.0 % | 3.0 |"]


def test_heads_are_shown_side_by_side_with_their_maps_below(tmp_path):
    size, rng = 16, np.random.default_rng(0)
    scenes, maps = rng.integers(0, 200, (2, 3, size, size), np.uint8)
    write_sheet(tmp_path / "runs" / "one.png", [scenes])
    write_sheet(tmp_path / "runs" / "two.png", [scenes, maps])
    kept = {"rectangles": [[[2, 4, 6, 10]]] * 3, "points": [[1.0, 2.0]] * 3}
    pictures = {"deconv": {"sheet": "two.png", **kept}, "xy": {"sheet": "one.png", **kept}}
    axes = style.side_by_side(pictures, tmp_path).axes
    labels = [axis.get_ylabel() for axis in axes[::3]]
    assert labels == ["coordinates (xy)", "heatmap (deconv)", "its heatmap"]
    shown = np.array([axis.images[0].get_array() for axis in axes])
    np.testing.assert_array_equal(shown, np.concatenate([scenes, scenes, maps]))
    assert {axis.images[0].get_clim() for axis in axes[6:]} == {(0, maps.max())}
    assert [len(axis.lines) for axis in axes] == 6 * [2] + 3 * [0]
