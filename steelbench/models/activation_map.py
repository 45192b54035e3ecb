"""Where a model looked: the share of each place of a feature map in the score of a class. No TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features, Floats, Labels
from steelbench.models.head import UNIT_EPSILON, Dense, Head


def score_gradients(head: Head, features: Features, classes: Labels) -> Floats:
    """Return the derivatives of class scores by the features; of a linear head these are its weights.

    A score is what goes into the last layer's softmax: a probability near 1 hardly depends on anything.

    Args:
        head: of any layers.
        features: float32 [N, D].
        classes: int [N, K], K classes for each image.

    Returns:
        float64 [N, K, D].
    """
    inputs, x = [], features.astype(np.float64)
    for layer in head.layers:
        inputs.append(x)
        x = _before_softmax(layer, x) if isinstance(layer, Dense) else x / _norms(x)
        if isinstance(layer, Dense) and layer.activation == "relu":
            x = np.maximum(x, 0)
    gradients = np.eye(x.shape[1])[classes]
    for layer, x in zip(reversed(head.layers), reversed(inputs), strict=True):
        gradients = _through_dense(layer, x, gradients) if isinstance(layer, Dense) else _through_unit(x, gradients)
    return gradients


def _before_softmax(layer: Dense, x: Floats) -> Floats:
    return np.asarray(x @ layer.kernel.astype(np.float64) + layer.bias.astype(np.float64))


def _norms(x: Floats) -> Floats:
    return np.asarray(np.maximum(np.linalg.norm(x, axis=1, keepdims=True), UNIT_EPSILON))


def _through_dense(layer: Dense, x: Floats, gradients: Floats) -> Floats:
    if layer.activation == "relu":
        gradients = gradients * (_before_softmax(layer, x) > 0)[:, None, :]
    return np.asarray(gradients @ layer.kernel.astype(np.float64).T)


def _through_unit(x: Floats, gradients: Floats) -> Floats:
    """Take away what only lengthens a vector, as its norm is fixed."""
    norms = _norms(x)
    unit = x / norms
    along = np.einsum("nd,nkd->nk", unit, gradients)
    return np.asarray((gradients - along[:, :, None] * unit[:, None, :]) / norms[:, :, None])


def class_maps(feature_maps: NDArray[np.float32], gradients: Floats) -> Floats:
    """Return the share of each place in the scores of classes.

    Of a linear head on averaged feature maps the places sum up to the score without its bias: the class activation map.
    Of any other head it is Grad-CAM before its rectification: the averages' derivatives take the place of the weights.

    Args:
        feature_maps: float32 [N, h, w, D], before global average pooling.
        gradients: [N, K, D], of scores by the averages.

    Returns:
        float64 [N, K, h, w].

    References:
        Zhou et al., "Learning Deep Features for Discriminative Localization", 2016. https://arxiv.org/abs/1512.04150
        Selvaraju et al., "Grad-CAM", 2017. https://arxiv.org/abs/1610.02391
    """
    count, height, width, size = feature_maps.shape
    places = feature_maps.reshape(count, height * width, size).astype(np.float64)
    shares = gradients @ places.transpose(0, 2, 1) / (height * width)
    return np.asarray(shares.reshape(count, -1, height, width))


def add_maps(maps: Sequence[Floats]) -> Floats:
    """Return the sum of maps of several networks, whose features stand side by side, on the finest grid.

    Args:
        maps: float64 [N, K, h, w] of each network; h and w may differ.
    """
    height, width = (max(own.shape[axis] for own in maps) for axis in (2, 3))
    return np.asarray(sum(_enlarge(own, height, width) for own in maps))


def _enlarge(maps: Floats, height: int, width: int) -> Floats:
    """Return maps on a finer grid with the same sums."""
    if maps.shape[2:] == (height, width):
        return maps
    each = maps.reshape(-1, *maps.shape[2:])
    larger = np.stack([cv2.resize(own, (width, height), interpolation=cv2.INTER_LINEAR) for own in each])
    # A cell becomes several, which share what it had; what interpolation adds or loses at the rim is spread evenly.
    larger = larger.reshape(*maps.shape[:2], height, width) * (maps.shape[2] * maps.shape[3] / (height * width))
    lost = maps.sum(axis=(2, 3), keepdims=True) - larger.sum(axis=(2, 3), keepdims=True)
    return np.asarray(larger + lost / (height * width))


def rectified(maps: Floats) -> tuple[NDArray[np.uint8], float]:
    """Return maps as bytes on one scale, and the share that byte 255 stands for; what is below 0 is 0.

    Args:
        maps: [K, h, w], of one image.

    Returns:
        uint8 [K, h, w], and the largest share, 0 if there is none above 0.

    Raises:
        ValueError: for a share that is not finite.
    """
    if not np.isfinite(maps).all():
        raise ValueError("a share is not finite")
    positive = np.maximum(maps, 0)
    peak = float(positive.max())
    if not peak:
        return np.zeros(maps.shape, np.uint8), 0.0
    return np.rint(255 * (positive / peak)).astype(np.uint8), peak
