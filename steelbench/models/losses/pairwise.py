"""Pairs within a batch: labels as numbers, positive and negative masks, distances."""

from __future__ import annotations

from keras import KerasTensor, ops


def flat_labels(labels: KerasTensor) -> KerasTensor:
    """Labels [B] or [B, 1] as int32 [B]: Keras hands losses floats, and often a column."""
    return ops.cast(ops.reshape(labels, (-1,)), "int32")


def pair_masks(labels: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """Which pairs are positive (one class, not the image itself) and which negative, both bool [B, B]."""
    labels = flat_labels(labels)
    same = ops.equal(labels[:, None], labels[None, :])
    itself = ops.cast(ops.eye(ops.shape(labels)[0]), "bool")
    return ops.logical_and(same, ops.logical_not(itself)), ops.logical_not(same)


def has_positive(labels: KerasTensor) -> KerasTensor:
    """Whether another image of the batch has the anchor's class, bool [B]."""
    positive, _ = pair_masks(labels)
    return ops.any(positive, axis=1)


def has_triplet(labels: KerasTensor) -> KerasTensor:
    """Whether the batch has both a positive and a negative for the anchor, bool [B]."""
    positive, negative = pair_masks(labels)
    return ops.logical_and(ops.any(positive, axis=1), ops.any(negative, axis=1))


def safe_sqrt(squares: KerasTensor) -> KerasTensor:
    """Square root whose gradient at 0 is 0 instead of infinite; NaN stays NaN."""
    zero = ops.less_equal(squares, 0.0)
    return ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, squares)))


def pairwise_distances(embeddings: KerasTensor) -> KerasTensor:
    """Euclidean distances, not squared, float32 [B, B]; equal rows are at exactly 0, with gradient 0.

    Args:
        embeddings: [B, D], of any norm and float type.
    """
    embeddings = ops.cast(embeddings, "float32")
    # B * B * D numbers: from inner products alone, two nearly equal unit vectors are 3e-4 apart by rounding.
    return safe_sqrt(ops.sum(ops.square(embeddings[:, None, :] - embeddings[None, :, :]), axis=2))
