"""Heads on cached features of a frozen backbone: `softmax` and `linear`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.models.head import Head
from steelbench.training.loop.fit import FitResult

Array = NDArray[np.float32]


@dataclass(frozen=True)
class TrainedHead:
    """A head with what its training left.

    Attributes:
        head: features to probabilities.
        fits: of its stages, by name, in order.
        notes: what else is worth a record.
        encoder: the one that was trained with it; None if it works on the job's frozen encoder.
        features: float32 [N, D] of all images by that encoder.
    """

    head: Head
    fits: dict[str, FitResult] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    encoder: keras.Model | None = None
    features: Array | None = None


def refuse_nan(features: Array, split: Split) -> None:
    """Stop at features that are no numbers.

    Raises:
        SteelbenchError: says how many images have such.
    """
    # relu turns NaN to 0: the loss looks sound, and the head stays at chance.
    rows = np.concatenate([split.train, split.validation])
    bad = int(np.sum(~np.isfinite(features[rows]).all(axis=1)))
    if bad:
        raise SteelbenchError(
            f"the features of {bad} of {len(rows)} images hold NaN or infinity; "
            "use --precision float32, or check the file that --weights names."
        )


def best_on_validation(
    heads: Mapping[float, Head], features: Array, labels: NDArray[np.int64], split: Split, num_classes: int
) -> float:
    """The key of the head with the best validation accuracy, ties by log loss, then the first."""
    from sklearn.metrics import log_loss

    truth = labels[split.validation]

    def rank(key: float) -> tuple[float, float]:
        guess = heads[key](features[split.validation]).astype(np.float64)
        guess /= guess.sum(axis=1, keepdims=True)
        return float(np.mean(guess.argmax(axis=1) == truth)), -log_loss(truth, guess, labels=range(num_classes))

    return max(heads, key=rank)
