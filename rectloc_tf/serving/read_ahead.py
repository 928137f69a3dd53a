"""Frames decoded in a thread, while the network answers those before them. No TensorFlow."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

import numpy as np

BATCH_SIZE = 32
MAX_BATCH_PIXELS = 16_000_000

T = TypeVar("T")
Batch = tuple[list[int], np.ndarray]


def read_batches(
    frames: Iterator[tuple[int, np.ndarray]],
    size: int = BATCH_SIZE,
    max_pixels: int = MAX_BATCH_PIXELS,
) -> Generator[Batch, None, None]:
    """Puts frames together: their numbers and uint8 [N, H, W, 3].

    A batch has at most `size` frames of one shape, fewer where they are large.
    """
    numbers: list[int] = []
    images: list[np.ndarray] = []
    for number, image in frames:
        pixels = image.shape[0] * image.shape[1]
        is_full = len(images) == size or (len(images) + 1) * pixels > max_pixels
        if images and (is_full or image.shape != images[0].shape):
            yield numbers, np.stack(images)
            numbers, images = [], []
        numbers.append(number)
        images.append(image)
    if images:
        yield numbers, np.stack(images)


def read_ahead(items: Generator[T, None, None], most: int) -> Generator[T, None, None]:
    """Yields `items`, which a thread makes while the caller is at work on those before.

    Args:
        items: a generator; closed in the end, also if the caller leaves before.
        most: how many may be there at once, that of the caller included.
    """
    free, ready = threading.Semaphore(most), queue.SimpleQueue()
    left = threading.Event()

    def work() -> None:
        try:
            while free.acquire() and not left.is_set():
                ready.put((next(items), None))
        except BaseException as error:  # the end, too; the caller raises it
            ready.put((None, error))
        finally:
            items.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
            del item
            free.release()
    finally:
        left.set()
        free.release()
        thread.join()
