"""The method `triplet`: an embedding on frozen features, trained with triplets or pairs; class centroids classify."""

from __future__ import annotations

from functools import lru_cache

import keras
import numpy as np
from keras import layers, ops

from steelbench.arrays import Features, Labels, RowIndices
from steelbench.methods import Triplet
from steelbench.models.head import Dense, Head, Unit
from steelbench.models.losses import ContrastiveLoss, TripletLoss
from steelbench.training.loop.embedding_stage import fit_embedding
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.optimizer import adam
from steelbench.training.loop.reusable_model import KEPT_MODELS, ReusableModel, compile_model
from steelbench.training.loop.samplers import Batches, pair_batches, pk_batches, validation_batches
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods.trained_head import TrainedHead, best_on_validation, refuse_nan, standardise

# Factors of the cosines to the class centroids, to choose from on validation.
SCALES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)


def train_triplet(data: TrainingSet, settings: Triplet, context: FitContext) -> TrainedHead:
    """Train a fully connected embedding with triplets or pairs; a softmax of cosines to class centroids classifies.

    Anchor, positive and negative, or both images of a pair, go through one and the same layer: that is the Siamese
    network. The factor of the cosines is the one with the best validation accuracy, ties by log loss.

    Args:
        data: features of all images, labels, split; no pair has two images of one of its groups.
        settings: of the method.
        context: seed, checkpoint, logs.

    Raises:
        SteelbenchError: if features are no numbers, the loss becomes none, the embedding collapses, or the training or
            validation images make no triplets or pairs.
    """
    refuse_nan(data)
    scaling, standardised = standardise(data)
    batches = triplet_batches(data, settings, context.seed)
    reusable = _triplet_model(data.features.shape[1], settings, len(batches.train(0)))
    model = reusable.restart(context.seed)
    layer = model.get_layer("embedding_dense")

    def embed(samples: Features) -> Features:
        return Unit()(samples @ ops.convert_to_numpy(layer.kernel) + ops.convert_to_numpy(layer.bias))

    result = fit_embedding(model, embed, standardised, settings, context.for_stage("embedding"), batches)
    embedding = (Dense(*scaling.fold(*layer.get_weights()), "linear"), Unit())
    features, labels = data.train
    directions = centroids(Head(embedding)(features), labels, data.num_classes)
    bias = np.zeros(data.num_classes, np.float32)
    heads = {
        scale: Head((*embedding, Dense((directions * np.float32(scale)).T.copy(), bias, "softmax")), embedding=1)
        for scale in SCALES
    }
    scale = best_on_validation(heads, data)
    return TrainedHead(heads[scale], {"embedding": result}, {"scale": scale})


def triplet_batches(data: TrainingSet, settings: Triplet, seed: int) -> Batches:
    """Return the batches: P classes x K images to train on; the validation images once, shuffled.

    In class order no validation image would have a negative. For pairs both are pairs, half of them of one class, the
    two images of a pair one behind the other, never of one group.

    Args:
        data: labels, split, groups.
        settings: of the method.
        seed: of the run.

    Raises:
        SteelbenchError: if the images of a part make no pairs.
    """
    if settings.mining == "pairs":
        return _batches_of_pairs(data, settings.batch_size // 2, seed)
    labels = data.labels[data.split.train]
    each = min(settings.images_per_class, settings.batch_size // 2)
    classes = min(settings.batch_size // each, len(np.unique(labels)))
    return Batches(
        lambda epoch: pk_batches(labels, classes_per_batch=classes, images_per_class=each, seed=seed, epoch=epoch),
        validation_batches(len(data.split.validation), batch_size=settings.batch_size, seed=seed),
    )


def _batches_of_pairs(data: TrainingSet, pairs_per_batch: int, seed: int) -> Batches:
    def batches(rows: RowIndices, epoch: int, part: str) -> list[RowIndices]:
        groups = None if data.groups is None else data.groups[rows]
        pairs = pair_batches(
            data.labels[rows], batch_size=pairs_per_batch, seed=seed, epoch=epoch, groups=groups, part=part
        )
        return [np.stack([batch.left, batch.right], axis=1).ravel() for batch in pairs]

    split = data.split
    return Batches(lambda epoch: batches(split.train, epoch, "training"), batches(split.validation, 0, "validation"))


def centroids(embeddings: Features, labels: Labels, num_classes: int) -> Features:
    """Return the mean direction of each class, float32 [C, E] of unit norm; zero for a class without images.

    Args:
        embeddings: float32 [N, E].
        labels: int64 [N].
        num_classes: C.
    """
    means = np.zeros((num_classes, embeddings.shape[1]), np.float32)
    for label in np.unique(labels):
        means[label] = embeddings[labels == label].mean(axis=0, dtype=np.float64)
    return Unit()(means)


@lru_cache(maxsize=KEPT_MODELS)
def _triplet_model(dim: int, settings: Triplet, steps: int) -> ReusableModel:
    model = keras.Sequential(
        [
            keras.Input((dim,)),
            layers.Dense(settings.embedding, name="embedding_dense"),
            layers.UnitNormalization(name="embedding"),
        ]
    )
    return ReusableModel.of(
        compile_model(model, adam(settings, steps), _loss(settings), classifies=False, steps_per_call=steps)
    )


def _loss(settings: Triplet) -> keras.losses.Loss:
    if settings.mining == "pairs":
        return ContrastiveLoss(settings.margin)
    return TripletLoss(settings.mining, settings.margin, settings.soft)
