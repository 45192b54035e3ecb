"""All that is asked of an image as one output of a network: probabilities, embedding and logits side by side."""

from __future__ import annotations

from typing import Any

import keras

from steelbench.models.probe import Lengths


def joined_outputs(network: keras.Model) -> tuple[keras.Model, Lengths]:
    """Return a model with all that is asked of an image in one vector, which any engine gives back as one tensor.

    Args:
        network: from images to probabilities.
    """
    probabilities = network.output
    parts = [probabilities]
    embedding = next((layer.output for layer in network.layers if layer.name == "embedding"), None)
    if embedding is None or len(embedding.shape) != 2:
        embedding = None
    else:
        parts.append(embedding)
    last = network.layers[-1]
    by_softmax = (
        isinstance(last, keras.layers.Dense)
        and last.activation is keras.activations.softmax
        and last.output is probabilities
    )
    if by_softmax:
        parts.append(_logits(last))
    lengths = Lengths(
        probabilities.shape[-1],
        0 if embedding is None else embedding.shape[-1],
        probabilities.shape[-1] if by_softmax else 0,
        _own_size(network),
    )
    output = keras.layers.Concatenate(name="all_outputs")(parts) if len(parts) > 1 else probabilities
    joined = keras.Model(network.input, output, name=network.name)
    joined.trainable = False
    return joined, lengths


def _logits(last: keras.layers.Dense) -> Any:
    """Return what goes into the softmax of a network's last layer."""
    plain = keras.layers.Dense(last.units, use_bias=last.use_bias, name="logits_of_all_outputs")
    logits = plain(last.input)
    plain.set_weights(last.get_weights())
    return logits


def _own_size(network: keras.Model) -> int | None:
    """Return the side of the square that the network's first layer resizes every image to, as `data.images.resize`."""
    resizing = [
        layer
        for layer in network.layers
        if not isinstance(layer, keras.layers.InputLayer)
        and any(tensor is network.input for tensor in keras.tree.flatten(layer.input))
    ]
    if len(resizing) != 1 or not isinstance(resizing[0], keras.layers.Resizing):
        return None
    config = resizing[0].get_config()
    plain = config["interpolation"] == "bilinear" and not (
        config["crop_to_aspect_ratio"] or config.get("pad_to_aspect_ratio") or config.get("antialias")
    )
    return config["height"] if plain and config["height"] == config["width"] else None
