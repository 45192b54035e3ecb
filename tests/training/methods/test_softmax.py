"""A softmax layer over a hidden one: the same alone and after others, and its record is that of its head."""

import numpy as np
import pytest
from feature_sets import QUICK, accuracy, clusters, equal, split_of, training_set
from sklearn.metrics import log_loss

from steelbench.models.head import Scaling
from steelbench.training.loop.fit import FitContext
from steelbench.training.loop.reusable_model import KEPT_MODELS
from steelbench.training.methods import softmax as module
from steelbench.training.methods.softmax import train_softmax

SETTINGS = QUICK["softmax"]


def softmax(features, labels, seed=0, settings=SETTINGS):
    return train_softmax(training_set(features, labels), settings, FitContext(seed=seed))


def test_softmax_is_the_same_alone_and_after_other_runs():
    features, labels = clusters()
    settings = SETTINGS.model_copy(update={"schedule": "exponential"})
    module._softmax_model.cache_clear()
    alone = softmax(features, labels, seed=3, settings=settings)
    module._softmax_model.cache_clear()

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


def test_two_classes_by_softmax():
    features, labels = clusters(classes=2, spread=0.5)
    trained = softmax(features, labels)

    assert trained.head(features).shape == (120, 2)
    assert accuracy(trained, features, labels, split_of(120).test) == 1


def test_validation_numbers_are_those_that_keras_gives():
    features, labels = clusters(spread=3.0)
    split = split_of(120)
    reusable = module._softmax_model(10, 3, SETTINGS, 5)
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
    module._softmax_model.cache_clear()

    for hidden in range(1, KEPT_MODELS + 3):
        module._softmax_model(10, 3, SETTINGS.model_copy(update={"hidden": hidden}), 2)

    assert module._softmax_model.cache_info().currsize == KEPT_MODELS
