"""The formats of `steelbench export`, one row of `FORMATS` each, and what a module of a format offers."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

from steelbench.arrays import Features, ImageBatch
from steelbench.errors import SteelbenchError, choose
from steelbench.inference.exports.contract import INPUT, OUTPUT

# Maps a batch float32 [B, H, W, 3], RGB, 0..255, to probabilities float32 [B, C].
Compute = Callable[[ImageBatch], Features]


class Source:
    """A network on its way out.

    Attributes:
        network: the `keras.Model`, from raw pixels to probabilities.
        own_resizing: whether each runtime resizes in its own way, which is not exactly Keras's.
    """

    def __init__(self, network: Any, *, own_resizing: bool = False) -> None:
        self.network, self.own_resizing = network, own_resizing

    @cached_property
    def function(self) -> Any:
        """The network as a TensorFlow function for any batch, height and width, in inference mode.

        Converters that are given the Keras model itself may trace BatchNorm in training mode.
        """
        import tensorflow as tf

        from steelbench.inference.exports.resizing import in_inference_mode

        network = in_inference_mode(self.network, own_resizing=self.own_resizing)
        signature = [tf.TensorSpec((None, None, None, 3), "float32", name=INPUT)]

        def compute(image: Any) -> Any:
            return {OUTPUT: network(image)}

        traced = tf.function(compute, input_signature=signature, autograph=False, jit_compile=False)
        return traced.get_concrete_function()

    @cached_property
    def frozen(self) -> Any:
        """The function with its weights as constants.

        Also the mean and the deviation of `keras.layers.Normalization`, which converters otherwise turn into two more
        inputs of the exported network, without a word.
        """
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        return convert_variables_to_constants_v2(self.function)


class FormatModule(Protocol):
    """What the module of a format offers."""

    def write(self, source: Source, contract: str, folder: Path) -> None:
        """Write the network and the contract into a folder."""

    def open_network(self, folder: Path) -> tuple[Compute, str]:
        """Load what `write` wrote in the format's own runtime; return what computes, and the contract found inside."""


@dataclass(frozen=True)
class Format:
    """A row of `FORMATS`.

    Attributes:
        file: what is written, a file or a folder.
        packages: those that writing and checking need.
        extra: of steelbench, which installs them; "" where steelbench needs them itself.
        module: of the package, a `FormatModule`. A text, so that the table can be read without TensorFlow.
    """

    file: str
    packages: tuple[str, ...]
    extra: str
    module: str

    @property
    def missing(self) -> list[str]:
        """Return the packages that are not installed."""
        return [name for name in self.packages if importlib.util.find_spec(name) is None]

    def load(self) -> FormatModule:
        """Import the module."""
        return cast(FormatModule, importlib.import_module(self.module))


HERE = "steelbench.inference.exports"
FORMATS = {
    "onnx": Format("model.onnx", ("onnx", "tf2onnx", "onnxruntime"), "onnx", f"{HERE}.onnx_file"),
    "openvino": Format("model.xml", ("openvino",), "fast", f"{HERE}.openvino_file"),
    "litert": Format("model.tflite", ("ai_edge_litert",), "litert", f"{HERE}.litert_file"),
    "savedmodel": Format("model", (), "", f"{HERE}.saved_model_folder"),
    "keras": Format("model.keras", (), "", f"{HERE}.keras_file"),
}
# Written beside `openvino` where calibration images are given.
INT8 = Format("model.xml", ("openvino", "nncf"), "int8", f"{HERE}.openvino_file")


def choose_formats(text: str) -> dict[str, Format]:
    """Return the rows that a list separated by commas names.

    Raises:
        SteelbenchError: for an unknown or missing name, or packages that are not installed.
    """
    names = [choose("format", name.strip(), FORMATS) for name in text.split(",")]
    chosen = {name: FORMATS[name] for name in names}
    require({f"--to {name}": row for name, row in chosen.items()}.items())
    return chosen


def require(asked: Sequence[tuple[str, Format]] | Any) -> None:
    """Raise a SteelbenchError where what was asked for needs packages that are not installed, all in one sentence."""
    lacking = [(what, row) for what, row in asked if row.missing]
    if not lacking:
        return
    told = "; ".join(f"{what} needs {', '.join(row.missing)}" for what, row in lacking)
    extras = ",".join(sorted({row.extra for _, row in lacking}))
    raise SteelbenchError(f"{told}, which is not installed; pip install 'steelbench[{extras}]'.")
