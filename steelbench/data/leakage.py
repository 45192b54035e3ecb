"""What share of the test images share pixels with training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steelbench.data.groups import Pair
from steelbench.data.splits import Indices, Split

DRAWS = 20


def expected_random_leakage(
    labels: Mapping[str, str], pairs: Sequence[Pair], test_share: float, seed: int = 0
) -> float:
    """The share of test images that share pixels with a training image, mean over random stratified splits.

    Args:
        labels: label of each file.
        pairs: files that share pixels.
        test_share: of each class's images.
        seed: of the draws.
    """
    number = {file: place for place, file in enumerate(labels)}
    ends = np.array([(number[pair.file_a], number[pair.file_b]) for pair in pairs], int).reshape(-1, 2)
    classes = [np.flatnonzero(np.array(list(labels.values())) == label) for label in sorted(set(labels.values()))]
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(DRAWS):
        test = np.zeros(len(labels), bool)
        for members in classes:
            test[rng.permutation(members)[: round(test_share * len(members))]] = True
        split = ends[test[ends[:, 0]] != test[ends[:, 1]]].ravel()
        shares.append(len(np.unique(split[test[split]])) / max(test.sum(), 1))
    return float(np.mean(shares))


NO_LINKS = np.zeros((0, 2), np.int64)


def split_leakage(split: Split, tied: Indices, links: Indices = NO_LINKS) -> float:
    """Share of the test images that share something with a training image, 0..1.

    Args:
        split: the parts.
        tied: int64 [N], one number for images of equal pixels or of one group.
        links: int64 [M, 2], images that share pixels.
    """
    trained, leaks = np.zeros(len(tied), bool), np.zeros(len(tied), bool)
    trained[split.train] = True
    for here, there in ((0, 1), (1, 0)):
        leaks[links[trained[links[:, there]], here]] = True
    leaks |= np.isin(tied, tied[split.train])
    return float(leaks[split.test].mean())
