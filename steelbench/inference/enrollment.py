"""Enrolment of a class in a saved model without training: its mean embedding becomes a column of the last layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features
from steelbench.errors import SteelbenchError
from steelbench.inference.image_search import embed_files
from steelbench.inference.model import Model, Opening


def enroll_class(
    model_path: Path, name: str, files: Sequence[Path], target: Path, opening: Opening | None = None
) -> tuple[int, list[Path]]:
    """Save a copy of a cosine classifier that knows one more class.

    Args:
        model_path: a model whose classes are directions of unit embeddings: `triplet`, `arcface`.
        name: of the new class.
        files: images of it.
        target: the new `.h5`; its card is written beside it.
        opening: what the user says of the model.

    Returns:
        The number of images that the class is made of, and the files that cannot be read.

    References:
        Qi, Brown, Lowe, "Low-Shot Learning with Imprinted Weights", 2018. https://arxiv.org/abs/1712.07136

    Raises:
        SteelbenchError: if the model is of another kind, or knows the class, or no image can be read.
    """
    from steelbench.inference.model import load_model

    # Starts TensorFlow without its messages, so it comes before whatever imports Keras.
    model = load_model(model_path, opening)
    from steelbench.models import saved_model

    refuse_name(model, name)
    kernel = class_directions(model, model_path)
    read, embeddings, unreadable = embed_files(model, files)
    if not read:
        raise SteelbenchError(f"none of the {len(files)} images of '{name}' can be read; name a folder of images.")
    saved_model.save(extended(model, with_class(kernel, embeddings)), target)
    card = model.card.model_dump(mode="json")
    fields = {
        **card,
        "name": target.stem,
        "classes": [*model.classes, name],
        "verification": None,
        "metrics": {},
        "decision": None,
        "unfamiliar": None,
        # What prepares images is part of the new file.
        "pixels": None,
    }
    saved_model.write_card(target, fields, saved_model.Reloaded(target).probe())
    return len(read), unreadable


def refuse_name(model: Model, name: str) -> None:
    """Refuse the name of a class that the model knows.

    Raises:
        SteelbenchError: with the names of its classes.
    """
    if name in model.classes:
        raise SteelbenchError(
            f"the model knows a class '{name}' already ({', '.join(model.classes)}); rename the folder of the new one."
        )


def class_directions(model: Model, path: Path) -> NDArray[np.float32]:
    """Return the last layer's kernel, one column of about the same length for each class.

    Args:
        model: of the file.
        path: of the file, for messages.

    Returns:
        float32 [E, C].

    Raises:
        SteelbenchError: if the last layer does not classify unit embeddings by their direction alone.
    """
    import keras

    from steelbench.models.saved_model import layer_named

    last, embedding = layer_named(model.network, "probabilities"), layer_named(model.network, "embedding")
    if not isinstance(embedding, keras.layers.UnitNormalization):
        raise SteelbenchError(
            f"{path.name} does not classify by directions of its embedding, so no class can be added without training; "
            "use a model of the methods triplet or arcface."
        )
    weights = last.get_weights()
    if [array.ndim for array in weights] != [2, 1] or getattr(embedding, "output", None) is not last.input:
        raise SteelbenchError(
            f"{path.name} has other layers than a model of the methods triplet or arcface, so no class can be added."
        )
    kernel, bias = weights
    if np.abs(bias).max() > 0:
        raise SteelbenchError(f"{path.name} has a bias for each class, which a new class has none of; train it anew.")
    return kernel


def with_class(kernel: NDArray[np.float32], embeddings: Features) -> NDArray[np.float32]:
    """Return the kernel with one more column: the mean direction of the embeddings, with the others' mean length.

    Args:
        kernel: float32 [E, C].
        embeddings: float32 [K, E], unit norm.

    Returns:
        float32 [E, C + 1].
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    length = np.linalg.norm(kernel, axis=0).mean()
    column = mean / max(float(np.linalg.norm(mean)), 1e-12) * length
    return np.concatenate([kernel, column[:, None].astype(np.float32)], axis=1)


def extended(model: Model, kernel: NDArray[np.float32]) -> object:
    """Return the network with another last layer.

    Args:
        model: the old network.
        kernel: float32 [E, C + 1], of the new layer, which has no bias.
    """
    import keras

    embedding = model.network.get_layer("embedding").output
    last = keras.layers.Dense(kernel.shape[1], activation="softmax", name="probabilities")
    network = keras.Model(model.network.input, last(embedding), name=model.network.name)
    last.set_weights([kernel, np.zeros(kernel.shape[1], np.float32)])
    return network
