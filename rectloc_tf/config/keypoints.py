"""What the points of a source are."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Keypoints:
    """What a source's points are, and so what a head answers.

    Attributes:
        names: of the K keypoints that are answered.
        kind: "ranked": N = K points in an order that is theirs, the first the one that counts most;
            "named": N = K points of which each is something else; "unordered": N points of one
            class, K = 1, and an answer is any of them.
        num_points: N, the points of an image.
    """

    names: tuple[str, ...]
    kind: str
    num_points: int
