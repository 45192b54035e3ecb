"""The saved model: encoder and head stitched to one `.h5`, written with its card, loaded, compared with answers."""

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

from steelbench.arrays import AnyArray
from steelbench.errors import SteelbenchError
from steelbench.files import whole_file, write_json
from steelbench.models import safe_load
from steelbench.models.head import Head, Unit
from steelbench.models.model_card import INPUT_CONTRACT
from steelbench.models.network_outputs import joined_outputs
from steelbench.models.probe import Probe, check_images
from steelbench.records import Verification

# Largest difference of a probability between the saved model on raw images and the run that was scored.
TOLERANCE = 1e-4
BATCH = 16
# Name of the pooled features where a method has an embedding of its own.
FEATURES = "features"


def stitch(encoder: keras.Model, head: Head, name: str) -> keras.Model:
    """Join an encoder and a trained head to one flat model of built-in layers.

    Args:
        encoder: of `build_encoder`, from raw pixels to features float32 [B, D].
        head: from features float32 [N, D] to probabilities.
        name: of the model.

    Returns:
        From float32 [B, H, W, 3] (RGB, 0..255) to float32 [B, C]; the embedding's layer is called `embedding`, the last
        one `probabilities`.
    """
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
    """Return the encoder of a model of `stitch`: raw pixels to pooled features."""
    names = {layer.name for layer in model.layers}
    return keras.Model(model.input, layer_named(model, FEATURES if FEATURES in names else "embedding").output)


def save(model: keras.Model, path: Path) -> None:
    """Write a model of `stitch` to a path that ends in `.h5`, whole or not at all."""
    with whole_file(path) as temporary:
        model.save(temporary, include_optimizer=False)


def write_card(path: Path, card: dict[str, Any], probe: Probe | None = None) -> None:
    """Write a model's card beside its file, as `NAME.json`.

    Args:
        path: of the saved `.h5`.
        card: fields to write; the input contract, the file's sha256 and its size are added.
        probe: of the saved file; one among the fields is of another file.
    """
    fixed = {"input": INPUT_CONTRACT, "embedding_layer": "embedding", "probe": probe and probe.model_dump(mode="json")}
    write_json(path.with_suffix(".json"), {**card, **fixed, "sha256": sha256(path), "bytes": path.stat().st_size})


def sha256(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(path: Path) -> keras.Model:
    """Load a model of a results folder for inference; it cannot be trained on without being compiled.

    Args:
        path: of the `.h5`.

    Raises:
        SteelbenchError: if the file is missing, damaged, or holds another network than steelbench saves.
    """
    # Runs may be made of images of 2048 pixels, for which VGG19's first layer has 1 GiB.
    return safe_load.load(path, output_bytes=1 << 30)


def layer_named(model: keras.Model, name: str) -> keras.Layer:
    """Return a layer of a model by its name.

    Args:
        model: of `load`.
        name: `embedding` or `probabilities`.

    Raises:
        SteelbenchError: if the model has no layer of this name, as one that steelbench did not save.
    """
    found = next((layer for layer in model.layers if layer.name == name), None)
    if found is None:
        raise SteelbenchError(
            f"the model {model.name} has no layer called '{name}', which this needs; models that steelbench saves have "
            "one. Train one with `steelbench run`."
        )
    return found


def probabilities(model: keras.Model, images: Iterable[AnyArray]) -> NDArray[np.float32]:
    """Predict class probabilities of raw images.

    Args:
        model: of `stitch` or `load`.
        images: uint8 or float [H, W, 3] each, RGB, 0..255; consecutive images of one size share a batch.

    Returns:
        float32 [N, C], in order.
    """
    compute = compiled(model)
    return np.concatenate([compute(tf.constant(batch)).numpy() for batch in same_size(images)])


def compiled(model: keras.Model) -> Any:
    """Return the model as one traced function for images of any size; `model.predict` costs 0.1 s a call more."""
    signature = [tf.TensorSpec((None, None, None, 3), "float32")]
    return tf.function(lambda images: model(images, training=False), input_signature=signature, jit_compile=False)


def same_size(images: Iterable[AnyArray]) -> Iterator[NDArray[np.float32]]:
    """Yield consecutive images of one size as batches float32 [B, H, W, 3], in order, at most `BATCH` images each."""
    waiting: list[AnyArray] = []
    for image in images:
        if waiting and (len(waiting) == BATCH or image.shape != waiting[0].shape):
            yield np.stack(waiting).astype(np.float32)
            waiting = []
        waiting.append(image)
    if waiting:
        yield np.stack(waiting).astype(np.float32)


class Reloaded:
    """A saved model, loaded again by Keras alone: what is promised of the file is that any program can load it.

    Args:
        path: of the `.h5`.
    """

    def __init__(self, path: Path) -> None:
        joined, self._lengths = joined_outputs(keras.models.load_model(path, compile=False))
        self._compute = compiled(joined)

    def verify(self, images: Iterable[AnyArray], expected: NDArray[np.float32]) -> Verification:
        """Compare the probabilities of the file with those of the run.

        Args:
            images: raw test images, uint8 [H, W, 3].
            expected: float32 [N, C], the probabilities that the run was scored by.

        Returns:
            The largest difference, and how many images change their class.
        """
        parts = [self._compute(tf.constant(batch)).numpy() for batch in same_size(images)]
        got = np.concatenate(parts)[:, : self._lengths.classes]
        return Verification(
            images=len(got),
            max_difference=float(np.abs(got - expected).max()),
            classes_changed=int(np.sum(got.argmax(axis=1) != expected.argmax(axis=1))),
        )

    def probe(self) -> Probe | None:
        """Return what the file answers to fixed images, for its card."""
        if self._lengths.size is None:
            return None
        # One by one: of large images, the layers' outputs for four fill the memory.
        answers = [self._compute(tf.constant(image[None])).numpy() for image in check_images(self._lengths.size)]
        return Probe.of(self._lengths, np.concatenate(answers))
