"""Rank images without labels by what a label would teach: the least sure and least familiar first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steelbench.arrays import Features, Floats
from steelbench.evaluation.label_first import MOST_CANDIDATES, Candidate
from steelbench.evaluation.unknown import Neighbours, max_probability


def rank_candidates(
    paths: Sequence[str],
    groups: Sequence[int],
    probabilities: Features,
    distances: Floats,
    familiar: Floats,
    classes: Sequence[str],
) -> list[Candidate]:
    """Return the `MOST_CANDIDATES` images of which a label teaches most, the first one first.

    An image's place is the mean of its ranks by uncertainty and by distance, so that neither scale counts more.

    Args:
        paths: U, of the images.
        groups: U, their numbers.
        probabilities: float32 [U, C].
        distances: float64 [U], from the training images.
        familiar: float64 [V], the same of validation images.
        classes: C names, at least two.
    """
    if not len(paths):
        return []
    uncertain = max_probability(probabilities)
    places = _ranks(uncertain) + _ranks(distances)
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    nearer = np.searchsorted(np.sort(familiar), distances) / max(1, len(familiar))
    return [
        Candidate(
            path=paths[row],
            predicted=classes[top[row, 0]],
            probability=float(probabilities[row, top[row, 0]]),
            second=classes[top[row, -1]],
            second_probability=float(probabilities[row, top[row, -1]]) if len(classes) > 1 else 0.0,
            unfamiliar=float(nearer[row]),
            group=groups[row],
        )
        for row in np.argsort(-places, kind="stable")[:MOST_CANDIDATES].tolist()
    ]


def distances_from(train: Features, *others: Features) -> list[Floats]:
    """Return the distances of embeddings from the 10th nearest training image, for each array of `others`."""
    neighbours = Neighbours.fit(train)
    return [neighbours(own) for own in others]


def _ranks(values: Floats) -> Floats:
    """Return the rank of each value, 0 to 1; equal values share their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values) / len(values))
