"""Logistic regression on features, with scikit-learn as the second opinion."""

import numpy as np
import pytest
from feature_sets import clusters, equal, split_of, training_set
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline

from steelbench.experiment import Linear
from steelbench.training.loop.fit import FitContext
from steelbench.training.methods.linear import train_linear


def linear(features, labels, settings=None, classes=3, split=None):
    return train_linear(training_set(features, labels, classes, split), settings or Linear(), FitContext())


class Standardised(TransformerMixin, BaseEstimator):
    """Divides by the standard deviation, but by no less than the mean deviation."""

    def fit(self, x, y=None):
        self.mean_, deviations = x.mean(axis=0), x.std(axis=0)
        self.scale_ = np.array([max(deviation, deviations.mean()) for deviation in deviations])
        return self

    def transform(self, x):
        return (x - self.mean_) / self.scale_


def scikit(features, labels, c, rows):
    pipeline = Pipeline([("scale", Standardised()), ("fit", LogisticRegression(C=c, max_iter=10_000, tol=1e-8))])
    return pipeline.fit(features[rows].astype(np.float64), labels[rows])


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("c", [0.01, 1.0])
def test_linear_agrees_with_a_scikit_pipeline(classes, c):
    features, labels = clusters(classes=classes, spread=2.0)
    expected = scikit(features, labels, c, split_of(120).train)

    trained = linear(features, labels, Linear(c=(c,)), classes)

    np.testing.assert_allclose(trained.head(features), expected.predict_proba(features), atol=5e-3)
    assert trained.notes == {"c": c}


@pytest.mark.parametrize("seed", range(3))
def test_linear_chooses_c_by_validation_accuracy_then_log_loss(seed):
    features, labels = clusters(n=80, dim=20, spread=5.0, seed=seed)
    split = split_of(80, seed)
    scores = []
    for c in Linear().c:
        guess = scikit(features, labels, c, split.train).predict_proba(features[split.validation])
        truth = labels[split.validation]
        scores.append((round(np.mean(guess.argmax(axis=1) == truth), 6), -log_loss(truth, guess), c))

    assert linear(features, labels, split=split).notes["c"] == max(scores)[-1]


def test_order_of_the_values_of_c_does_not_matter():
    features, labels = clusters(spread=4.0)

    assert equal(linear(features, labels, Linear(c=(10, 0.1, 1))), linear(features, labels, Linear(c=(0.1, 1, 10))))
