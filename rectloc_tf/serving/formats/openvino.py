"""OpenVINO, for Intel's processors, graphics and others."""

import tempfile
from pathlib import Path

from rectloc_tf.serving.formats.format import BACKBONE, Format, as_texts, is_in_backbone
from rectloc_tf.serving.formats.onnx import FILE as ONNX_FILE
from rectloc_tf.serving.formats.onnx import Onnx

FILE = "model.xml"


class OpenVino(Format):
    """`model.xml` and `model.bin`; pictures of any size, any number at once."""

    def write(
        self, served, folder, metadata, quantize="none", calibration=(), convolutions=BACKBONE
    ):
        """By OpenVINO itself; int8 from ONNX by NNCF. float16 is how weights are kept."""
        import openvino

        if quantize == "int8":
            model = _quantize(served, calibration, convolutions)
        else:
            model = openvino.convert_model(served.answer_points().get_concrete_function())
        for name, text in as_texts(metadata).items():
            model.set_rt_info(text, ["rectloc_tf", name])
        openvino.save_model(model, str(folder / FILE), compress_to_fp16=quantize == "float16")

    def load(self, folder):
        """On the processor, in float32 where that could compute in less."""
        import openvino

        options = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(str(folder / FILE), "CPU", options)

        def answer(images):
            found = compiled([images])
            return {output.any_name: value.copy() for output, value in found.items()}

        return answer


def _quantize(served, calibration, convolutions):
    """Some convolutions in 8 bits, by ranges seen on calibration images.

    OpenVINO forgets the names of TensorFlow's convolutions, but not those of ONNX's.
    """
    import nncf
    import openvino
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    with tempfile.TemporaryDirectory() as folder:
        Onnx().write(served, Path(folder), {})
        model = openvino.convert_model(str(Path(folder, ONNX_FILE)))
    kinds = {node.get_friendly_name(): node.get_type_name() for node in model.get_ops()}
    others = [
        name
        for name, kind in kinds.items()
        if kind != "Convolution" or not is_in_backbone(f"{name}/", convolutions)
    ]
    # Whole ranges: those of its default, means over images, cut off what is bright in few of them.
    ranges = nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
    )
    images = [image[None] for image in calibration]
    return nncf.quantize(
        model,
        nncf.Dataset(images),
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(names=others, validate=False),
        advanced_parameters=ranges,
    )
