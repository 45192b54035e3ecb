"""The interval of a difference between two answers to each of the same images, which come in groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from steelbench.arrays import AnyArray, Floats
from steelbench.evaluation.statistics.dependence import (
    PRIOR_CORRELATION,
    group_index,
    products_within_groups,
    shrunk,
)
from steelbench.evaluation.statistics.intervals import t_correction


@dataclass(frozen=True)
class DifferenceInterval:
    """A confidence interval of a difference in accuracy; -1 <= low <= value <= high <= 1."""

    low: float
    value: float
    high: float


def paired_interval(
    before: AnyArray,
    after: AnyArray,
    groups: AnyArray,
    *,
    correlation: float = PRIOR_CORRELATION,
    level: float = 0.95,
) -> DifferenceInterval:
    """Return the interval of the accuracy after a change minus the accuracy before it, on the same images.

    The adjusted Wald interval, which adds one image to each kind of disagreement: without a disagreement it is no
    single point. Images of one group count as fewer.

    Args:
        before: bool [N], whether the answers before the change are right.
        after: bool [N], the same after it.
        groups: int [N]; images of one group share pixels.
        correlation: of the answers within a group, 0..1, as far as these images do not tell.
        level: the confidence, in 0..1.

    References:
        Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired
        data", Journal of Educational and Behavioral Statistics 37, 2012. https://doi.org/10.3102/1076998611411915
    """
    first, second = (np.asarray(answers, bool) for answers in (before, after))
    value = float(second.mean() - first.mean())
    size = _effective_size(second.astype(float) - first, groups, correlation, level)
    gained, lost = (
        (float(np.mean(own)) * size + 1) / (size + 2) for own in (second & ~first, first & ~second)
    )  # fmt: skip
    middle = gained - lost
    half = float(special.ndtri((1 + level) / 2)) * float(np.sqrt((gained + lost - middle**2) / (size + 2)))
    return DifferenceInterval(
        low=max(-1.0, min(middle - half, value)), value=value, high=min(1.0, max(middle + half, value))
    )


def _effective_size(differences: Floats, groups: AnyArray, correlation: float, level: float) -> float:
    """Return how many independent images tell as much about the mean of differences in -1..1, at least 1.

    Not `power.discordance`, whose correlation is that of equal models: of a large difference it takes the difference
    itself for a likeness within groups.
    """
    index, sizes = group_index(groups)
    off = differences - differences.mean()
    spread, several = float(np.mean(off**2)), int(np.sum(sizes[sizes > 1]))
    if spread > 0 and several:
        found = products_within_groups(off[None], index, sizes) / (spread * several)
        seen = np.unique(index[(sizes[index] > 1) & (differences != 0)]).size
        correlation = shrunk(found, seen, correlation)
    effect = 1 + correlation * (float(np.sum(sizes.astype(float) ** 2)) / len(differences) - 1)
    return max(1.0, len(differences) / effect * t_correction(len(sizes), len(differences), level))
