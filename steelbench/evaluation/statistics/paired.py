"""The interval of a difference between two answers to each of the same images, which come in groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from steelbench.arrays import AnyArray
from steelbench.evaluation.statistics.dependence import PRIOR_CORRELATION, group_index
from steelbench.evaluation.statistics.intervals import t_correction
from steelbench.evaluation.statistics.power import discordance


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
    images, num_groups = len(first), len(group_index(groups)[1])
    size = discordance(first.astype(float), second.astype(float), np.asarray(groups), correlation).n_effective
    # A single group does not tell how groups differ: as one image.
    size = max(1.0, size * t_correction(num_groups, images, level))
    gained, lost = (
        (float(np.mean(own)) * size + 1) / (size + 2) for own in (second & ~first, first & ~second)
    )  # fmt: skip
    middle = gained - lost
    half = float(special.ndtri((1 + level) / 2)) * float(np.sqrt((gained + lost - middle**2) / (size + 2)))
    return DifferenceInterval(
        low=max(-1.0, min(middle - half, value)), value=value, high=min(1.0, max(middle + half, value))
    )
