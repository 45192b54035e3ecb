"""What a network costs by the shapes of its layers: multiply-adds and memory of one image."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import layers

FLOAT32_BYTES = 4


def multiply_adds(model: keras.Model) -> int | None:
    """Return how often a model multiplies and adds for one image, in convolutions and dense layers.

    As publications count: normalisation, activations, additions and biases are left out.

    Args:
        model: with the sizes of its images fixed, such as that of `before_pooling`.

    Returns:
        None if a layer of another kind has a matrix of weights, or a size is not fixed.
    """
    counts = [_layer_multiply_adds(layer) for layer in model.layers]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _layer_multiply_adds(layer: keras.Layer) -> int | None:
    if isinstance(layer, layers.InputLayer) or not any(len(weight.shape) >= 2 for weight in layer.weights):
        return 0
    places = _places(layer)
    if places is None:
        return None
    if isinstance(layer, layers.SeparableConv2D):
        return places * (math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape))
    # A depthwise convolution, one with groups and a dense layer use each weight once for each place of the output. A
    # subclass, such as a transposed convolution, counts in its own way, so the types must be these.
    if type(layer) in (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense):
        return places * math.prod(layer.kernel.shape)
    return None


def _places(layer: keras.Layer) -> int | None:
    """Return at how many places of its output a layer applies its weights; None if that depends on the image."""
    shape = layer.output.shape[1:]
    first = isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.SeparableConv2D)
    places = shape[1:] if first and layer.data_format == "channels_first" else shape[:-1]
    return None if None in places else math.prod(places)


def memory_bytes(model: keras.Model) -> int | None:
    """Return the memory of a model's weights and of the activations of one image, in float32, by its graph.

    An estimate: an activation is kept until the last layer that reads it is done, and nothing is computed in place;
    what the library itself takes, some hundred megabytes, is not in it.

    Args:
        model: with the sizes of its images fixed, such as that of `before_pooling`.

    Returns:
        None if a size is not fixed.
    """
    activations = _largest_live(model)
    return None if activations is None else FLOAT32_BYTES * (model.count_params() + activations)


def _largest_live(model: keras.Model) -> int | None:
    """Return the largest number of values that are alive at one moment; None if a size is not fixed."""
    steps = [(_tensors(step.input), _tensors(step.output)) for step in model.operations]
    last = {id(tensor): number for number, (read, _) in enumerate(steps) for tensor in read}
    sizes = {id(tensor): tensor.shape[1:] for step in steps for part in step for tensor in part}
    if any(None in shape for shape in sizes.values()):
        return None
    alive, largest = set[int](), 0
    for number, (read, made) in enumerate(steps):
        alive |= {id(tensor) for tensor in (*read, *made)}
        largest = max(largest, sum(math.prod(sizes[tensor]) for tensor in alive))
        alive = {tensor for tensor in alive if last.get(tensor, number) > number}
    return largest


def _tensors(nested: Any) -> list[keras.KerasTensor]:
    return [tensor for tensor in keras.tree.flatten(nested) if isinstance(tensor, keras.KerasTensor)]
