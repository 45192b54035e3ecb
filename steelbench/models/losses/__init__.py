"""Metric-learning losses: plain functions with one value for each anchor, and thin Keras classes around them.

The functions compute in float32, whatever number type they are given. `keras_losses` has the classes that Keras trains
with.
"""

from steelbench.models.losses.arcface import arcface, arcface_crossentropy
from steelbench.models.losses.contrastive import contrastive, npairs, supcon
from steelbench.models.losses.keras_losses import ArcFaceLoss, ContrastiveLoss, NPairsLoss, SupConLoss, TripletLoss
from steelbench.models.losses.pairwise import has_positive, has_triplet, pairwise_distances
from steelbench.models.losses.triplet import triplet_batch_all, triplet_batch_hard, triplet_semihard

__all__ = [
    "ArcFaceLoss",
    "ContrastiveLoss",
    "NPairsLoss",
    "SupConLoss",
    "TripletLoss",
    "arcface",
    "arcface_crossentropy",
    "contrastive",
    "has_positive",
    "has_triplet",
    "npairs",
    "pairwise_distances",
    "supcon",
    "triplet_batch_all",
    "triplet_batch_hard",
    "triplet_semihard",
]
