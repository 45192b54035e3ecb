"""The method `arcface`: an embedding with an additive angular margin."""

from __future__ import annotations

from functools import cache

import keras
import numpy as np
from keras import layers

from steelbench.data.splits import Split
from steelbench.methods import Arcface
from steelbench.models.head import Dense, Head, Scaling, Unit
from steelbench.models.losses import ArcFaceLoss
from steelbench.training.loop.fit import FitContext, fit
from steelbench.training.loop.optimizer import adam
from steelbench.training.loop.reusable_model import ready, start
from steelbench.training.loop.samplers import Rows
from steelbench.training.methods.trained_head import TrainedHead, refuse_nan
from steelbench.training.methods.triplet import Array


def train_arcface(
    features: Array, labels: Rows, num_classes: int, split: Split, settings: Arcface, plan: FitContext
) -> TrainedHead:
    """Train an embedding and a unit vector for each class, with an additive margin on the angle between them.

    The margin is in the loss alone, so that the model has one input and no label.

    Arguments as for `train_softmax`.

    References:
        Deng et al. 2019, "ArcFace", eq. 3. https://arxiv.org/abs/1801.07698
    """
    refuse_nan(features, split)
    scaling = Scaling.fit(features[split.train])
    standardised = scaling.apply(features)
    x, y = standardised[split.train], labels[split.train]
    model = _arcface_model(x.shape[1], num_classes, settings, -(-len(y) // settings.batch_size))
    start(model, plan.seed)
    done = fit(model, x, y, (standardised[split.validation], labels[split.validation]), settings, plan)
    kernel, bias = _fold_normalization(model.get_layer("embedding_dense"), model.get_layer("normalization"))
    directions = model.get_layer("cosines").get_weights()[0] * np.float32(settings.scale)
    head = Head(
        (
            Dense(*scaling.fold(kernel, bias), "linear"),
            Unit(),
            Dense(directions, np.zeros(num_classes, np.float32), "softmax"),
        ),
        embedding=1,
    )
    return TrainedHead(head, {"classifier": done})


@cache
def _arcface_model(dim: int, num_classes: int, settings: Arcface, steps: int) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((dim,)),
            layers.Dense(settings.embedding, use_bias=False, name="embedding_dense"),
            layers.BatchNormalization(name="normalization"),
            layers.UnitNormalization(name="embedding"),
            layers.Dense(
                num_classes, use_bias=False, kernel_constraint=keras.constraints.UnitNorm(axis=0), name="cosines"
            ),
        ]
    )

    model.compile(
        adam(settings, steps),
        loss=ArcFaceLoss(settings.scale, settings.margin, settings.crossentropy),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,
        steps_per_execution=steps,
    )
    return ready(model)


def _fold_normalization(dense: keras.Layer, normalization: keras.Layer) -> tuple[Array, Array]:
    """Kernel and bias of one Dense that does what Dense and BatchNorm do together in inference."""
    gamma, beta, mean, variance = (value.astype(np.float64) for value in normalization.get_weights())
    factor = gamma / np.sqrt(variance + normalization.epsilon)
    kernel = dense.get_weights()[0] * factor
    return kernel.astype(np.float32), (beta - mean * factor).astype(np.float32)
