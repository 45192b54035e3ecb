"""The result of a method, and what the methods share: standardised features, the guard against NaN, the choice."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from steelbench.arrays import Features
from steelbench.errors import SteelbenchError
from steelbench.models.head import Head, Scaling
from steelbench.training.loop.fit import FitResult
from steelbench.training.loop.training_set import TrainingSet


@dataclass(frozen=True)
class TrainedHead:
    """The result of training one head.

    Attributes:
        head: from features to probabilities.
        fits: the result of each stage, by its name, in order.
        notes: what else is worth a record, such as a chosen setting.
        encoder: the encoder that was trained with the head; None if the head works on the frozen one.
        features: float32 [N, D], of all images by that encoder; None without one.
    """

    head: Head
    fits: dict[str, FitResult] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    encoder: keras.Model | None = None
    features: Features | None = None


def standardise(data: TrainingSet) -> tuple[Scaling, TrainingSet]:
    """Fit the scaling on the training features and apply it to those of all images.

    Returns:
        The scaling, to be folded into the first layer, and the set with standardised features.
    """
    scaling = Scaling.fit(data.features[data.split.train])
    return scaling, dataclasses.replace(data, features=scaling.apply(data.features))


def refuse_nan(data: TrainingSet) -> None:
    """Stop if training or validation features are no numbers.

    Raises:
        SteelbenchError: says how many images have such features.
    """
    # relu turns NaN to 0: the loss looks sound, and the head stays at chance.
    rows = np.concatenate([data.split.train, data.split.validation])
    bad = int(np.sum(~np.isfinite(data.features[rows]).all(axis=1)))
    if bad:
        raise SteelbenchError(
            f"the features of {bad} of {len(rows)} images hold NaN or infinity; "
            "use --precision float32, or check the file that --weights names."
        )


def best_on_validation(heads: Mapping[float, Head], data: TrainingSet) -> float:
    """Return the key of the head with the best validation accuracy, ties by log loss, then the first.

    Args:
        heads: by the setting that is to be chosen.
        data: not standardised.
    """
    from sklearn.metrics import log_loss

    features, labels = data.validation

    def rank(key: float) -> tuple[float, float]:
        probabilities = heads[key](features).astype(np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        accuracy = float(np.mean(probabilities.argmax(axis=1) == labels))
        return accuracy, -log_loss(labels, probabilities, labels=range(data.num_classes))

    return max(heads, key=rank)
