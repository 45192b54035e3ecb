"""Projection of embeddings to two dimensions by t-SNE."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelbench.arrays import Features, Labels
from steelbench.evaluation.embeddings.embedded import Embedded, unit_rows

MOST_POINTS = 1000
FEWEST_POINTS = 3
# Unit vectors that differ by less in every component differ by the rounding of float32.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Projection:
    """Two coordinates for some images.

    Attributes:
        points: float32 [M, 2].
        rows: int64 [M], ascending: which of the images they are.
    """

    points: Features
    rows: Labels


def project(images: Embedded, seed: int = 0) -> Projection | None:
    """Return t-SNE coordinates of at most 1000 images by the cosine of their embeddings, or None.

    PCA to 50 dimensions comes first. The same embeddings and seed give the same points.

    Args:
        images: N embeddings of E dimensions.
        seed: of the drawn images, of PCA and of t-SNE.

    Returns:
        The coordinates; None with fewer than 3 images or 2 dimensions, with embeddings that are not finite, and with
        embeddings that all point in one direction.

    References:
        van der Maaten and Hinton 2008, "Visualizing Data using t-SNE". https://jmlr.org/papers/v9/vandermaaten08a.html
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    rows = np.sort(np.random.default_rng(seed).permutation(len(images.labels))[:MOST_POINTS])
    # Norms beyond float32 leave rows of zeros, and NaN stays NaN; both are looked for below.
    with np.errstate(over="ignore", invalid="ignore"):
        vectors = unit_rows(images.vectors[rows])
    if not _can_be_placed(vectors):
        return None
    reduced = PCA(min(50, *vectors.shape), random_state=seed).fit_transform(vectors)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    # On a machine that does other things, too, threads that wait for each other take ten times as long as one alone.
    with threadpool_limits(1):
        points = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
    return Projection(points.astype(np.float32, copy=False), rows)


def _can_be_placed(vectors: Features) -> bool:
    """Return whether t-SNE can place these unit vectors.

    It divides by their spread; where that is 0, scikit-learn 1.9.1 ends the process with SIGSEGV.
    """
    if len(vectors) < FEWEST_POINTS or vectors.shape[1] < 2 or not np.isfinite(vectors).all():
        return False
    return float(np.max(np.ptp(vectors, axis=0))) > ROUNDING
