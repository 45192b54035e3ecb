"""The method `arcface`: an embedding with an additive angular margin, on frozen features."""

from __future__ import annotations

import math
from functools import lru_cache

import keras
import numpy as np
from keras import layers

from steelbench.arrays import Features
from steelbench.methods import Arcface
from steelbench.models.head import Dense, Head, Unit
from steelbench.models.losses import ArcFaceLoss
from steelbench.training.loop.fit import FitContext, fit
from steelbench.training.loop.optimizer import adam
from steelbench.training.loop.reusable_model import KEPT_MODELS, ReusableModel, compile_model
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods.trained_head import TrainedHead, refuse_nan, standardise


def train_arcface(data: TrainingSet, settings: Arcface, context: FitContext) -> TrainedHead:
    """Train an embedding and a unit vector for each class, with an additive margin on the angle between them.

    The margin is in the loss alone, so that the model has one input and no label.

    Args:
        data: features of all images, labels, split.
        settings: of the method.
        context: seed, checkpoint, logs.

    Raises:
        SteelbenchError: if features are no numbers, or the loss becomes none.

    References:
        Deng et al. 2019, "ArcFace", eq. 3. https://arxiv.org/abs/1801.07698
    """
    refuse_nan(data)
    scaling, standardised = standardise(data)
    steps = math.ceil(len(data.split.train) / settings.batch_size)
    reusable = _arcface_model(data.features.shape[1], data.num_classes, settings, steps)
    model = reusable.restart(context.seed)
    x, y = standardised.train
    result = fit(model, x, y, standardised.validation, settings, context, validate=reusable.validate)
    kernel, bias = _fold_normalization(model.get_layer("embedding_dense"), model.get_layer("normalization"))
    directions = model.get_layer("cosines").get_weights()[0] * np.float32(settings.scale)
    classifier = Dense(directions, np.zeros(data.num_classes, np.float32), "softmax")
    head = Head((Dense(*scaling.fold(kernel, bias), "linear"), Unit(), classifier), embedding=1)
    return TrainedHead(head, {"classifier": result})


@lru_cache(maxsize=KEPT_MODELS)
def _arcface_model(dim: int, num_classes: int, settings: Arcface, steps: int) -> ReusableModel:
    """Return the model to the cosines between the embedding and each class's vector."""
    unit_columns = keras.constraints.UnitNorm(axis=0)
    model = keras.Sequential(
        [
            keras.Input((dim,)),
            layers.Dense(settings.embedding, use_bias=False, name="embedding_dense"),
            layers.BatchNormalization(name="normalization"),
            layers.UnitNormalization(name="embedding"),
            layers.Dense(num_classes, use_bias=False, kernel_constraint=unit_columns, name="cosines"),
        ]
    )
    loss = ArcFaceLoss(settings.scale, settings.margin, settings.crossentropy)
    return ReusableModel.of(compile_model(model, adam(settings, steps), loss, classifies=True, steps_per_call=steps))


def _fold_normalization(dense: keras.Layer, normalization: keras.Layer) -> tuple[Features, Features]:
    """Return kernel and bias of one Dense that computes what Dense and BatchNorm do in inference."""
    gamma, beta, mean, variance = (value.astype(np.float64) for value in normalization.get_weights())
    factor = gamma / np.sqrt(variance + normalization.epsilon)
    kernel = dense.get_weights()[0] * factor
    return kernel.astype(np.float32), (beta - mean * factor).astype(np.float32)
