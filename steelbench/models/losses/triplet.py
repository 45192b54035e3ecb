"""Triplet losses with online mining: which triplets of a batch count, and the loss of each anchor.

All functions take class labels [B] or [B, 1], of any number type, and the embeddings of the same batch.
"""

from __future__ import annotations

from keras import KerasTensor, ops

from steelbench.models.losses.pairwise import has_triplet, pair_masks, pairwise_distances


def triplet_batch_all(
    labels: KerasTensor, embeddings: KerasTensor, margin: float = 0.2, soft: bool = False
) -> KerasTensor:
    """Return the triplet loss of each anchor, the mean over all its triplets in the batch, easy ones included.

    Args:
        labels: int [B], class of each embedding.
        embeddings: float32 [B, D], unit norm as a rule; any norm is valid.
        margin: at least 0, in units of distance, which is 0 to 2 between unit vectors; not used if `soft`.
        soft: log(1 + exp(d)) instead of max(0, margin + d), with d the positive's minus the negative's distance.

    Returns:
        float32 [B]; 0 for an anchor without a positive or without a negative.

    Examples:
        >>> import numpy as np
        >>> embeddings = np.float32([[0], [1], [4], [2], [7]])
        >>> print(np.round(triplet_batch_all([0, 0, 0, 1, 1], embeddings, margin=0.5), 2))
        [0.62 0.75 1.5  3.83 0.83]

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
    """Return the triplet loss of each anchor with its farthest positive and its nearest negative in the batch.

    Args:
        labels: int [B], class of each embedding.
        embeddings: float32 [B, D], unit norm as a rule; any norm is valid.
        margin: at least 0, in units of distance, which is 0 to 2 between unit vectors; not used if `soft`.
        soft: log(1 + exp(d)) instead of max(0, margin + d), with d the positive's minus the negative's distance.

    Returns:
        float32 [B]; 0 for an anchor without a positive or without a negative.

    Examples:
        >>> import numpy as np
        >>> embeddings = np.float32([[0], [1], [4], [2], [7]])
        >>> print(np.round(triplet_batch_hard([0, 0, 0, 1, 1], embeddings, margin=0.5), 2))
        [2.5 2.5 2.5 4.5 2.5]

    References:
        Hermans et al. 2017, "In Defense of the Triplet Loss for Person Re-Identification", eq. 5. https://arxiv.org/abs/1703.07737
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
    """Return the triplet loss of each anchor, the mean over its positives, each with its semi-hard negative.

    That is the nearest negative that is farther from the anchor than the positive is. If none is farther, it is the
    farthest negative: the least hard of those that are too near.

    Args:
        labels: int [B], class of each embedding.
        embeddings: float32 [B, D], unit norm as a rule; any norm is valid.
        margin: at least 0, in units of distance, which is 0 to 2 between unit vectors; not used if `soft`.
        soft: log(1 + exp(d)) instead of max(0, margin + d), with d the positive's minus the negative's distance.

    Returns:
        float32 [B]; 0 for an anchor without a positive or without a negative.

    Examples:
        >>> import numpy as np
        >>> embeddings = np.float32([[0], [1], [4], [2], [7]])
        >>> print(np.round(triplet_semihard([0, 0, 0, 1, 1], embeddings, margin=0.5), 2))
        [0.  0.  1.  3.5 0. ]

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
