"""The layers that a network from outside may hold: settings of each, shape of its output and of its weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Without the batch; every length is known.
Shape = tuple[int, ...]
Options = Mapping[str, Any]
MAX_UNITS = 65_536
MAX_SIDE = 2048
ACTIVATIONS = {
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "celu", "silu", "swish", "mish", "tanh"),
    *("sigmoid", "hard_sigmoid", "hard_silu", "hard_swish", "softplus", "softsign", "softmax", "exponential"),
}


class NetworkError(ValueError):
    """A network that is not rebuilt; the text says why, after the file's name: "has a layer `x` of ..."."""


class _UnfitError(ValueError):
    """A setting that its layer may not have."""


def _whole(low: int, high: int) -> Callable[[Any], Any]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _UnfitError(f"{low} to {high}")
        return value

    return check


def _pair(low: int, high: int) -> Callable[[Any], Any]:
    single = _whole(low, high)

    def check(value: Any) -> tuple[int, int]:
        if isinstance(value, Sequence) and len(value) == 2:
            return single(value[0]), single(value[1])
        return single(value), single(value)

    return check


def _word(*choices: str) -> Callable[[Any], Any]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise _UnfitError(" or ".join(choices))
        return value

    return check


def _activation(value: Any) -> str:
    # Keras 2 writes some as an object that names the function.
    if isinstance(value, dict):
        value = value.get("config")
    if value is not None and (not isinstance(value, str) or value not in ACTIVATIONS):
        raise _UnfitError("an activation of Keras")
    return value or "linear"


def _flag(value: Any) -> bool:
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise _UnfitError("true or false")
    return bool(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _UnfitError("a finite number")
    return value


def _number_or_none(value: Any) -> float | None:
    return None if value is None else _number(value)


def _numbers(value: Any) -> Any:
    # An array is written as an object that holds a list.
    if isinstance(value, dict):
        value = value.get("config", {}).get("value") if isinstance(value.get("config"), dict) else None
    if isinstance(value, list) and 0 < len(value) <= 16:
        return [_number(item) for item in value]
    return _number(value)


def _axis(value: Any) -> int:
    if isinstance(value, Sequence) and len(value) == 1:
        value = value[0]
    return _whole(-4, 4)(value)


def _lengths(value: Any) -> tuple[int, ...]:
    if not isinstance(value, Sequence) or not 0 < len(value) <= 4:
        raise _UnfitError("one to four lengths")
    return tuple(_whole(-1, 1 << 24)(item) for item in value)


def _border(value: Any) -> Any:
    if isinstance(value, Sequence) and len(value) == 2:
        return tuple(_pair(0, MAX_SIDE)(side) for side in value)
    return _pair(0, MAX_SIDE)(value)


def _noise(value: Any) -> Any:
    if value is None:
        return None
    return tuple(None if item is None else _whole(1, 1 << 24)(item) for item in value)


def _nothing(value: Any) -> None:
    if value is not None:
        raise _UnfitError("null")


_last = _word("channels_last")
_units = _whole(1, MAX_UNITS)
_small = _pair(1, 64)
_padding = _word("valid", "same")


@dataclass(frozen=True)
class Rule:
    """What is known of a kind of layer.

    Attributes:
        options: check of each setting that it may have; returns the value that Keras gets.
        shape: of the output, from the settings and the shapes of the inputs.
        weights: shapes, in the order of the file.
        random: whether it changes images in training only, so that an identity stands for it.
    """

    options: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    shape: Callable[[Options, Sequence[Shape]], Shape] = lambda options, inputs: inputs[0]
    weights: Callable[[Options, Sequence[Shape]], list[Shape]] = lambda options, inputs: []
    random: bool = False


def checked(kind: str, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a layer that Keras gets: those that are known, each checked.

    Args:
        kind: a key of `RULES`.
        name: of the layer, for messages.
        settings: as the file has them.

    Raises:
        NetworkError: for a value out of bounds, and a setting that is not known and not off.
    """
    known, found = RULES[kind].options, dict[str, Any]()
    if RULES[kind].random:
        return found
    for key, value in settings.items():
        if key in known:
            try:
                found[key] = known[key](value)
            except (_UnfitError, TypeError, ValueError, OverflowError) as error:
                raise NetworkError(f"has a layer {name} ({kind}) with {key} {value!a:.60}; expected {error}") from None
        elif not _is_harmless(key, value):
            raise NetworkError(f"has a layer {name} ({kind}) with a setting {key!a:.40} that is not known")
    return found


def _is_harmless(key: str, value: Any) -> bool:
    """Return whether a setting changes nothing of the answers: how weights start and are trained, or what is off."""
    return (
        key in TRAINING or key.endswith(("_initializer", "_regularizer", "_constraint")) or value in (None, False, "")
    )


TRAINING = {"name", "trainable", "dtype", "seed", "activity_regularizer", "synchronized", "fill_value"}
TRAINING |= {"fill_mode", "renorm_clipping", "renorm_momentum", "batch_input_shape"}


def _window(size: int, kernel: int, stride: int, padding: str, dilation: int = 1) -> int:
    if padding == "same":
        return -(-size // stride)
    return (size - (kernel - 1) * dilation - 1) // stride + 1


def _image(inputs: Sequence[Shape]) -> tuple[int, int, int]:
    if len(inputs) != 1 or len(inputs[0]) != 3:
        raise _UnfitError("one image")
    height, width, channels = inputs[0]
    return height, width, channels


def _slid(options: Options, inputs: Sequence[Shape], channels: int, key: str = "kernel_size") -> Shape:
    height, width, _ = _image(inputs)
    kernel = options.get(key, (2, 2))
    # A pooling layer steps by its window where it names no step.
    strides = options.get("strides") or ((1, 1) if key == "kernel_size" else kernel)
    dilation, padding = options.get("dilation_rate", (1, 1)), options.get("padding", "valid")
    sides = zip((height, width), kernel, strides, dilation, strict=True)
    return (*(_window(size, k, stride, padding, d) for size, k, stride, d in sides), channels)


def _bias(options: Options, units: int) -> list[Shape]:
    return [(units,)] if options.get("use_bias", True) else []


def _transposed(options: Options, inputs: Sequence[Shape]) -> Shape:
    height, width, _ = _image(inputs)
    kernel, strides = options["kernel_size"], options.get("strides", (1, 1))
    more = (
        (0, 0)
        if options.get("padding", "valid") == "same"
        else [max(k - s, 0) for k, s in zip(kernel, strides, strict=True)]
    )
    return (height * strides[0] + more[0], width * strides[1] + more[1], options["filters"])


def _conv_weights(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
    channels = _image(inputs)[2] // options.get("groups", 1)
    return [(*options["kernel_size"], channels, options["filters"]), *_bias(options, options["filters"])]


def _depthwise_weights(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
    channels, times = _image(inputs)[2], options.get("depth_multiplier", 1)
    return [(*options["kernel_size"], channels, times), *_bias(options, channels * times)]


def _separable_weights(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
    channels, times = _image(inputs)[2], options.get("depth_multiplier", 1)
    pointwise = (1, 1, channels * times, options["filters"])
    return [(*options["kernel_size"], channels, times), pointwise, *_bias(options, options["filters"])]


def _transposed_weights(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
    return [(*options["kernel_size"], options["filters"], _image(inputs)[2]), *_bias(options, options["filters"])]


def _norm_weights(times: int) -> Callable[[Options, Sequence[Shape]], list[Shape]]:
    def shapes(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
        _on_last(options, inputs)
        learned = options.get("center", True) + options.get("scale", True)
        return [(inputs[0][-1],)] * (learned + times)

    return shapes


def _on_last(options: Options, inputs: Sequence[Shape]) -> None:
    if options.get("axis", -1) not in (-1, len(inputs[0])):
        raise _UnfitError("the last axis")


def _normalization_weights(options: Options, inputs: Sequence[Shape]) -> list[Shape]:
    _on_last(options, inputs)
    return [(inputs[0][-1],), (inputs[0][-1],), ()]


def _padded(options: Options, inputs: Sequence[Shape]) -> Shape:
    return _bordered(options.get("padding", (1, 1)), inputs, 1)


def _cropped(options: Options, inputs: Sequence[Shape]) -> Shape:
    return _bordered(options.get("cropping", (0, 0)), inputs, -1)


def _bordered(border: Any, inputs: Sequence[Shape], sign: int) -> Shape:
    height, width, channels = _image(inputs)
    rows, columns = (sum(side) if isinstance(side, tuple) else 2 * side for side in border)
    return (height + sign * rows, width + sign * columns, channels)


def _pooled(options: Options, inputs: Sequence[Shape]) -> Shape:
    height, _, channels = _image(inputs)
    if options.get("data_format", "channels_last") == "channels_first":
        return (height, 1, 1) if options.get("keepdims") else (height,)
    return (1, 1, channels) if options.get("keepdims") else (channels,)


def _reshaped(options: Options, inputs: Sequence[Shape]) -> Shape:
    wanted, size = options["target_shape"], math.prod(inputs[0])
    known = math.prod(length for length in wanted if length != -1)
    if wanted.count(-1) > 1 or known <= 0 or size % known or (-1 not in wanted and known != size):
        raise _UnfitError(f"a shape of {size} numbers")
    return tuple(size // known if length == -1 else length for length in wanted)


def _permuted(options: Options, inputs: Sequence[Shape]) -> Shape:
    if sorted(options["dims"]) != list(range(1, len(inputs[0]) + 1)):
        raise _UnfitError("an order of the axes")
    return tuple(inputs[0][axis - 1] for axis in options["dims"])


def _merged(_: Options, inputs: Sequence[Shape]) -> Shape:
    if len(inputs) < 2 or len({len(shape) for shape in inputs}) > 1:
        raise _UnfitError("two or more inputs of one rank")
    for lengths in zip(*inputs, strict=True):
        if len({length for length in lengths if length != 1}) > 1:
            raise _UnfitError("inputs of one shape")
    return tuple(max(lengths) for lengths in zip(*inputs, strict=True))


def _joined(options: Options, inputs: Sequence[Shape]) -> Shape:
    axis = options.get("axis", -1)
    axis = axis - 1 if axis > 0 else axis + len(inputs[0])
    if len({shape[:axis] + shape[axis + 1 :] for shape in inputs}) != 1 or not 0 <= axis < len(inputs[0]):
        raise _UnfitError("inputs that fit together")
    return (*inputs[0][:axis], sum(shape[axis] for shape in inputs), *inputs[0][axis + 1 :])


_CONV: dict[str, Callable[[Any], Any]] = {
    "kernel_size": _small, "strides": _small, "padding": _padding, "dilation_rate": _small, "data_format": _last,
    "activation": _activation, "use_bias": _flag,
}  # fmt: skip
_POOL: dict[str, Callable[[Any], Any]] = {"pool_size": _pair(1, MAX_SIDE), "padding": _padding, "data_format": _last}
_POOL["strides"] = lambda value: None if value is None else _pair(1, MAX_SIDE)(value)
_NORM = {"axis": _axis, "epsilon": _number, "center": _flag, "scale": _flag}
_times = _whole(1, 256)
_MERGE = Rule(shape=_merged)
_RANDOM = Rule(random=True)
_DROP = Rule({"rate": _number, "noise_shape": _noise})
_GLOBAL = Rule({"keepdims": _flag, "data_format": _word("channels_last", "channels_first")}, _pooled)


def _pooling() -> Rule:
    return Rule(_POOL, lambda o, i: _slid(o, i, _image(i)[2], "pool_size"))


RULES: Mapping[str, Rule] = {
    "Conv2D": Rule(
        {**_CONV, "filters": _units, "groups": _whole(1, MAX_UNITS)},
        lambda o, i: _slid(o, i, o["filters"]),
        _conv_weights,
    ),
    "DepthwiseConv2D": Rule(
        {**_CONV, "depth_multiplier": _times},
        lambda o, i: _slid(o, i, _image(i)[2] * o.get("depth_multiplier", 1)),
        _depthwise_weights,
    ),
    "SeparableConv2D": Rule(
        {**_CONV, "filters": _units, "depth_multiplier": _times},
        lambda o, i: _slid(o, i, o["filters"]),
        _separable_weights,
    ),
    "Conv2DTranspose": Rule(
        {**_CONV, "filters": _units, "output_padding": _nothing, "dilation_rate": _pair(1, 1)},
        _transposed,
        _transposed_weights,
    ),
    "Dense": Rule(
        {"units": _units, "activation": _activation, "use_bias": _flag},
        lambda o, i: (*i[0][:-1], o["units"]),
        lambda o, i: [(i[0][-1], o["units"]), *_bias(o, o["units"])],
    ),
    "BatchNormalization": Rule({**_NORM, "momentum": _number}, weights=_norm_weights(2)),
    "LayerNormalization": Rule(_NORM, weights=_norm_weights(0)),
    "GroupNormalization": Rule({**_NORM, "groups": _whole(-1, MAX_UNITS)}, weights=_norm_weights(0)),
    "UnitNormalization": Rule({"axis": _axis}),
    "Normalization": Rule(
        {"axis": _axis, "mean": _nothing, "variance": _nothing, "invert": _flag}, weights=_normalization_weights
    ),
    "Activation": Rule({"activation": _activation}),
    "ReLU": Rule({"max_value": _number_or_none, "negative_slope": _number, "threshold": _number}),
    "LeakyReLU": Rule({"negative_slope": _number}),
    "ELU": Rule({"alpha": _number}),
    "PReLU": Rule(
        {"shared_axes": lambda value: None if value is None else list(_lengths(value))},
        weights=lambda o, i: [tuple(1 if n in (o.get("shared_axes") or ()) else s for n, s in enumerate(i[0], 1))],
    ),
    "Softmax": Rule({"axis": _axis}),
    "Identity": Rule(),
    "Dropout": _DROP,
    "SpatialDropout2D": _DROP,
    "GaussianDropout": _DROP,
    "AlphaDropout": _RANDOM,
    "ActivityRegularization": _RANDOM,
    "GaussianNoise": _RANDOM,
    "RandomFlip": _RANDOM,
    "RandomRotation": _RANDOM,
    "RandomZoom": _RANDOM,
    "RandomTranslation": _RANDOM,
    "RandomContrast": _RANDOM,
    "RandomBrightness": _RANDOM,
    "Resizing": Rule(
        {
            "height": _whole(1, MAX_SIDE),
            "width": _whole(1, MAX_SIDE),
            "interpolation": _word("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5"),
            "crop_to_aspect_ratio": _flag,
            "antialias": _flag,
            "data_format": _last,
        },
        lambda o, i: (o["height"], o["width"], _image(i)[2]),
    ),
    "Rescaling": Rule({"scale": _numbers, "offset": _numbers}),
    "ZeroPadding2D": Rule({"padding": _border, "data_format": _last}, _padded),
    "Cropping2D": Rule({"cropping": _border, "data_format": _last}, _cropped),
    "UpSampling2D": Rule(
        {"size": _small, "interpolation": _word("nearest", "bilinear"), "data_format": _last},
        lambda o, i: (i[0][0] * o.get("size", (2, 2))[0], i[0][1] * o.get("size", (2, 2))[1], _image(i)[2]),
    ),
    "MaxPooling2D": _pooling(),
    "AveragePooling2D": _pooling(),
    "GlobalAveragePooling2D": _GLOBAL,
    "GlobalMaxPooling2D": _GLOBAL,
    "Flatten": Rule({"data_format": _last}, lambda o, i: (math.prod(i[0]),)),
    "Reshape": Rule({"target_shape": _lengths}, _reshaped),
    "Permute": Rule({"dims": _lengths}, _permuted),
    "Add": _MERGE,
    "Subtract": _MERGE,
    "Multiply": _MERGE,
    "Average": _MERGE,
    "Maximum": _MERGE,
    "Minimum": _MERGE,
    "Concatenate": Rule({"axis": _axis}, _joined),
}


def output_shape(kind: str, name: str, options: Options, inputs: Sequence[Shape]) -> tuple[Shape, list[Shape]]:
    """Return the shapes of a layer's output and weights.

    Args:
        kind: a key of `RULES`.
        name: of the layer, for messages.
        options: of `checked`.
        inputs: shapes, without the batch.

    Raises:
        NetworkError: if the layer does not take such inputs, or makes nothing of them.
    """
    rule = RULES[kind]
    try:
        if not inputs or not all(inputs):
            raise _UnfitError("an input of one or more axes")
        weights = rule.weights(options, inputs)
        shape = rule.shape(options, inputs)
    except KeyError as error:
        raise NetworkError(f"has a layer {name} ({kind}) without the setting {error}") from None
    except _UnfitError as error:
        raise NetworkError(f"has a layer {name} ({kind}) on {_told(inputs)}; expected {error}") from None
    if any(length < 1 for length in shape):
        raise NetworkError(f"has a layer {name} ({kind}) that makes nothing of {_told(inputs)}")
    return shape, weights


def _told(inputs: Sequence[Shape]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in inputs[:3]) or "no input"
