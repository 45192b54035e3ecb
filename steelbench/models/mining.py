"""Triplet losses with online mining: which triplets of a batch count, and what each anchor pays.

All functions take class labels [B] or [B, 1], of any number type, and the embeddings of the same batch.
"""

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


def count_anchors(labels: KerasTensor) -> KerasTensor:
    """How many anchors have a positive in the batch, an int32 scalar; the other anchors teach nothing."""
    return ops.sum(ops.cast(has_positive(labels), "int32"))


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


def triplet_batch_all(
    labels: KerasTensor, embeddings: KerasTensor, margin: float = 0.2, soft: bool = False
) -> KerasTensor:
    """Triplet loss of each anchor, the mean over all its triplets in the batch, easy ones included.

    Args:
        labels: int [B], class of each embedding.
        embeddings: float32 [B, D], unit norm as a rule; any norm is valid.
        margin: at least 0, in units of distance, which is 0 to 2 between unit vectors; not used if `soft`.
        soft: log(1 + exp(d)) instead of max(0, margin + d), with d the positive's minus the negative's distance.

    Returns:
        float32 [B]; 0 for an anchor without a positive or without a negative.

    References:
        Hermans et al. 2017, "In Defense of the Triplet Loss for Person Re-Identification", eq. 6 and section 2 for
        the soft margin. https://arxiv.org/abs/1703.07737
    """
    distances = pairwise_distances(embeddings)
    positive, negative = pair_masks(labels)
    triplets = ops.logical_and(positive[:, :, None], negative[:, None, :])
    values = _penalty(distances[:, :, None] - distances[:, None, :], margin, soft)
    return _mean_where(triplets, values, axis=(1, 2))


def triplet_batch_hard(
    labels: KerasTensor, embeddings: KerasTensor, margin: float = 0.2, soft: bool = False
) -> KerasTensor:
    """Triplet loss of each anchor with its farthest positive and its nearest negative in the batch.

    Arguments and result as for `triplet_batch_all`.

    References:
        Hermans et al. 2017, eq. 5. https://arxiv.org/abs/1703.07737
    """
    distances = pairwise_distances(embeddings)
    positive, negative = pair_masks(labels)
    farthest = ops.max(ops.where(positive, distances, 0.0), axis=1)
    # Large and finite: infinity would put NaN into the gradients of anchors without a negative.
    nearest = ops.min(ops.where(negative, distances, 1e9), axis=1)
    return ops.where(has_triplet(labels), _penalty(farthest - nearest, margin, soft), 0.0)


def triplet_semihard(
    labels: KerasTensor, embeddings: KerasTensor, margin: float = 0.2, soft: bool = False
) -> KerasTensor:
    """Triplet loss of each anchor, the mean over its positives, each with its semi-hard negative.

    That is the nearest negative that is farther from the anchor than the positive is. Where none is farther, it is the
    farthest negative: the least hard of those that are too near.

    Arguments and result as for `triplet_batch_all`.

    References:
        Schroff et al. 2015, "FaceNet", section 3.2; the fallback is TensorFlow Addons'.
        https://arxiv.org/abs/1503.03832
    """
    distances = pairwise_distances(embeddings)
    positive, negative = pair_masks(labels)
    to_negative = distances[:, None, :]
    farther = ops.logical_and(negative[:, None, :], ops.greater(to_negative, distances[:, :, None]))
    nearest_farther = ops.min(ops.where(farther, to_negative, 1e9), axis=2)
    farthest = ops.max(ops.where(negative, distances, 0.0), axis=1, keepdims=True)
    chosen = ops.where(ops.any(farther, axis=2), nearest_farther, farthest)
    pairs = ops.logical_and(positive, ops.any(negative, axis=1, keepdims=True))
    return _mean_where(pairs, _penalty(distances - chosen, margin, soft), axis=1)


def _penalty(gap: KerasTensor, margin: float, soft: bool) -> KerasTensor:
    return ops.softplus(gap) if soft else ops.relu(gap + margin)


def _mean_where(mask: KerasTensor, values: KerasTensor, axis: int | tuple[int, ...]) -> KerasTensor:
    weights = ops.cast(mask, "float32")
    return ops.sum(weights * values, axis=axis) / ops.maximum(ops.sum(weights, axis=axis), 1.0)
