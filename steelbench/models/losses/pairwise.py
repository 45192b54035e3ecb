"""Pairs within a batch: labels as numbers, positive and negative masks, distances."""

from __future__ import annotations

from keras import KerasTensor, ops


def flat_labels(labels: KerasTensor) -> KerasTensor:
    """Return labels [B] or [B, 1] as int32 [B]: Keras hands losses floats, and often a column."""
    return ops.cast(ops.reshape(labels, (-1,)), "int32")


def pair_masks(labels: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """Return which pairs of a batch are positive and which are negative.

    Args:
        labels: [B] or [B, 1], of any number type.

    Returns:
        bool [B, B], true for two images of one class, not for an image with itself; bool [B, B], true for two classes.
    """
    labels = flat_labels(labels)
    same = ops.equal(labels[:, None], labels[None, :])
    itself = ops.cast(ops.eye(ops.shape(labels)[0]), "bool")
    return ops.logical_and(same, ops.logical_not(itself)), ops.logical_not(same)


def has_positive(labels: KerasTensor) -> KerasTensor:
    """Return whether another image of the batch has the anchor's class, bool [B].

    Args:
        labels: [B] or [B, 1], of any number type.

    Examples:
        >>> import numpy as np
        >>> print(np.asarray(has_positive([0, 0, 1])))
        [ True  True False]
    """
    positive, _ = pair_masks(labels)
    return ops.any(positive, axis=1)


def has_triplet(labels: KerasTensor) -> KerasTensor:
    """Return whether the batch has both a positive and a negative for the anchor, bool [B].

    Args:
        labels: [B] or [B, 1], of any number type.

    Examples:
        >>> import numpy as np
        >>> print(np.asarray(has_triplet([0, 0, 1])))
        [ True  True False]
    """
    positive, negative = pair_masks(labels)
    return ops.logical_and(ops.any(positive, axis=1), ops.any(negative, axis=1))


def safe_sqrt(squares: KerasTensor) -> KerasTensor:
    """Return square roots whose gradient at 0 is 0 instead of infinite; NaN stays NaN."""
    zero = ops.less_equal(squares, 0.0)
    return ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, squares)))


def pairwise_distances(embeddings: KerasTensor) -> KerasTensor:
    """Return Euclidean distances, not squared, float32 [B, B]; equal rows are at exactly 0, with gradient 0.

    Args:
        embeddings: [B, D], of any norm and float type.

    Examples:
        >>> import numpy as np
        >>> print(np.asarray(pairwise_distances(np.float32([[0, 0], [3, 4]]))))
        [[0. 5.]
         [5. 0.]]
    """
    embeddings = ops.cast(embeddings, "float32")
    # B * B * D numbers: from inner products alone, two nearly equal unit vectors are 3e-4 apart by rounding.
    return safe_sqrt(ops.sum(ops.square(embeddings[:, None, :] - embeddings[None, :, :]), axis=2))
