"""A stage whose loss knows no classes: which epoch is kept, and the guards that stop it when it learns nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.methods import EpochSettings
from steelbench.training.loop.fit import FitContext, FitResult, fit
from steelbench.training.loop.samplers import Batches, Rows

Array = NDArray[np.float32]
NEIGHBOURS = 5
# Mean squared distance of unit embeddings from their mean, 0 (all equal) to 1.
COLLAPSED = 1e-4


def fit_embedding(
    model: keras.Model,
    embed: Callable[[Array], Array],
    x: Array,
    labels: Rows,
    split: Split,
    settings: EpochSettings,
    plan: FitContext,
    batches: Batches,
    samples: Array | None = None,
) -> FitResult:
    """Train a model whose output is an embedding; the epoch with the best validation kNN accuracy is kept.

    Args:
        model: compiled with a loss on embeddings, of `heads.ready`.
        embed: samples to embeddings of the present weights, for the neighbours.
        x: float32 [N, ...], of all images.
        labels: int64 [N].
        split: the parts.
        settings: of the stage.
        plan: seed, checkpoint, logs.
        batches: rows of the training and of the validation images, each counted from 0.
        samples: float32 [V * N_train, ...], V views of each training image to learn from; else those of `x`.

    Raises:
        SteelbenchError: if the embeddings collapse, most batches have no positive pair, or the loss is no number.
    """
    learned = x[split.train] if samples is None else samples
    known = np.tile(labels[split.train], len(learned) // len(split.train))
    refuse_lonely(known, batches.train(0))

    def judge() -> tuple[float, float]:
        train, validation = embed(x[split.train]), embed(x[split.validation])
        refuse_collapse(train)
        return knn_accuracy(train, labels[split.train], validation, labels[split.validation])

    held_out = x[split.validation], labels[split.validation]
    return fit(model, learned, known, held_out, settings, plan, batches, judge)


def knn_accuracy(train: Array, labels: Rows, validation: Array, truth: Rows) -> tuple[float, float]:
    """Accuracy of the nearest training images by cosine: of the training images among the others, of the validation.

    Args:
        train: float32 [N, E].
        labels: int64 [N].
        validation: float32 [M, E].
        truth: int64 [M].
    """
    from sklearn.neighbors import KNeighborsClassifier

    model = KNeighborsClassifier(min(NEIGHBOURS, len(labels) - 1), metric="cosine").fit(train, labels)
    # Without an argument each image's neighbours are looked for among the others.
    nearest = labels[model.kneighbors(return_distance=False)]
    votes = np.stack([np.sum(nearest == label, axis=1) for label in model.classes_], axis=1)
    own = model.classes_[votes.argmax(axis=1)]
    return float(np.mean(own == labels)), float(model.score(validation, truth))


def refuse_collapse(embeddings: Array) -> None:
    """Stop where every image has nearly the same embedding.

    Raises:
        SteelbenchError: tells the spread and what helps.
    """
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    spread = 1 - float(np.sum(unit.mean(axis=0, dtype=np.float64) ** 2))
    if not spread >= COLLAPSED:
        raise SteelbenchError(
            f"the embeddings collapsed: all images lie within a spread of {spread:.1e}, at least {COLLAPSED:g} was "
            "expected. Lower the learning rate, or take another mining, margin or temperature."
        )


def refuse_lonely(labels: Rows, batches: Sequence[Rows]) -> None:
    """Stop where most batches have no two images of one class.

    Raises:
        SteelbenchError: tells how many, and what helps.
    """
    lonely = sum(len(np.unique(labels[rows])) == len(rows) for rows in batches)
    if 2 * lonely > len(batches):
        raise SteelbenchError(
            f"{lonely} of {len(batches)} batches hold no two images of one class, so nothing can be pulled together; "
            "raise batch_size, or give more images of each class."
        )
