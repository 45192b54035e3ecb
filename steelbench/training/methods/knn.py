"""`knn`: the training images themselves as a head; nothing is trained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steelbench.data.splits import Split
from steelbench.methods import Knn
from steelbench.models.head import Dense, Head, Unit
from steelbench.training.loop.fit import FitContext
from steelbench.training.methods.trained_head import TrainedHead, best_on_validation, refuse_nan

Array = NDArray[np.float32]


def train_knn(
    features: Array, labels: NDArray[np.int64], num_classes: int, split: Split, settings: Knn, plan: FitContext
) -> TrainedHead:
    """Every training image votes for its class, the nearer the more: softmax(cosine / temperature).

    The temperature is the one with the best validation accuracy, ties by log loss. As layers: `UnitNormalization`,
    `Dense` (training embeddings / temperature) with softmax, `Dense` (one-hot labels).

    Arguments as for `train_softmax`.

    References:
        Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", section 3.4.
    """
    refuse_nan(features, split)
    kept = _kept(labels[split.train], settings.most, plan.seed)
    rows = split.train[kept]
    unit = Unit()
    bank = unit(features[rows])
    votes = Dense(np.eye(num_classes, dtype=np.float32)[labels[rows]], np.zeros(num_classes, np.float32), "linear")
    heads = {}
    for temperature in sorted(settings.temperature):
        weights = Dense((bank / np.float32(temperature)).T.copy(), np.zeros(len(rows), np.float32), "softmax")
        heads[temperature] = Head((unit, weights, votes))
    temperature = best_on_validation(heads, features, labels, split, num_classes)
    return TrainedHead(heads[temperature], notes={"temperature": temperature, "kept": len(rows)})


def _kept(labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most so many rows, of each class the share that it has; a class keeps one image at least."""
    if len(labels) <= most:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    parts = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        parts.append(members[: max(1, len(members) * most // len(labels))])
    return np.sort(np.concatenate(parts))
