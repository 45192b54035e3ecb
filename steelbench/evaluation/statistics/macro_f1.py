"""Macro-F1 and balanced accuracy of confusion matrices, and the variance of macro-F1."""

from __future__ import annotations

import numpy as np

from steelbench.arrays import Floats, RowIndices


def macro_f1(confusion: Floats) -> Floats:
    """Return the mean F1 over classes, [...], of `confusion` [..., C, C] (rows are true classes).

    A class without a true image is left out of the mean, as in `balanced_accuracy`: its F1 would be 0, however good
    the model. What is called by its name still counts, against the recall of the true classes.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return _mean_over_tested(2 * hits, _occurrences(confusion), confusion)


def balanced_accuracy(confusion: Floats) -> Floats:
    """Return the mean recall over the classes that occur, [...], of `confusion` [..., C, C]."""
    return _mean_over_tested(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1), confusion)


def macro_f1_variance(confusion: Floats) -> Floats:
    """Return the sampling variance of macro-F1 for independent images, [...], of `confusion` [..., C, C].

    The delta method: the sum over images of the squared influence of each. An image of class a that is called b moves
    F1 of a by (2 [a = b] - F1) / (a's occurrences), and F1 of b likewise.

    References:
        Takahashi et al., "Confidence interval for micro-averaged F1 and macro-averaged F1 scores", Applied Intelligence
        52, 2022. https://doi.org/10.1007/s10489-021-02635-5
    """
    total = _occurrences(confusion)
    present = total > 0
    per_image = np.divide(1.0, total, out=np.zeros(total.shape), where=present)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    lost = 2 * hits * per_image * per_image  # F1 over occurrences
    gained = 2 * per_image[..., None] * np.eye(confusion.shape[-1])
    influence = (gained - lost[..., :, None] - lost[..., None, :]) / _tested(confusion)[..., None, None]
    return np.sum(confusion * influence**2, axis=(-2, -1))


def confusion_counts(y_true: RowIndices, y_pred: RowIndices, num_classes: int) -> Floats:
    """Return float [S, C, C], the confusion counts of each seed's `y_pred` int [S, N] (rows are true classes)."""
    shape = (len(y_pred), num_classes, num_classes)
    flat = np.ravel_multi_index((np.arange(len(y_pred))[:, None], y_true[None, :], y_pred), shape)
    return np.bincount(flat.ravel(), minlength=int(np.prod(shape))).reshape(shape).astype(float)


def _occurrences(confusion: Floats) -> Floats:
    """Return how often each class occurs as truth and as prediction together, [..., C]."""
    return confusion.sum(-1) + confusion.sum(-2)


def _tested(confusion: Floats) -> Floats:
    """Return the number of classes with a true image, at least 1, [...]."""
    return np.maximum((confusion.sum(-1) > 0).sum(-1), 1)


def _mean_over_tested(numerator: Floats, denominator: Floats, confusion: Floats) -> Floats:
    # A class without a true image has no hits, so its ratio adds nothing to the sum.
    ratios = np.divide(numerator, denominator, out=np.zeros(denominator.shape), where=denominator > 0)
    return ratios.sum(-1) / _tested(confusion)
