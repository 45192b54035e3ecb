"""Keras classes around the loss functions.

Each takes the mean over the anchors for which its loss is defined, and says which those are. Losses belong to training:
none is part of a saved model.
"""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import KerasTensor, ops

from steelbench.models.losses.arcface import arcface, arcface_crossentropy
from steelbench.models.losses.contrastive import contrastive, npairs, supcon
from steelbench.models.losses.pairwise import flat_labels, has_positive, has_triplet, safe_sqrt
from steelbench.models.losses.triplet import triplet_batch_all, triplet_batch_hard, triplet_semihard


def _mean_over(anchors: KerasTensor, values: KerasTensor) -> KerasTensor:
    """Return values [B] whose mean over the batch, which Keras takes, is the mean over these anchors (bool [B])."""
    count = ops.sum(ops.cast(anchors, "float32"))
    return values * ops.cast(ops.shape(values)[0], "float32") / ops.maximum(count, 1.0)


class SupConLoss(keras.losses.Loss):
    """Mean of `supcon` over the anchors with a positive; the paper's batches have no others. `y_pred`: embeddings."""

    def __init__(self, temperature: float = 0.1, name: str = "supcon") -> None:
        super().__init__(name=name)
        self.temperature = temperature

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        """Return the loss float32 [B] of labels [B] or [B, 1] and embeddings [B, D]."""
        return _mean_over(has_positive(y_true), supcon(y_true, y_pred, self.temperature))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal loss."""
        return {"name": self.name, "temperature": self.temperature}


class NPairsLoss(SupConLoss):
    """Mean of `npairs` over all anchors: each has at least itself as a positive. `y_pred`: embeddings."""

    def __init__(self, temperature: float = 0.1, name: str = "npairs") -> None:
        super().__init__(temperature, name)

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        """Return the loss float32 [B] of labels [B] or [B, 1] and embeddings [B, D]."""
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
        functions = {"batch_all": triplet_batch_all, "batch_hard": triplet_batch_hard, "semihard": triplet_semihard}
        self.function, self.mining, self.margin, self.soft = functions[mining], mining, margin, soft

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        """Return the loss float32 [B] of labels [B] or [B, 1] and embeddings [B, D]."""
        return _mean_over(has_triplet(y_true), self.function(y_true, y_pred, self.margin, self.soft))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal loss."""
        return {"name": self.name, "mining": self.mining, "margin": self.margin, "soft": self.soft}


class ContrastiveLoss(keras.losses.Loss):
    """Mean of `contrastive` over the pairs of a batch: rows 0 and 1, 2 and 3, ... `y_pred`: embeddings of unit norm."""

    def __init__(self, margin: float = 1.0, name: str = "contrastive") -> None:
        super().__init__(name=name)
        self.margin = margin

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        """Return the loss float32 [P] of labels [2P] or [2P, 1] and embeddings [2P, D]."""
        labels, embeddings = flat_labels(y_true), ops.cast(y_pred, "float32")
        distances = safe_sqrt(ops.sum(ops.square(embeddings[0::2] - embeddings[1::2]), axis=1))
        return contrastive(ops.equal(labels[0::2], labels[1::2]), distances, self.margin)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal loss."""
        return {"name": self.name, "margin": self.margin}


class ArcFaceLoss(keras.losses.Loss):
    """Mean of `arcface`, or of `arcface_crossentropy`, over all images. `y_pred`: cosines [B, C]."""

    def __init__(
        self, scale: float = 30.0, margin: float = 0.5, crossentropy: bool = False, name: str = "arcface"
    ) -> None:
        super().__init__(name=name)
        self.scale, self.margin, self.crossentropy = scale, margin, crossentropy

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        """Return the loss float32 [B] of labels [B] or [B, 1] and cosines [B, C]."""
        function = arcface_crossentropy if self.crossentropy else arcface
        return function(y_true, y_pred, self.scale, self.margin)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal loss."""
        return {"name": self.name, "scale": self.scale, "margin": self.margin, "crossentropy": self.crossentropy}
