"""Plain definitions, slow and in NumPy, that tests hold the graph versions to."""

import numpy as np

from rectloc_tf.config import HeadConfig
from rectloc_tf.geometry import cell_centers, frame_to_working
from rectloc_tf.registry import NAMED, RANKED


def heatmap_targets_numpy(
    points: np.ndarray, present: np.ndarray, size: int, config: HeadConfig, kind: str = RANKED
) -> np.ndarray:
    """What `heads.deconv` defines as targets, one picture and one point at a time.

    Args:
        points: [B, N, 2] in working pixels.
        present: bool [B, N].
        size: working size S.
        config: the shape of the blobs.
        kind: of the points, see `config.Keypoints`.

    Returns:
        float32 [B, S, S, M], M = N for named points, else 1.
    """
    count = points.shape[1]
    maps = np.zeros([len(points), size, size, count if kind == NAMED else 1], np.float32)
    for heatmap, places, labels in zip(maps, points.astype(np.float64), present, strict=True):
        for n in range(count):
            peak = np.float32(255 * (count - n) / count if kind == RANKED else 255)
            channel = heatmap[..., n if kind == NAMED else 0]
            if labels[n]:
                np.maximum(channel, peak * _blob(places[n], size, config), out=channel)
    return maps


def undecided_cells(
    points: np.ndarray, size: int, config: HeadConfig, slack: float = 1e-4
) -> np.ndarray:
    """Cells so near a blob's edge that rounding decides whether they are lit: bool [B, S, S]."""
    reach = frame_to_working(_length(config), size)
    cells = cell_centers(size).astype(np.float64)
    dx = np.abs(cells - points[..., 0, None])[..., None, :]  # [B, N, 1, S]
    dy = np.abs(cells - points[..., 1, None])[..., :, None]
    if config.target == "disc":
        undecided = np.abs(np.hypot(dx, dy) - reach) < slack
    else:
        undecided = (np.abs(dx - reach) < slack) | (np.abs(dy - reach) < slack)
    return undecided.any(axis=1)


def _blob(point: np.ndarray, size: int, config: HeadConfig) -> np.ndarray:
    """A blob of height 1 around a point [2]: [S, S]."""
    x = cell_centers(size)
    dx2, dy2 = (x - point[0]) ** 2, (x[:, None] - point[1]) ** 2
    # In float32, so that a cell on the very edge of a blob counts alike in both versions.
    reach2 = float(np.float32(frame_to_working(_length(config), size) ** 2))
    if config.target == "disc":
        return dx2 + dy2 <= reach2
    sigma = frame_to_working(config.sigma, size)
    return np.exp(-(dx2 + dy2) / (2 * sigma**2)) * ((dx2 <= reach2) & (dy2 <= reach2))


def _length(config: HeadConfig) -> float:
    """How far a blob reaches, px of 224: a disc to its radius, a Gaussian to 4 sigma."""
    return config.radius if config.target == "disc" else 4 * config.sigma
