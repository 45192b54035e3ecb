"""The method `supcon`: a contrastive stage, then a classifier on what it trained.

The first stage trains an adapter on cached features, or the backbone itself on images.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import keras
import numpy as np
from keras import layers, ops

from steelbench.arrays import Features, Labels, RowIndices
from steelbench.methods import Softmax, Supcon
from steelbench.models.head import Dense, Head
from steelbench.models.losses import NPairsLoss, SupConLoss
from steelbench.training.loop.embedding_stage import fit_embedding, refuse_batches_without_positives
from steelbench.training.loop.fit import FitContext, fit
from steelbench.training.loop.optimizer import adam
from steelbench.training.loop.reusable_model import KEPT_MODELS, ReusableModel, compile_model
from steelbench.training.loop.samplers import Batches, balanced_batches, validation_batches
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods.image_training import ImageTrainingSet, Inference, knn_score
from steelbench.training.methods.softmax import train_softmax
from steelbench.training.methods.trained_head import TrainedHead, refuse_nan, standardise


def train_supcon(data: TrainingSet, settings: Supcon, context: FitContext) -> TrainedHead:
    """Train an adapter on frozen features, and a classifier on the adapter.

    Stage 1: the adapter, a trainable layer, learns with a projection head and the contrastive loss. Stage 2: the
    projection head is dropped, the adapter no longer learns, and a classifier is trained on it.

    Args:
        data: features of all images, labels, split. If `settings.views` is more than one and the set has views, stage 1
            learns from so many of them in place of the images' own features.
        settings: of the method.
        context: seed, checkpoint, logs.

    Raises:
        SteelbenchError: if features are no numbers, the loss becomes none, the embedding collapses, or the training
            batches have no room for every class.

    References:
        Khosla et al. 2020, "Supervised Contrastive Learning", section 3. https://arxiv.org/abs/2004.11362
    """
    refuse_nan(data)
    scaling, standardised = standardise(data)
    split = data.split
    batches = contrastive_batches(data.labels[split.train], len(split.validation), settings, context.seed)
    reusable = _contrastive_model(data.features.shape[1], settings, len(batches.train(0)))
    model = reusable.restart(context.seed)
    layer = model.get_layer("adapter")

    def embed(samples: Features) -> Features:
        return Dense(ops.convert_to_numpy(layer.kernel), ops.convert_to_numpy(layer.bias), "relu")(samples)

    samples = None
    if settings.views > 1 and data.views is not None:
        samples = np.concatenate([scaling.apply(view[split.train]) for view in data.views[: settings.views]])
    stage = fit_embedding(model, embed, standardised, settings, context.for_stage("contrastive"), batches, samples)
    adapter = Dense(*scaling.fold(*layer.get_weights()), "relu")
    adapted = dataclasses.replace(data, features=adapter(data.features), views=None)
    trained = train_softmax(adapted, classifier_settings(settings), context.for_stage("classifier"))
    return TrainedHead(Head((adapter, *trained.head.layers), embedding=0), {"contrastive": stage, **trained.fits})


def train_supcon_on_images(data: ImageTrainingSet, settings: Supcon, context: FitContext) -> TrainedHead:
    """Train the encoder with a projection head and the contrastive loss, then a classifier on the frozen encoder.

    Args:
        data: the images, their labels and split, and the encoder to copy.
        settings: of the method.
        context: seed, checkpoint, logs.

    Returns:
        The head, with the encoder that was trained and its features.

    Raises:
        SteelbenchError: as for `train_supcon`.

    References:
        Khosla et al. 2020, "Supervised Contrastive Learning", section 3. https://arxiv.org/abs/2004.11362
    """
    keras.utils.set_random_seed(context.seed)
    encoder = data.copy_encoder(settings.trainable)
    source, learning = data.precompute(encoder)
    projection = learning.output
    for layer in projection_layers(settings):
        projection = layer(projection)
    model = keras.Model(learning.input, projection)
    train, validation = data.split.train, data.split.validation
    samples, held_out = data.samples(source, train, context.seed), data.samples(source, validation)
    batches = contrastive_batches(data.labels[train], len(validation), settings, context.seed)
    first = batches.train(0)
    refuse_batches_without_positives(np.tile(data.labels[train], settings.views), first)
    compile_model(model, adam(settings, len(first)), contrastive_loss(settings), classifies=False)
    stage = fit(
        model,
        # Every view is drawn anew for each batch.
        dataclasses.replace(samples, rows=np.tile(samples.rows, settings.views)),
        np.tile(data.labels[train], settings.views),
        (held_out, data.labels[validation]),
        settings,
        context.for_stage("contrastive"),
        batches=batches,
        score=knn_score(learning, samples, held_out, data.labels, context.seed),
    )
    features = Inference(learning)(source)
    classifier = context.for_stage("classifier")
    trained = train_softmax(data.with_features(features), classifier_settings(settings), classifier)
    return TrainedHead(trained.head, {"contrastive": stage, **trained.fits}, encoder=encoder, features=features)


def classifier_settings(settings: Supcon) -> Softmax:
    """Return the settings of the second stage: Dropout, Dense relu, Dropout, softmax."""
    return Softmax(
        epochs=settings.classifier_epochs,
        batch_size=settings.batch_size,
        hidden=settings.hidden,
        learning_rate=settings.classifier_learning_rate,
        dropout=settings.dropout,
        input_dropout=settings.dropout,
    )


def contrastive_batches(labels: Labels, validation_count: int, settings: Supcon, seed: int) -> Batches:
    """Return batches to train on that hold every class; the validation images once, shuffled.

    Of each image a training batch holds every view: view v of image i is row v * N + i of the samples.
    In class order a validation batch has positives alone, and its loss is a constant.

    Args:
        labels: int64 [N], of the training images.
        validation_count: validation images.
        settings: batch size, counted in images, and views.
        seed: of the run.
    """

    def train(epoch: int) -> list[RowIndices]:
        batches = balanced_batches(labels, batch_size=settings.batch_size, seed=seed, epoch=epoch)
        return [np.concatenate([rows + view * len(labels) for view in range(settings.views)]) for rows in batches]

    return Batches(train, validation_batches(validation_count, batch_size=settings.batch_size, seed=seed))


def projection_layers(settings: Supcon) -> list[keras.Layer]:
    """Return the projection head, whose output is unit vectors."""
    activation = "relu" if settings.projection == "relu" else None
    last = layers.Dense(settings.projection_dim, activation=activation, name="projection")
    first = [layers.Dense(settings.adapter, activation="relu", name="projection_hidden")]
    return [*(first if settings.projection == "mlp" else []), last, layers.UnitNormalization(name="unit")]


def contrastive_loss(settings: Supcon) -> keras.losses.Loss:
    """Return the loss that the settings name."""
    return {"supcon": SupConLoss, "npairs": NPairsLoss}[settings.loss](settings.temperature)


@lru_cache(maxsize=KEPT_MODELS)
def _contrastive_model(dim: int, settings: Supcon, steps: int) -> ReusableModel:
    adapter = layers.Dense(settings.adapter, activation="relu", name="adapter")
    model = keras.Sequential([keras.Input((dim,)), adapter, *projection_layers(settings)])
    return ReusableModel.of(
        compile_model(model, adam(settings, steps), contrastive_loss(settings), classifies=False, steps_per_call=steps)
    )
