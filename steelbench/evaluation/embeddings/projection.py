"""Embeddings in two dimensions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from steelbench.evaluation.embeddings.embedded import Embedded

MOST_POINTS = 1000


def project(images: Embedded, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two coordinates for at most 1000 images [N, 2], and their labels."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    chosen = np.sort(np.random.default_rng(seed).permutation(len(images.labels))[:MOST_POINTS])
    vectors = images.vectors[chosen]
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    few = min(50, *vectors.shape)
    reduced = PCA(few, random_state=seed).fit_transform(vectors)
    perplexity = min(30.0, (len(chosen) - 1) / 3)
    # On a machine that does other things, too, threads that wait for each other take ten times as long as one alone.
    with threadpool_limits(1):
        points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    return points, images.labels[chosen]
