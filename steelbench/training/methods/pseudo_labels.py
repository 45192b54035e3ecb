"""Pseudo-labels, on request: a first head labels images that have no label, a second one learns from them, too.

An image that shares pixels with a test or validation image, directly or along a chain, never joins the training images
of that split. The module imports no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Features, Groups, Labels, RowIndices
from steelbench.training.loop.training_set import TrainingSet

if TYPE_CHECKING:
    from steelbench.training.loop.fit import FitContext
    from steelbench.training.methods.trained_head import TrainedHead


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Images without labels, as a split may use them.

    Attributes:
        features: float32 [U, D].
        groups: int64 [U], numbered together with the groups of the training set.
        usable: bool [U], false for an image that shares pixels with a test or validation image.
        confidence: least probability of a pseudo-label, 0..1.
        classes: names, for the record.
    """

    features: Features
    groups: Groups
    usable: NDArray[np.bool_]
    confidence: float
    classes: Sequence[str]


def train_twice(
    train: Callable[[TrainingSet, Any, FitContext], TrainedHead],
    data: TrainingSet,
    settings: Any,
    context: FitContext,
    pool: Pool,
) -> TrainedHead:
    """Train, label the pool's images, and train again from the same start with those whose label is sure enough.

    The validation images choose as they do without the pool, which never holds validation or test images.

    Args:
        train: a method on features, such as `train_softmax`.
        data: the labelled images.
        settings: of the method.
        context: seed, checkpoint, logs.
        pool: the images without labels.

    Returns:
        The result of the second training; its note `pseudo_labels` counts the images.

    References:
        Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks".
    """
    # Methods name their stages alike both times, so the first ones' checkpoints have a folder of their own.
    first = dataclasses.replace(context.for_stage("labelled"), state=context.state and context.state / "state-labelled")
    trained = train(data, settings, first)
    rows, labels = _confident(trained.head, pool)
    if len(rows):
        more = data.with_training_images(pool.features[rows], labels, pool.groups[rows])
        trained = train(more, settings, context)
    counts = np.bincount(labels, minlength=data.num_classes)
    note = {
        "confidence": pool.confidence,
        "images": len(pool.features),
        "left_out": int(np.sum(~pool.usable)),
        "used": len(rows),
        "per_class": dict(zip(pool.classes, counts.tolist(), strict=True)),
    }
    return dataclasses.replace(trained, notes={**trained.notes, "pseudo_labels": note})


def _confident(head: Callable[[Features], Features], pool: Pool) -> tuple[RowIndices, Labels]:
    """Return the rows of the pool whose label is sure enough, and the labels."""
    usable = np.flatnonzero(pool.usable)
    probabilities = head(pool.features[usable])
    # Features that are no numbers give no probability, so they reach no confidence.
    sure = probabilities.max(axis=1, initial=0) >= pool.confidence
    return usable[sure], probabilities.argmax(axis=1)[sure].astype(np.int64)
