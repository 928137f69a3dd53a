"""Tables in Markdown."""

from collections.abc import Collection, Iterable, Sequence


def markdown(head: Sequence[str], rows: Iterable[Sequence], right: Collection[str] = ()) -> str:
    """A table.

    Args:
        head: titles of the columns.
        rows: cells, one for each column.
        right: those of `head` whose column is aligned to the right.
    """
    rules = ["--:" if title in right else "---" for title in head]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in [head, rules, *rows])
