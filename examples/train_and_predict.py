"""Trains a small network on drawn rectangles and lets it answer pictures, all from Python.

    python examples/train_and_predict.py OUTPUT

takes some two minutes on two cores; OUTPUT then holds the network and the pictures.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from rectloc_tf.config import RunConfig
from rectloc_tf.models import build_model, load_model, run_head
from rectloc_tf.serving.prediction import predict_files
from rectloc_tf.training.datasets import make_dataset

SIZE = 64  # of the images, in pixels


def draw_pictures(folder: Path, count: int) -> dict[Path, tuple[float, float]]:
    """Writes PNG files of one rectangle each; returns their centres (x, y) by file."""
    rng, centres = np.random.default_rng(1), {}
    for number in range(count):
        (x, y), (width, height) = rng.integers(4, 30, 2), rng.integers(8, 30, 2)
        image = np.zeros((SIZE, SIZE), np.uint8)
        cv2.rectangle(image, (int(x), int(y), int(width), int(height)), 255)
        path = folder / f"rectangle{number}.png"
        cv2.imwrite(str(path), image)
        centres[path] = (x + width / 2, y + height / 2)
    return centres


def main(output: Path, num_images: int, epochs: int) -> None:
    """Trains, saves, and answers eight pictures that are new to the network."""
    # Every setting that `python -m rectloc_tf.train --help` lists is a field of RunConfig.
    run = RunConfig(arch="deconv", image_size=SIZE, num_images=num_images, epochs=epochs,
                    batch_size=32, precision="float32")  # fmt: skip
    head = run_head(run)  # what the network answers, and how: here by a heatmap
    model = build_model(run.model, head)  # an ordinary Keras model
    model.compile(optimizer="adam", loss="mse", jit_compile=False)  # XLA is slow on a processor
    # The dataset has the batches of all epochs, already shuffled: for Keras it is one epoch.
    model.fit(make_dataset(run), shuffle=False, verbose=2)
    output.mkdir(parents=True, exist_ok=True)
    model.save(output / "model.keras")

    model, centres = load_model(output / "model.keras"), draw_pictures(output, 8)
    for answer in predict_files(model, head, [*centres], on_error=print):
        (x, y), (true_x, true_y) = answer.points[0], centres[Path(answer.name)]
        print(f"{answer.name}: answer ({x:.1f}, {y:.1f}), truth ({true_x:.1f}, {true_y:.1f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path, help="folder for the network and the pictures")
    parser.add_argument("--num_images", type=int, default=4500, help="drawn to train with")
    parser.add_argument("--epochs", type=int, default=5)
    main(**vars(parser.parse_args()))
