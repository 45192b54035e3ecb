"""The method `linear`: multinomial logistic regression on frozen features."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelbench.data.splits import Split
from steelbench.methods import Linear
from steelbench.models.head import Dense, Head, Scaling
from steelbench.training.loop.fit import FitContext
from steelbench.training.methods.trained_head import Array, TrainedHead, best_on_validation, refuse_nan


def train_linear(
    features: Array, labels: NDArray[np.int64], num_classes: int, split: Split, settings: Linear, plan: FitContext
) -> TrainedHead:
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
    return TrainedHead(heads[c], notes={"c": c})


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
