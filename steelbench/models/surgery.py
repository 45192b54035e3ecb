"""Model surgery: copy, join, freeze and split the layer graphs of networks; the results are flat and load anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers


def clone_onto(source: keras.Model, onto: keras.KerasTensor, prefix: str = "") -> keras.Model:
    """Build a functional network again behind a tensor, with fresh weights.

    Args:
        source: one input, one output, layers of any kind that can be made from their configuration.
        onto: takes the place of the source's input.
        prefix: put before the layers' names, for two networks in one graph.

    Returns:
        A model from the inputs that `onto` comes from to the output of the new layers.
    """
    outputs: list[keras.KerasTensor] = []

    def renamed(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), "name": prefix + layer.name})

    def call(layer: keras.Layer, *inputs: Any, **options: Any) -> Any:
        # Keras returns a model on an input of its own; the tensors that it makes on the way depend on `onto`.
        outputs.append(layer(*inputs, **options))
        return outputs[-1]

    keras.models.clone_model(source, input_tensors=onto, clone_function=renamed, call_function=call)
    return keras.Model(keras.utils.get_source_inputs(onto), outputs[-1])


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
    parts = [_copy_onto(encoder, images, f"{network_name(name)}_") for name, encoder in encoders.items()]
    features = layers.Concatenate(name="embedding")([part.output for part in parts])
    model = keras.Model(images, features, name=network_name("_".join(encoders)))
    model.trainable = False
    return model


def parts_of(encoder: keras.Model) -> list[keras.Model]:
    """Return the encoders that `join` put side by side, with the joined one's layers; itself if it is a single one."""
    last = encoder.layers[-1]
    if not isinstance(last, layers.Concatenate):
        return [encoder]
    return [
        keras.Model(encoder.input, features, name=features._keras_history.operation.name) for features in last.input
    ]


def _copy_onto(encoder: keras.Model, images: keras.KerasTensor, prefix: str) -> keras.Model:
    """Return a copy of an encoder on these images, with its weights."""
    part = clone_onto(encoder, images, prefix)
    for layer in encoder.layers:
        if layer.weights:
            copy = part.get_layer(prefix + layer.name)
            copy.set_weights(layer.get_weights())
            if isinstance(copy, layers.Normalization):
                # It computes with values that it derives from its weights only when it is finalised.
                copy.finalize_state()
    return part


def network_name(name: str) -> str:
    """Return a name that a TensorFlow scope may have: `+` and `:`, which files keep, become `_`."""
    return re.sub(r"[+:]", "_", name)


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


def split_at_trainable(encoder: keras.Model) -> tuple[keras.Model | None, keras.Model]:
    """Split an encoder before its first learning layer, at the last place that a single tensor passes.

    Args:
        encoder: of `build_encoder`, its learning layers marked by `choose_learning`.

    Returns:
        The part that never learns, from resized images [B, S, S, 3] to activations, or None if every layer may learn;
        and the part behind it, from activations to features [B, D]. Their layers are the encoder's own.
    """
    start = encoder.get_layer("resizing")
    chain = encoder.layers[encoder.layers.index(start) :]
    place = {id(layer): number for number, layer in enumerate(chain)}
    first = next((n for n, layer in enumerate(chain) if layer.trainable and layer.weights), len(chain) - 1)
    # The earliest layer that a layer takes its input from; then, that any layer from a place on does.
    earliest = np.full(len(chain), len(chain))
    for number, layer in enumerate(chain[1:], start=1):
        earliest[number] = min(place[id(parent)] for parent in _parents(layer))
    earliest_from = np.minimum.accumulate(earliest[::-1])[::-1]
    at = max(n for n in range(first) if earliest_from[n + 1] >= n) if first else 0
    boundary = chain[at].output
    frozen = keras.Model(start.output, boundary) if at else None
    return frozen, keras.Model(boundary, encoder.output)


def _parents(layer: keras.Layer) -> list[keras.Layer]:
    return [tensor._keras_history.operation for tensor in keras.tree.flatten(layer.input)]


def before_pooling(encoder: keras.Model) -> keras.Model:
    """Return the encoder behind its resizing layer, frozen: float32 [B, S, S, 3] to features float32 [B, D].

    Args:
        encoder: of `build_encoder`, or one of `parts_of`.
    """
    resizing = next(layer for layer in encoder.layers if isinstance(layer, layers.Resizing))
    network = keras.Model(resizing.output, encoder.output, name=encoder.name)
    # OpenVINO and training flags alike go by this: BatchNorm must use its stored statistics.
    network.trainable = False
    return network
