"""LiteRT, formerly TensorFlow Lite: built-in operations only, run by its own small runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from steelbench.inference.exports.contract import INPUT, add_member, read_member
from steelbench.inference.exports.formats import FORMATS, Compute, Source


def write(source: Source, contract: str, folder: Path) -> None:
    """Write `model.tflite`, with the contract in an archive behind the model."""
    import tensorflow as tf

    # The frozen function: from the one with variables the converter makes a file whose answers are NaN.
    converter = tf.lite.TFLiteConverter.from_concrete_functions([source.frozen])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    path = folder / FORMATS["litert"].file
    path.write_bytes(converter.convert())
    add_member(path, contract)


def open_network(folder: Path) -> tuple[Compute, str]:
    """Load `model.tflite` in the LiteRT runtime; a batch of another shape makes it lay out its memory again."""
    from ai_edge_litert.interpreter import Interpreter

    path = folder / FORMATS["litert"].file
    interpreter = Interpreter(model_path=str(path))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    if taken["name"] != INPUT:
        raise ValueError(f"the file calls its input {taken['name']} in place of {INPUT}")
    shape: tuple[int, ...] = ()

    def compute(images: Any) -> Any:
        nonlocal shape
        if images.shape != shape:
            shape = images.shape
            interpreter.resize_tensor_input(taken["index"], shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])

    return compute, read_member(path)
