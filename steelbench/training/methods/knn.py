"""The method `knn`: the training images themselves as a head; nothing is trained."""

from __future__ import annotations

import numpy as np

from steelbench.arrays import Labels, RowIndices
from steelbench.methods import Knn
from steelbench.models.head import Dense, Head, Unit
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods.trained_head import TrainedHead, best_on_validation, refuse_nan


def train_knn(data: TrainingSet, settings: Knn, context: FitContext) -> TrainedHead:
    """Let every training image vote for its class, the nearer the more: softmax(cosine / temperature).

    The temperature is the one with the best validation accuracy, ties by log loss. As layers: `UnitNormalization`,
    `Dense` (training embeddings / temperature) with softmax, `Dense` (one-hot labels).

    Args:
        data: features of all images, labels, split.
        settings: the temperatures to choose from, and how many training images are kept.
        context: only its seed is used, which draws the images that are kept.

    Raises:
        SteelbenchError: if features are no numbers.

    References:
        Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", section 3.4.
        https://arxiv.org/abs/1805.01978
    """
    refuse_nan(data)
    rows = data.split.train[_kept(data.labels[data.split.train], settings.most, context.seed)]
    unit = Unit()
    kept = unit(data.features[rows])
    one_hot = np.eye(data.num_classes, dtype=np.float32)[data.labels[rows]]
    votes = Dense(one_hot, np.zeros(data.num_classes, np.float32), "linear")
    heads = {}
    for temperature in sorted(settings.temperature):
        weights = Dense((kept / np.float32(temperature)).T.copy(), np.zeros(len(rows), np.float32), "softmax")
        heads[temperature] = Head((unit, weights, votes))
    temperature = best_on_validation(heads, data)
    return TrainedHead(heads[temperature], notes={"temperature": temperature, "kept": len(rows)})


def _kept(labels: Labels, most: int, seed: int) -> RowIndices:
    """Return at most so many rows, each class in its share; a class keeps one image at least."""
    if len(labels) <= most:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    parts = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        parts.append(members[: max(1, len(members) * most // len(labels))])
    return np.sort(np.concatenate(parts))
