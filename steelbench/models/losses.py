"""Metric-learning losses: plain functions with one value for each anchor, and thin Keras classes around them.

The functions compute in float32 whatever they are given. The classes take the mean over the anchors for which the loss
is defined; each says which those are. Losses belong to training: none is part of a saved model.
"""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import KerasTensor, ops

from steelbench.models.arcface import arcface, arcface_crossentropy
from steelbench.models.mining import (
    count_anchors,
    flat_labels,
    has_positive,
    has_triplet,
    pair_masks,
    pairwise_distances,
    safe_sqrt,
    triplet_batch_all,
    triplet_batch_hard,
    triplet_semihard,
)

__all__ = [
    "ArcFaceLoss", "ContrastiveLoss", "NPairsLoss", "SupConLoss", "TripletLoss", "arcface", "arcface_crossentropy",
    "contrastive", "count_anchors", "has_positive", "has_triplet", "npairs", "pairwise_distances", "supcon",
    "triplet_batch_all", "triplet_batch_hard", "triplet_semihard",
]  # fmt: skip


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
        float32 [B]; 0 for an anchor without a positive in the batch (`count_anchors` tells how many have one).

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


def _mean_over(anchors: KerasTensor, values: KerasTensor) -> KerasTensor:
    """Values [B] whose mean over the batch, which Keras takes, is the mean over these anchors (bool [B])."""
    count = ops.sum(ops.cast(anchors, "float32"))
    return values * ops.cast(ops.shape(values)[0], "float32") / ops.maximum(count, 1.0)


class SupConLoss(keras.losses.Loss):
    """Mean of `supcon` over the anchors with a positive; the paper's batches have no others. `y_pred`: embeddings."""

    def __init__(self, temperature: float = 0.1, name: str = "supcon") -> None:
        super().__init__(name=name)
        self.temperature = temperature

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        """Labels [B] or [B, 1] and embeddings [B, D] to float32 [B]."""
        return _mean_over(has_positive(y_true), supcon(y_true, y_pred, self.temperature))

    def get_config(self) -> dict[str, Any]:
        """What makes an equal loss."""
        return {"name": self.name, "temperature": self.temperature}


class NPairsLoss(SupConLoss):
    """Mean of `npairs` over all anchors: each has at least itself as a positive. `y_pred`: embeddings."""

    def __init__(self, temperature: float = 0.1, name: str = "npairs") -> None:
        super().__init__(temperature, name)

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        """Labels [B] or [B, 1] and embeddings [B, D] to float32 [B]."""
        return npairs(y_true, y_pred, self.temperature)


class TripletLoss(keras.losses.Loss):
    """Mean of `triplet_<mining>` over the anchors with a positive and a negative. `y_pred`: embeddings."""

    def __init__(
        self,
        mining: Literal["batch_all", "batch_hard", "semihard"] = "semihard",
        margin: float = 0.2,
        soft: bool = False,
        name: str = "triplet",
    ) -> None:
        super().__init__(name=name)
        rows = {"batch_all": triplet_batch_all, "batch_hard": triplet_batch_hard, "semihard": triplet_semihard}
        self.function, self.mining, self.margin, self.soft = rows[mining], mining, margin, soft

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        """Labels [B] or [B, 1] and embeddings [B, D] to float32 [B]."""
        return _mean_over(has_triplet(y_true), self.function(y_true, y_pred, self.margin, self.soft))

    def get_config(self) -> dict[str, Any]:
        """What makes an equal loss."""
        return {"name": self.name, "mining": self.mining, "margin": self.margin, "soft": self.soft}


class ContrastiveLoss(keras.losses.Loss):
    """Mean of `contrastive` over the pairs of a batch: rows 0 and 1, 2 and 3, ... `y_pred`: embeddings of unit norm."""

    def __init__(self, margin: float = 1.0, name: str = "contrastive") -> None:
        super().__init__(name=name)
        self.margin = margin

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        """Labels [2P] or [2P, 1] and embeddings [2P, D] to float32 [P]."""
        labels, embeddings = flat_labels(y_true), ops.cast(y_pred, "float32")
        apart = safe_sqrt(ops.sum(ops.square(embeddings[0::2] - embeddings[1::2]), axis=1))
        return contrastive(ops.equal(labels[0::2], labels[1::2]), apart, self.margin)

    def get_config(self) -> dict[str, Any]:
        """What makes an equal loss."""
        return {"name": self.name, "margin": self.margin}


class ArcFaceLoss(keras.losses.Loss):
    """Mean of `arcface`, or of `arcface_crossentropy`, over all images. `y_pred`: cosines [B, C]."""

    def __init__(
        self, scale: float = 30.0, margin: float = 0.5, crossentropy: bool = False, name: str = "arcface"
    ) -> None:
        super().__init__(name=name)
        self.scale, self.margin, self.crossentropy = scale, margin, crossentropy

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        """Labels [B] or [B, 1] and cosines [B, C] to float32 [B]."""
        function = arcface_crossentropy if self.crossentropy else arcface
        return function(y_true, y_pred, self.scale, self.margin)

    def get_config(self) -> dict[str, Any]:
        """What makes an equal loss."""
        return {"name": self.name, "scale": self.scale, "margin": self.margin, "crossentropy": self.crossentropy}
