"""How sure macro-F1 and balanced accuracy are: a bootstrap that draws whole groups of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from steelbench.evaluation.statistics.intervals import (
    Array,
    Interval,
    by_seed,
    largest_design_effect,
    proportion_interval,
    t_correction,
)

Floats = npt.NDArray[np.float64]


def macro_f1(confusion: Floats) -> Floats:
    """Return the mean F1 over classes, [...], of `confusion` [..., C, C] (rows are true classes).

    A class that occurs neither as truth nor as prediction is left out of the mean.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    total = confusion.sum(-1) + confusion.sum(-2)
    return _mean_ratio(2 * hits, total)


def balanced_accuracy(confusion: Floats) -> Floats:
    """Return the mean recall over the classes that occur, [...], of `confusion` [..., C, C]."""
    return _mean_ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1))


def macro_f1_interval(
    y_true: Array,
    y_pred: Array,
    groups: Array | None,
    num_classes: int,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return macro-F1 (the mean over seeds) and an interval for it; see `metric_interval`."""
    return metric_interval(macro_f1, y_true, y_pred, groups, num_classes, draws=draws, seed=seed, level=level)


def balanced_accuracy_interval(
    y_true: Array,
    y_pred: Array,
    groups: Array | None,
    num_classes: int,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return balanced accuracy (the mean over seeds) and an interval for it; see `metric_interval`."""
    return metric_interval(balanced_accuracy, y_true, y_pred, groups, num_classes, draws=draws, seed=seed, level=level)


def metric_interval(
    metric: Callable[[Floats], Floats],
    y_true: Array,
    y_pred: Array,
    groups: Array | None,
    num_classes: int,
    *,
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Return a mean over classes, and the interval of a proportion with as much variance.

    The bootstrap over groups gives the variance, value * (1 - value) / variance is an effective sample size,
    and that has a Wilson or exact interval. Percentiles of the same draws cover too little near 1 (.63
    at .997 with n=360: too often all draws are 1). As for the accuracy, the largest design effect that the
    groups can have stands for one more group with errors, so that draws without an error decide nothing.

    Args:
        metric: [..., C, C] -> [...], in 0..1.
        y_true: int [N] in 0..num_classes-1.
        y_pred: int [N], or int [S, N] for S seeds on the same images.
        groups: int [N]; None if every image is its own group.
        num_classes: C.
        draws: bootstrap samples.
        seed: of the draws; the same seed gives the same interval.
        level: the confidence, in 0..1.

    References:
        Field and Welsh, "Bootstrapping clustered data", 2007. https://doi.org/10.1111/j.1467-9868.2007.00593.x
    """
    y_true, seeds = np.asarray(y_true), by_seed(y_pred)
    groups = np.arange(len(y_true)) if groups is None else np.asarray(groups)
    counts = group_confusions(y_true, seeds, groups, num_classes)
    value = float(metric(counts.sum(axis=0)).mean())
    variance = resample(counts, metric, draws, seed).var()
    # Seeds that err on the same group are one piece of evidence. Or hits, if those are rarer.
    correct = seeds == y_true
    with_errors = min(np.unique(groups[seen.any(axis=0)]).size for seen in (correct, ~correct))
    smallest = smallest_size(y_true, groups)
    spread = value * (1 - value)
    one_over_size = float(variance) / spread if spread > 0 else 0.0
    size = (with_errors + 1) / (with_errors * one_over_size + 1 / smallest)
    # A single group with errors has a variance that says little; groups alone cannot make images worth less than this.
    size = min(max(size, smallest), float(len(y_true))) * t_correction(len(counts), len(y_true), level)
    return proportion_interval(value, max(1.0, size), level)


def group_confusions(y_true: Array, y_pred: Array, groups: Array, num_classes: int) -> Floats:
    """Return float [G, S, C, C], each group's confusion counts for each seed's `y_pred` int [S, N]."""
    labels, index = np.unique(groups, return_inverse=True)
    shape = (len(labels), len(y_pred), num_classes, num_classes)
    seed_index = np.arange(len(y_pred))[:, None]
    flat = np.ravel_multi_index((index[None, :], seed_index, y_true[None, :], y_pred), shape)
    return np.bincount(flat.ravel(), minlength=int(np.prod(shape))).reshape(shape).astype(float)


def resample(counts: Floats, metric: Callable[[Floats], Floats], draws: int, seed: int) -> Floats:
    """Return float [draws]: the metric (mean over seeds) of samples of G groups, drawn with replacement.

    Groups with equal counts are interchangeable. Drawing how often each distinct count occurs, instead of
    which group, has the same distribution and turns 1800 columns into a few dozen.
    """
    num_groups = len(counts)
    kinds, times = np.unique(counts.reshape(num_groups, -1), axis=0, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(num_groups, times / num_groups, size=draws)
    samples = (drawn @ kinds).reshape(draws, *counts.shape[1:])
    return metric(samples).mean(axis=1)


def smallest_size(y_true: Array, groups: Array) -> float:
    """Return the effective sample size of a mean over classes if each group stands or falls together.

    The variance of a mean of C independent classes is the mean of theirs over C.
    """
    classes = [groups[y_true == label] for label in np.unique(y_true)]
    return len(classes) ** 2 / sum(largest_design_effect(own) / len(own) for own in classes)


def _mean_ratio(numerator: Floats, denominator: Floats) -> Floats:
    present = denominator > 0
    ratios = np.divide(numerator, denominator, out=np.zeros(denominator.shape), where=present)
    return ratios.sum(-1) / np.maximum(present.sum(-1), 1)
