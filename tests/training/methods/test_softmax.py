"""Heads on features: alone or after others the same, blind to test rows, and scikit-learn as the second opinion."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline

from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.experiment import Linear, Softmax
from steelbench.models.head import Scaling
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.reusable_model import KEPT_MODELS
from steelbench.training.loop.training_set import TrainingSet
from steelbench.training.methods import softmax as softmax_method
from steelbench.training.methods.linear import train_linear
from steelbench.training.methods.softmax import train_softmax

SETTINGS = Softmax(epochs=6, batch_size=16, hidden=16, dropout=0.3, learning_rate=0.01)


def clusters(n=120, dim=10, classes=3, spread=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = 2 * rng.standard_normal((classes, dim))
    features = 5 + (centres[labels] + spread * rng.standard_normal((n, dim))) * rng.uniform(0.1, 10, dim)
    return features.astype(np.float32), labels


def split_of(n, seed=0):
    train, validation, test = np.split(np.random.default_rng(seed).permutation(n), [n * 6 // 10, n * 8 // 10])
    return Split(np.sort(train), np.sort(validation), np.sort(test))


def training_set(features, labels, classes=3, split=None):
    split = split or split_of(len(labels))
    return TrainingSet(features=features, labels=labels, num_classes=classes, split=split)


def softmax(features, labels, seed=0, settings=SETTINGS, classes=3, split=None):
    return train_softmax(training_set(features, labels, classes, split), settings, FitContext(seed=seed))


def linear(features, labels, settings=None, classes=3, split=None):
    return train_linear(training_set(features, labels, classes, split), settings or Linear(), FitContext())


def accuracy(trained, features, labels, rows):
    return np.mean(trained.head(features[rows]).argmax(axis=1) == labels[rows])


def arrays(trained):
    return [array for layer in trained.head.layers for array in (layer.kernel, layer.bias)]


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


@pytest.mark.parametrize("train", [softmax, linear])
def test_separable_features_are_learnt(train):
    features, labels = clusters(spread=0.3)

    assert accuracy(train(features, labels), features, labels, split_of(120).test) == 1


@pytest.mark.parametrize("train", [softmax, linear])
def test_features_without_a_class_in_them_stay_at_chance(train):
    features, labels = clusters(n=600)
    shuffled = np.random.default_rng(0).permutation(labels)

    assert accuracy(train(features, shuffled), features, shuffled, split_of(600).test) < 0.5


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_softmax_is_the_same_alone_and_after_other_runs(dropout):
    features, labels = clusters()
    settings = SETTINGS.model_copy(update={"dropout": dropout, "schedule": "exponential"})
    softmax_method._softmax_model.cache_clear()
    alone = softmax(features, labels, seed=3, settings=settings)
    softmax_method._softmax_model.cache_clear()

    softmax(features, labels, seed=0, settings=settings)
    softmax(features[::-1].copy(), labels, seed=1, settings=settings)
    after = softmax(features, labels, seed=3, settings=settings)

    assert after.fits == alone.fits
    assert equal(after, alone)


def test_softmax_is_the_same_after_a_run_that_failed():
    features, labels = clusters()
    alone = softmax(features, labels)

    class StopError(Exception):
        pass

    def stop(done):
        if done == 2:
            raise StopError

    with pytest.raises(StopError):
        train_softmax(training_set(features, labels), SETTINGS, FitContext(seed=7, progress=stop))

    assert equal(softmax(features, labels), alone)


def test_seed_decides_the_softmax_head():
    features, labels = clusters()

    assert equal(softmax(features, labels, seed=1), softmax(features, labels, seed=1))
    assert not equal(softmax(features, labels, seed=1), softmax(features, labels, seed=2))


@pytest.mark.parametrize("train", [softmax, linear])
def test_test_rows_are_not_looked_at(train):
    features, labels = clusters()
    poisoned, wrong = features.copy(), labels.copy()
    poisoned[split_of(120).test], wrong[split_of(120).test] = np.nan, 0

    assert equal(train(poisoned, wrong), train(features, labels))


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("train", [softmax, linear])
def test_features_that_are_no_numbers_are_refused(train, value, part):
    features, labels = clusters()
    features[getattr(split_of(120), part)[:2], 4] = value

    with pytest.raises(SteelbenchError, match=r"2 of 96 images hold NaN or infinity; use --precision float32"):
        train(features, labels)


def test_validation_accuracy_of_the_record_is_that_of_the_head():
    features, labels = clusters(spread=2.5)
    trained = softmax(features, labels)

    found = accuracy(trained, features, labels, split_of(120).validation)

    assert found == pytest.approx(trained.fits["classifier"].best.val_accuracy, abs=1e-6)
    assert len(trained.fits["classifier"].history) == SETTINGS.epochs


def test_scale_and_offset_of_the_features_change_nothing():
    features, labels = clusters(spread=2.0)
    moved = features * 64 - 128  # powers of two: standardised, they are nearly the same numbers

    probabilities = softmax(features, labels).head(features)

    np.testing.assert_allclose(softmax(moved, labels).head(moved), probabilities, atol=0.02)


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


@pytest.mark.parametrize("train", [softmax, linear])
@pytest.mark.parametrize(("classes", "absent"), [(4, 1), (3, 0), (3, 2)])
def test_class_that_no_training_image_has_is_never_sure(train, classes, absent):
    features, labels = clusters(classes=classes, spread=0.3)
    split = split_of(120)
    split = Split(split.train[labels[split.train] != absent], split.validation, split.test)

    trained = train(features, labels, classes=classes, split=split)
    probabilities = trained.head(features)

    assert probabilities.shape == (120, classes)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    known = split.test[labels[split.test] != absent]
    assert accuracy(trained, features, labels, known) > 0.9


def test_two_classes_by_softmax():
    features, labels = clusters(classes=2, spread=0.5)
    trained = softmax(features, labels, classes=2)

    assert trained.head(features).shape == (120, 2)
    assert accuracy(trained, features, labels, split_of(120).test) == 1


def test_nearly_constant_feature_harms_nobody():
    features, labels = clusters(spread=0.5)
    features[:, 0] = 1.0
    features[split_of(120).train[0], 0] = 1.0 + 1e-5
    odd = features.copy()
    odd[split_of(120).test, 0] = 1.5

    for train in (softmax, linear):
        np.testing.assert_allclose(train(features, labels).head(odd), train(features, labels).head(features), atol=0.2)


def test_validation_numbers_are_those_that_keras_gives():
    features, labels = clusters(spread=3.0)
    split = split_of(120)
    reusable = softmax_method._softmax_model(10, 3, SETTINGS, 5)
    softmax(features, labels)
    x, y = Scaling.fit(features[split.train]).apply(features[split.validation]), labels[split.validation]

    loss, accuracy = reusable.validate(x, y)

    expected = reusable.model.evaluate(x, y, verbose=0, return_dict=True)
    assert float(loss) == pytest.approx(expected["loss"], rel=1e-5)
    assert float(accuracy) == pytest.approx(expected["accuracy"])


def test_the_kept_epoch_is_the_one_whose_numbers_stand_in_the_history():
    features, labels = clusters(spread=3.0)
    split = split_of(120)
    trained = softmax(features, labels)
    best = trained.fits["classifier"].best

    assert accuracy(trained, features, labels, split.validation) == pytest.approx(best.val_accuracy)
    guess = trained.head(features[split.validation]).astype(float)
    assert log_loss(labels[split.validation], guess, labels=range(3)) == pytest.approx(best.val_loss, rel=1e-4)


def test_few_compiled_models_are_kept():
    softmax_method._softmax_model.cache_clear()

    for hidden in range(1, KEPT_MODELS + 3):
        softmax_method._softmax_model(10, 3, SETTINGS.model_copy(update={"hidden": hidden}), 2)

    assert softmax_method._softmax_model.cache_info().currsize == KEPT_MODELS
