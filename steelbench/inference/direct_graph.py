"""OpenVINO's graph straight from an inspected model file, without TensorFlow and Keras, of layers in `KINDS`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from steelbench.inference.direct_layers import KINDS, Call, Tensors, UnsupportedError, before_activation
from steelbench.models.h5_file import ModelFile
from steelbench.models.layer_rules import output_shape
from steelbench.models.network_graph import Graph, Node, Ref
from steelbench.models.probe import Lengths

if TYPE_CHECKING:
    from types import ModuleType


def build_graph(graph: Graph, file: ModelFile) -> tuple[Any, Lengths]:
    """Build a network as `network_outputs.joined_outputs` joins its outputs, for images of the size that it resizes to.

    Args:
        graph: of a file that `safe_load.checked_file` has checked, for raw pixels.
        file: open.

    Returns:
        OpenVINO's model from float32 [B, S, S, 3] to [B, C + E + C], and the lengths.

    Raises:
        UnsupportedError: for a network that begins otherwise than by resizing to a square, or has other layers or
            settings than those of `KINDS`.
        ModelFileError: if a weight is no finite number.
    """
    # As in `features.engines.openvino_graph`: its reports fork this process.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino
    import openvino.opset13 as ops

    first, size = _resizing(graph)
    images = ops.parameter([-1, size, size, 3], np.float32, name="image")
    channels_first = ops.transpose(images, ops.constant(np.array([0, 3, 1, 2])))
    tensors: dict[Ref, Tensors] = {first: Tensors(channels_first, (size, size, 3))}
    last: Call | None = None
    for ref, refs in graph.calls:
        if ref == first:
            continue
        if any(source not in tensors for source in refs):
            raise UnsupportedError("a layer that does not get the resized image")
        call = _call(ops, graph.nodes[ref[0]], [tensors[source] for source in refs], file)
        tensors[ref] = Tensors(KINDS[graph.nodes[ref[0]].kind](call), call.shape)
        last = call if ref == graph.output else last
    if last is None or len(last.shape) != 1:
        raise UnsupportedError("a network without a vector of answers")
    (classes,) = last.shape
    embedding = _embedding(graph, tensors)
    by_softmax = graph.nodes[graph.output[0]].kind == "Dense" and last.options.get("activation") == "softmax"
    parts = [tensors[graph.output].tensor, *([embedding.tensor] if embedding else [])]
    parts += [before_activation(last)] if by_softmax else []
    joined = ops.concat(parts, 1) if len(parts) > 1 else parts[0]
    lengths = Lengths(classes, embedding.shape[0] if embedding else 0, classes if by_softmax else 0, size)
    return openvino.Model([joined], [images], "network"), lengths


def _resizing(graph: Graph) -> tuple[Ref, int]:
    """Return the call of the layer that resizes images before anything else sees them, and the side that it makes."""
    users = [call for call, refs in graph.calls if (graph.source, 0) in refs]
    node = graph.nodes[users[0][0]] if len(users) == 1 else None
    if node is None or node.kind != "Resizing" or graph.input_shape != (None, None, 3):
        raise UnsupportedError("a network that does not begin by resizing")
    options = node.options
    plain = options.get("interpolation", "bilinear") == "bilinear" and not (
        options.get("crop_to_aspect_ratio") or options.get("antialias")
    )
    if not plain or options["height"] != options["width"] or node.dtype != "float32":
        raise UnsupportedError("images that are resized in another way")
    return users[0], options["height"]


def _call(ops: ModuleType, node: Node, inputs: Sequence[Tensors], file: ModelFile) -> Call:
    if node.kind not in KINDS or node.dtype != "float32":
        raise UnsupportedError(f"a layer {node.kind} of {node.dtype}")
    shape, wanted = output_shape(node.kind, node.name, node.options, [own.shape for own in inputs])
    weights = file.arrays(node.name)
    if [array.shape for array in weights] != wanted:
        raise UnsupportedError("weights in another order")
    return Call(ops, node.options, inputs, shape, weights)


def _embedding(graph: Graph, tensors: Mapping[Ref, Tensors]) -> Tensors | None:
    """Return the output of the layer `embedding`, if the answers come from it and it is one vector."""
    calls = [ref for ref, _ in graph.calls if ref[0] == "embedding"]
    if len(calls) > 1:
        raise UnsupportedError("an embedding that is computed several times")
    if not calls or calls[0] not in _ancestors(graph) or len(tensors[calls[0]].shape) != 1:
        return None
    return tensors[calls[0]]


def _ancestors(graph: Graph) -> set[Ref]:
    """Return the calls that the network's output comes from."""
    made_of, found, waiting = dict(graph.calls), set[Ref](), [graph.output]
    while waiting:
        ref = waiting.pop()
        if ref not in found and ref in made_of:
            found.add(ref)
            waiting += made_of[ref]
    return found
