"""LiteRT, formerly TensorFlow Lite, for telephones and small computers."""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rectloc_tf.serving.formats.format import BACKBONE, Format

FILE = "model.tflite"
METADATA = "rectloc_tf"  # the name under which a file has ours, as JSON


class LiteRt(Format):
    """One file; pictures of any size, any number at once."""

    def write(
        self, served, folder, metadata, quantize="none", calibration=(), convolutions=BACKBONE
    ):
        """By TensorFlow; int8 by AI Edge Quantizer. float16 is how weights are kept."""
        import tensorflow as tf

        with tempfile.TemporaryDirectory() as saved:
            served.save_points(saved)
            converter = tf.lite.TFLiteConverter.from_saved_model(saved)
            if quantize == "float16":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
                converter.target_spec.supported_types = [tf.float16]
            data = converter.convert()
        if quantize == "int8":
            data = _quantize(data, calibration, convolutions)
        (folder / FILE).write_bytes(_with_metadata(data, metadata))

    def load(self, folder):
        """On all cores. The interpreter has no empty batches; the answer to one is known."""
        from ai_edge_litert.interpreter import Interpreter

        file, threads = str(folder / FILE), os.cpu_count()
        runner = Interpreter(model_path=file, num_threads=threads).get_signature_runner()
        details = runner.get_output_details()

        def answer(images):
            if len(images):
                return runner(images=images)
            return {
                name: np.zeros([0, *detail["shape_signature"][1:]], np.float32)
                for name, detail in details.items()
            }

        return answer


def _quantize(data: bytes, calibration: Iterable[np.ndarray], convolutions: str) -> bytes:
    """Some convolutions in 8 bits, by ranges seen on calibration images.

    TensorFlow's own int8 has everything in 8 bits, coordinates too, and its calibrator crashes on
    pictures of any size.
    """
    from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(convolutions, qtyping.TFLOperationName.CONV_2D, 8, 8)
    # Whole ranges: those of its default, moving averages, cut off what is bright in few images.
    ranges = calibrator.Calibrator(data, qsv_update_func=min_max_update)
    images = [{"images": image[None]} for image in calibration]
    ranges.calibrate({"serving_default": images}, recipe)
    chosen = quantizer.Quantizer(data, recipe.get_quantization_recipe())
    return chosen.quantize(ranges.get_model_qsvs()).quantized_model


def _with_metadata(data: bytes, metadata: Mapping[str, Any]) -> bytes:
    """A model with its metadata as a buffer of the file."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model: Any = flatbuffer_utils.read_model_from_bytearray(bytearray(data))
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(json.dumps(metadata).encode())
    entry.name, entry.buffer = METADATA, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
