"""ONNX: written by tf2onnx from the frozen network, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steelbench.inference.exports.contract import INPUT, KEY, OUTPUT
from steelbench.inference.exports.formats import FORMATS, Compute, Source

# Read by every ONNX Runtime since 1.12, of 2022.
OPSET = 17
AXES = ("batch", "height", "width")


def write(source: Source, contract: str, folder: Path) -> None:
    """Write `model.onnx`, with the contract in its `metadata_props`."""
    import onnx
    from tf2onnx.convert import from_graph_def

    frozen = source.frozen
    inner, outer = frozen.inputs[0].name, frozen.outputs[0].name
    model, _ = from_graph_def(
        frozen.graph.as_graph_def(),
        name="steelbench",
        input_names=[inner],
        output_names=[outer],
        opset=OPSET,
        tensors_to_rename={inner: INPUT, outer: OUTPUT},
    )
    _name_axes(model)
    onnx.helper.set_model_props(model, {KEY: contract})
    onnx.checker.check_model(model)
    onnx.save(model, folder / FORMATS["onnx"].file)


def _name_axes(model: Any) -> None:
    """Give the open sizes of the tensors names in place of the converter's numbers."""
    for tensor in (*model.graph.input, *model.graph.output):
        for axis, name in zip(tensor.type.tensor_type.shape.dim, AXES, strict=False):
            if not axis.HasField("dim_value"):
                axis.dim_param = name


def open_network(folder: Path) -> tuple[Compute, str]:
    """Load `model.onnx` in ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / FORMATS["onnx"].file, providers=["CPUExecutionProvider"])
    names = [tensor.name for tensor in session.get_inputs()]
    if names != [INPUT]:
        raise ValueError(f"the file asks for the inputs {', '.join(names)} in place of {INPUT} alone")

    def compute(images: Any) -> Any:
        return session.run([OUTPUT], {INPUT: images})[0]

    return compute, session.get_modelmeta().custom_metadata_map[KEY]
