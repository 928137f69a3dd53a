"""What stands for the contents of files in a run's settings: `sha256:` and 32 hex digits."""

import hashlib

PREFIX = "sha256:"


def as_digest(found: "hashlib._Hash") -> str:
    """The text of a SHA-256."""
    return f"{PREFIX}{found.hexdigest()[:32]}"


def is_digest(text: str) -> bool:
    """Whether this is what `as_digest` makes, and no path."""
    return text.startswith(PREFIX)
