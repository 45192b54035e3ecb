"""Bound a network before it is built: shapes of every output and weight, from the graph alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steelbench.models.h5_file import quoted
from steelbench.models.layer_rules import NetworkError, Shape, output_shape
from steelbench.models.network_graph import Graph, Node

# Of the largest output of a layer for one image: VGG19 at 1024 pixels. A batch has up to 16 images.
MAX_OUTPUT_BYTES = 256 << 20
# Multiplications for one image: VGG19 at 1024 pixels has .41e12, some ten seconds of eight cores.
MAX_COST = 1e12
NUMBER_BYTES = 4


@dataclass
class _Bounds:
    """What a network asks for so far, and how much it may."""

    output_bytes: int
    cost: float = 0.0

    def add(self, name: str, shape: Shape, weights: Sequence[Shape]) -> None:
        """Count a call of a layer."""
        size = math.prod(shape) * NUMBER_BYTES
        if size > self.output_bytes:
            raise NetworkError(
                f"has a layer {name} whose output for one image is {'x'.join(map(str, shape))} ({size >> 20} MiB); "
                f"expected at most {self.output_bytes >> 20} MiB"
            )
        # A kernel is applied at every place of the output.
        places = math.prod(shape[:-1])
        self.cost += math.prod(shape) + places * sum(math.prod(weight) for weight in weights if len(weight) > 1)
        if self.cost > MAX_COST:
            raise NetworkError(f"multiplies more than {MAX_COST:.0e} times for one image, from its layer {name} on")


def check_sizes(
    graph: Graph, held: Mapping[str, list[tuple[int, ...]]], side: int, output_bytes: int = MAX_OUTPUT_BYTES
) -> Shape:
    """Check that a network's weights are those of the file, and that its outputs fit into memory.

    Args:
        graph: of the file.
        held: shapes of the weights that the file holds, by layer.
        side: of the images that are assumed where the network takes any, pixels.
        output_bytes: of the largest output of a layer for one image.

    Returns:
        The shape of the network's output, without the batch.

    Raises:
        NetworkError: if they do not, and for anything but one image in and one vector out.
    """
    shape, weights = _walk(graph, image_shape(graph, side), _Bounds(output_bytes))
    for name in dict.fromkeys([*weights, *held]):
        wanted, found = weights.get(name, []), list(held.get(name, []))
        if sorted(wanted) != sorted(found):
            raise NetworkError(
                f"describes a layer {quoted(name)} with weights of {_told(wanted)}, but holds {_told(found)}"
            )
    if len(shape) != 1:
        raise NetworkError(
            f"gives {'x'.join(map(str, shape))} numbers for an image; expected one vector of probabilities"
        )
    return shape


def image_shape(graph: Graph, side: int) -> Shape:
    """Return the shape [H, W, 3] that a network takes, with a side in place of any length.

    Raises:
        NetworkError: if it takes no RGB images, or does not say.
    """
    shape = graph.input_shape
    if shape is None:
        raise NetworkError(
            "holds a Sequential that was never built, without the shape of its input; save it after a fit"
        )
    if len(shape) != 3 or shape[2] != 3:
        told = "x".join("any" if length is None else str(length) for length in shape)
        raise NetworkError(f"takes {told or 'single numbers'}; expected images of height x width x 3 (RGB)")
    return tuple(length or side for length in shape)


def _walk(graph: Graph, shape: Shape, bounds: _Bounds) -> tuple[Shape, dict[str, list[Shape]]]:
    """Return the shape of a network's output, and those of the weights of each of its layers."""
    shapes = {(graph.source, 0): shape}
    weights: dict[str, list[Shape]] = {}
    for (name, call), refs in graph.calls:
        node = graph.nodes[name]
        shapes[name, call], own = _call(node, [shapes[ref] for ref in refs], bounds)
        if weights.setdefault(name, own) != own:
            raise NetworkError(f"calls its layer {name} on images of several kinds")
    if graph.output not in shapes:
        raise NetworkError(f"returns the output of {quoted(graph.output[0])}, which is not there")
    return shapes[graph.output], {name: own for name, own in weights.items() if own}


def _call(node: Node, inputs: Sequence[Shape], bounds: _Bounds) -> tuple[Shape, list[Shape]]:
    if node.network is not None:
        if len(inputs) != 1:
            raise NetworkError(f"calls its network {node.name} with {len(inputs)} inputs; expected one")
        _check_fits(node, node.network.input_shape, inputs[0])
        shape, weights = _walk(node.network, inputs[0], bounds)
        return shape, [own for layer in weights.values() for own in layer]
    shape, own = output_shape(node.kind, node.name, node.options, inputs)
    bounds.add(node.name, shape, own)
    return shape, own


def _check_fits(node: Node, wanted: Sequence[int | None] | None, found: Shape) -> None:
    if wanted is not None and (
        len(wanted) != len(found) or any(w not in (None, f) for w, f in zip(wanted, found, strict=True))
    ):
        raise NetworkError(f"calls its network {node.name} on {'x'.join(map(str, found))}, which it does not take")


def _told(shapes: Sequence[Shape]) -> str:
    return ", ".join("x".join(map(str, shape)) or "1" for shape in list(shapes)[:4]) or "none"


def last_layers(graph: Graph) -> list[Node]:
    """Return the layers before the output, the last one first, as long as each has one input; networks opened."""
    found: list[Node] = []
    ref, made_of = graph.output, dict(graph.calls)
    while ref in made_of and len(made_of[ref]) == 1:
        node = graph.nodes[ref[0]]
        found += last_layers(node.network) if node.network else [node]
        ref = made_of[ref][0]
    return found
