"""The feature maps of an encoder: what its global average pooling averages."""

from __future__ import annotations

import keras
from keras import layers


def before_average(encoder: keras.Model) -> keras.Model:
    """Return a model from raw images to the feature maps of each network.

    Args:
        encoder: of `build_encoder`, `join` or `saved_model.encoder_of`.

    Returns:
        From float32 [B, H, W, 3] (RGB, 0..255) to a list of float32 [B, h, w, D], one for each network, in the order of
        their features.

    Raises:
        ValueError: if the features are something else than averages.
    """
    last = encoder.output._keras_history.operation
    pooled = last.input if isinstance(last, layers.Concatenate) else [encoder.output]
    poolings = [tensor._keras_history.operation for tensor in pooled]
    if not all(isinstance(layer, layers.GlobalAveragePooling2D) for layer in poolings):
        raise ValueError("its features are no averages of feature maps")
    return keras.Model(encoder.input, [layer.input for layer in poolings])
