"""The shapes of outputs and weights of layers, from their settings and the shapes of their inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from steelbench.models.layer_settings import UnfitError

# Without the batch; every length is known.
Shape = tuple[int, ...]
Options = Mapping[str, Any]


def _window(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    if padding == "same":
        return -(-size // stride)
    return (size - (kernel - 1) * dilation - 1) // stride + 1


def image(inputs: Sequence[Shape]) -> tuple[int, int, int]:
    """Return height, width and channels of the one image that a layer takes."""
    if len(inputs) != 1 or len(inputs[0]) != 3:
        raise UnfitError("one image")
    height, width, channels = inputs[0]
    return height, width, channels


def slid(options: Options, inputs: Sequence[Shape], channels: int, key: str = "kernel_size") -> Shape:
    """Return the shape that a window makes, slid over an image."""
    height, width, _ = image(inputs)
    kernel = options.get(key, (2, 2))
    # A pooling layer steps by its window where it names no step.
    strides = options.get("strides") or ((1, 1) if key == "kernel_size" else kernel)
    dilation, padding = options.get("dilation_rate", (1, 1)), options.get("padding", "valid")
    sides = zip((height, width), kernel, strides, dilation, strict=True)
    return (*(_window(size, k, stride, padding, d) for size, k, stride, d in sides), channels)


def bias(options: Options, units: int) -> list[Shape]:
    """Return the shape of the bias, if there is one."""
    return [(units,)] if options.get("use_bias", True) else []


def transposed(options: Options, inputs: Sequence[Shape]) -> Shape:
    """Return the shape that a transposed convolution makes."""
    height, width, _ = image(inputs)
    kernel, strides = options["kernel_size"], options.get("strides", (1, 1))
    more = (
        (0, 0)
        if options.get("padding", "valid") == "same"
        else [max(k - s, 0) for k, s in zip(kernel, strides, strict=True)]
    )
    return (height * strides[0] + more[0], width * strides[1] + more[1], options["filters"])


def conv_weights(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
    """Return kernel and bias of a convolution."""
    channels = image(inputs)[2] // options.get("groups", 1)
    return [(*options["kernel_size"], channels, options["filters"]), *bias(options, options["filters"])]


def depthwise_weights(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
    """Return kernel and bias of a depthwise convolution."""
    channels, times = image(inputs)[2], options.get("depth_multiplier", 1)
    return [(*options["kernel_size"], channels, times), *bias(options, channels * times)]


def separable_weights(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
    """Return both kernels and the bias of a separable convolution."""
    channels, times = image(inputs)[2], options.get("depth_multiplier", 1)
    pointwise = (1, 1, channels * times, options["filters"])
    return [(*options["kernel_size"], channels, times), pointwise, *bias(options, options["filters"])]


def transposed_weights(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
    """Return kernel and bias of a transposed convolution."""
    return [(*options["kernel_size"], options["filters"], image(inputs)[2]), *bias(options, options["filters"])]


def norm_weights(times: int) -> Callable[[Options, Sequence[Shape]], list[Shape]]:
    """Return the weights of a normalisation: those that are learned, and as many statistics."""

    def shapes(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
        _on_last(options, inputs)
        learned = options.get("center", True) + options.get("scale", True)
        return [(inputs[0][-1],)] * (learned + times)

    return shapes


def _on_last(options: Options, inputs: Sequence[Shape]) -> None:
    if options.get("axis", -1) not in (-1, len(inputs[0])):
        raise UnfitError("the last axis")


def normalization_weights(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
    """Return mean, variance and count, which are no weights where the settings give them."""
    _on_last(options, inputs)
    if options.get("mean") is not None:
        return []
    return [(inputs[0][-1],), (inputs[0][-1],), ()]


def padded(options: Options, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of a padded image."""
    return _bordered(options.get("padding", (1, 1)), inputs, 1)


def cropped(options: Options, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of a cropped image."""
    return _bordered(options.get("cropping", (0, 0)), inputs, -1)


def _bordered(border: Any, inputs: Sequence[Shape], sign: int) -> Shape:
    height, width, channels = image(inputs)
    rows, columns = (sum(side) if isinstance(side, tuple) else 2 * side for side in border)
    return (height + sign * rows, width + sign * columns, channels)


def pooled(options: Options, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of what is left of an image over its height and width."""
    height, _, channels = image(inputs)
    if options.get("data_format", "channels_last") == "channels_first":
        return (height, 1, 1) if options.get("keepdims") else (height,)
    return (1, 1, channels) if options.get("keepdims") else (channels,)


def reshaped(options: Options, inputs: Sequence[Shape]) -> Shape:
    """Return another shape of as many numbers."""
    wanted, size = options["target_shape"], math.prod(inputs[0])
    known = math.prod(length for length in wanted if length != -1)
    if wanted.count(-1) > 1 or known <= 0 or size % known or (-1 not in wanted and known != size):
        raise UnfitError(f"a shape of {size} numbers")
    return tuple(size // known if length == -1 else length for length in wanted)


def permuted(options: Options, inputs: Sequence[Shape]) -> Shape:
    """Return the shape with its axes in another order."""
    if sorted(options["dims"]) != list(range(1, len(inputs[0]) + 1)):
        raise UnfitError("an order of the axes")
    return tuple(inputs[0][axis - 1] for axis in options["dims"])


def merged(_: Options, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of a sum or product; a length of 1 fits to any."""
    if len(inputs) < 2 or len({len(shape) for shape in inputs}) > 1:
        raise UnfitError("two or more inputs of one rank")
    for lengths in zip(*inputs, strict=True):
        if len({length for length in lengths if length != 1}) > 1:
            raise UnfitError("inputs of one shape")
    return tuple(max(lengths) for lengths in zip(*inputs, strict=True))


def joined(options: Options, inputs: Sequence[Shape]) -> Shape:
    """Return the shape of tensors laid end to end."""
    axis = options.get("axis", -1)
    axis = axis - 1 if axis > 0 else axis + len(inputs[0])
    if len({shape[:axis] + shape[axis + 1 :] for shape in inputs}) != 1 or not 0 <= axis < len(inputs[0]):
        raise UnfitError("inputs that fit together")
    return (*inputs[0][:axis], sum(shape[axis] for shape in inputs), *inputs[0][axis + 1 :])
