"""Work out how small a difference between two models a test set can show."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import optimize, special

from steelbench.arrays import AnyArray, Floats, RowIndices
from steelbench.evaluation.statistics.dependence import group_index, products_within_groups, shrunk

# So many times the images at hand are looked at; beyond, the two models are as good as equal.
MOST_TIMES = 1024


@dataclass(frozen=True)
class Discordance:
    """How much two equally accurate models would disagree.

    Attributes:
        each_way: share of images, 0..1/2, that only the second model gets right; as many only the first gets right.
        n_effective: independent images that would tell as much about the difference.
    """

    each_way: float
    n_effective: float

    def against(self, difference: float) -> float:
        """Return the share that only the second model gets right if it is worse by `difference`, 0..1.

        A model that errs more is alone right less often, too. The square root is what simulated leaderboards do
        (`benchmarks/interval_coverage.py`): of 5 %, with a difference of 5 points 3.6 %, measured and so computed.
        """
        total = self.each_way + difference
        return self.each_way * float(np.sqrt(self.each_way / total)) if total > 0 else 0.0


def discordance(correct_a: Floats, correct_b: Floats, groups: AnyArray, correlation: float) -> Discordance:
    """Return how much two models would disagree if they were equally accurate, from their answers to the same images.

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
    own, by_group = np.bincount(index, ahead**2), np.bincount(index, ahead)
    grouped = (sizes > 1) & (own > 0)
    if grouped.any():
        found = products_within_groups(ahead[None], index, sizes) / float(np.sum(own[grouped]))
        correlation = shrunk(found, int(np.count_nonzero(grouped)), correlation)
    effect = 1 + correlation * (float(np.sum(sizes.astype(float) ** 2)) / len(ahead) - 1)
    # Equal models would not have the part of the difference that is more than chance, one standard error.
    beyond = max(0.0, abs(float(ahead.sum())) - float(np.sqrt(np.sum(by_group**2))))
    return Discordance(each_way=max(0.0, float(own.sum()) - beyond) / 2 / len(ahead), n_effective=len(ahead) / effect)


def smallest_difference(found: Discordance, *, level: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest true difference in accuracy that the test of two such models shows with probability `power`.

    The exact power of McNemar's exact test on the effective images, rounded down to a whole number.

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
    n, largest = int(found.n_effective), 1 - 2 * found.each_way

    def missing(difference: float) -> float:
        against = found.against(difference)
        return power - mcnemar_power(n, against + difference, against, level)

    if missing(largest) > 0:
        return 1.0
    return float(optimize.brentq(missing, 0.0, largest, xtol=1e-5))


def images_needed(
    found: Discordance, difference: float, images: int, *, level: float = 0.05, power: float = 0.8
) -> int | None:
    """Return how many test images would show a true difference in accuracy with probability `power`.

    Args:
        found: of the two models, on the images at hand.
        difference: in 0..1.
        images: at hand, whose groups are like those of the images to come.
        level: of the test.
        power: in level..1.

    Returns:
        Rounded up to two digits; None for no difference, and where more than `MOST_TIMES` as many images are needed.
    """
    if difference <= 0 or not images:
        return None

    def shows(times: float) -> bool:
        return smallest_difference(replace(found, n_effective=times * found.n_effective), level=level, power=power) <= (
            difference
        )

    low, high = 0.0, 1.0
    while not shows(high):
        low, high = high, 2 * high
        if high > MOST_TIMES:
            return None
    while high - low > 0.02 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    digits = max(0, len(str(int(high * images))) - 2)
    return int(-(-(high * images) // 10**digits) * 10**digits)


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
    disagreements = _likely_counts(n, discordant)
    seen = special.bdtr(disagreements, n, discordant) - special.bdtr(disagreements - 1, n, discordant)
    largest = _largest_rejected(disagreements, level)
    rejects = largest >= 0
    tails = [special.bdtr(largest[rejects], disagreements[rejects], share) for share in _shares(only_first, discordant)]
    return float(seen[rejects] @ (tails[0] + tails[1]))


def _shares(only_first: float, discordant: float) -> tuple[float, float]:
    share = min(1.0, only_first / discordant)
    return share, 1 - share


def _likely_counts(n: int, probability: float) -> RowIndices:
    """Return the counts 1..n that occur at all; beyond nine standard deviations and ten more none does."""
    middle, width = n * probability, 9 * np.sqrt(n * probability * (1 - probability)) + 10
    return np.arange(max(1, int(middle - width)), min(n, int(middle + width)) + 1)


def _largest_rejected(disagreements: RowIndices, level: float) -> RowIndices:
    """Return the largest count c of the rarer disagreement with 2 P(X <= c) <= level; -1 where there is none."""
    # Down from just above the normal approximation.
    middle, width = disagreements / 2, special.ndtri(level / 2) * np.sqrt(disagreements) / 2
    largest = np.minimum(np.maximum(np.floor(middle + width).astype(int) + 2, 0), disagreements)
    while (too_large := (largest >= 0) & (special.bdtr(np.maximum(largest, 0), disagreements, 0.5) > level / 2)).any():
        largest = largest - too_large
    return largest
