"""The simplest baseline: the training images' class shares, whatever the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steelbench.arrays import Labels


def class_shares(labels: Labels, train: NDArray[np.int64], num_classes: int) -> NDArray[np.float32]:
    """Return the class shares of the training images as probabilities of every image.

    Args:
        labels: int64 [N], class numbers.
        train: int64 [M], rows of the training images.
        num_classes: C.

    Returns:
        float32 [N, C], all rows equal.
    """
    shares = np.bincount(labels[train], minlength=num_classes) / len(train)
    return np.tile(shares.astype(np.float32), (len(labels), 1))
