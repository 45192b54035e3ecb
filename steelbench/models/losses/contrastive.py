"""Losses that pull same-class embeddings together and push the others apart: supervised contrastive, N-pairs, pairs."""

from __future__ import annotations

from keras import KerasTensor, ops

from steelbench.models.losses.pairwise import flat_labels, pair_masks


def supcon(labels: KerasTensor, embeddings: KerasTensor, temperature: float = 0.1) -> KerasTensor:
    """Supervised contrastive loss of each anchor against the rest of its batch; the anchor itself is no positive.

    A collapsed encoder (identical embeddings) gives log(B - 1) at any temperature. Which projection makes the
    embeddings is the caller's choice: a relu before the unit norm leaves only the positive part of the sphere, where no
    two embeddings are more than a right angle apart, so that cosines span half their range.

    Args:
        labels: int [B], class of each embedding.
        embeddings: float32 [B, D], unit norm (required, not enforced).
        temperature: positive; smaller values stress the hardest negatives.

    Returns:
        float32 [B]; 0 for an anchor without a positive in the batch.

    References:
        Khosla et al. 2020, "Supervised Contrastive Learning", eq. 2. https://arxiv.org/abs/2004.11362
    """
    positive, _ = pair_masks(labels)
    logits = _cosines(embeddings) / temperature
    # -1e9 instead of -inf: the excluded similarity with itself must not make gradients NaN.
    rivals = ops.where(ops.cast(ops.eye(ops.shape(logits)[0]), "bool"), -1e9, logits)
    positives = ops.cast(positive, "float32")
    total = ops.sum(positives * -ops.log_softmax(rivals, axis=1), axis=1)
    return total / ops.maximum(ops.sum(positives, axis=1), 1.0)


def npairs(labels: KerasTensor, embeddings: KerasTensor, temperature: float = 0.1) -> KerasTensor:
    """N-pairs loss of each anchor on cosines over temperature, the anchor itself among positives and rivals.

    The cross-entropy between the batch's same-class matrix, each row divided by its sum, and the softmax of the logits.
    It is `supcon` with the self-pair counted as a positive: the pair costs little and its gradient is 0, so the other
    positives are pulled less. Identical embeddings give log(B).

    Args:
        labels: int [B], class of each embedding.
        embeddings: float32 [B, D], unit norm (required, not enforced).
        temperature: positive; smaller values stress the hardest negatives.

    Returns:
        float32 [B]; also for an anchor without another image of its class, which is then only pushed away.

    References:
        Sohn 2016, "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", in the form of
        `npairs_loss` of TensorFlow Addons. https://papers.nips.cc/paper/6200
    """
    labels = flat_labels(labels)
    same = ops.cast(ops.equal(labels[:, None], labels[None, :]), "float32")
    targets = same / ops.sum(same, axis=1, keepdims=True)
    return ops.sum(targets * -ops.log_softmax(_cosines(embeddings) / temperature, axis=1), axis=1)


def contrastive(same: KerasTensor, distances: KerasTensor, margin: float = 1.0) -> KerasTensor:
    """Contrastive loss of each pair: distance squared if alike, else what it lacks to the margin, squared.

    Args:
        same: [N] or [N, 1], 1 for a pair of one class, 0 for a pair of two.
        distances: [N] or [N, 1], Euclidean, not squared.
        margin: positive, in units of distance.

    Returns:
        float32 [N]; twice the paper's, which halves both terms, as is usual in software.

    References:
        Hadsell et al. 2006, "Dimensionality Reduction by Learning an Invariant Mapping", eq. 4.
    """
    same = ops.cast(ops.reshape(same, (-1,)), "float32")
    distances = ops.cast(ops.reshape(distances, (-1,)), "float32")
    return same * ops.square(distances) + (1.0 - same) * ops.square(ops.relu(margin - distances))


def _cosines(embeddings: KerasTensor) -> KerasTensor:
    embeddings = ops.cast(embeddings, "float32")
    return ops.matmul(embeddings, ops.transpose(embeddings))
