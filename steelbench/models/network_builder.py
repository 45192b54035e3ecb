"""Build a Keras network from the graph of a file, layer by layer, and fill it with the file's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from steelbench.models.h5_file import ModelFile, ModelFileError
from steelbench.models.layer_rules import RULES
from steelbench.models.network_graph import Graph, Node, Ref

CAFFE_MEAN_RGB = (123.68, 116.779, 103.939)
IMAGE = "image"


@dataclass(frozen=True)
class Pixels:
    """What goes before a network whose file does not prepare images itself.

    Attributes:
        contract: a value of `model_card.PIXELS`: raw pixels as they are; divided by 255; divided by 127.5, less 1; BGR,
            less ImageNet's mean.
        size: height and width that the network takes; None for any.
    """

    contract: str = "0..255"
    size: tuple[int, int] | None = None

    def prepare(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Return what the network gets, of raw images float32 [B, H, W, 3], by built-in layers only."""
        x = images
        if self.size is not None:
            x = layers.Resizing(*self.size, name="input_resizing")(x)
        if self.contract == "0..1":
            return layers.Rescaling(1 / 255, name="input_pixels")(x)
        if self.contract == "-1..1":
            return layers.Rescaling(1 / 127.5, offset=-1.0, name="input_pixels")(x)
        if self.contract == "caffe":
            # No layer of Keras's reverses channels; a kernel of zeros and ones does so exactly.
            swap = layers.Conv2D(3, 1, name="input_pixels")
            x = swap(x)
            swap.set_weights(
                [np.eye(3, dtype=np.float32)[None, None, :, ::-1], -np.array(CAFFE_MEAN_RGB[::-1], np.float32)]
            )
        return x


def build(graph: Graph, file: ModelFile, pixels: Pixels) -> keras.Model:
    """Build the network of a file whose sizes have been checked, with its weights.

    Args:
        graph: of the file.
        file: open.
        pixels: what goes before it.

    Returns:
        From float32 [B, H, W, 3] (RGB, 0..255, any H and W) to float32 [B, C]; flat but for networks inside.

    Raises:
        ModelFileError: if a weight is no finite number, or of another shape than its layer's.
    """
    name = graph.source or IMAGE
    images = keras.Input((None, None, 3), name=name)
    output = _connect(graph, pixels.prepare(images))
    network = keras.Model(images, output, name=graph.name)
    for layer in network.layers:
        if layer.name in graph.nodes:
            _fill(layer, file.arrays(layer.name))
    network.trainable = graph.trainable
    return network


def _connect(graph: Graph, source: keras.KerasTensor) -> keras.KerasTensor:
    """Call the layers of a graph, made anew, on a tensor; return the graph's output."""
    tensors: dict[Ref, Any] = {(graph.source, 0): source}
    made: dict[str, Any] = {}
    for (name, call), refs in graph.calls:
        inputs: Sequence[Any] = [tensors[ref] for ref in refs]
        if name not in made:
            made[name] = _layer(graph.nodes[name], inputs)
        tensors[name, call] = made[name](inputs if len(inputs) > 1 else inputs[0])
    return tensors[graph.output]


def _layer(node: Node, inputs: Sequence[Any]) -> Any:
    if node.network is not None:
        own = keras.Input(inputs[0].shape[1:])
        network = keras.Model(own, _connect(node.network, own), name=node.name)
        if not node.network.trainable:
            network.trainable = False
        return network
    kind = layers.Identity if RULES[node.kind].random else getattr(layers, node.kind)
    options = dict(node.options)
    if node.kind in ("GlobalAveragePooling2D", "GlobalMaxPooling2D"):
        options.setdefault("data_format", "channels_last")
    return kind(name=node.name, dtype=node.dtype, trainable=node.trainable, **_zeros(node), **options)


def _zeros(node: Node) -> dict[str, str]:
    """Return the settings that spare a layer the drawing of random numbers, which the file's replace."""
    if node.kind in ("Dense", "Conv2D", "Conv2DTranspose"):
        return {"kernel_initializer": "zeros"}
    if node.kind in ("DepthwiseConv2D", "SeparableConv2D"):
        more = {"pointwise_initializer": "zeros"} if node.kind == "SeparableConv2D" else {}
        return {"depthwise_initializer": "zeros", **more}
    return {}


def _fill(layer: Any, arrays: Sequence[Any]) -> None:
    """Set the weights of a layer, or of a network inside: those that learn first, as Keras writes them."""
    variables = [*layer.trainable_weights, *layer.non_trainable_weights]
    if [tuple(variable.shape) for variable in variables] != [array.shape for array in arrays]:
        raise ModelFileError(f"holds the weights of its layer {layer.name} in another order than its layers need")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    for part in layer.layers if isinstance(layer, keras.Model) else [layer]:
        if isinstance(part, layers.Normalization):
            # It computes with values that it derives from its weights only when it is finalised.
            part.finalize_state()
