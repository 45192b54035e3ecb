"""Which part of an encoder learns, and where it can be cut so that the rest is computed once for each image."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def choose_learning(encoder: keras.Model, trainable: str, pretrained: bool) -> None:
    """Mark the layers that learn.

    BatchNorm keeps the statistics and weights of its pretraining: small batches of another kind of image spoil them.
    With random weights there is nothing to keep.

    Args:
        encoder: of `rebuild`; changed in place.
        trainable: "all", or "last:N" for the last N layers that have weights.
        pretrained: whether its weights are.
    """
    weighted = [layer for layer in encoder.layers if layer.weights]
    learning = weighted if trainable == "all" else weighted[-int(trainable.removeprefix("last:")) :]
    for layer in encoder.layers:
        norm = isinstance(layer, layers.BatchNormalization)
        layer.trainable = layer in learning and not (norm and pretrained)
        if norm and layer.trainable:
            # MobileNet's .999 is for a million steps; after some hundred its averages would still be the first ones.
            layer.momentum = min(layer.momentum, 0.9)


def cut(encoder: keras.Model) -> tuple[keras.Model | None, keras.Model]:
    """The part that never learns, None where all of it may, and the part behind it.

    The cut is at the last place before the first learning layer that a single tensor passes.

    Returns:
        Resized images [B, S, S, 3] to activations, and activations to features [B, D]; their layers are the encoder's.
    """
    start = encoder.get_layer("resizing")
    chain = encoder.layers[encoder.layers.index(start) :]
    place = {id(layer): number for number, layer in enumerate(chain)}
    first = next((n for n, layer in enumerate(chain) if layer.trainable and layer.weights), len(chain) - 1)
    # How far back the layers from each place on reach.
    reach = np.full(len(chain), len(chain))
    for number, layer in enumerate(chain[1:], start=1):
        reach[number] = min(place[id(parent)] for parent in _parents(layer))
    reaches = np.minimum.accumulate(reach[::-1])[::-1]
    at = max(n for n in range(first) if reaches[n + 1] >= n) if first else 0
    boundary = chain[at].output
    frozen = keras.Model(start.output, boundary) if at else None
    return frozen, keras.Model(boundary, encoder.output)


def _parents(layer: keras.Layer) -> list[keras.Layer]:
    return [tensor._keras_history.operation for tensor in keras.tree.flatten(layer.input)]
