"""A new class for a finished model, from a few images, without training: a direction beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelbench.errors import SteelbenchError
from steelbench.inference.image_search import embed_files
from steelbench.inference.model import Model
from steelbench.models.model_card import Card
from steelbench.records import read_record


def enroll_class(model_path: Path, name: str, files: Sequence[Path], target: Path) -> tuple[int, list[Path]]:
    """Save a copy of a cosine classifier that knows one more class.

    Args:
        model_path: a model whose classes are directions of unit embeddings: `triplet`, `arcface`.
        name: of the new class.
        files: images of it.
        target: where the new `.h5` goes, its card beside it.

    Returns:
        How many images made the class, and those that could not be read.

    Raises:
        SteelbenchError: if the model is of another kind, or knows the class, or no image can be read.
    """
    from steelbench.inference.model import load_model
    from steelbench.models import saved_model

    model = load_model(model_path)
    refuse_name(model, name)
    kernel = class_directions(model, model_path)
    read, embeddings, unreadable = embed_files(model, files)
    if not read:
        raise SteelbenchError(f"none of the {len(files)} images of '{name}' can be read; name a folder of images.")
    saved_model.save(extended(model, with_class(kernel, embeddings)), target)
    card = read_record(model_path.with_suffix(".json"), Card).model_dump(mode="json")
    fields = {**card, "name": target.stem, "classes": [*model.classes, name], "verification": None, "metrics": {}}
    saved_model.write_card(target, fields)
    return len(read), unreadable


def refuse_name(model: Model, name: str) -> None:
    """Refuse a class that the model knows.

    Raises:
        SteelbenchError: names the classes.
    """
    if name in model.classes:
        raise SteelbenchError(
            f"the model knows a class '{name}' already ({', '.join(model.classes)}); rename the folder of the new one."
        )


def class_directions(model: Model, path: Path) -> NDArray[np.float32]:
    """The last layer's kernel, float32 [E, C]: a direction for each class, all of one length.

    Raises:
        SteelbenchError: if the model classifies by anything else.
    """
    import keras

    last = model.network.get_layer("probabilities")
    embedding = model.network.get_layer("embedding")
    if not isinstance(embedding, keras.layers.UnitNormalization):
        raise SteelbenchError(
            f"{path.name} does not classify by directions of its embedding, so no class can be added without training; "
            "use a model of the methods triplet or arcface."
        )
    kernel, bias = last.get_weights()
    if np.abs(bias).max() > 0:
        raise SteelbenchError(f"{path.name} has a bias for each class, which a new class has none of; train it anew.")
    return kernel


def with_class(kernel: NDArray[np.float32], embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """The kernel with one more column: the mean direction of the embeddings, as long as the others are on average.

    Args:
        kernel: float32 [E, C].
        embeddings: float32 [K, E], of unit norm.
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    length = np.linalg.norm(kernel, axis=0).mean()
    column = mean / max(float(np.linalg.norm(mean)), 1e-12) * length
    return np.concatenate([kernel, column[:, None].astype(np.float32)], axis=1)


def extended(model: Model, kernel: NDArray[np.float32]) -> object:
    """The network with another last layer, float32 [E, C + 1]."""
    import keras

    embedding = model.network.get_layer("embedding").output
    last = keras.layers.Dense(kernel.shape[1], activation="softmax", name="probabilities")
    network = keras.Model(model.network.input, last(embedding), name=model.network.name)
    last.set_weights([kernel, np.zeros(kernel.shape[1], np.float32)])
    return network
