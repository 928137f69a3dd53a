"""Draws figures/page.png: what the page of a running `serve` looks like.

python -m tests.screenshot http://127.0.0.1:8501/ figures/page.png
"""

import sys
import tempfile
from pathlib import Path

from rectloc_tf.results.output_files import atomic_path
from tests.browser import open_browser

WIDTH, HEIGHT = 1180, 800
# Of a side of 1: two that overlap, and a small one.
SCENE = ((0.05, 0.09, 0.55, 0.54), (0.45, 0.46, 0.93, 0.89), (0.63, 0.12, 0.88, 0.30))


def draw(url: str, path: Path) -> None:
    """Scores a hundred scenes, draws one more, and takes its picture."""
    with tempfile.TemporaryDirectory() as profile, open_browser(Path(profile)) as browser:
        page = browser.new_page()
        page.resize(WIDTH, HEIGHT)
        page.open(url)
        page.run("score(100)")
        size = page.run("page.stage().size")
        page.run("document.getElementById('stage').focus()")
        page.run(f"page.setRectangles({[[round(size * x) for x in box] for box in SCENE]})")
        page.run("page.settled()")
        with atomic_path(path) as temporary:
            temporary.write_bytes(page.screenshot())


if __name__ == "__main__":
    draw(sys.argv[1], Path(sys.argv[2]))
