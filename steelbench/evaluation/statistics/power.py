"""How small a difference between two models a test set can show."""

from __future__ import annotations

import numpy as np
from scipy import optimize, stats


def smallest_difference(n_effective: float, accuracy: float, power: float = 0.8, level: float = 0.05) -> float:
    """Return the smallest true difference in accuracy that a test set this large could well have shown.

    The exact power of McNemar's exact test against a worse model. The two are taken to err independently;
    models that share errors (as those on one backbone do) disagree less, and a smaller difference would show.

    Args:
        n_effective: independent images, as in `Interval.n_effective`; taken as a whole number, rounded down.
        accuracy: of the better model, in 0..1.
        power: the probability to show the difference, in level..1.
        level: of the test.

    Returns:
        In 0..accuracy; 1.0 where not even a model that is always wrong could be told apart.

    References:
        Connor, "Sample Size for Testing Differences in Proportions for the Paired-Sample Design", 1987.
        https://doi.org/10.2307/2531961 (the normal approximation of the same).
    """
    n = int(n_effective)

    def missing(difference: float) -> float:
        return power - mcnemar_power(n, accuracy, accuracy - difference, level)

    if missing(accuracy) > 0:
        return 1.0
    return float(optimize.brentq(missing, 0.0, accuracy, xtol=1e-5))


def mcnemar_power(n: int, accuracy_a: float, accuracy_b: float, level: float = 0.05) -> float:
    """Return the probability that McNemar's exact test on n independent images rejects equality.

    The models, of true accuracies 0..1, err independently of each other.
    """
    only_a, only_b = accuracy_a * (1 - accuracy_b), accuracy_b * (1 - accuracy_a)
    discordant = only_a + only_b
    if discordant == 0 or n < 1:
        return 0.0
    # All numbers of disagreements that occur at all; most of 1..n do not.
    fewest, most = stats.binom.interval(1 - 1e-12, n, discordant)
    disagreements = np.arange(max(1, fewest), most + 1)
    # The largest count c of the rarer disagreement with 2 P(X <= c) <= level; -1 where there is none.
    largest = stats.binom.ppf(level / 2, disagreements, 0.5)
    largest -= stats.binom.cdf(largest, disagreements, 0.5) > level / 2
    share = only_a / discordant
    tails = [stats.binom.cdf(largest, disagreements, each) for each in (share, 1 - share)]
    return float(stats.binom.pmf(disagreements, n, discordant) @ (tails[0] + tails[1]))
