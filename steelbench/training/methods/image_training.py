"""What a method that changes the backbone works on: an encoder of its own, and images that may not fit into memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from steelbench.data.augmentation import augment
from steelbench.data.images import ImageFiles
from steelbench.data.parallel import ordered_map
from steelbench.models.encoder import rebuild
from steelbench.models.surgery import choose_learning, cut
from steelbench.training.loop.samplers import Rows

Array = NDArray[np.float32]
BATCH = 32


@dataclass(frozen=True)
class SelectedImages:
    """Some rows of an array on disk as samples, changed by chance where `change` is given.

    Attributes:
        source: [N, ...], of all images.
        rows: int64 [M], which of them are the samples.
        digest: stands for all that they depend on.
        change: from float32 [B, ...] and the batch's number to the same shape.
    """

    source: NDArray[Any]
    rows: Rows
    digest: str
    change: Callable[[Array, int], Array] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return tuple(self.source.shape[1:])

    def take(self, rows: Rows, number: int) -> Array:
        """The samples of one batch."""
        batch = self.source[self.rows[rows]].astype(np.float32)
        return self.change(batch, number) if self.change else batch


@dataclass(frozen=True, kw_only=True)
class ImageTrainingSet:
    """Everything that training on images needs; the encoder is shared, so it is copied before it learns.

    Attributes:
        encoder: of `build_encoder`, with its weights.
        pretrained: whether those were trained.
        pixels: uint8 [N, S, S, 3] at the encoder's size.
        digest: stands for the images.
        labels: int64 [N].
        num_classes: C.
        preset: of the augmentation of training images.
    """

    encoder: keras.Model
    pretrained: bool
    pixels: NDArray[np.uint8]
    digest: str
    labels: Rows
    num_classes: int
    preset: str = "none"

    def copy(self, trainable: str) -> keras.Model:
        """An encoder to train, with the layers that learn marked."""
        encoder = rebuild(self.encoder)
        choose_learning(encoder, trainable, self.pretrained)
        return encoder

    def parts(self, encoder: keras.Model) -> tuple[NDArray[Any], keras.Model]:
        """What is computed once for each image [N, ...], and the model behind it, to features [B, D].

        With augmentation that is the pixels and the whole encoder; without, the activations where the part that never
        learns ends.
        """
        frozen, learning = cut(encoder)
        if self.preset != "none" or frozen is None:
            return self.pixels, keras.Model(encoder.get_layer("resizing").output, encoder.output)
        frozen.trainable = False
        return compute(frozen, self.pixels, on_disk(np.float32, (len(self.pixels), *frozen.output.shape[1:]))), learning

    def samples(self, source: NDArray[Any], rows: Rows, seed: int | None = None) -> SelectedImages:
        """Samples of a source; augmented by a seed if one is given and the run asks for it."""
        text = f"{self.digest} {source.shape} {rows.tolist()} {self.preset} {seed}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        if seed is None or self.preset == "none":
            return SelectedImages(source, rows, digest)
        return SelectedImages(source, rows, digest, lambda batch, number: augment(self.preset, batch, (seed, number)))


def read_pixels(pictures: ImageFiles, rows: Sequence[int], size: int) -> NDArray[np.uint8]:
    """Every image at the encoder's size, uint8 [N, S, S, 3], on disk."""
    found = on_disk(np.uint8, (len(rows), size, size, 3))

    def read(row: int) -> tuple[int, NDArray[np.float32]]:
        return row, pictures.resized([row], size)[0]

    for row, image in ordered_map(read, rows):
        found[row] = np.clip(np.rint(image), 0, 255)
    return found


def on_disk(kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array in a file that has no name and goes with the process."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, kind, "w+", shape=shape)


def compute(model: keras.Model, source: NDArray[Any], into: NDArray[Any] | None = None) -> NDArray[Any]:
    """The model's output in inference mode for every row of a source, in batches of one size."""
    run = tf.function(lambda batch: model(batch, training=False), jit_compile=False)
    into = np.empty((len(source), *model.output.shape[1:]), np.float32) if into is None else into
    for start, batch in _padded(source):
        real = min(BATCH, len(source) - start)
        into[start : start + real] = run(tf.constant(batch)).numpy()[:real]
    return into


def _padded(source: NDArray[Any]) -> Iterator[tuple[int, Array]]:
    for start in range(0, len(source), BATCH):
        rows = np.minimum(np.arange(start, start + BATCH), len(source) - 1)
        yield start, source[rows].astype(np.float32)
