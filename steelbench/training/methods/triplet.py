"""`triplet` and `arcface`: an embedding on the cached features of a frozen backbone, and a classifier on it."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from steelbench.data.splits import Split
from steelbench.methods import Triplet
from steelbench.models.head import Dense, Head, Scaling, Unit
from steelbench.models.losses import ContrastiveLoss, TripletLoss
from steelbench.training.loop.embedding_stage import fit_embedding
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.optimizer import adam
from steelbench.training.loop.reusable_model import ready, start
from steelbench.training.loop.samplers import Batches, Rows, pair_batches, pk_batches, validation_batches
from steelbench.training.methods.trained_head import TrainedHead, best_on_validation, refuse_nan

Array = NDArray[np.float32]
# Of the cosines to the class centroids, to choose from on validation.
SCALES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


def train_triplet(
    features: Array, labels: Rows, num_classes: int, split: Split, settings: Triplet, plan: FitContext
) -> TrainedHead:
    """Train a fully connected embedding with triplets; softmax of the cosines to the class centroids classifies.

    Anchor, positive and negative, or both images of a pair, go through one and the same layer: that is the Siamese
    network. The scale of the
    cosines is the one with the best validation accuracy, ties by log loss.

    Arguments as for `train_softmax`.
    """
    refuse_nan(features, split)
    scaling = Scaling.fit(features[split.train])
    x = scaling.apply(features)
    batches = triplet_batches(labels[split.train], labels[split.validation], settings, plan.seed)
    model = _triplet_model(x.shape[1], settings, len(batches.train(0)))
    start(model, plan.seed)
    layer = model.get_layer("embedding_dense")

    def embed(samples: Array) -> Array:
        return Unit()(samples @ ops.convert_to_numpy(layer.kernel) + ops.convert_to_numpy(layer.bias))

    done = fit_embedding(model, embed, x, labels, split, settings, plan.of("embedding"), batches)
    embedding = (Dense(*scaling.fold(*layer.get_weights()), "linear"), Unit())
    directions = centroids(Head(embedding)(features[split.train]), labels[split.train], num_classes)
    bias = np.zeros(num_classes, np.float32)
    heads = {
        scale: Head((*embedding, Dense((directions * np.float32(scale)).T.copy(), bias, "softmax")), embedding=1)
        for scale in SCALES
    }
    scale = best_on_validation(heads, features, labels, split, num_classes)
    return TrainedHead(heads[scale], {"embedding": done}, {"scale": scale})


def triplet_batches(labels: Rows, held_out: Rows, settings: Triplet, seed: int) -> Batches:
    """P classes x K images to train on; the validation images once, shuffled: in class order none has a negative.

    For pairs both are pairs, half of them of one class, a pair's images one behind the other.

    Args:
        labels: int64 [N], of the training images.
        held_out: int64 [M], of the validation images.
        settings: of the method.
        seed: of the run.
    """
    if settings.mining == "pairs":
        return Batches(lambda epoch: _pairs(labels, settings, seed, epoch), _pairs(held_out, settings, seed, 0))
    each = min(settings.images_per_class, settings.batch_size // 2)
    classes = min(settings.batch_size // each, len(np.unique(labels)))
    return Batches(
        lambda epoch: pk_batches(labels, classes, each, seed, epoch),
        validation_batches(len(held_out), settings.batch_size, seed),
    )


def _pairs(labels: Rows, settings: Triplet, seed: int, epoch: int) -> list[Rows]:
    batches = pair_batches(labels, settings.batch_size // 2, seed, epoch)
    return [np.stack([pairs.left, pairs.right], axis=1).ravel() for pairs in batches]


def centroids(embeddings: Array, labels: Rows, num_classes: int) -> Array:
    """The mean direction of each class, float32 [C, E] of unit norm; zero for a class without images."""
    means = np.zeros((num_classes, embeddings.shape[1]), np.float32)
    for label in np.unique(labels):
        means[label] = embeddings[labels == label].mean(axis=0, dtype=np.float64)
    return Unit()(means)


@cache
def _triplet_model(dim: int, settings: Triplet, steps: int) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((dim,)),
            layers.Dense(settings.embedding, name="embedding_dense"),
            layers.UnitNormalization(name="embedding"),
        ]
    )
    model.compile(
        adam(settings, steps),
        loss=_loss(settings),
        jit_compile=False,
        steps_per_execution=steps,
    )
    return ready(model)


def _loss(settings: Triplet) -> keras.losses.Loss:
    if settings.mining == "pairs":
        return ContrastiveLoss(settings.margin)
    return TripletLoss(settings.mining, settings.margin, settings.soft)
