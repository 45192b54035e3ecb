"""How sure an accuracy or a recall is, when test images come in groups (images that share pixels).

Everything goes by the *effective sample size*: the number of independent images that would tell as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

Array = npt.NDArray[Any]

# With fewer errors (or hits) among the effective images Wilson's interval can cover as little as .84 instead
# of .95; a higher limit makes grouped test sets cover .99 (`benchmarks/interval_coverage.py`).
EXACT_BELOW = 4


@dataclass(frozen=True)
class Interval:
    """A confidence interval; 0 <= low <= value <= high <= 1, `n_effective` independent images."""

    low: float
    value: float
    high: float
    n_effective: float
    method: str


def design_effect(correct: Array, groups: Array) -> float:
    """Return how many times the accuracy's variance exceeds that of as many independent images.

    The variance is that of a ratio estimator over groups: sum((errors - p * size)^2) * G / (G - 1) / N^2.
    Where that says nothing (one group, or an accuracy of exactly 0 or 1), images of one group are taken to
    stand or fall together: sum(size^2) / sum(size), the largest effect that group sizes alone can have.

    Args:
        correct: bool [N], or float [N] in 0..1 (the mean over seeds).
        groups: int [N], any labels; images of one group share pixels.

    Returns:
        At least 1; exactly 1 where every group is a single image and `correct` is bool.

    References:
        Cochran, "Sampling Techniques", 1977, section 9A; Kish, "Survey Sampling", 1965.
    """
    hits, sizes = group_sums(np.asarray(correct, dtype=float), groups)
    accuracy = hits.sum() / sizes.sum()
    if len(sizes) == 1 or accuracy in (0.0, 1.0):
        return largest_design_effect(groups)
    n = sizes.sum()
    clustered = np.sum((hits - accuracy * sizes) ** 2) * len(sizes) / (len(sizes) - 1) / n**2
    # N - 1, as for any variance from a sample: then groups of one image have an effect of exactly 1.
    independent = accuracy * (1 - accuracy) / (n - 1)
    effect = float(clustered / independent)
    return effect if effect > 1 + 1e-9 else 1.0


def largest_design_effect(groups: Array) -> float:
    """Return sum(size^2) / sum(size) of `groups` int [N]: the effect if a group is all right or all wrong."""
    sizes = np.unique(groups, return_counts=True)[1]
    return float(np.sum(sizes**2) / np.sum(sizes))


def effective_size(correct: Array, groups: Array | None = None, level: float = 0.95) -> float:
    """Return how many independent images tell as much about the accuracy as these.

    A design effect that was seen on few errors is not to be trusted: two errors in two groups look
    independent whatever the truth. So it is averaged, over the groups with errors, with the largest effect
    standing for one more such group. `benchmarks/interval_coverage.py` shows what this buys.

    Args:
        correct: bool [N], or bool [S, N] for S seeds on the same images; seeds are no further images.
        groups: int [N]; without it every image is its own group.
        level: of the interval; few groups make a variance uncertain, Student's t says by how much.

    Returns:
        1 to N.

    References:
        Korn and Graubard, "Confidence intervals for proportions with small expected number of positive
        counts estimated from survey data", Survey Methodology 24, 1998 (the correction with t).
    """
    seeds = by_seed(correct)
    n = seeds.shape[1]
    groups = np.arange(n) if groups is None else np.asarray(groups)
    hits, sizes = group_sums(seeds.mean(axis=0), groups)
    with_errors = min(np.count_nonzero(hits < sizes - 1e-9), np.count_nonzero(hits > 1e-9))  # or hits, if rarer
    effect = design_effect(seeds.mean(axis=0), groups)
    effect = (with_errors * effect + largest_design_effect(groups)) / (with_errors + 1)
    return float(max(1.0, n / effect * t_correction(len(sizes), n, level)))


def accuracy_interval(correct: Array, groups: Array | None = None, level: float = 0.95) -> Interval:
    """Return the accuracy and an interval for it.

    Wilson's interval on the effective sample size; with fewer than 4 errors or 4 hits among the effective
    images the exact one (Clopper and Pearson). The interval is about other images, for these very models: how
    much another training would change is what the range over seeds shows. Several seeds cover more than
    `level` (.99 of single images), because they never count as more images than there are.

    Args:
        correct: bool [N], or bool [S, N] for S seeds on the same images (their mean is the accuracy).
        groups: int [N]; without it every image is its own group.
        level: the confidence, in 0..1.

    References:
        Brown, Cai and DasGupta, "Interval Estimation for a Binomial Proportion", 2001.
        https://doi.org/10.1214/ss/1009213286
    """
    value = float(by_seed(correct).mean())
    return proportion_interval(value, effective_size(correct, groups, level), level)


def recall_intervals(
    y_true: Array, y_pred: Array, groups: Array | None, num_classes: int, level: float = 0.95
) -> list[Interval | None]:
    """Return each class's recall with its interval: the accuracy interval of the class's own images.

    No bootstrap: of a class that was recognised without an error it would make [1, 1].

    Args:
        y_true: int [N] in 0..num_classes-1.
        y_pred: int [N], or int [S, N] for S seeds.
        groups: int [N]; None if every image is its own group.
        num_classes: the length of what is returned.
        level: the confidence, in 0..1.

    Returns:
        One per class; None for a class without a test image.
    """
    correct = by_seed(y_pred) == np.asarray(y_true)
    groups = np.arange(len(y_true)) if groups is None else np.asarray(groups)
    members = (np.asarray(y_true) == label for label in range(num_classes))
    return [accuracy_interval(correct[:, own], groups[own], level) if own.any() else None for own in members]


def proportion_interval(value: float, n_effective: float, level: float = 0.95) -> Interval:
    """Return the interval of a proportion `value` in 0..1, seen on `n_effective` independent images."""
    rare = n_effective * min(value, 1 - value)
    name, method = ("exact", "beta") if rare < EXACT_BELOW - 1e-9 else ("wilson", "wilson")
    low, high = proportion_confint(value * n_effective, n_effective, 1 - level, method)
    return Interval(min(max(0.0, float(low)), value), value, max(min(1.0, float(high)), value), n_effective, name)


def t_correction(num_groups: int, n: int, level: float) -> float:
    """Return (t with n - 1 / t with num_groups - 1 degrees of freedom)^2, 0..1; 1 for a single group."""
    if num_groups < 2:
        return 1.0
    of_images, of_groups = stats.t.ppf((1 + level) / 2, [n - 1, num_groups - 1])
    return float((of_images / of_groups) ** 2)


def by_seed(values: Array) -> Array:
    """Return `values` [N] or [S, N] as [S, N].

    Raises:
        ValueError: if there is no image, or more than two dimensions.
    """
    seeds = np.atleast_2d(values)
    if seeds.ndim != 2 or seeds.size == 0:
        raise ValueError(f"expected [N] or [S, N] with at least one image, got shape {np.shape(values)}")
    return seeds


def group_sums(values: npt.NDArray[np.float64], groups: Array) -> tuple[npt.NDArray[np.float64], Array]:
    """Return (sums of `values` float [N], sizes int), each [G], for `groups` int [N] with any labels."""
    if np.shape(groups) != np.shape(values):
        raise ValueError(f"groups have shape {np.shape(groups)}, expected {np.shape(values)}: one per image")
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.bincount(index, weights=values).astype(float), sizes
