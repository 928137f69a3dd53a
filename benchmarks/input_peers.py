"""What a user might draw the scenes with instead: peers of the input pipeline.

A worker for `rectloc_tf.benchmarking.turns`. All make the same outputs: images
uint8 [B, S, S, 1] (or float32), and coordinates float32 [B, 2] or maps float32 [B, S, S, 1].
Scenes are drawn from NumPy's generator: what counts here is the drawing.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cv2
import numpy as np

from rectloc_tf.benchmarking.turns import Measurement, serve
from rectloc_tf.benchmarking.workers import rate_of

RADIUS, SIGMA = 7, 5.0


def target_shape(task: dict[str, Any]) -> tuple[int, ...]:
    """The shape of one example's target."""
    size = task["image_size"]
    return {"xy": (2,), "deconv": (size, size, 1)}[task["arch"]]


def draw(rng: np.random.Generator, task: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """One scene, the way the original study draws it: OpenCV, picture by picture."""
    size, scale = task["image_size"], task["image_size"] / 224
    image = np.zeros((size, size, 1), np.dtype(task["dtype"]))
    sides = rng.integers(round(10 * scale), round(112 * scale) + 1, (task["domain"], 2))
    corners = rng.integers(0, size - sides + 1)
    for (x, y), (width, height) in zip(corners.tolist(), sides.tolist(), strict=True):
        cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), 255, 1)
    largest = sides.prod(axis=1).argmax()
    center = corners[largest] + sides[largest] / 2
    if len(target_shape(task)) == 1:
        return image, (center / scale).astype(np.float32)
    heatmap = np.zeros((size, size, 1), np.float32)
    if task["target"] == "disc":
        cv2.circle(heatmap, center.astype(int).tolist(), round(RADIUS * scale), 255, -1)
    else:
        cells, spread = np.arange(size) + 0.5, -2 * (SIGMA * scale) ** 2
        x, y = (np.exp((cells - c) ** 2 / spread) for c in center)
        np.multiply(255 * y[:, None], x, out=heatmap[..., 0], casting="same_kind")
    return image, heatmap


def opencv_loop(task: dict[str, Any]) -> Iterator[Any]:
    """A plain loop, and `np.stack`."""
    rng = np.random.default_rng(0)
    while True:
        scenes = [draw(rng, task) for _ in range(task["batch_size"])]
        yield tuple(np.stack(arrays) for arrays in zip(*scenes, strict=True))


def torch_loader(task: dict[str, Any]) -> Iterable[Any]:
    """A PyTorch `Dataset` that draws with OpenCV, behind a `DataLoader`."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    class Scenes(Dataset):
        def __len__(self):
            return 10_000_000

        def __getitem__(self, index):
            image, target = draw(np.random.default_rng(index), task)
            return torch.from_numpy(image), torch.from_numpy(target)

    workers = task["workers"]
    return DataLoader(Scenes(), batch_size=task["batch_size"], num_workers=workers)


def memset_rate(task: dict[str, Any]) -> Measurement:
    """The limit: writing as many bytes, from as many threads as the machine has cores (two).

    A pipeline has batches in flight, which lie in memory while the next ones are written: here
    `in_flight` of them a thread. With one, the same bytes are overwritten inside the cache.
    """
    size, batch, in_flight = task["image_size"], task["batch_size"], task["in_flight"]
    counts, began = [0, 0], time.perf_counter()

    def write(thread: int) -> None:
        buffers = [
            (
                np.empty((batch, size, size, 1), np.dtype(task["dtype"])),
                np.empty((batch, *target_shape(task)), np.float32),
            )
            for _ in range(in_flight)
        ]
        while time.perf_counter() - began < 1:
            image, target = buffers[counts[thread] % in_flight]
            image.fill(counts[thread] % 255)
            target.fill(0)
            counts[thread] += 1

    threads = [threading.Thread(target=write, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"rate": sum(counts) * batch / (time.perf_counter() - began)}


def prepare(task: dict[str, Any]) -> Callable[[], Measurement]:
    """Makes and warms up the peer that the task names."""
    cv2.setNumThreads(1)
    if task["peer"] == "memset":
        return lambda: memset_rate(task)
    batches = iter({"opencv_loop": opencv_loop, "torch": torch_loader}[task["peer"]](task))
    rate_of(batches, task["batch_size"])
    return lambda: rate_of(batches, task["batch_size"])


if __name__ == "__main__":
    serve(prepare)
