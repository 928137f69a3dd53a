"""RELIABILITY.md: the tests that it names exist, and its figures are those of the campaign."""

import json
import re

import pytest

from tests.conftest import ROOT

TEXT = (ROOT / "RELIABILITY.md").read_text()
CAMPAIGN = json.loads((ROOT / "benchmarks" / "kill_campaign.json").read_text())
KINDS = {"while saving": 10, "in a step": 10, "between epochs": 10, "one of two workers": 6}


def test_every_test_that_is_named_exists():
    there = {
        name
        for path in (ROOT / "tests").glob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    assert len(named) > 30
    assert named <= there


@pytest.mark.parametrize("kind", KINDS)
def test_the_campaign_table_matches_its_data(kind):
    kills = [kill for kill in CAMPAIGN["kills"] if kill["kind"] == kind]
    end = CAMPAIGN["ends"][kind]
    hits = sum(kill.get("hit", True) for kill in kills)
    assert hits == KINDS[kind]
    unloadable = sum(len(kill["unreadable"]) for kill in kills)
    equal = "yes" if end["weights_bitwise_equal"] else "no"
    missing = 30 - end["rows"] + end["rows_twice"]
    same = "yes" if end["rows_equal"] else "no"
    cells = [kind, hits, unloadable, equal, same, end["rows_twice"], missing]
    assert f"| {' | '.join(map(str, cells))} |" in TEXT
