"""The method `softmax`: Dense relu, Dropout, softmax on frozen features."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from steelbench.data.splits import Split
from steelbench.methods import Softmax
from steelbench.models.head import Dense, Head, Scaling
from steelbench.training.loop.fit import FitContext, fit
from steelbench.training.loop.optimizer import adam
from steelbench.training.loop.reusable_model import ready, start
from steelbench.training.methods.trained_head import Array, TrainedHead, refuse_nan


def train_softmax(
    features: Array, labels: NDArray[np.int64], num_classes: int, split: Split, settings: Softmax, plan: FitContext
) -> TrainedHead:
    """Train Dense relu, Dropout, softmax.

    Args:
        features: float32 [N, D], of all images.
        labels: int64 [N].
        num_classes: C.
        split: which images train and which choose the epoch; the test images are not touched.
        settings: of the method.
        plan: seed, checkpoint, logs.
    """
    refuse_nan(features, split)
    scaling = Scaling.fit(features[split.train])
    standardised = scaling.apply(features)
    x, y = standardised[split.train], labels[split.train]
    steps = -(-len(y) // settings.batch_size)
    model = _softmax_model(features.shape[1], num_classes, settings, steps)
    start(model, plan.seed)
    result = fit(model, x, y, (standardised[split.validation], labels[split.validation]), settings, plan)
    hidden, output = model.get_layer("hidden"), model.get_layer("probabilities")
    kernel, bias = scaling.fold(*hidden.get_weights())
    last_kernel, last_bias = output.get_weights()
    head = Head((Dense(kernel, bias, "relu"), Dense(last_kernel, last_bias, "softmax")))
    return TrainedHead(head, {"classifier": result})


@cache
def _softmax_model(dim: int, num_classes: int, settings: Softmax, steps: int) -> keras.Model:
    """Compiled once and used for every seed and fold: tracing costs more than training."""
    model = keras.Sequential(
        [
            keras.Input((dim,)),
            layers.Dropout(settings.input_dropout),
            layers.Dense(settings.hidden, activation="relu", name="hidden"),
            layers.Dropout(settings.dropout),
            layers.Dense(num_classes, activation="softmax", name="probabilities"),
        ]
    )
    model.compile(
        adam(settings, steps),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
        # A whole epoch in one call: between steps of a few milliseconds Python would take as long again.
        steps_per_execution=steps,
    )
    return ready(model)
