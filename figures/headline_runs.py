"""The headline's runs by head and variant, as arrays."""

from pathlib import Path

import numpy as np

from figures.answered import Answered, stacked
from rectloc_tf.experiments.plan import DOMAIN


class Runs:
    """The answers of an experiment's final weights, by head and variant.

    Args:
        summary, runs, results_dir: as `draw`.
        kind: the column of the summary's rows that tells heads apart.
    """

    def __init__(self, summary: dict, runs: dict, results_dir: Path, kind: str = "arch"):
        self._summary, self._runs, self._results_dir = summary, runs, results_dir
        self._kind = kind

    def rows(self, arch: str, variant: str) -> list[dict]:
        """The rows of every seed."""
        rows = self._summary["rows"]
        return [row for row in rows if (row[self._kind], row["variant"]) == (arch, variant)]

    def has(self, *groups: tuple[str, str]) -> bool:
        """Whether there is a run of each of some heads and variants."""
        return all(self.rows(*group) for group in groups)

    def answers(self, arch: str, variant: str, seed: int | None = None) -> list[Answered]:
        """What every seed answered, or one alone."""
        return [
            Answered(self._runs[row["run"]], row["run"], DOMAIN, self._results_dir)
            for row in self.rows(arch, variant)
            if seed in (None, row["seed"])
        ]

    def errors(self, arch: str, variant: str, seed: int | None = None) -> np.ndarray:
        """Errors [S, N] in px."""
        return stacked(self.answers(arch, variant, seed), lambda a: a.errors)

    def right(self, arch: str, variant: str, seed: int | None = None) -> np.ndarray:
        """Per cent [S, N]: 100 where the answer is right, else 0."""
        return 100 * stacked(self.answers(arch, variant, seed), lambda a: a.right)

    def chosen(self, arch: str, variant: str, seed: int | None = None) -> np.ndarray:
        """Ranks [S, N] of the rectangles that were answered, -1 for none."""
        return stacked(self.answers(arch, variant, seed), lambda a: a.chosen)

    def wrong(self, arch: str, variant: str, seed: int | None = None) -> np.ndarray:
        """Per cent [S, N]: 100 where another rectangle was answered, else 0."""
        return 100 * (self.chosen(arch, variant, seed) > 0)

    def errors_where_right(self, arch: str, variant: str, seed: int | None = None) -> np.ndarray:
        """Errors [S, N] in px where the answer is right, else NaN."""
        return stacked(self.answers(arch, variant, seed), lambda a: a.errors_where_right)

    def split(self, arch: str, variant: str, name: str) -> list[dict]:
        """Metrics of every seed on a split, of the weights that did best on validation."""
        rows = self.rows(arch, variant)
        return [self._runs[row["run"]]["splits"][name][str(DOMAIN)] for row in rows]

    def history(self, arch: str, variant: str) -> list[list[dict]]:
        """What every seed's validations found, epoch by epoch."""
        return [self._runs[row["run"]]["history"] for row in self.rows(arch, variant)]
