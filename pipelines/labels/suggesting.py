"""Which frames of a video to label next: those that look different, and those that are uncertain.

NumPy only. Choices are a function of what is given and of a seed.
"""

import numpy as np

_ROUNDS = 50  # of k-means, at most


def choose_varied(looks: np.ndarray, count: int, seed: int = 0) -> list[int]:
    """Chooses images that differ: the one nearest to the middle of each k-means cluster.

    Args:
        looks: float [N, D], a small picture of each image.
        count: how many to choose; fewer if fewer are different.
        seed: of the first middles.

    Returns:
        Indices, increasing.
    """
    looks = np.asarray(looks, np.float64)
    if count < 1 or not len(looks):
        return []
    middles = _first_middles(looks, count, np.random.default_rng(seed))
    nearest = np.full(len(looks), -1)
    for _ in range(_ROUNDS):
        before, nearest = nearest, _distances(looks, middles).argmin(1)
        if (nearest == before).all():
            break
        for k in range(len(middles)):
            if (nearest == k).any():
                middles[k] = looks[nearest == k].mean(0)
    away = _distances(looks, middles)
    chosen = {
        int(np.where(nearest == k, away[:, k], np.inf).argmin())
        for k in range(len(middles))
        if (nearest == k).any()
    }
    return sorted(chosen)


def _first_middles(looks: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """As k-means++: the next one with a chance that grows with its distance from the others."""
    chosen = [int(rng.integers(len(looks)))]
    away = _distances(looks, looks[chosen])[:, 0]
    # Below this, pictures differ by rounding alone.
    while len(chosen) < count and away.max() > 1e-6 * (1 + np.square(looks).sum(1).max()):
        chosen.append(int(rng.choice(len(looks), p=away / away.sum())))
        away = np.minimum(away, _distances(looks, looks[chosen[-1:]])[:, 0])
    return looks[chosen]


def _distances(looks: np.ndarray, middles: np.ndarray) -> np.ndarray:
    """Squared distances, float64 [N, k]."""
    squares = np.square(looks).sum(1)[:, None] + np.square(middles).sum(1)
    return np.maximum(squares - 2 * looks @ middles.T, 0)


def choose_uncertain(
    numbers: np.ndarray, confidences: np.ndarray, count: int, taken: list[int]
) -> list[int]:
    """Chooses the least confident frames that are no neighbours in time.

    Frames keep a distance from each other and from `taken`, which is halved until there are
    enough: a network is uncertain for seconds on end, and one frame of them says it.

    Args:
        numbers: of the frames [N], increasing.
        confidences: [N]; NaN counts as the least.
        count: how many to choose; fewer if there are fewer.
        taken: indices that are chosen already.

    Returns:
        Indices, increasing, none of them in `taken`.
    """
    order = np.argsort(np.nan_to_num(confidences, nan=-np.inf), kind="stable")
    chosen: list[int] = []
    pause = (
        max((int(numbers[-1]) - int(numbers[0])) // (4 * max(count, 1)), 1) if len(numbers) else 0
    )
    while len(chosen) < min(count, len(numbers) - len(taken)):
        for index in map(int, order):
            others = numbers[[*taken, *chosen]]
            is_near = len(others) and np.abs(others - numbers[index]).min() < max(pause, 1)
            if len(chosen) < count and not is_near:
                chosen.append(index)
        pause //= 2
    return sorted(chosen)


def fill_up(numbers: np.ndarray, count: int, taken: list[int]) -> list[int]:
    """Adds frames, each as far in time from the others as can be, until there are `count`.

    Args:
        numbers: of the frames [N], increasing.
        count: how many there shall be; fewer if there are fewer.
        taken: indices that are chosen already.

    Returns:
        All indices, increasing.
    """
    chosen = [*taken]
    while len(chosen) < min(count, len(numbers)):
        others = numbers[chosen] if chosen else numbers[:1] - len(numbers)
        chosen.append(int(np.abs(numbers[:, None] - others).min(1).argmax()))
    return sorted(chosen)
