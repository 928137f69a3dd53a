"""What the repository says about itself in files that nothing else reads."""

import re

import rectloc_tf
from tests.conftest import ROOT


def test_the_citation_is_of_this_version():
    text = (ROOT / "CITATION.cff").read_text()
    fields = dict(re.findall(r"^([a-z-]+): (.+)$", text, re.MULTILINE))
    assert fields["cff-version"] == "1.2.0"
    assert fields["version"] == rectloc_tf.__version__
    assert fields["license"] == "MIT"
    assert fields.keys() >= {"message", "title"}
    assert "\nauthors:\n  - name: the rectloc_tf authors\n" in text


def test_ci_runs_the_test_command_on_the_oldest_and_newest_python():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "run: .ci/run\n" in text
    oldest, newest = re.search(r">=(3\.\d+),<3\.(\d+)", (ROOT / "setup.cfg").read_text()).groups()
    assert f'["{oldest}", "3.{int(newest) - 1}"]' in text
