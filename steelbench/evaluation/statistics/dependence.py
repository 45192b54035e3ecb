"""Measure how alike the answers to images of one group are, over all rows of a leaderboard together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from steelbench.arrays import AnyArray, Floats, RowIndices

# Within NEU's groups HOG's errors correlate by .2, those of networks by .03 to .15. With a prior of .5 on two groups
# intervals of 95 % cover .985 at a true accuracy of .997; with .2 on four they cover .93 if groups are exact copies.
PRIOR_CORRELATION = 0.25
PRIOR_GROUPS = 3


@dataclass(frozen=True)
class Dependence:
    """How far the tests of a row are from independent.

    Attributes:
        images: intraclass correlation of two images of one group, 0 (as if independent) to 1 (right or wrong together).
        seeds: the variance that is left when an image's answers are averaged over seeds, as a share of one seed's
            variance; 1 for a single seed, and where seeds always agree.
    """

    images: float
    seeds: float = 1.0


PRIOR = Dependence(PRIOR_CORRELATION)


def learn_dependence(rows: Sequence[AnyArray], groups: AnyArray, prior: Dependence = PRIOR) -> Dependence:
    """Return the dependence that all rows have in common.

    A row with two errors cannot tell whether errors share groups; six rows with two errors each can. Sums over rows are
    divided, so that rows with more errors weigh more. Each image of a group weighs the same: weights by pairs would let
    one group of 56 images count as much as a thousand pairs of images, and intervals on NEU's groups then cover .91.

    Args:
        rows: bool [N] or [S, N] each, whether the answers are right; the same images in the same order.
        groups: int [N], any labels; images of one group share pixels.
        prior: counts as much as `PRIOR_GROUPS` groups with errors.

    Returns:
        `prior` where no group of two or more images has an error (or a hit, if those are rarer).

    Raises:
        ValueError: if a row has no image, more than two dimensions, or another length than `groups`.

    References:
        Karlin, Cameron and Williams, "Sibling and parent-offspring correlation estimation with variable family size",
        PNAS 78, 1981 (the weights). https://doi.org/10.1073/pnas.78.5.2664
        Ridout, Demétrio and Firth, "Estimating intraclass correlation for binary data", Biometrics 55, 1999.
        https://doi.org/10.1111/j.0006-341X.1999.00137.x
        Franco, Little, Louis and Slud, "Comparative study of confidence intervals for proportions in complex sample
        surveys", 2019: a model of the design effect covers better than each estimate's own.
        https://doi.org/10.1093/jssam/smy019
    """
    index, sizes = group_index(groups)
    shares = np.stack([_mean_over_seeds(row, len(index)) for row in rows])
    means = shares.mean(axis=1, keepdims=True)
    spread = float(np.sum(means * (1 - means)))
    seen = _groups_with_errors(shares, index, sizes)
    if spread == 0:
        return prior
    errors = shares - means
    seeds = float(np.sum(errors**2)) / (spread * len(index))
    several = np.sum(sizes[sizes > 1])
    images = products_within_groups(errors, index, sizes) / (spread * several) if several else 0.0
    return Dependence(
        images=shrunk(images, seen, prior.images),
        seeds=shrunk(seeds, seen, prior.seeds),
    )


def shrunk(found: float, seen: int, prior: float) -> float:
    """Return the mean of `found`, cut to 0..1, on `seen` groups and of `prior` on `PRIOR_GROUPS` groups."""
    return float(seen * min(max(0.0, found), 1.0) + PRIOR_GROUPS * prior) / (seen + PRIOR_GROUPS)


def products_within_groups(values: Floats, index: RowIndices, sizes: RowIndices) -> float:
    """Return the products of the values of any two images of a group, each divided by the group's size - 1, summed.

    Args:
        values: float [R, N], of R rows.
        index: int [N], each image's group, from `group_index`.
        sizes: int [G], images in each group.
    """
    own = np.stack([np.bincount(index, row**2) for row in values])
    together = np.stack([np.bincount(index, row) for row in values]) ** 2
    return float(np.sum((together - own)[:, sizes > 1] / (sizes[sizes > 1] - 1)))


def _groups_with_errors(shares: Floats, index: RowIndices, sizes: RowIndices) -> int:
    """Return in how many groups of two or more images some row erred, or hit, whichever is rarer.

    Rows that err on the same group are one piece of evidence.
    """
    several = sizes[index] > 1
    wrong, right = (np.unique(index[several & seen.any(axis=0)]).size for seen in (shares < 1, shares > 0))
    return min(wrong, right)


def _mean_over_seeds(row: AnyArray, num_images: int) -> Floats:
    seeds = np.atleast_2d(row)
    if seeds.ndim != 2 or seeds.size == 0:
        raise ValueError(f"expected [N] or [S, N] with at least one image, got shape {np.shape(row)}")
    if seeds.shape[1] != num_images:
        raise ValueError(f"groups have shape ({num_images},), expected ({seeds.shape[1]},): one per image")
    return seeds.mean(axis=0)


def group_index(groups: AnyArray) -> tuple[RowIndices, RowIndices]:
    """Return (each image's group as a number 0..G-1, int [N]; images in each group, int [G])."""
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return index, sizes
