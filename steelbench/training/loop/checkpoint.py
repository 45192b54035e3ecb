"""The state of an interrupted fit: taken from a model, put back, and the digest that says which fit it is of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from steelbench.methods import EpochSettings
from steelbench.training.loop.input_pipeline import LazySamples
from steelbench.training.loop.replicas import replicas_of


def numbered_arrays(arrays: Any, prefix: str) -> list[NDArray[Any]]:
    """Return the arrays `prefix0`, `prefix1`, ... of an open `.npz` file."""
    return [arrays[f"{prefix}{i}"] for i in range(sum(name.startswith(prefix) for name in arrays.files))]


def fit_digest(model: keras.Model, settings: EpochSettings, seed: int, *arrays: NDArray[Any] | LazySamples) -> str:
    """Return the sha256 of all that a fit depends on; a checkpoint with another one is of another fit.

    Args:
        model: its weights count by shape and type alone, and on how many devices it learns.
        settings: of the stage.
        seed: of the run.
        arrays: samples and labels, of training and validation.
    """
    shapes = [(list(variable.shape), str(variable.dtype)) for variable in model.weights]
    # The number of replicas changes the last digits of every step.
    replicas = [replicas_of(model)] if replicas_of(model) > 1 else []
    digest = hashlib.sha256(json.dumps([settings.model_dump(), seed, shapes, *replicas]).encode())
    for array in arrays:
        if isinstance(array, np.ndarray):
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        else:
            digest.update(array.digest.encode())
    return digest.hexdigest()


def _variables(model: keras.Model) -> Iterator[Any]:
    # `variables` has the states of the random generators, too, which dropout draws from.
    metrics = {id(variable) for variable in model.metrics_variables}
    yield from (variable for variable in model.variables if id(variable) not in metrics)
    yield from model.optimizer.variables


def snapshot(model: keras.Model) -> list[NDArray[Any]]:
    """Return the values that the next epoch depends on: weights, states of random generators, optimizer."""
    return [keras.ops.convert_to_numpy(variable) for variable in _variables(model)]


def restore(model: keras.Model, values: list[NDArray[Any]]) -> None:
    """Put the values of a snapshot back.

    Raises:
        ValueError: if they are of another model.
    """
    for variable, value in zip(_variables(model), values, strict=True):
        variable.assign(value)
