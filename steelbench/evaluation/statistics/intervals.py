"""Intervals of accuracy, macro-F1 and recall on test images that come in groups.

All go by the *effective sample size*: the number of independent images that would tell as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from steelbench.arrays import AnyArray, Floats, RowIndices
from steelbench.evaluation.statistics.dependence import Dependence, group_index
from steelbench.evaluation.statistics.macro_f1 import confusion_counts, macro_f1, macro_f1_variance

# Fewer errors (or hits) than this among the effective images are rounding.
SMALLEST_COUNT = 1e-9


@dataclass(frozen=True)
class Interval:
    """A confidence interval; 0 <= low <= value <= high <= 1, `n_effective` independent images."""

    low: float
    value: float
    high: float
    n_effective: float


@dataclass(frozen=True)
class RowIntervals:
    """The intervals of one row; `recalls` has one for each class, None for a class without a test image."""

    accuracy: Interval
    macro_f1: Interval
    recalls: list[Interval | None]


def row_intervals(
    y_true: RowIndices,
    y_pred: RowIndices,
    groups: RowIndices,
    num_classes: int,
    dependence: Dependence,
    *,
    images: RowIndices | None = None,
    level: float = 0.95,
) -> RowIntervals:
    """Return the intervals of a row's accuracy, macro-F1 and recalls; each value is the mean over seeds.

    They are about other images, for these very models: how much another training would change is what the range over
    seeds shows. No bootstrap: of a row without an error it would make [1, 1].

    Args:
        y_true: int [N] in 0..num_classes-1.
        y_pred: int [S, N], answers of S seeds.
        groups: int [N], any labels; images of one group share pixels.
        num_classes: C.
        dependence: of the answers, from `learn_dependence` over all rows of the leaderboard.
        images: int [N], which image each answer is to, where one was tested several times. There are never more
            effective images than images.
        level: the confidence, in 0..1.
    """
    correct = y_pred == y_true
    images = np.arange(len(y_true)) if images is None else images

    def share(own: AnyArray) -> Interval:
        return share_interval(correct, own, groups, dependence, images=images, level=level)

    members = [y_true == label for label in range(num_classes)]
    f1, size = macro_f1_size(y_true, y_pred, groups, num_classes, dependence, level=level)
    return RowIntervals(
        accuracy=share(np.full(len(y_true), True)),
        macro_f1=proportion_interval(f1, _at_most(size, images), level=level),
        recalls=[share(own) if own.any() else None for own in members],
    )


def share_interval(
    hits: AnyArray, own: AnyArray, groups: AnyArray, dependence: Dependence, *, images: RowIndices, level: float = 0.95
) -> Interval:
    """Return the share of some images whose answers hit, the mean over seeds, with its interval.

    Args:
        hits: bool [S, N], of S seeds.
        own: bool [N], the images that count; at least one.
        groups: int [N], any labels; images of one group share pixels.
        dependence: of the answers.
        images: int [N], which image each answer is to; there are never more effective images than images.
        level: the confidence, in 0..1.
    """
    weights = np.ones(np.count_nonzero(own))
    size = effective_size(weights, groups[own], dependence, level=level)
    value = float(np.mean(hits.mean(axis=0)[own]))
    return proportion_interval(value, _at_most(size, images[own]), level=level)


def _at_most(size: float, images: RowIndices) -> float:
    return min(size, float(np.unique(images).size))


def macro_f1_size(
    y_true: RowIndices,
    y_pred: RowIndices,
    groups: RowIndices,
    num_classes: int,
    dependence: Dependence,
    *,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return macro-F1, the mean over seeds, and the number of independent images whose share would vary as much.

    The delta method gives the variance for independent images (`macro_f1_variance`). Of few errors it says little, so
    the variance of a mean over classes that all err alike is averaged in, as if it had been seen on one more error.
    The groups then widen it as they do the accuracy, images of small classes weighing more.

    Args: as in `row_intervals`.
    """
    confusions = confusion_counts(y_true, y_pred, num_classes)
    value = float(macro_f1(confusions).mean())
    supports = np.bincount(y_true, minlength=num_classes)
    weights = 1 / supports[y_true]  # of each class together 1
    errors = float(np.mean(y_pred != y_true)) * len(y_true)
    rarer, spread = min(errors, len(y_true) - errors), value * (1 - value)
    alike = float(np.sum(weights**2)) / np.count_nonzero(supports) ** 2
    own = float(macro_f1_variance(confusions).mean()) / spread if spread > 0 else alike
    ratio = (rarer * own / alike + 1) / (rarer + 1)
    return value, effective_size(weights, groups, dependence, level=level, variance_ratio=ratio)


def effective_size(
    weights: Floats, groups: AnyArray, dependence: Dependence, *, level: float = 0.95, variance_ratio: float = 1.0
) -> float:
    """Return how many independent images tell as much about a weighted mean of answers as these do.

    sum(w)^2 / n = sum(w^2) * seeds + correlation * (sum over groups of (sum of w)^2 - sum(w^2)); with equal weights
    N / n is Kish's design effect 1 + correlation * (sum(size^2) / N - 1).

    Args:
        weights: float [N], of each image in the mean, in any unit.
        groups: int [N].
        dependence: of the answers.
        level: of the interval; few groups make a variance uncertain, Student's t says by how much.
        variance_ratio: the variance of independent images, over that of answers which are all right equally often.

    Returns:
        1 to N.

    References:
        Kish, "Survey Sampling", 1965, section 5.4.
        Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts
        estimated from survey data", Survey Methodology 24, 1998 (the correction with t).
    """
    index, sizes = group_index(groups)
    alone = float(np.sum(weights**2))
    together = float(np.sum(np.bincount(index, weights) ** 2))
    variance = variance_ratio * (alone * dependence.seeds + dependence.images * (together - alone))
    size = t_correction(len(sizes), len(weights), level) * float(np.sum(weights)) ** 2 / variance
    return float(min(max(1.0, size), len(weights)))


def proportion_interval(value: float, n_effective: float, *, level: float = 0.95) -> Interval:
    """Return the mid-P interval of a proportion `value` in 0..1, seen on `n_effective` independent images.

    The exact interval of Clopper and Pearson with half the probability of the outcome seen. It covers the level on
    average (.918 to .994 of single images, by how many errors are expected), where Clopper and Pearson's covers up to
    .999 and Wilson's as little as .84. Without an error the error rate is at most 3 / n, the rule of three.

    Args:
        value: in 0..1; value * n_effective need not be whole.
        n_effective: at least 1.
        level: the confidence, in 0..1.

    References:
        Berry and Armitage, "Mid-P confidence intervals: a brief review", The Statistician 44, 1995.
        https://doi.org/10.2307/2348891
        Korn and Graubard 1998 (counts that are not whole).
    """
    tail = (1 - level) / 2
    low = _lower_limit(value * n_effective, n_effective, tail)
    high = 1 - _lower_limit((1 - value) * n_effective, n_effective, tail)
    return Interval(low=min(low, value), value=value, high=max(high, value), n_effective=n_effective)


def _lower_limit(hits: float, n: float, tail: float) -> float:
    """Return the p at which more than `hits` of n, plus half of exactly `hits`, have the probability `tail`."""
    if hits < SMALLEST_COUNT:
        return 0.0
    if n - hits < SMALLEST_COUNT:
        return float((2 * tail) ** (1 / n))

    def excess(p: float) -> float:
        return float(special.betainc(hits, n - hits + 1, p) + special.betainc(hits + 1, n - hits, p)) / 2 - tail

    return float(optimize.brentq(excess, 0.0, 1.0, xtol=1e-9))


def t_correction(num_groups: int, n: int, level: float) -> float:
    """Return (t with n - 1 / t with num_groups - 1 degrees of freedom)^2, 0..1.

    0 for a single group: it does not tell how groups differ, however many images it has.
    """
    if num_groups < 2:
        return 0.0
    of_images, of_groups = special.stdtrit([n - 1, num_groups - 1], (1 + level) / 2)
    return float((of_images / of_groups) ** 2)
