"""Figures and tables, drawn from summaries without TensorFlow."""

import ast
import csv
import functools
import io
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from figures import make_all, style
from rectloc_tf.errors import UserError
from rectloc_tf.experiments.command import draw_figures
from rectloc_tf.experiments.summaries import write_sheet
from tests.conftest import ROOT

DOCUMENTS = ("REPORT.md", "README.md")


@pytest.fixture(scope="module", autouse=True)
def blocks_made_once():
    """Summaries are read only here, and to make the tables of all takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_all, "blocks", functools.cache(make_all.blocks))
        yield


def test_the_documents_show_what_the_committed_summaries_give(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["make_all", "--check"])
    assert make_all.main() == 0, capsys.readouterr().err


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


def tables_of(text):
    """The tables of a Markdown text, as lists of their lines."""
    found = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def test_no_table_of_an_experiment_is_longer_than_eight_rows():
    results = ROOT / "figures" / "results"
    for name, block in make_all.blocks(results).items():
        for table in tables_of(block):
            assert len(table) - 2 <= 8, name


def test_every_figure_is_in_the_report_once_and_is_there():
    text = (ROOT / "REPORT.md").read_text()
    shown = re.findall(r"!\[Figure (\d+)\]\(figures/(\w+)\.png\)", text)
    assert [int(number) for number, _ in shown] == list(range(1, len(shown) + 1))
    drawn = {path.stem for path in (ROOT / "figures").glob("*.png")}
    drawn -= {"quick_deconv", "page", "label_budget_openfield"}  # README's own
    assert sorted(name for _, name in shown) == sorted(drawn)


def test_a_number_stands_in_the_report_as_its_experiment_gives_it():
    results = ROOT / "figures" / "results"
    value = make_all.numbers("collapse", results)["deconv_1"]
    assert value == "10 of 10"
    assert f"targets of 0–1 in {value}" in (ROOT / "REPORT.md").read_text()


def test_long_tables_lie_beside_the_summaries():
    results = ROOT / "figures" / "results"
    made = make_all.tables(results)
    assert {path.stem for path in made} >= {"headline", "data_efficiency", "cross_domain"}
    for path, text in made.items():
        assert path.read_text() == text
        rows = list(csv.reader(io.StringIO(text)))
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(rows[0])}, path


def test_a_document_that_is_not_its_summaries_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "figures" / "sections").mkdir(parents=True)
    (tmp_path / "figures" / "sections" / "report.md").write_text("# The study")
    (tmp_path / "README.md").write_text("nothing")
    (tmp_path / "REPORT.md").write_text("wrong")
    monkeypatch.setattr(make_all, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_all", "--check", f"--results_dir={tmp_path}"])
    assert make_all.main() == 1
    assert "REPORT.md: what it shows is not what the summaries give" in capsys.readouterr().err
    assert (tmp_path / "REPORT.md").read_text() == "wrong"
    monkeypatch.setattr(sys, "argv", ["make_all", f"--results_dir={tmp_path}"])
    assert make_all.main() == 0
    assert (tmp_path / "REPORT.md").read_text().endswith("\n\n# The study\n")
    assert (tmp_path / "README.md").read_text() == "nothing"


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
    for document in DOCUMENTS:
        (tmp_path / document).write_text("<!-- results: headline --><!-- end -->")
    monkeypatch.setattr(make_all, "ROOT", tmp_path)
    folders = [f"--results_dir={density}", f"--figures_dir={tmp_path / 'drawn'}"]
    monkeypatch.setattr(sys, "argv", ["make_all", "target_density", *folders])
    assert make_all.main() == 0
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["target_density.png"]
    for document in DOCUMENTS:
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
    before = {name: (ROOT / name).read_text() for name in DOCUMENTS}
    draw_figures(["target_density"], density, tmp_path / "drawn")
    assert capsys.readouterr().out == f"{tmp_path / 'drawn' / 'target_density.png'}\n"
    assert (tmp_path / "drawn" / "target_density.png").stat().st_size > 5000
    assert {name: (ROOT / name).read_text() for name in DOCUMENTS} == before
    with pytest.raises(
        UserError, match=r"figures could not be drawn: .*headline\.json: cannot be read"
    ):
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


def test_the_line_under_a_table_gives_the_settings_of_the_runs():
    fields = {"image_size": 112, "batch_size": 16, "schedule": "constant", "precision": "float32"}
    fields |= {"seed": 1}
    other = {**fields, "batch_size": 64, "seed": 0}
    configs = {"a": {"config": fields}, "b": {"config": other}}
    machine = {"cpu": "X", "cores": 2}
    summary = {"runs": ["a", "b"], "missing": ["b", "c"], "seeds": [0, 1, 2], "machines": [machine]}
    line = make_all.facts({**summary, "base": {"schedule": "cosine"}}, configs)
    assert line == (
        "*2 runs at 112 px, batch 16–64, constant schedule, float32, 2 seeds (0, 1); on X, 2 "
        "cores; 1 more run of this plan not made yet.*"
    )
    configs["b"]["config"]["schedule"] = "cosine"
    assert "constant and cosine schedule" in make_all.facts(summary, configs)


def test_tables_go_between_their_markers():
    text = "a\n<!-- results: one -->\nold\n<!-- end -->\nb\n<!-- results: two --><!-- end -->\nc"
    filled = make_all.fill_in(text, {"one": "| new |"})
    assert filled == (
        "a\n<!-- results: one -->\n\n| new |\n\n<!-- end -->\nb\n"
        "<!-- results: two -->\n\n*Not measured yet.*\n\n<!-- end -->\nc"
    )
    assert make_all.fill_in(filled, {"one": "| new |"}) == filled


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
