"""Bilinear resizing of plain operations that every runtime computes alike, in place of an operation of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Side up to which pixels agree bit by bit; a power of two, so that products with its inverse are exact.
LONGEST = 16384


def in_inference_mode(network: keras.Model, *, own_resizing: bool = False) -> Callable[[Any], Any]:
    """Return what computes a network in inference mode, its first layer written out if that is a bilinear resizing.

    Runtimes round the coordinates of their own resizing each in another way, which is up to .0013 of 255 in a pixel;
    networks without pretraining made 3.2e-4 in a probability of that.

    Args:
        network: from raw pixels to probabilities.
        own_resizing: leave the layer as it is.
    """
    users = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    first = [layer for layer in users if any(own is network.input for own in keras.tree.flatten(layer.input))]
    if own_resizing or len(first) != 1 or not isinstance(first[0], keras.layers.Resizing) or not _is_plain(first[0]):
        return lambda images: network(images, training=False)
    behind = keras.Model(first[0].output, network.output)
    height, width = first[0].height, first[0].width
    return lambda images: behind(resized(images, height, width), training=False)


def _is_plain(layer: keras.layers.Resizing) -> bool:
    config = layer.get_config()
    other = ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias")
    return config["interpolation"] == "bilinear" and not any(config.get(name) for name in other)


def resized(images: Any, height: int, width: int) -> Any:
    """Return images of another size, as `tf.image.resize` computes them, bit by bit where products are rounded.

    Args:
        images: float32 [B, H, W, C] of any size.
        height: of the result, pixels.
        width: of the result, pixels.
    """
    scales = {wanted: _scales(wanted) for wanted in (height, width)}
    rows = _places(tf.shape(images)[1], height, scales[height])
    columns = _places(tf.shape(images)[2], width, scales[width])
    wide = _between(images, columns, 2)
    return tf.ensure_shape(_between(wide, rows, 1), [None, height, width, images.shape[-1]])


def _scales(wanted: int) -> Any:
    """Return N / wanted for each N up to `LONGEST`, float32, rounded once.

    A table, because converters turn a division by a constant into a product, which rounds otherwise.
    """
    return tf.constant(np.arange(LONGEST + 1, dtype=np.float32) / np.float32(wanted))


def _between(images: Any, places: tuple[Any, Any, Any], axis: int) -> Any:
    low, high, share = places
    first, second = tf.gather(images, low, axis=axis), tf.gather(images, high, axis=axis)
    return first + (second - first) * tf.reshape(share, [-1, 1, 1] if axis == 1 else [-1, 1])


def _places(length: Any, wanted: int, scales: Any) -> tuple[Any, Any, Any]:
    """Return for each pixel of the result the two that it lies between, int32 [S] each, and how far, float32 [S]."""
    longer = tf.maximum(tf.cast(length, tf.float32) * (1 / LONGEST), 1.0)
    scale = tf.gather(scales, tf.minimum(length, LONGEST)) * longer
    centres = tf.constant(np.arange(wanted, dtype=np.float32) + np.float32(0.5))
    # A matrix product, because OpenVINO would round a product and a difference once in place of twice.
    place = tf.reshape(tf.matmul(centres[:, None], tf.reshape(scale, [1, 1])), [-1]) - 0.5
    low = tf.floor(place)
    first = tf.maximum(tf.cast(low, tf.int32), 0)
    second = tf.minimum(tf.cast(tf.math.ceil(place), tf.int32), length - 1)
    return first, second, place - low
