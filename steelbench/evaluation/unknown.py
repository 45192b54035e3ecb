"""Scores of how unfamiliar an image is to a model: of its answer, or of its distance from the training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from steelbench.arrays import AnyArray, Features, Floats, Labels
from steelbench.evaluation.embeddings.embedded import unit_rows
from steelbench.records import ScoreName

# In this order, a simpler one first: of equals the first is best.
SCORES: tuple[ScoreName, ...] = ("max_probability", "energy", "mahalanobis", "knn")
# Of the distance to the k-th nearest training image: the smallest class of the public sets has 63 images.
NEIGHBOURS = 10
# Rows of a matrix of distances that are in memory at a time.
CHUNK = 512
# Training images that distances are measured to; of more a part is drawn, so that all images of a set take a time that
# grows with their number, not with its square.
MOST_REFERENCE = 20_000


def max_probability(probabilities: AnyArray) -> Floats:
    """Return 1 minus the largest probability, float64 [N], of probabilities [N, C].

    As the sum of the others: float32 has no number between 1 and 1 - 6e-8, so that all confident images would be equal.
    On NEU more than one scratch in twenty is as confident as that, and a threshold that finds 95 % flagged all images.

    References:
        Hendrycks, Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples", 2017.
        https://arxiv.org/abs/1610.02136
    """
    return np.asarray(np.sort(probabilities.astype(np.float64), axis=1)[:, :-1].sum(axis=1))


def energy(logits: AnyArray) -> Floats:
    """Return the negative logarithm of the sum of exponentials, float64 [N], of logits [N, C].

    Probabilities do not do: softmax takes away the constant of each row, which is the energy.

    References:
        Liu, Wang, Owens, Li, "Energy-based Out-of-distribution Detection", 2020. https://arxiv.org/abs/2010.03759
    """
    wide = logits.astype(np.float64)
    top = wide.max(axis=1)
    return np.asarray(-top - np.log(np.exp(wide - top[:, None]).sum(axis=1)))


@dataclass(frozen=True)
class Neighbours:
    """The distance to the k-th nearest training image, both embeddings on the unit sphere.

    Attributes:
        reference: float32 [M, E], of at most `MOST_REFERENCE` training images, unit norm.
        k: counted from 1; at most M.

    References:
        Sun, Ming, Zhu, Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", 2022.
        https://arxiv.org/abs/2204.06507
    """

    reference: Features
    k: int

    @classmethod
    def fit(cls, embeddings: Features, k: int = NEIGHBOURS) -> Self:
        """Take training embeddings, float32 [M, E], any norm; fewer than `k` lower it, of too many a part is drawn."""
        if len(embeddings) > MOST_REFERENCE:
            embeddings = embeddings[np.sort(np.random.default_rng(0).permutation(len(embeddings))[:MOST_REFERENCE])]
        return cls(unit_rows(embeddings).astype(np.float32), min(k, len(embeddings)))

    def __call__(self, embeddings: Features) -> Floats:
        """Return the distance of each embedding, float64 [N], 0 to 2."""
        found = []
        for start in range(0, len(embeddings), CHUNK):
            cosines = unit_rows(embeddings[start : start + CHUNK].astype(np.float32)) @ self.reference.T
            kth = np.partition(cosines, -self.k, axis=1)[:, -self.k].astype(np.float64)
            found.append(np.sqrt(np.maximum(2.0 - 2.0 * kth, 0.0)))
        return np.concatenate(found) if found else np.empty(0)


@dataclass(frozen=True)
class Mahalanobis:
    """The distance to the nearest class mean, in units of the covariance that all classes share.

    Attributes:
        whitening: float32 [E, E]; whitened embeddings have the identity as covariance.
        means: float32 [C, E], of the classes, whitened.

    References:
        Lee, Lee, Lee, Shin, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
        Attacks", 2018. https://arxiv.org/abs/1807.03888
    """

    whitening: Features
    means: Features

    @classmethod
    def fit(cls, embeddings: Features, labels: Labels) -> Self:
        """Fit class means and the shared covariance, shrunk towards a multiple of the identity.

        Args:
            embeddings: float32 [M, E], of training images; M may be smaller than E.
            labels: int [M].
        """
        from scipy.linalg import cholesky, solve_triangular

        wide = embeddings.astype(np.float64)
        classes, place = np.unique(labels, return_inverse=True)
        means = np.stack([wide[place == number].mean(axis=0) for number in range(len(classes))])
        covariance, _ = shrunk_covariance(wide - means[place])
        root = cholesky(covariance, lower=True)
        whitening = solve_triangular(root, np.eye(len(root)), lower=True).T.astype(np.float32)
        return cls(whitening, (means.astype(np.float32) @ whitening).astype(np.float32))

    def __call__(self, embeddings: Features) -> Floats:
        """Return the distance of each embedding, float64 [N]."""
        whitened = (embeddings.astype(np.float32) @ self.whitening).astype(np.float64)
        distances = [np.linalg.norm(whitened - mean, axis=1) for mean in self.means.astype(np.float64)]
        return np.asarray(np.min(distances, axis=0))


def shrunk_covariance(centred: Floats) -> tuple[Floats, float]:
    """Return the covariance of centred rows, shrunk towards a multiple of the identity, and by how much.

    Args:
        centred: float64 [M, E]; the mean of each class is 0.

    Returns:
        float64 [E, E], positive definite, and the shrinkage, 0 (the covariance itself) to 1 (the identity's multiple).

    References:
        Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.
        https://doi.org/10.1016/S0047-259X(03)00096-4
    """
    count, size = centred.shape
    covariance = centred.T @ centred / count
    level = float(np.trace(covariance)) / size
    squared = float(np.sum(covariance**2))
    # Of the rows' own outer products from the covariance, and of the covariance from the multiple of the identity.
    spread = (float(np.sum(np.sum(centred**2, axis=1) ** 2)) / count - squared) / count
    distance = squared - size * level**2
    shrinkage = float(np.clip(spread / distance, 0.0, 1.0)) if distance > 0 else 1.0
    shrunk = (1.0 - shrinkage) * covariance
    # Without any spread, as of equal images, the identity itself keeps the matrix invertible.
    shrunk[np.diag_indices(size)] += shrinkage * level + 1e-9 * max(level, 1e-9)
    return shrunk, shrinkage
