"""The method `linear`: multinomial logistic regression on frozen features."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from steelbench.methods import Linear
from steelbench.models.head import Dense, Head, Scaling, two_class_logits
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods.trained_head import TrainedHead, best_on_validation, refuse_nan, standardise

# Logit of a class that no training image has: its probability is 0, and the logarithm of the others stays finite.
ABSENT = -1e4


def train_linear(data: TrainingSet, settings: Linear, context: FitContext) -> TrainedHead:
    """Fit a logistic regression for each C; the one with the best validation accuracy is kept, ties by log loss.

    The fit is convex, so the seed changes nothing.

    Args:
        data: features of all images, labels, split.
        settings: the values of C to choose from.
        context: only its progress is used.

    Raises:
        SteelbenchError: if features are no numbers.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    refuse_nan(data)
    scaling, standardised = standardise(data)
    model = LogisticRegression(max_iter=1000, warm_start=True)
    heads: dict[float, Head] = {}
    for done, c in enumerate(sorted(settings.c), start=1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=c).fit(*standardised.train)
        heads[c] = _head(model, scaling, data.num_classes)
        context.progress(done)
    # The first of equals: the strongest regularisation.
    c = best_on_validation(heads, data)
    return TrainedHead(heads[c], notes={"c": c})


def _head(model: Any, scaling: Scaling, num_classes: int) -> Head:
    """Return the regression as a Dense layer on raw features, with a column for each class of the data set."""
    kernel = np.zeros((model.coef_.shape[1], num_classes), np.float32)
    bias = np.full(num_classes, ABSENT, np.float32)
    coefficients, intercepts = model.coef_.T, model.intercept_
    if len(model.classes_) == 2:
        coefficients, intercepts = two_class_logits(model.coef_[0]), two_class_logits(model.intercept_[0])
    kernel[:, model.classes_], bias[model.classes_] = coefficients, intercepts
    return Head((Dense(*scaling.fold(kernel, bias), "softmax"),))
