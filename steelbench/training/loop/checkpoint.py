"""State of an interrupted fit on disk: save, restore."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from steelbench.methods import EpochSettings
from steelbench.training.loop.input_pipeline import Lazy


def _numbered(arrays: Any, prefix: str) -> list[NDArray[Any]]:
    return [arrays[f"{prefix}{i}"] for i in range(sum(name.startswith(prefix) for name in arrays.files))]


def _identity(model: keras.Model, settings: EpochSettings, seed: int, *arrays: NDArray[Any] | Lazy) -> str:
    """Digest of what a fit depends on, so that no checkpoint of another one is gone on from."""
    shapes = [(list(variable.shape), str(variable.dtype)) for variable in model.weights]
    found = hashlib.sha256(json.dumps([settings.model_dump(), seed, shapes]).encode())
    for array in arrays:
        if isinstance(array, np.ndarray):
            found.update(f"{array.dtype} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
        else:
            found.update(array.digest.encode())
    return found.hexdigest()


def _variables(model: keras.Model) -> Iterator[Any]:
    # `variables` has the states of the random generators, too, which dropout draws from.
    metrics = {id(variable) for variable in model.metrics_variables}
    yield from (variable for variable in model.variables if id(variable) not in metrics)
    yield from model.optimizer.variables


def snapshot(model: keras.Model) -> list[NDArray[Any]]:
    """All that the next epoch depends on: weights, random states, optimizer."""
    return [keras.ops.convert_to_numpy(variable) for variable in _variables(model)]


def restore(model: keras.Model, values: list[NDArray[Any]]) -> None:
    """Put a snapshot back. Raises ValueError if it is of another model."""
    for variable, value in zip(_variables(model), values, strict=True):
        variable.assign(value)
