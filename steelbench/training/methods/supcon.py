"""`supcon` with an adapter: a contrastive stage on the cached features, then a classifier on the frozen encoder."""

from __future__ import annotations

import dataclasses
from functools import cache

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import NDArray

from steelbench.data.splits import Split
from steelbench.methods import Softmax, Supcon
from steelbench.models.head import Dense, Head, Scaling
from steelbench.models.losses import NPairsLoss, SupConLoss
from steelbench.training.loop.embedding_stage import fit_embedding, refuse_lonely
from steelbench.training.loop.fit import FitContext, fit
from steelbench.training.loop.optimizer import adam
from steelbench.training.loop.reusable_model import ready, start
from steelbench.training.loop.samplers import Batches, Rows, balanced_batches, validation_batches
from steelbench.training.methods.finetune import _judge
from steelbench.training.methods.image_training import ImageTrainingSet, compute
from steelbench.training.methods.softmax import train_softmax
from steelbench.training.methods.trained_head import TrainedHead, refuse_nan

Array = NDArray[np.float32]


def train_supcon(
    features: Array,
    labels: Rows,
    num_classes: int,
    split: Split,
    settings: Supcon,
    plan: FitContext,
    views: Array | None = None,
) -> TrainedHead:
    """Stage 1: an adapter, a trainable layer on the frozen features, learns with a projection head and the loss.

    Stage 2: the projection head is dropped, the adapter no longer learns, and a classifier is trained on it.

    Arguments as for `train_softmax`; `views` are the features of augmented images, float32 [settings.views, N, D],
    which stage 1 learns from in place of the images' own, if there is more than one.

    References:
        Khosla et al. 2020, "Supervised Contrastive Learning", section 3. https://arxiv.org/abs/2004.11362
    """
    refuse_nan(features, split)
    scaling = Scaling.fit(features[split.train])
    x = scaling.apply(features)
    batches = contrastive_batches(labels[split.train], len(split.validation), settings, plan.seed)
    model = _contrastive_model(x.shape[1], settings, len(batches.train(0)))
    start(model, plan.seed)
    layer = model.get_layer("adapter")

    def embed(samples: Array) -> Array:
        return Dense(ops.convert_to_numpy(layer.kernel), ops.convert_to_numpy(layer.bias), "relu")(samples)

    samples = None if views is None else np.concatenate([scaling.apply(view[split.train]) for view in views])
    stage = fit_embedding(model, embed, x, labels, split, settings, plan.of("contrastive"), batches, samples)
    adapter = Dense(*scaling.fold(*layer.get_weights()), "relu")
    second = train_softmax(
        adapter(features), labels, num_classes, split, classifier_settings(settings), plan.of("classifier")
    )
    return TrainedHead(Head((adapter, *second.head.layers), embedding=0), {"contrastive": stage, **second.fits})


def classifier_settings(settings: Supcon) -> Softmax:
    """Of the second stage: Dropout, Dense relu, Dropout, softmax."""
    return Softmax(
        epochs=settings.classifier_epochs, batch_size=settings.batch_size, hidden=settings.hidden,
        learning_rate=settings.classifier_learning_rate, dropout=settings.dropout, input_dropout=settings.dropout,
    )  # fmt: skip


def contrastive_batches(labels: Rows, held_out: int, settings: Supcon, seed: int) -> Batches:
    """Every training batch holds every class; the validation images once, shuffled.

    Of each image a training batch holds every view: view v of image i is row v * N + i of the samples.
    In class order a validation batch has positives alone, and its loss is a constant.
    """

    def train(epoch: int) -> list[Rows]:
        batches = balanced_batches(labels, settings.batch_size, seed, epoch)
        return [np.concatenate([rows + view * len(labels) for view in range(settings.views)]) for rows in batches]

    return Batches(
        train,
        validation_batches(held_out, settings.batch_size, seed),
    )


def projection_layers(settings: Supcon) -> list[keras.Layer]:
    """The projection head, to unit vectors."""
    last = layers.Dense(
        settings.projection_dim, activation="relu" if settings.projection == "relu" else None, name="projection"
    )
    first = [layers.Dense(settings.adapter, activation="relu", name="projection_hidden")]
    return [*(first if settings.projection == "mlp" else []), last, layers.UnitNormalization(name="unit")]


def contrastive_loss(settings: Supcon) -> keras.losses.Loss:
    """The loss that the settings name."""
    return {"supcon": SupConLoss, "npairs": NPairsLoss}[settings.loss](settings.temperature)


@cache
def _contrastive_model(dim: int, settings: Supcon, steps: int) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((dim,)),
            layers.Dense(settings.adapter, activation="relu", name="adapter"),
            *projection_layers(settings),
        ]
    )
    model.compile(adam(settings, steps), loss=contrastive_loss(settings), jit_compile=False, steps_per_execution=steps)
    return ready(model)


def train_supcon_on_images(bench: ImageTrainingSet, split: Split, settings: Supcon, plan: FitContext) -> TrainedHead:
    """Stage 1 trains the encoder and a projection head with the loss, stage 2 a classifier on the frozen encoder.

    Arguments as for `train_finetune`.

    References:
        Khosla et al. 2020, "Supervised Contrastive Learning", section 3. https://arxiv.org/abs/2004.11362
    """
    keras.utils.set_random_seed(plan.seed)
    encoder = bench.copy(settings.trainable)
    source, learning = bench.parts(encoder)
    z = learning.output
    for layer in projection_layers(settings):
        z = layer(z)
    model = keras.Model(learning.input, z)
    labels, held_out = bench.labels[split.train], bench.samples(source, split.validation)
    samples = bench.samples(source, split.train, plan.seed)
    batches = contrastive_batches(labels, len(split.validation), settings, plan.seed)
    first = batches.train(0)
    # Every view is drawn anew for each batch.
    x = dataclasses.replace(samples, rows=np.tile(samples.rows, settings.views))
    labels = np.tile(labels, settings.views)
    refuse_lonely(labels, first)
    model.compile(adam(settings, len(first)), contrastive_loss(settings), jit_compile=False)
    ready(model)
    stage = fit(
        model, x, labels, (held_out, bench.labels[split.validation]), settings, plan.of("contrastive"), batches,
        _judge(learning, samples, held_out, bench.labels, plan.seed),
    )  # fmt: skip
    features = compute(learning, source)
    second: Softmax = classifier_settings(settings)
    trained = train_softmax(features, bench.labels, bench.num_classes, split, second, plan.of("classifier"))
    return TrainedHead(trained.head, {"contrastive": stage, **trained.fits}, encoder=encoder, features=features)
