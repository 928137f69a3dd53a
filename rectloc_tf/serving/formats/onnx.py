"""ONNX, for ONNX Runtime and what else reads it."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from rectloc_tf.serving.formats.format import BACKBONE, Format, as_texts, is_in_backbone

FILE = "model.onnx"
_OPSET = 18
_SMALL = 1024  # constants of fewer numbers stay float32: they cost nothing, and place points


class Onnx(Format):
    """One file; pictures of any size, any number at once."""

    def write(
        self, served, folder, metadata, quantize="none", calibration=(), convolutions=BACKBONE
    ):
        """By tf2onnx; int8 by ONNX Runtime. float16 is how weights are kept, not computed with."""
        import onnx
        import tf2onnx

        function = served.answer_points()
        names = sorted(function.get_concrete_function().structured_outputs)
        model, _ = tf2onnx.convert.from_function(
            function, input_signature=function.input_signature, opset=_OPSET
        )
        _name_outputs(model, names)
        if quantize == "int8":
            model = _quantize(model, calibration, convolutions)
        if quantize == "float16":
            _halve(model)
        onnx.helper.set_model_props(model, as_texts(metadata))
        onnx.save(model, str(folder / FILE))

    def load(self, folder):
        """On the processor."""
        import onnxruntime

        session = onnxruntime.InferenceSession(
            str(folder / FILE), providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]

        def answer(images):
            return dict(zip(names, session.run(None, {"images": images}), strict=True))

        return answer


def _name_outputs(model, names: list[str]) -> None:
    """Gives the outputs, which come in the order of their names, those names."""
    from onnx import helper

    for output, name in zip(model.graph.output, names, strict=True):
        if output.name != name:
            model.graph.node.append(helper.make_node("Identity", [output.name], [name]))
            output.name = name


def _halve(model) -> None:
    """Keeps large constants as float16; runtimes cast them back once, when they load them."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for constant in model.graph.initializer:
        if constant.data_type != TensorProto.FLOAT or np.prod(constant.dims) < _SMALL:
            continue
        half = numpy_helper.to_array(constant).astype(np.float16)
        name = f"{constant.name}_float16"
        casts.append(helper.make_node("Cast", [name], [constant.name], to=TensorProto.FLOAT))
        constant.CopyFrom(numpy_helper.from_array(half, name))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _quantize(model, calibration: Iterable[np.ndarray], convolutions: str):
    """Some convolutions in 8 bits, by ranges seen on calibration images."""
    import onnx
    from onnxruntime import quantization

    batches = iter([{"images": image[None]} for image in calibration])

    class Images(quantization.CalibrationDataReader):
        def get_next(self):
            return next(batches, None)

    chosen = [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and is_in_backbone(f"{node.name}/", convolutions)
    ]
    with tempfile.TemporaryDirectory() as folder:
        whole, quantized = (str(Path(folder, name)) for name in ("whole.onnx", "int8.onnx"))
        onnx.save(model, whole)
        quantization.quantize_static(
            whole, quantized, Images(), nodes_to_quantize=chosen, op_types_to_quantize=["Conv"],
            quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            # Processors without VNNI add products of 8 bits in 16 bits, which overflow.
            reduce_range=True,
        )  # fmt: skip
        return onnx.load(quantized)
