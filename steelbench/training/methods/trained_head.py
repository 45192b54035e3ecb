"""Heads on cached features of a frozen backbone: `softmax` and `linear`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.methods import Linear, Softmax
from steelbench.models.head import Dense, Head, Scaling
from steelbench.training.loop.fit import Fit, FitPlan, fit, restore
from steelbench.training.loop.optimizer import adam

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Trained:
    """A head with what its training left.

    Attributes:
        head: features to probabilities.
        fits: of its stages, by name, in order.
        notes: what else is worth a record.
        encoder: the one that was trained with it; None if it works on the job's frozen encoder.
        features: float32 [N, D] of all images by that encoder.
    """

    head: Head
    fits: dict[str, Fit] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    encoder: keras.Model | None = None
    features: Array | None = None


def train_softmax(
    features: Array, labels: NDArray[np.int64], num_classes: int, split: Split, settings: Softmax, plan: FitPlan
) -> Trained:
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
    return Trained(head, {"classifier": result})


def refuse_nan(features: Array, split: Split) -> None:
    """Stop at features that are no numbers.

    Raises:
        SteelbenchError: says how many images have such.
    """
    # relu turns NaN to 0: the loss looks sound, and the head stays at chance.
    rows = np.concatenate([split.train, split.validation])
    bad = int(np.sum(~np.isfinite(features[rows]).all(axis=1)))
    if bad:
        raise SteelbenchError(
            f"the features of {bad} of {len(rows)} images hold NaN or infinity; "
            "use --precision float32, or check the file that --weights names."
        )


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


def ready(model: keras.Model) -> keras.Model:
    """Build the optimizer of a compiled model, and keep how it starts, for `start`; give it `validate`.

    `validate` takes samples and labels to loss and accuracy in one call: for a head, Keras's own way around it takes
    several times as long as the numbers.
    """
    model.optimizer.build(model.trainable_variables)
    model.blank_optimizer = [keras.ops.convert_to_numpy(variable) for variable in model.optimizer.variables]

    @tf.function(jit_compile=False, reduce_retracing=True)
    def validate(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        guess = model(x, training=False)
        loss = model.compute_loss(x=x, y=y, y_pred=guess, training=False)
        return loss, tf.reduce_mean(keras.metrics.sparse_categorical_accuracy(y, guess))

    model.validate = validate
    return model


def start(model: keras.Model, seed: int) -> None:
    """Give a model of `ready` that was used before the start that a new one with this seed would have."""
    keras.utils.set_random_seed(seed)
    # Not `clone_model`: it would compile the copy, too.
    fresh = type(model).from_config(model.get_config())
    restore(model, [*map(keras.ops.convert_to_numpy, fresh.variables), *model.blank_optimizer])


def train_linear(
    features: Array, labels: NDArray[np.int64], num_classes: int, split: Split, settings: Linear, plan: FitPlan
) -> Trained:
    """Multinomial logistic regression; C is the one with the best validation accuracy, ties by log loss.

    Arguments as for `train_softmax`; the fit is convex, so the seed changes nothing but the split.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    refuse_nan(features, split)
    scaling = Scaling.fit(features[split.train])
    standardised = scaling.apply(features)
    x, y = standardised[split.train], labels[split.train]
    model = LogisticRegression(max_iter=1000, warm_start=True)
    heads: dict[float, Head] = {}
    for done, c in enumerate(sorted(settings.c), start=1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=c).fit(x, y)
        heads[c] = _as_head(model, scaling, num_classes)
        plan.progress(done)
    # The first of equals: the strongest regularisation.
    c = best_on_validation(heads, features, labels, split, num_classes)
    return Trained(heads[c], notes={"c": c})


def best_on_validation(
    heads: Mapping[float, Head], features: Array, labels: NDArray[np.int64], split: Split, num_classes: int
) -> float:
    """The key of the head with the best validation accuracy, ties by log loss, then the first."""
    from sklearn.metrics import log_loss

    truth = labels[split.validation]

    def rank(key: float) -> tuple[float, float]:
        guess = heads[key](features[split.validation]).astype(np.float64)
        guess /= guess.sum(axis=1, keepdims=True)
        return float(np.mean(guess.argmax(axis=1) == truth)), -log_loss(truth, guess, labels=range(num_classes))

    return max(heads, key=rank)


def _as_head(model: Any, scaling: Scaling, num_classes: int) -> Head:
    kernel = np.zeros((model.coef_.shape[1], num_classes), np.float32)
    bias = np.full(num_classes, -1e4, np.float32)
    if len(model.classes_) == 2:
        # scikit-learn keeps one logit for two classes; half of it for one, minus half for the other is the same.
        coef, intercept = np.vstack([-model.coef_, model.coef_]) / 2, np.append(-model.intercept_, model.intercept_) / 2
    else:
        coef, intercept = model.coef_, model.intercept_
    kernel[:, model.classes_], bias[model.classes_] = coef.T, intercept
    kernel, bias = scaling.fold(kernel, bias)
    return Head((Dense(kernel, bias, "softmax"),))
