"""Losses that pull same-class embeddings together and push the others apart: supervised contrastive, N-pairs, pairs."""

from __future__ import annotations

from keras import KerasTensor, ops

from steelbench.models.losses.pairwise import flat_labels, pair_masks


def supcon(labels: KerasTensor, embeddings: KerasTensor, temperature: float = 0.1) -> KerasTensor:
    """Return the supervised contrastive loss of each anchor against the rest of its batch.

    The anchor itself is no positive.

    A collapsed encoder (identical embeddings) gives log(B - 1) at any temperature. Which projection makes the
    embeddings is the caller's choice: a relu before the unit norm leaves only the positive part of the sphere, where no
    two embeddings are more than a right angle apart, so that cosines span half their range.

    Args:
        labels: int [B], class of each embedding.
        embeddings: float32 [B, D], unit norm (required, not enforced).
        temperature: positive; smaller values stress the hardest negatives.

    Returns:
        float32 [B]; 0 for an anchor without a positive in the batch.

    Examples:
        >>> import numpy as np
        >>> embeddings = np.float32([[1, 0], [0.6, 0.8], [0, 1]])
        >>> print(np.round(supcon([0, 0, 1], embeddings, temperature=0.5), 2))
        [0.26 0.91 0.  ]

    References:
        Khosla et al. 2020, "Supervised Contrastive Learning", eq. 2. https://arxiv.org/abs/2004.11362
    """
    positive, _ = pair_masks(labels)
    logits = _cosines(embeddings) / temperature
    # -1e9 instead of -inf: the excluded similarity with itself must not make gradients NaN.
    others = ops.where(ops.cast(ops.eye(ops.shape(logits)[0]), "bool"), -1e9, logits)
    positives = ops.cast(positive, "float32")
    total = ops.sum(positives * -ops.log_softmax(others, axis=1), axis=1)
    return total / ops.maximum(ops.sum(positives, axis=1), 1.0)


def npairs(labels: KerasTensor, embeddings: KerasTensor, temperature: float = 0.1) -> KerasTensor:
    """Return the N-pairs loss of each anchor on cosines over temperature.

    It is the cross-entropy between the batch's same-class matrix, each row divided by its sum, and the softmax of the
    logits; that is `supcon` with the anchor itself among positives and negatives. The self-pair costs little and its
    gradient is 0, so the other positives are pulled less. Identical embeddings give log(B).

    Args:
        labels: int [B], class of each embedding.
        embeddings: float32 [B, D], unit norm (required, not enforced).
        temperature: positive; smaller values stress the hardest negatives.

    Returns:
        float32 [B]; also for an anchor without another image of its class, which is then only pushed away.

    Examples:
        >>> import numpy as np
        >>> embeddings = np.float32([[1, 0], [0.6, 0.8], [0, 1]])
        >>> print(np.round(npairs([0, 0, 1], embeddings, temperature=0.5), 2))
        [0.86 1.15 0.59]

    References:
        Sohn 2016, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", in the form of
        `npairs_loss` of TensorFlow Addons. https://papers.nips.cc/paper/6200
    """
    labels = flat_labels(labels)
    same = ops.cast(ops.equal(labels[:, None], labels[None, :]), "float32")
    targets = same / ops.sum(same, axis=1, keepdims=True)
    return ops.sum(targets * -ops.log_softmax(_cosines(embeddings) / temperature, axis=1), axis=1)


def contrastive(same: KerasTensor, distances: KerasTensor, margin: float = 1.0) -> KerasTensor:
    """Return the contrastive loss of each pair: distance squared if alike, else max(0, margin - distance) squared.

    Args:
        same: [N] or [N, 1], 1 for a pair of one class, 0 for a pair of two.
        distances: [N] or [N, 1], Euclidean, not squared.
        margin: positive, in units of distance.

    Returns:
        float32 [N]; twice the paper's, which halves both terms, as is usual in software.

    Examples:
        >>> import numpy as np
        >>> print(np.round(contrastive(same=[1, 0, 0], distances=[0.5, 0.5, 2.0], margin=1.0), 2))
        [0.25 0.25 0.  ]

    References:
        Hadsell et al. 2006, "Dimensionality Reduction by Learning an Invariant Mapping", eq. 4.
        https://doi.org/10.1109/CVPR.2006.100
    """
    same = ops.cast(ops.reshape(same, (-1,)), "float32")
    distances = ops.cast(ops.reshape(distances, (-1,)), "float32")
    return same * ops.square(distances) + (1.0 - same) * ops.square(ops.relu(margin - distances))


def _cosines(embeddings: KerasTensor) -> KerasTensor:
    embeddings = ops.cast(embeddings, "float32")
    return ops.matmul(embeddings, ops.transpose(embeddings))
