"""REPORT.md, made of the texts in `figures/sections/` and of numbers that experiments give.

`report.md` there is the whole. Between double braces stand

- `section NAME`: another text of the folder;
- `figure NAME: caption`: `figures/NAME.png`, numbered in the order of the text;
- `ref NAME`: "Figure 3", a figure's number;
- `table NAME`: an experiment's table, and the line that says what was run;
- `NAME.KEY`: a number of an experiment, see its `numbers` in `figures/NAME.py`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from rectloc_tf.errors import UserError, reason

_BRACES = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_SECTION = re.compile(r"\{\{section (\w+)\}\}")
_FIGURE = re.compile(r"\{\{figure (\w+):")
_HEAD = "<!-- Made by python -m figures.make_all of figures/sections: edit those texts. -->\n\n"


class Report:
    """Texts with places for figures, tables and numbers.

    Args:
        folder: of the texts.
        numbers: by "experiment.key", as they are to be shown.
        tables: by experiment.
    """

    def __init__(self, folder: Path, numbers: Mapping[str, str], tables: Mapping[str, str]):
        self._folder, self._numbers, self._tables = folder, numbers, tables
        self._template = _SECTION.sub(lambda match: self._read(match[1]), self._read("report"))
        self._figures = {name: i + 1 for i, name in enumerate(_FIGURE.findall(self._template))}

    def _read(self, name: str) -> str:
        path = self._folder / f"{name}.md"
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({reason(error)})") from error

    @property
    def figures(self) -> list[str]:
        """Names of the figures, in the order of the text."""
        return list(self._figures)

    def text(self) -> str:
        """The whole report.

        Raises:
            UserError: naming what a text asks for and nothing gives.
        """
        return _HEAD + self.fill(self._template, "figures/sections") + "\n"

    def fill(self, text: str, where: str) -> str:
        """Fills in the places of a text; `where` names it in errors."""

        def replace(match: re.Match) -> str:
            try:
                return self._value(" ".join(match[1].split()))
            except KeyError as error:
                raise UserError(f"{where}: nothing gives {{{{{match[1]}}}}}") from error

        return _BRACES.sub(replace, text)

    def _value(self, place: str) -> str:
        kind, _, rest = place.partition(" ")
        if kind == "figure":
            name, _, caption = rest.partition(":")
            title = f"Figure {self._figures[name]}"
            return f"![{title}](figures/{name}.png)\n\n*{title}. {caption.strip()}*"
        if kind == "ref":
            return f"Figure {self._figures[rest]}"
        if kind == "table":
            return self._tables[rest]
        return self._numbers[place]
