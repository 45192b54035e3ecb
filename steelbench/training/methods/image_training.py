"""Training on images: an encoder that may change, images that may not fit into memory, inference in batches."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from steelbench.arrays import Features, Groups, Labels, RowIndices
from steelbench.data.augmentation import augment
from steelbench.data.images import ImageFiles
from steelbench.data.parallel import ordered_map
from steelbench.data.splits import Split
from steelbench.features.extraction import batches
from steelbench.models.encoder import rebuild
from steelbench.models.surgery import choose_learning, split_at_trainable
from steelbench.training.loop.embedding_stage import knn_accuracy, refuse_collapse
from steelbench.training.loop.fit import Score
from steelbench.training.loop.replicas import end_sharing
from steelbench.training.loop.training_set import TrainingSet

BATCH = 32
# Training images whose neighbours are looked at after each epoch; all of them would double an epoch's time.
SCORED_IMAGES = 512


@dataclass(frozen=True)
class SelectedImages:
    """Some rows of an array on disk as samples, changed by chance if `change` is given.

    Attributes:
        source: [N, ...], of all images.
        rows: int64 [M], which of them are the samples.
        digest: changes with anything that the samples depend on.
        change: from a batch float32 [B, ...] and its number to the same shape; None to leave the samples as they are.
    """

    source: NDArray[Any]
    rows: RowIndices
    digest: str
    change: Callable[[NDArray[np.float32], int], NDArray[np.float32]] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one sample."""
        return tuple(self.source.shape[1:])

    def take(self, rows: RowIndices, number: int) -> NDArray[np.float32]:
        """Return the samples of one batch, float32 [B, ...]; `number` counts the batches of the whole fit."""
        batch = self.source[self.rows[rows]].astype(np.float32)
        return self.change(batch, number) if self.change else batch


@dataclass(frozen=True, kw_only=True)
class ImageTrainingSet:
    """The pixels of every image and the encoder, which all tasks share: a method trains a copy of it.

    Attributes:
        encoder: of `build_encoder`, with its weights.
        pretrained: whether those were trained.
        pixels: uint8 [N, S, S, 3], of all images at the encoder's size, RGB.
        digest: changes with the images.
        labels: int64 [N], class numbers 0 to C - 1.
        num_classes: C.
        split: which rows train and which choose the epoch; no method touches the test rows.
        groups: int64 [N]; images of one group share pixels. None if no two images do.
        preset: a row of `AUGMENTATIONS`, for the training images.
    """

    encoder: keras.Model
    pretrained: bool
    pixels: NDArray[np.uint8]
    digest: str
    labels: Labels
    num_classes: int
    split: Split
    groups: Groups | None = None
    preset: str = "none"

    def copy_encoder(self, trainable: str) -> keras.Model:
        """Return an encoder to train, with the layers that learn marked.

        Args:
            trainable: as for `choose_learning`.
        """
        encoder = rebuild(self.encoder)
        choose_learning(encoder, trainable, self.pretrained)
        return encoder

    def precompute(self, encoder: keras.Model) -> tuple[NDArray[Any], keras.Model]:
        """Compute for each image what training never changes.

        With augmentation that is nothing: the source are the pixels. Without, they are the activations at the end of
        the part that never learns.

        Returns:
            The source [N, ...], and the model from its rows [B, ...] to features float32 [B, D].
        """
        frozen, learning = split_at_trainable(encoder)
        if self.preset != "none" or frozen is None:
            return self.pixels, keras.Model(encoder.get_layer("resizing").output, encoder.output)
        frozen.trainable = False
        activations = array_on_disk(np.float32, (len(self.pixels), *frozen.output.shape[1:]))
        return Inference(frozen)(self.pixels, out=activations), learning

    def samples(self, source: NDArray[Any], rows: RowIndices, seed: int | None = None) -> SelectedImages:
        """Return rows of a source as samples.

        Args:
            source: [N, ...], of `precompute`.
            rows: int64 [M].
            seed: of the augmentation; None for samples that are never augmented.
        """
        text = f"{self.digest} {source.shape} {rows.tolist()} {self.preset} {seed}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        if seed is None or self.preset == "none":
            return SelectedImages(source, rows, digest)
        return SelectedImages(source, rows, digest, lambda batch, number: augment(self.preset, batch, (seed, number)))

    def with_features(self, features: Features) -> TrainingSet:
        """Return the set for a method on features, float32 [N, D]."""
        return TrainingSet(
            features=features,
            labels=self.labels,
            num_classes=self.num_classes,
            split=self.split,
            groups=self.groups,
        )


class Inference:
    """The output of a model in inference mode, in batches of one size.

    One size is traced once; the last batch is filled up with its last sample. A sample's output does not depend on the
    others of its batch, because BatchNorm uses its stored statistics.

    Args:
        model: from float32 [B, ...] to float32 [B, ...]; its present weights count at each call.
    """

    def __init__(self, model: keras.Model) -> None:
        self.shape = tuple(model.output.shape[1:])
        self.run = tf.function(lambda batch: model(batch, training=False), jit_compile=False)

    def __call__(
        self, source: NDArray[Any], rows: RowIndices | None = None, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Return the output for rows of a source, float32 [M, ...].

        Args:
            source: [N, ...], of any number type.
            rows: int64 [M]; None for all N.
            out: float32 [M, ...], to be filled; None for a new array.
        """
        rows = np.arange(len(source)) if rows is None else rows
        out = np.empty((len(rows), *self.shape), np.float32) if out is None else out
        done = 0
        for batch, count in batches((source[row].astype(np.float32) for row in rows), BATCH):
            out[done : done + count] = self.run(tf.constant(batch)).numpy()[:count]
            done += count
        return out


def plain_copy(encoder: keras.Model) -> keras.Model:
    """Return a copy on one device of an encoder that was trained on several; the same layers are marked to learn."""
    end_sharing(encoder)
    copy = rebuild(encoder)
    for own, layer in zip(copy.layers, encoder.layers, strict=True):
        own.trainable = layer.trainable
    return copy


def knn_score(
    learning: keras.Model, samples: SelectedImages, validation: SelectedImages, labels: Labels, seed: int
) -> Score:
    """Return a function that gives the kNN accuracies of a model's features, without augmentation.

    Args:
        learning: from rows of the source to features, of `ImageTrainingSet.precompute`.
        samples: the training images, of which `SCORED_IMAGES` at most are scored.
        validation: the validation images.
        labels: int64 [N], of all images.
        seed: draws the training images that are scored.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(samples.rows)[:SCORED_IMAGES])
    features = Inference(learning)

    def score() -> tuple[float, float]:
        train = features(samples.source, chosen)
        refuse_collapse(train)
        return knn_accuracy(
            train, labels[chosen], features(validation.source, validation.rows), labels[validation.rows]
        )

    return score


def read_pixels(images: ImageFiles, rows: Sequence[int], size: int) -> NDArray[np.uint8]:
    """Read images at the encoder's size into an array on disk.

    Args:
        images: the files.
        rows: which of them, M.
        size: S, side of the square, pixels.

    Returns:
        uint8 [M, S, S, 3], RGB, rounded.
    """
    pixels = array_on_disk(np.uint8, (len(rows), size, size, 3))

    def read(row: int) -> tuple[int, NDArray[np.float32]]:
        return row, images.resized([row], size)[0]

    for row, image in ordered_map(read, rows):
        pixels[row] = np.clip(np.rint(image), 0, 255)
    return pixels


def array_on_disk(kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an array in a file without a name, which ends with the process."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, kind, "w+", shape=shape)
