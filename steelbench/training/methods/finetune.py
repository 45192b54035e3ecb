"""The method `finetune`: the backbone, or its last layers, learns on, with a softmax layer that learns faster."""

from __future__ import annotations

import dataclasses
import math

import keras
from keras import layers

from steelbench.methods import EpochSettings, Finetune
from steelbench.models.head import Dense, Head
from steelbench.training.loop.fit import FitContext, FitResult, fit
from steelbench.training.loop.optimizer import adam
from steelbench.training.loop.replicas import share_statistics, strategy_for
from steelbench.training.loop.reusable_model import compile_model, whole_validation
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods.image_training import ImageTrainingSet, Inference, plain_copy
from steelbench.training.methods.trained_head import TrainedHead, refuse_nan

LOSS = "sparse_categorical_crossentropy"


def train_finetune(data: ImageTrainingSet, settings: Finetune, context: FitContext) -> TrainedHead:
    """Train the backbone, or its last layers, and a softmax layer.

    Args:
        data: the images, their labels and split, and the encoder to copy.
        settings: of the method.
        context: seed, checkpoint, logs, and devices: with several, each batch is divided between them.

    Returns:
        The head, with the encoder that was trained and its features; with several devices `notes` has their number.

    Raises:
        SteelbenchError: if features are no numbers, or the loss becomes none.
    """
    strategy = strategy_for(context.devices)
    with strategy.scope():
        trained = _train(data, settings, context)
    if strategy.num_replicas_in_sync == 1:
        return trained
    notes = {"replicas": strategy.num_replicas_in_sync}
    return dataclasses.replace(trained, encoder=plain_copy(trained.encoder), notes=notes)


def _train(data: ImageTrainingSet, settings: Finetune, context: FitContext) -> TrainedHead:
    keras.utils.set_random_seed(context.seed)
    encoder = data.copy_encoder(settings.trainable)
    share_statistics(encoder)
    source, learning = data.precompute(encoder)
    output = layers.Dense(data.num_classes, activation="softmax", name="probabilities")
    model = keras.Model(learning.input, output(layers.Dropout(settings.dropout)(learning.output)))
    fits: dict[str, FitResult] = {}
    if settings.head_epochs:
        features = data.with_features(Inference(learning)(source))
        fits["head"] = _train_output(features, output, settings, context.for_stage("head"))
    train, validation = data.split.train, data.split.validation
    steps = math.ceil(len(train) / settings.batch_size)
    # The settings' rate is the backbone's; the head's is higher.
    factors = {variable.path: settings.head_factor for variable in output.trainable_variables}
    compile_model(model, adam(settings, steps, factors), LOSS, classifies=True)
    fits["classifier"] = fit(
        model,
        data.samples(source, train, context.seed),
        data.labels[train],
        (data.samples(source, validation), data.labels[validation]),
        settings,
        context.for_stage("classifier"),
    )
    kernel, bias = output.get_weights()
    head = Head((Dense(kernel, bias, "softmax"),))
    return TrainedHead(head, fits, encoder=encoder, features=Inference(learning)(source))


def _train_output(data: TrainingSet, output: keras.Layer, settings: Finetune, context: FitContext) -> FitResult:
    """Train the softmax layer alone: with random weights its gradients would spoil the backbone."""
    refuse_nan(data)
    inputs = keras.Input((data.features.shape[1],))
    model = keras.Model(inputs, output(layers.Dropout(settings.dropout)(inputs)))
    alone = EpochSettings(
        epochs=settings.head_epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate * settings.head_factor,
    )
    steps = math.ceil(len(data.split.train) / settings.batch_size)
    compile_model(model, adam(alone, steps), LOSS, classifies=True)
    x, y = data.train
    return fit(model, x, y, data.validation, alone, context, validate=whole_validation(model))
