"""Two shares of test images that leak: expected of a random split that nobody has drawn, and found in a given split.

`expected_random_leakage` describes a data set. It is a mean over random stratified splits and counts only images that
share pixels with a training image: what a user would get who splits without an audit. `steelbench audit` prints it.

`split_leakage` describes one split that is trained on. It counts the same pairs, and also images of equal pixels or
of one `group` in the data's own column. `steelbench run` prints the largest one of its splits, and that of the naive
split. On one data set the two differ: by the draw, by the share of test images (64/16/20 here), and by the `group`
column.
"""

from __future__ import annotations

import numpy as np

from steelbench.arrays import Groups, Labels
from steelbench.data.groups import NO_LINKS, Links
from steelbench.data.splits import Split

DRAWS = 20


def expected_random_leakage(labels: Labels, links: Links, test_share: float, seed: int = 0) -> float:
    """Return the share of test images that share pixels with a training image, mean over random stratified splits.

    Not scikit-learn's StratifiedShuffleSplit: it refuses a test set smaller than the number of classes (three images
    of each class, a fifth of them tested), which an audit must accept. It would also move the published numbers by
    its other draws (NEU at 80/20: 81.7 instead of 82.1 %; one standard error of the mean is 0.5 points).

    Args:
        labels: int64 [N], class numbers.
        links: int64 [M, 2], rows of images that share pixels.
        test_share: of each class's images, 0..1.
        seed: of the draws.

    Returns:
        0..1.
    """
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(DRAWS):
        test = np.zeros(len(labels), bool)
        for members in classes:
            test[rng.permutation(members)[: round(test_share * len(members))]] = True
        divided = links[test[links[:, 0]] != test[links[:, 1]]].ravel()
        shares.append(len(np.unique(divided[test[divided]])) / max(test.sum(), 1))
    return float(np.mean(shares))


def split_leakage(split: Split, tied: Groups, links: Links = NO_LINKS) -> float:
    """Return the share of a split's test images that share something with one of its training images.

    Args:
        split: the parts; validation images count on neither side.
        tied: int64 [N], one number for images of equal pixels or of one group.
        links: int64 [M, 2], rows of images that share pixels.

    Returns:
        0..1.
    """
    trained, leaks = np.zeros(len(tied), bool), np.zeros(len(tied), bool)
    trained[split.train] = True
    for here, there in ((0, 1), (1, 0)):
        leaks[links[trained[links[:, there]], here]] = True
    leaks |= np.isin(tied, tied[split.train])
    return float(leaks[split.test].mean())
