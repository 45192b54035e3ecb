"""The method `softmax`: Dense relu, Dropout, softmax on frozen features."""

from __future__ import annotations

import math
from functools import lru_cache

import keras
from keras import layers

from steelbench.methods import Softmax
from steelbench.models.head import Dense, Head
from steelbench.training.loop.fit import FitContext, fit
from steelbench.training.loop.optimizer import adam
from steelbench.training.loop.reusable_model import KEPT_MODELS, ReusableModel, compile_model
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods.trained_head import TrainedHead, refuse_nan, standardise


def train_softmax(data: TrainingSet, settings: Softmax, context: FitContext) -> TrainedHead:
    """Train Dense relu, Dropout, softmax with cross-entropy.

    Args:
        data: features of all images, labels, split.
        settings: of the method.
        context: seed, checkpoint, logs.

    Raises:
        SteelbenchError: if features are no numbers, or the loss becomes none.
    """
    refuse_nan(data)
    scaling, standardised = standardise(data)
    steps = math.ceil(len(data.split.train) / settings.batch_size)
    reusable = _softmax_model(data.features.shape[1], data.num_classes, settings, steps)
    model = reusable.restart(context.seed)
    x, y = standardised.train
    result = fit(model, x, y, standardised.validation, settings, context, validate=reusable.validate)
    hidden = Dense(*scaling.fold(*model.get_layer("hidden").get_weights()), "relu")
    kernel, bias = model.get_layer("probabilities").get_weights()
    return TrainedHead(Head((hidden, Dense(kernel, bias, "softmax"))), {"classifier": result})


@lru_cache(maxsize=KEPT_MODELS)
def _softmax_model(dim: int, num_classes: int, settings: Softmax, steps: int) -> ReusableModel:
    model = keras.Sequential(
        [
            keras.Input((dim,)),
            layers.Dropout(settings.input_dropout),
            layers.Dense(settings.hidden, activation="relu", name="hidden"),
            layers.Dropout(settings.dropout),
            layers.Dense(num_classes, activation="softmax", name="probabilities"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    return ReusableModel.of(compile_model(model, adam(settings, steps), loss, classifies=True, steps_per_call=steps))
