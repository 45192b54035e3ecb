"""The `.h5` that people take away: an encoder and a head stitched to one model, its card, its verification."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from steelbench.errors import SteelbenchError
from steelbench.files import whole_file, write_json
from steelbench.models.head import Head, Unit
from steelbench.models.model_card import INPUT_CONTRACT
from steelbench.records import Verification

# Largest difference of a probability between the saved model on raw images and the run that was scored.
TOLERANCE = 1e-4
BATCH = 16
# Name of the pooled features where a method has an embedding of its own.
FEATURES = "features"
Pixels = NDArray[Any]


def stitch(encoder: keras.Model, head: Head, name: str) -> keras.Model:
    """One flat model of built-in layers: raw pixels in, probabilities out."""
    x = encoder.output
    if head.embedding is not None:
        # The method's own embedding gets the name; the pooled features need another.
        x = _renamed_pooling(encoder)
    for number, layer in enumerate(head.layers):
        title = f"hidden_{number + 1}"
        if number == head.embedding:
            title = "embedding"
        elif number == len(head.layers) - 1:
            title = "probabilities"
        if isinstance(layer, Unit):
            x = layers.UnitNormalization(name=title)(x)
            continue
        dense = layers.Dense(layer.kernel.shape[1], activation=layer.activation, name=title)
        x = dense(x)
        dense.set_weights([layer.kernel, layer.bias])
    return keras.Model(encoder.input, x, name=name.replace("=", "_"))


def _renamed_pooling(encoder: keras.Model) -> keras.KerasTensor:
    pooling = encoder.layers[-1]
    return type(pooling)(name=FEATURES)(pooling.input)


def encoder_of(model: keras.Model) -> keras.Model:
    """The encoder of a stitched model: raw pixels to pooled features."""
    names = {layer.name for layer in model.layers}
    return keras.Model(model.input, model.get_layer(FEATURES if FEATURES in names else "embedding").output)


def save(model: keras.Model, path: Path) -> None:
    """Write a model of `stitch` to a path that ends in `.h5`, whole or not at all."""
    with whole_file(path) as temporary:
        model.save(temporary, include_optimizer=False)


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Write the card beside a saved model: what is given, the input contract, and the sha256 of the file."""
    fixed = {"input": INPUT_CONTRACT, "embedding_layer": "embedding"}
    write_json(path.with_suffix(".json"), {**card, **fixed, "sha256": sha256(path), "bytes": path.stat().st_size})


def sha256(path: Path) -> str:
    """The sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(path: Path) -> keras.Model:
    """A saved model, for use only.

    Raises:
        SteelbenchError: if the file is missing, damaged, or needs more than Keras's own layers.
    """
    if not path.is_file():
        raise SteelbenchError(f"{path} does not exist; expected a model that steelbench saved, such as models/NAME.h5.")
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        # Keras raises whatever the damaged part happens to cause.
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise SteelbenchError(f"{path} cannot be loaded as a Keras model ({reason}). Copy or make it again.") from None


def probabilities(model: keras.Model, images: Iterable[Pixels]) -> NDArray[np.float32]:
    """What the model says about raw images, float32 [N, C]; neighbours of one size share a batch."""
    compute = compiled(model)
    return np.concatenate([compute(tf.constant(batch)).numpy() for batch in same_size(images)])


def compiled(model: keras.Model) -> Any:
    """The model as one function for images of any size; `model.predict` costs 0.1 s a call more."""
    signature = [tf.TensorSpec((None, None, None, 3), "float32")]
    return tf.function(lambda images: model(images, training=False), input_signature=signature, jit_compile=False)


def same_size(images: Iterable[Pixels]) -> Iterator[NDArray[np.float32]]:
    """Batches float32 [B, H, W, 3] of neighbours with one size, in order, at most `BATCH` each."""
    waiting: list[Pixels] = []
    for image in images:
        if waiting and (len(waiting) == BATCH or image.shape != waiting[0].shape):
            yield np.stack(waiting).astype(np.float32)
            waiting = []
        waiting.append(image)
    if waiting:
        yield np.stack(waiting).astype(np.float32)


def verify(path: Path, images: Iterable[Pixels], expected: NDArray[np.float32]) -> Verification:
    """Load the saved file again and compare it with what was scored.

    Args:
        path: the `.h5`.
        images: raw test images, uint8 [H, W, 3].
        expected: float32 [N, C], the probabilities that made the score.
    """
    got = probabilities(load(path), images)
    return Verification(
        images=len(got),
        max_difference=float(np.abs(got - expected).max()),
        classes_changed=int(np.sum(got.argmax(axis=1) != expected.argmax(axis=1))),
    )
