"""The feature maps of an encoder: what its global average pooling averages."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from steelbench.arrays import AnyArray


def before_average(encoder: keras.Model) -> Callable[[AnyArray], list[NDArray[np.float32]]]:
    """Return a function from raw images to the feature maps of each network.

    Args:
        encoder: of `build_encoder`, `join` or `saved_model.encoder_of`.

    Returns:
        From [B, H, W, 3] (RGB, 0..255) to a list of float32 [B, h, w, D], one for each network, in the order of their
        features.

    Raises:
        ValueError: if the features are something else than averages.
    """
    last = encoder.output._keras_history.operation
    pooled = last.input if isinstance(last, layers.Concatenate) else [encoder.output]
    poolings = [tensor._keras_history.operation for tensor in pooled]
    if not all(isinstance(layer, layers.GlobalAveragePooling2D) for layer in poolings):
        raise ValueError("its features are no averages of feature maps")
    network = keras.Model(encoder.input, [layer.input for layer in poolings])

    def compute(images: AnyArray) -> list[NDArray[np.float32]]:
        # Not traced: that takes longer than some dozen images do.
        found = network(images.astype(np.float32), training=False)
        # Of a single output Keras returns no list.
        return [np.asarray(own) for own in (found if isinstance(found, (list, tuple)) else [found])]

    return compute
