"""Exports a run and calls each export: python examples/call_exports.py RUN OUTPUT [FORMAT ...]"""

import json
import sys
from pathlib import Path

import numpy as np

from rectloc_tf.errors import UserError
from rectloc_tf.export import check_format
from rectloc_tf.registry import FORMATS
from rectloc_tf.results.rundir import RunFolder
from rectloc_tf.serving.exporting import export_checked, open_served


def call(name: str, folder: Path, images: np.ndarray) -> np.ndarray:
    """Points [N, keypoints, (x, y)] in images, uint8 [N, H, W, C]; needs no rectloc_tf."""
    if name == "onnx":
        from onnxruntime import InferenceSession

        return InferenceSession(folder / "model.onnx").run(["points_xy"], {"images": images})[0]
    if name == "litert":
        from ai_edge_litert.interpreter import Interpreter

        network = Interpreter(str(folder / "model.tflite")).get_signature_runner()
        return network(images=images)["points_xy"]
    if name == "openvino":
        from openvino import Core

        exact = {"INFERENCE_PRECISION_HINT": "f32"}  # not bfloat16, where the processor has it
        return Core().compile_model(folder / "model.xml", "CPU", exact)([images])["points_xy"]
    from tensorflow import saved_model

    network = saved_model.load(folder)
    return network.signatures["serving_default"](images=images)["points_xy"].numpy()


def main(run: Path, output: Path, formats: list[str]) -> None:
    """Prints the points that each format predicts, and how far they are from the first one's."""
    first, folder = None, RunFolder(run)
    served, source = open_served(folder, folder.run_config())  # the network, and test images
    for name in formats:
        try:
            check_format(name, "none")
            version = export_checked(served, source, output / name, name).folder
        except UserError as error:
            print(error)  # if a package is missing: how to install it
            continue
        about = json.loads((version / "metadata.json").read_text())  # names, sizes, units, ...
        shape = (1, about["image_size"], 200, about["channels"])  # any height and width
        points = call(name, version, np.random.default_rng(0).integers(0, 256, shape, np.uint8))[0]
        first = points if first is None else first
        for keypoint, (x, y) in zip(about["keypoints"], points, strict=True):
            print(f"{name} {keypoint}: x={x:.3f} y={y:.3f}")  # in the image's own pixels
        print(f"{name}: at most {np.abs(points - first).max():.6f} px from the first")


if __name__ == "__main__":
    if len(sys.argv) < 3 or not {*sys.argv[3:]} <= {*FORMATS}:
        sys.exit(f"{__doc__}\nformats: {', '.join(FORMATS)}; all of them by default")
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or [*FORMATS])
    except UserError as error:
        sys.exit(f"error: {error}")
