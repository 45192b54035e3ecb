"""The layers that a network from outside may hold: settings of each, shape of its output and of its weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from steelbench.models import layer_settings as setting
from steelbench.models import layer_shapes as shapes
from steelbench.models.layer_settings import MAX_SIDE, MAX_UNITS, NetworkError, UnfitError
from steelbench.models.layer_shapes import Options, Shape


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


def checked(kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a layer that Keras gets: those that are known, each checked.

    Args:
        kind: a key of `RULES`.
        name: of the layer, for messages.
        given: its settings, as the file has them.

    Raises:
        NetworkError: for a value out of bounds, and a setting that is not known and not off.
    """
    known, found = RULES[kind].options, dict[str, Any]()
    if RULES[kind].random:
        return found
    for key, value in given.items():
        if key in known:
            try:
                found[key] = known[key](value)
            except (UnfitError, TypeError, ValueError, OverflowError) as error:
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


_CONV: dict[str, Callable[[Any], Any]] = {
    "kernel_size": setting.SMALL,
    "strides": setting.SMALL,
    "padding": setting.PADDING,
    "dilation_rate": setting.SMALL,
    "data_format": setting.CHANNELS_LAST,
    "activation": setting.activation,
    "use_bias": setting.flag,
}
_POOL: dict[str, Callable[[Any], Any]] = {
    "pool_size": setting.pair(1, MAX_SIDE),
    "padding": setting.PADDING,
    "data_format": setting.CHANNELS_LAST,
}
_POOL["strides"] = lambda value: None if value is None else setting.pair(1, MAX_SIDE)(value)
_NORM = {"axis": setting.axis, "epsilon": setting.number, "center": setting.flag, "scale": setting.flag}
_times = setting.whole(1, 256)
_MERGE = Rule(shape=shapes.merged)
_RANDOM = Rule(random=True)
_DROP = Rule({"rate": setting.number, "noise_shape": setting.noise})
_GLOBAL = Rule(
    {"keepdims": setting.flag, "data_format": setting.word("channels_last", "channels_first")}, shapes.pooled
)


def _pooling() -> Rule:
    return Rule(_POOL, lambda o, i: shapes.slid(o, i, shapes.image(i)[2], "pool_size"))


RULES: Mapping[str, Rule] = {
    "Conv2D": Rule(
        {**_CONV, "filters": setting.UNITS, "groups": setting.whole(1, MAX_UNITS)},
        lambda o, i: shapes.slid(o, i, o["filters"]),
        shapes.conv_weights,
    ),
    "DepthwiseConv2D": Rule(
        {**_CONV, "depth_multiplier": _times},
        lambda o, i: shapes.slid(o, i, shapes.image(i)[2] * o.get("depth_multiplier", 1)),
        shapes.depthwise_weights,
    ),
    "SeparableConv2D": Rule(
        {**_CONV, "filters": setting.UNITS, "depth_multiplier": _times},
        lambda o, i: shapes.slid(o, i, o["filters"]),
        shapes.separable_weights,
    ),
    "Conv2DTranspose": Rule(
        {**_CONV, "filters": setting.UNITS, "output_padding": setting.nothing, "dilation_rate": setting.pair(1, 1)},
        shapes.transposed,
        shapes.transposed_weights,
    ),
    "Dense": Rule(
        {"units": setting.UNITS, "activation": setting.activation, "use_bias": setting.flag},
        lambda o, i: (*i[0][:-1], o["units"]),
        lambda o, i: [(i[0][-1], o["units"]), *shapes.bias(o, o["units"])],
    ),
    "BatchNormalization": Rule({**_NORM, "momentum": setting.number}, weights=shapes.norm_weights(2)),
    "LayerNormalization": Rule(_NORM, weights=shapes.norm_weights(0)),
    "GroupNormalization": Rule({**_NORM, "groups": setting.whole(-1, MAX_UNITS)}, weights=shapes.norm_weights(0)),
    "UnitNormalization": Rule({"axis": setting.axis}),
    "Normalization": Rule(
        {
            "axis": setting.axis,
            "mean": setting.numbers_or_none,
            "variance": setting.numbers_or_none,
            "invert": setting.flag,
        },
        weights=shapes.normalization_weights,
    ),
    "Activation": Rule({"activation": setting.activation}),
    "ReLU": Rule({"max_value": setting.number_or_none, "negative_slope": setting.number, "threshold": setting.number}),
    "LeakyReLU": Rule({"negative_slope": setting.number}),
    "ELU": Rule({"alpha": setting.number}),
    "PReLU": Rule(
        {"shared_axes": lambda value: None if value is None else list(setting.lengths(value))},
        weights=lambda o, i: [tuple(1 if n in (o.get("shared_axes") or ()) else s for n, s in enumerate(i[0], 1))],
    ),
    "Softmax": Rule({"axis": setting.axis}),
    "Identity": Rule(),
    "Dropout": _DROP,
    "SpatialDropout2D": Rule({"rate": setting.number, "data_format": setting.CHANNELS_LAST}),
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
            "height": setting.whole(1, MAX_SIDE),
            "width": setting.whole(1, MAX_SIDE),
            "interpolation": setting.word("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5"),
            "crop_to_aspect_ratio": setting.flag,
            "antialias": setting.flag,
            "data_format": setting.CHANNELS_LAST,
        },
        lambda o, i: (o["height"], o["width"], shapes.image(i)[2]),
    ),
    "Rescaling": Rule({"scale": setting.numbers, "offset": setting.numbers}),
    "ZeroPadding2D": Rule({"padding": setting.border, "data_format": setting.CHANNELS_LAST}, shapes.padded),
    "Cropping2D": Rule({"cropping": setting.border, "data_format": setting.CHANNELS_LAST}, shapes.cropped),
    "UpSampling2D": Rule(
        {
            "size": setting.SMALL,
            "interpolation": setting.word("nearest", "bilinear"),
            "data_format": setting.CHANNELS_LAST,
        },
        lambda o, i: (i[0][0] * o.get("size", (2, 2))[0], i[0][1] * o.get("size", (2, 2))[1], shapes.image(i)[2]),
    ),
    "MaxPooling2D": _pooling(),
    "AveragePooling2D": _pooling(),
    "GlobalAveragePooling2D": _GLOBAL,
    "GlobalMaxPooling2D": _GLOBAL,
    "Flatten": Rule({"data_format": setting.CHANNELS_LAST}, lambda o, i: (math.prod(i[0]),)),
    "Reshape": Rule({"target_shape": setting.lengths}, shapes.reshaped),
    "Permute": Rule({"dims": setting.lengths}, shapes.permuted),
    "Add": _MERGE,
    "Subtract": _MERGE,
    "Multiply": _MERGE,
    "Average": _MERGE,
    "Maximum": _MERGE,
    "Minimum": _MERGE,
    "Concatenate": Rule({"axis": setting.axis}, shapes.joined),
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
            raise UnfitError("an input of one or more axes")
        weights = rule.weights(options, inputs)
        shape = rule.shape(options, inputs)
    except KeyError as error:
        raise NetworkError(f"has a layer {name} ({kind}) without the setting {error}") from None
    except UnfitError as error:
        raise NetworkError(f"has a layer {name} ({kind}) on {_told(inputs)}; expected {error}") from None
    if any(length < 1 for length in shape):
        raise NetworkError(f"has a layer {name} ({kind}) that makes nothing of {_told(inputs)}")
    return shape, weights


def _told(inputs: Sequence[Shape]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in inputs[:3]) or "no input"
