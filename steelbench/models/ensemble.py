"""Several frozen encoders as one: their pooled features one behind the other, a "meta-embedding"."""

from __future__ import annotations

import re
from collections.abc import Mapping

import keras
from keras import layers

from steelbench.models.graft import graft


def join(encoders: Mapping[str, keras.Model]) -> keras.Model:
    """Build encoders again side by side in one flat graph, with their weights.

    Args:
        encoders: of `build_encoder`, by name; two at least.

    Returns:
        A model of built-in layers from float32 [B, H, W, 3] (RGB, 0..255, any H and W; each part resizes for itself)
        to float32 [B, D1 + D2 + ...]; its last layer is called `embedding`, every other one by its part's name and its
        own. Not trainable.

    References:
        Besbes, "eight tips for visual similarity": embeddings of two models concatenated.
    """
    images = keras.Input((None, None, 3), name="image")
    parts = [_beside(encoder, images, f"{network_name(name)}_") for name, encoder in encoders.items()]
    together = layers.Concatenate(name="embedding")([part.output for part in parts])
    model = keras.Model(images, together, name=network_name("_".join(encoders)))
    model.trainable = False
    return model


def _beside(encoder: keras.Model, images: keras.KerasTensor, prefix: str) -> keras.Model:
    part = graft(encoder, images, prefix)
    for layer in encoder.layers:
        if layer.weights:
            twin = part.get_layer(prefix + layer.name)
            twin.set_weights(layer.get_weights())
            if isinstance(twin, layers.Normalization):
                # It computes with what it derived from its weights when they were last finalised.
                twin.finalize_state()
    return part


def network_name(name: str) -> str:
    """A name as a TensorFlow scope may have it: `+`, which files keep, becomes `_`, and so does `:`."""
    return re.sub(r"[+:]", "_", name)
