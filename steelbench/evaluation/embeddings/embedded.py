"""Embeddings with the labels and groups of their images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelbench.arrays import Features, Groups, Labels


@dataclass(frozen=True)
class Embedded:
    """Embeddings with the labels and groups of their images.

    Attributes:
        vectors: float32 [N, E], any norm but 0.
        labels: int64 [N], class numbers.
        groups: int64 [N]; images of one group share pixels, and are never compared with each other.
    """

    vectors: Features
    labels: Labels
    groups: Groups


def unit_rows(vectors: Features) -> Features:
    """Return each row divided by its Euclidean norm, float32 [N, E]; a row of zeros stays one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
