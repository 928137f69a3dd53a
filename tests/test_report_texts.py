"""REPORT.md's texts, and what is filled in."""

import pytest

from figures.report import Report
from rectloc_tf.errors import UserError


def report(folder, report_md, **sections):
    for name, text in {"report": report_md, **sections}.items():
        (folder / f"{name}.md").write_text(text)
    return Report(folder, {"a.mean": "2.7 px (2.0 to 3.4)"}, {"a": "| table |"})


def test_places_are_filled_in(tmp_path):
    made = report(
        tmp_path,
        "# Study\n\n{{section two}}\n\n{{section one}}\n",
        one="See {{ref map}} and {{ref curve}}.\n\n{{table a}}\n",
        two="Off by {{a.mean}}.\n\n{{figure map: A map,\nand more.}}\n\n{{figure curve: Curve.}}\n",
    )
    assert made.text().split("\n", 2)[2] == (
        "# Study\n\n"
        "Off by 2.7 px (2.0 to 3.4).\n\n"
        "![Figure 1](figures/map.png)\n\n*Figure 1. A map, and more.*\n\n"
        "![Figure 2](figures/curve.png)\n\n*Figure 2. Curve.*\n\n"
        "See Figure 1 and Figure 2.\n\n| table |\n"
    )
    assert made.figures == ["map", "curve"]


@pytest.mark.parametrize("place", ["a.median", "table b", "ref map", "figures map"])
def test_what_nothing_gives_is_named(place, tmp_path):
    made = report(tmp_path, "Off by {{" + place + "}}.")
    with pytest.raises(UserError, match="figures/sections: nothing gives {{" + place + "}}"):
        made.text()


def test_a_section_that_is_not_written_is_named(tmp_path):
    with pytest.raises(UserError, match=r"one\.md"):
        report(tmp_path, "{{section one}}")
