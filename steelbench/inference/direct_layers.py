"""The layers that are built for OpenVINO without Keras, a function for each kind in `KINDS`, as Keras computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from steelbench.models.layer_rules import RULES
from steelbench.models.layer_shapes import Shape

if TYPE_CHECKING:
    from types import ModuleType

# A tensor of OpenVINO. Images are [B, C, H, W] here, and [B, H, W, C] in Keras; everything else lies as in Keras.
Tensor = Any


class UnsupportedError(Exception):
    """A network that is not built here; Keras builds it."""


@dataclass(frozen=True)
class Tensors:
    """A tensor with its shape in Keras, without the batch."""

    tensor: Tensor
    shape: Shape


@dataclass(frozen=True)
class Call:
    """A call of a layer.

    Attributes:
        ops: OpenVINO's operations.
        options: settings of the layer, as `layer_rules` checked them.
        inputs: tensors that it takes.
        shape: of its output in Keras, without the batch.
        weights: of the layer, in the order of the file.
    """

    ops: ModuleType
    options: Mapping[str, Any]
    inputs: Sequence[Tensors]
    shape: Shape
    weights: Sequence[NDArray[np.float32]]

    @property
    def x(self) -> Tensor:
        """The first input."""
        return self.inputs[0].tensor

    @property
    def rank(self) -> int:
        """Axes of the first input, the batch among them."""
        return len(self.inputs[0].shape) + 1

    def constant(self, values: Any) -> Tensor:
        """Return numbers as a float32 constant."""
        return self.ops.constant(np.array(values, np.float32, order="C"))

    def by_channel(self, values: Any) -> Tensor:
        """Return one number, or one for each channel, as a constant that fits to the first input."""
        array = np.asarray(values, np.float32)
        if array.size not in (1, self.inputs[0].shape[-1]):
            raise UnsupportedError("numbers for other channels")
        return self.constant(array.reshape(-1, 1, 1) if self.rank == 4 and array.size > 1 else array)

    def axis(self, number: int) -> int:
        """Return where an axis of Keras's lies here."""
        number %= self.rank
        return {0: 0, 1: 2, 2: 3, 3: 1}[number] if self.rank == 4 else number


def _conv(call: Call) -> Tensor:
    return _activated(call, _with_bias(call, _convolved(call, call.weights[0], call.options.get("groups", 1)), 1))


def _depthwise(call: Call) -> Tensor:
    return _activated(call, _with_bias(call, _convolved_by_channel(call, call.weights[0]), 1))


def _separable(call: Call) -> Tensor:
    middle = _convolved_by_channel(call, call.weights[0])
    pointwise = call.constant(call.weights[1].transpose(3, 2, 0, 1))
    x = call.ops.convolution(middle, pointwise, [1, 1], [0, 0], [0, 0], [1, 1])
    return _activated(call, _with_bias(call, x, 2))


def _convolved(call: Call, kernel: NDArray[np.float32], groups: int) -> Tensor:
    """Return the first input convolved with a kernel [h, w, C / groups, F]."""
    height, width, inner, outer = kernel.shape
    if groups == 1:
        return call.ops.convolution(call.x, call.constant(kernel.transpose(3, 2, 0, 1)), **_sliding(call))
    apart = kernel.reshape(height, width, inner, groups, outer // groups).transpose(3, 4, 2, 0, 1)
    return call.ops.group_convolution(call.x, call.constant(apart), **_sliding(call))


def _convolved_by_channel(call: Call, kernel: NDArray[np.float32]) -> Tensor:
    """Return each channel convolved with kernels of its own [h, w, C, M]."""
    apart = kernel.transpose(2, 3, 0, 1)[:, :, None]
    return call.ops.group_convolution(call.x, call.constant(apart), **_sliding(call))


def _sliding(call: Call) -> dict[str, Any]:
    options = call.options
    return {
        "strides": list(options.get("strides", (1, 1))),
        "pads_begin": [0, 0],
        "pads_end": [0, 0],
        "dilations": list(options.get("dilation_rate", (1, 1))),
        "auto_pad": _padding(call),
    }


def _padding(call: Call) -> str:
    return "same_upper" if call.options.get("padding", "valid") == "same" else "valid"


def _with_bias(call: Call, x: Tensor, place: int) -> Tensor:
    return call.ops.add(x, call.constant(call.weights[place].reshape(1, -1, 1, 1))) if len(call.weights) > place else x


def before_activation(call: Call) -> Tensor:
    """Return what a dense layer gives before its activation."""
    if call.rank != 2:
        raise UnsupportedError("a dense layer on images")
    kernel, *bias = call.weights
    x = call.ops.matmul(call.x, call.constant(kernel), False, False)
    return call.ops.add(x, call.constant(bias[0])) if bias else x


def _batch_norm(call: Call) -> Tensor:
    mean, variance = call.weights[-2:]
    learned = list(call.weights[:-2])
    spread = variance + np.float32(call.options.get("epsilon", 1e-3))
    if not (spread > 0).all():
        raise UnsupportedError("a variance below 0")
    scale = 1 / np.sqrt(spread)
    if call.options.get("scale", True):
        scale = scale * learned.pop(0)
    shift = (learned.pop(0) if call.options.get("center", True) else 0) - mean * scale
    return call.ops.add(call.ops.multiply(call.x, call.by_channel(scale)), call.by_channel(shift))


def _normalization(call: Call) -> Tensor:
    if call.options.get("invert") or call.rank != 4:
        raise UnsupportedError("a normalisation of another kind")
    given = [call.options.get(name) for name in ("mean", "variance")]
    mean, variance = (np.asarray(own, np.float32) for own in (call.weights[:2] if given[0] is None else given))
    if not (variance >= 0).all():
        raise UnsupportedError("a variance below 0")
    deviation = np.maximum(np.sqrt(variance), np.float32(1e-7))
    return call.ops.divide(call.ops.subtract(call.x, call.by_channel(mean)), call.by_channel(deviation))


def _rescaling(call: Call) -> Tensor:
    scaled = call.ops.multiply(call.x, call.by_channel(call.options["scale"]))
    return call.ops.add(scaled, call.by_channel(call.options.get("offset", 0.0)))


def _unit(call: Call) -> Tensor:
    if call.rank != 2 or call.options.get("axis", -1) not in (-1, 1):
        raise UnsupportedError("a norm over other axes")
    ops, axes = call.ops, call.ops.constant(np.array([1]))
    length = ops.sqrt(ops.reduce_sum(ops.multiply(call.x, call.x), axes, keep_dims=True))
    return ops.divide(call.x, ops.maximum(length, call.constant(1e-12)))


def _relu(call: Call) -> Tensor:
    most, options = call.options.get("max_value"), call.options
    if options.get("negative_slope", 0) or options.get("threshold", 0) or (most is not None and most < 0):
        raise UnsupportedError("a ReLU of another form")
    return call.ops.relu(call.x) if most is None else call.ops.clamp(call.x, 0.0, float(most))


def _leaky(call: Call) -> Tensor:
    return _leaking(call, call.x, call.options.get("negative_slope", 0.3))


def _leaking(call: Call, x: Tensor, slope: float) -> Tensor:
    if not 0 <= slope <= 1:
        raise UnsupportedError("a slope beyond 1")
    return call.ops.maximum(x, call.ops.multiply(x, call.constant(slope)))


def _elu(call: Call) -> Tensor:
    return call.ops.elu(call.x, float(call.options.get("alpha", 1.0)))


def _softmax(call: Call) -> Tensor:
    if call.rank != 2 or call.options.get("axis", -1) not in (-1, 1):
        raise UnsupportedError("a softmax over other axes")
    return call.ops.softmax(call.x, 1)


def _activation(call: Call) -> Tensor:
    return _activated(call, call.x)


def _activated(call: Call, x: Tensor) -> Tensor:
    name = call.options.get("activation", "linear")
    if name == "softmax" and len(call.shape) != 1:
        raise UnsupportedError("a softmax of images")
    if name not in ACTIVATIONS:
        raise UnsupportedError(f"the activation {name}")
    return ACTIVATIONS[name](call.ops, x)


def _max_pool(call: Call) -> Tensor:
    window = list(call.options.get("pool_size", (2, 2)))
    strides, none = list(call.options.get("strides") or window), [0, 0]
    return call.ops.max_pool(call.x, strides, [1, 1], none, none, window, "floor", _padding(call)).output(0)


def _average_pool(call: Call) -> Tensor:
    window = list(call.options.get("pool_size", (2, 2)))
    strides, none = list(call.options.get("strides") or window), [0, 0]
    # Keras counts no zeros of the border.
    return call.ops.avg_pool(call.x, strides, none, none, window, True, "floor", _padding(call))


def _global_pool(reduce: str) -> Callable[[Call], Tensor]:
    def pool(call: Call) -> Tensor:
        last = call.options.get("data_format", "channels_last") == "channels_last"
        axes = call.ops.constant(np.array([call.axis(axis) for axis in ((1, 2) if last else (2, 3))]))
        return getattr(call.ops, reduce)(call.x, axes, keep_dims=bool(call.options.get("keepdims")))

    return pool


def _zero_padding(call: Call) -> Tensor:
    sides = [side if isinstance(side, tuple) else (side, side) for side in call.options.get("padding", (1, 1))]
    begin, end = ([0, 0, *(side[place] for side in sides)] for place in (0, 1))
    return call.ops.pad(call.x, begin, end, "constant", call.constant(0.0))


def _reshape(call: Call) -> Tensor:
    ops, x = call.ops, call.x
    if call.rank == 4:
        x = ops.transpose(x, ops.constant(np.array([0, 2, 3, 1])))
    x = ops.reshape(x, ops.constant(np.array([-1, *call.shape])), special_zero=False)
    return ops.transpose(x, ops.constant(np.array([0, 3, 1, 2]))) if len(call.shape) == 3 else x


def _concatenate(call: Call) -> Tensor:
    return call.ops.concat([own.tensor for own in call.inputs], call.axis(call.options.get("axis", -1)))


def _merge(operation: str) -> Callable[[Call], Tensor]:
    def merge(call: Call) -> Tensor:
        x = call.x
        for other in call.inputs[1:]:
            x = getattr(call.ops, operation)(x, other.tensor)
        return x

    return merge


def _average(call: Call) -> Tensor:
    return call.ops.multiply(_merge("add")(call), call.constant(1 / len(call.inputs)))


def _identity(call: Call) -> Tensor:
    return call.x


def _clamped(ops: ModuleType, x: Tensor) -> Tensor:
    """Return relu6(x + 3) / 6."""
    shifted = ops.add(x, ops.constant(np.float32(3)))
    return ops.multiply(ops.clamp(shifted, 0.0, 6.0), ops.constant(np.float32(1 / 6)))


ACTIVATIONS: Mapping[str, Callable[[ModuleType, Tensor], Tensor]] = {
    "linear": lambda ops, x: x,
    "relu": lambda ops, x: ops.relu(x),
    "relu6": lambda ops, x: ops.clamp(x, 0.0, 6.0),
    "elu": lambda ops, x: ops.elu(x, 1.0),
    "gelu": lambda ops, x: ops.gelu(x, "erf"),
    "silu": lambda ops, x: ops.swish(x),
    "swish": lambda ops, x: ops.swish(x),
    "tanh": lambda ops, x: ops.tanh(x),
    "sigmoid": lambda ops, x: ops.sigmoid(x),
    "hard_sigmoid": _clamped,
    "hard_silu": lambda ops, x: ops.multiply(x, _clamped(ops, x)),
    "hard_swish": lambda ops, x: ops.multiply(x, _clamped(ops, x)),
    "softmax": lambda ops, x: ops.softmax(x, 1),
}
KINDS: Mapping[str, Callable[[Call], Tensor]] = {
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": lambda call: _activated(call, before_activation(call)),
    "BatchNormalization": _batch_norm,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "UnitNormalization": _unit,
    "ReLU": _relu,
    "LeakyReLU": _leaky,
    "ELU": _elu,
    "Softmax": _softmax,
    "Activation": _activation,
    "MaxPooling2D": _max_pool,
    "AveragePooling2D": _average_pool,
    "GlobalAveragePooling2D": _global_pool("reduce_mean"),
    "GlobalMaxPooling2D": _global_pool("reduce_max"),
    "ZeroPadding2D": _zero_padding,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Concatenate": _concatenate,
    "Add": _merge("add"),
    "Subtract": _merge("subtract"),
    "Multiply": _merge("multiply"),
    "Maximum": _merge("maximum"),
    "Minimum": _merge("minimum"),
    "Average": _average,
    "Identity": _identity,
    "Dropout": _identity,
    "SpatialDropout2D": _identity,
    "GaussianDropout": _identity,
    **{kind: _identity for kind, rule in RULES.items() if rule.random},
}
