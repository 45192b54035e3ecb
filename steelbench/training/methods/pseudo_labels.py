"""Pseudo-labels, on request: a first head names images that have no label, a second one learns from them, too.

What shares pixels with a test or validation image, directly or along a chain of images, stays out of that split.
Knows no TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from steelbench.data.splits import Split

if TYPE_CHECKING:
    from steelbench.training.loop.fit import FitContext
    from steelbench.training.methods.trained_head import TrainedHead

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Pool:
    """Images without labels, as a split may use them.

    Attributes:
        features: float32 [U, D].
        usable: bool [U], false for what shares pixels with a test or validation image.
        confidence: least probability of a pseudo-label, 0..1.
        classes: names, for the record.
    """

    features: Array
    usable: NDArray[np.bool_]
    confidence: float
    classes: Sequence[str]


def train_twice(
    train: Callable[..., TrainedHead],
    features: Array,
    labels: NDArray[np.int64],
    num_classes: int,
    split: Split,
    settings: Any,
    plan: FitContext,
    pool: Pool,
) -> TrainedHead:
    """Train, name the pool's images, and train again from the same start with those that are named with confidence.

    The validation images choose as they do without; neither they nor the test images are ever in the pool.

    Args:
        train: as `train_softmax`, of which the arguments up to `plan` are, too.
        pool: the images without labels.

    Returns:
        What the second training left; the note `pseudo_labels` counts the images.

    References:
        Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks".
    """
    # Methods name their stages alike both times, so the first ones' checkpoints have a folder of their own.
    alone = dataclasses.replace(plan.of("labelled"), state=plan.state and plan.state / "state-labelled")
    trained = train(features, labels, num_classes, split, settings, alone)
    rows, guesses = _named(trained.head, pool)
    if len(rows):
        more = len(features) + np.arange(len(rows))
        trained = train(
            np.concatenate([features, pool.features[rows]]), np.concatenate([labels, guesses]), num_classes,
            dataclasses.replace(split, train=np.concatenate([split.train, more])), settings, plan,
        )  # fmt: skip
    counts = np.bincount(guesses, minlength=num_classes)
    note = {
        "confidence": pool.confidence,
        "images": len(pool.features),
        "left_out": int(np.sum(~pool.usable)),
        "used": len(rows),
        "per_class": dict(zip(pool.classes, counts.tolist(), strict=True)),
    }
    return dataclasses.replace(trained, notes={**trained.notes, "pseudo_labels": note})


def _named(head: Callable[[Array], Array], pool: Pool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the pool that are named with confidence, and their classes."""
    allowed = np.flatnonzero(pool.usable)
    probabilities = head(pool.features[allowed])
    # Features that are no numbers give no probability, and none is reached.
    sure = probabilities.max(axis=1, initial=0) >= pool.confidence
    return allowed[sure], probabilities.argmax(axis=1)[sure].astype(np.int64)
