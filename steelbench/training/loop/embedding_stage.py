"""A stage that trains an embedding: which epoch is kept, and the guards that stop it when it learns nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from steelbench.arrays import Features, Labels, RowIndices
from steelbench.errors import SteelbenchError
from steelbench.evaluation.embeddings.embedded import unit_rows
from steelbench.methods import EpochSettings
from steelbench.training.loop.fit import FitContext, FitResult, fit
from steelbench.training.loop.samplers import Batches
from steelbench.training.loop.training_set import TrainingSet

NEIGHBOURS = 5
# Mean squared distance of unit embeddings from their mean, 0 (all equal) to 1.
COLLAPSED = 1e-4


def fit_embedding(
    model: keras.Model,
    embed: Callable[[Features], Features],
    data: TrainingSet,
    settings: EpochSettings,
    context: FitContext,
    batches: Batches,
    samples: Features | None = None,
) -> FitResult:
    """Train a model whose output is an embedding; the epoch with the best validation kNN accuracy is kept.

    Args:
        model: compiled with a loss on embeddings.
        embed: from samples float32 [M, D] to their embeddings float32 [M, E] by the present weights.
        data: what the model takes as features, of all images.
        settings: of the stage.
        context: seed, checkpoint, logs.
        batches: rows of the training and of the validation samples, each counted from 0.
        samples: float32 [V * N_train, D], V views of each training image to learn from; None for the training images.

    Raises:
        SteelbenchError: if the embeddings collapse, most batches have no positive pair, or the loss is no number.
    """
    (train_x, train_y), (validation_x, validation_y) = data.train, data.validation
    samples = train_x if samples is None else samples
    labels = np.tile(train_y, len(samples) // len(train_y))
    refuse_batches_without_positives(labels, batches.train(0))

    def score() -> tuple[float, float]:
        train = embed(train_x)
        validation = embed(validation_x)
        refuse_collapse(train)
        return knn_accuracy(train, train_y, validation, validation_y)

    return fit(model, samples, labels, data.validation, settings, context, batches=batches, score=score)


def knn_accuracy(
    train: Features, train_labels: Labels, validation: Features, validation_labels: Labels
) -> tuple[float, float]:
    """Return the accuracies of the nearest training images by cosine, 0..1.

    A training image is classified by the others, never by itself.

    Args:
        train: float32 [N, E], N of 2 or more.
        train_labels: int64 [N].
        validation: float32 [M, E].
        validation_labels: int64 [M].

    Returns:
        The accuracy of the training images and that of the validation images.
    """
    from sklearn.neighbors import KNeighborsClassifier

    neighbours = min(NEIGHBOURS, len(train_labels) - 1)
    model = KNeighborsClassifier(neighbours, metric="cosine").fit(train, train_labels)
    # Without an argument scikit-learn looks for each image's neighbours among the others.
    nearest = train_labels[model.kneighbors(return_distance=False)]
    votes = np.stack([np.sum(nearest == label, axis=1) for label in model.classes_], axis=1)
    predicted = model.classes_[votes.argmax(axis=1)]
    return float(np.mean(predicted == train_labels)), float(model.score(validation, validation_labels))


def refuse_collapse(embeddings: Features) -> None:
    """Stop if every image has nearly the same embedding.

    Args:
        embeddings: float32 [N, E].

    Raises:
        SteelbenchError: tells the spread and what helps.
    """
    spread = 1 - float(np.sum(unit_rows(embeddings).mean(axis=0, dtype=np.float64) ** 2))
    if not spread >= COLLAPSED:
        raise SteelbenchError(
            f"the embeddings collapsed: all images lie within a spread of {spread:.1e}, at least {COLLAPSED:g} was "
            "expected. Lower the learning rate, or take another mining, margin or temperature."
        )


def refuse_batches_without_positives(labels: Labels, batches: Sequence[RowIndices]) -> None:
    """Stop if most batches have no two images of one class.

    Args:
        labels: int64 [N].
        batches: int64 [B] each, rows of the labels.

    Raises:
        SteelbenchError: tells how many, and what helps.
    """
    without = sum(len(np.unique(labels[rows])) == len(rows) for rows in batches)
    if 2 * without > len(batches):
        raise SteelbenchError(
            f"{without} of {len(batches)} batches hold no two images of one class, so nothing can be pulled together; "
            "raise batch_size, or give more images of each class."
        )
