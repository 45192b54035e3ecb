"""Work out how small a difference between two models a test set can show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from steelbench.evaluation.statistics.dependence import PRIOR_GROUPS, Array, Floats, Ints, group_index


@dataclass(frozen=True)
class Discordance:
    """How much two models disagree.

    Attributes:
        only_second: share of images, 0..1, that only the second model gets right; as many only the first gets right if
            the two are equally accurate.
        n_effective: independent images that would tell as much about the difference.
    """

    only_second: float
    n_effective: float


def discordance(correct_a: Floats, correct_b: Floats, groups: Array, correlation: float) -> Discordance:
    """Return how much two models disagree on the same images.

    Args:
        correct_a: float [N] in 0..1, the share of an image's tests that the first model passed.
        correct_b: float [N].
        groups: int [N].
        correlation: of the errors within a group, 0..1 (`Dependence.images`). It counts as much as `PRIOR_GROUPS`
            groups with a disagreement: two models that differ on three images do not tell how disagreements share
            groups.
    """
    ahead = np.asarray(correct_a) - correct_b
    index, sizes = group_index(groups)
    squares = float(np.sum(ahead**2))
    several = sizes > 1
    seen = int(np.count_nonzero(np.bincount(index, np.abs(ahead))[several]))
    if seen:
        own = np.bincount(index, ahead**2)[several]
        together = np.bincount(index, ahead)[several] ** 2
        found = float(np.sum((together - own) / (sizes[several] - 1)) / np.sum(own))
        correlation = (seen * min(max(0.0, found), 1.0) + PRIOR_GROUPS * correlation) / (seen + PRIOR_GROUPS)
    effect = 1 + correlation * (float(np.sum(sizes.astype(float) ** 2)) / len(ahead) - 1)
    only_second = max(0.0, squares - abs(float(ahead.sum()))) / 2 / len(ahead)
    return Discordance(only_second=only_second, n_effective=len(ahead) / effect)


def smallest_difference(found: Discordance, *, level: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest true difference in accuracy that the test of two such models shows with probability `power`.

    The exact power of McNemar's exact test on the effective images. The second model keeps what only it gets right and
    loses the difference where the first is right.

    Args:
        found: of the two models.
        level: of the test.
        power: in level..1.

    Returns:
        In 0..1; 1.0 where not even the largest difference could be told.

    References:
        Connor, "Sample Size for Testing Differences in Proportions for the Paired-Sample Design", 1987.
        https://doi.org/10.2307/2531961 (the normal approximation of the same).
    """
    n, largest = int(found.n_effective), 1 - 2 * found.only_second

    def missing(difference: float) -> float:
        return power - mcnemar_power(n, found.only_second + difference, found.only_second, level)

    if missing(largest) > 0:
        return 1.0
    return float(optimize.brentq(missing, 0.0, largest, xtol=1e-5))


def mcnemar_power(n: int, only_first: float, only_second: float, level: float = 0.05) -> float:
    """Return the probability that McNemar's exact test on `n` independent images rejects equality.

    Args:
        n: images.
        only_first: probability, 0..1, that an image is got right by the first model only.
        only_second: the same of the second model.
        level: of the test.
    """
    discordant = min(1.0, only_first + only_second)
    if discordant == 0 or n < 1:
        return 0.0
    # All numbers of disagreements that occur at all; most of 1..n do not.
    fewest, most = stats.binom.interval(1 - 1e-12, n, discordant)
    disagreements = np.arange(max(1, fewest), most + 1)
    largest = _largest_rejected(disagreements, level)
    share = only_first / discordant
    tails = [stats.binom.cdf(largest, disagreements, each) for each in (share, 1 - share)]
    return float(stats.binom.pmf(disagreements, n, discordant) @ (tails[0] + tails[1]))


def _largest_rejected(disagreements: Ints, level: float) -> Floats:
    """Return the largest count c of the rarer disagreement with 2 P(X <= c) <= level; -1 where there is none."""
    largest = stats.binom.ppf(level / 2, disagreements, 0.5)
    return np.asarray(largest - (stats.binom.cdf(largest, disagreements, 0.5) > level / 2), dtype=float)
