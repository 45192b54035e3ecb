"""A network's layers built again on another tensor, so that the graph stays flat and a saved file loads anywhere."""

from __future__ import annotations

from typing import Any

import keras


def graft(source: keras.Model, onto: keras.KerasTensor, prefix: str = "") -> keras.Model:
    """Build a functional network again behind a tensor, with fresh weights.

    Args:
        source: one input, one output, layers of any kind that can be made from their configuration.
        onto: takes the place of its input.
        prefix: put before the layers' names, for two networks in one graph.

    Returns:
        From the inputs that `onto` comes from to the source's output.
    """
    made: dict[int, keras.KerasTensor] = {}

    def anew(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), "name": prefix + layer.name})

    def call(layer: keras.Layer, *inputs: Any, **options: Any) -> Any:
        # Keras returns a model on an input of its own; what was made on the way lies behind `onto`.
        made[len(made)] = output = layer(*inputs, **options)
        return output

    keras.models.clone_model(source, input_tensors=onto, clone_function=anew, call_function=call)
    return keras.Model(keras.utils.get_source_inputs(onto), made[len(made) - 1])
