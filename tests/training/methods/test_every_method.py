"""Rules for every method on features: what it learns, that it is blind to test rows, and can be repeated."""

from pkgutil import resolve_name

import numpy as np
import pytest
from feature_sets import QUICK, accuracy, clusters, equal, split_of, training_set

from steelbench.data.splits import Split
from steelbench.errors import SteelbenchError
from steelbench.experiment import METHODS
from steelbench.training.loop.fit import FitContext

EVERY = [name for name, row in METHODS.items() if row.train]
EMBEDDED = ["triplet", "arcface", "supcon"]
CLASSIFIERS = ["softmax", "linear"]


def train(method, features, labels, context=None, **more):
    data = training_set(features, labels, **more)
    return resolve_name(METHODS[method].train)(data, QUICK[method], context or FitContext())


@pytest.mark.parametrize("method", EVERY)
def test_separable_features_are_learnt(method):
    features, labels = clusters(spread=0.3)
    rows = split_of(120).test

    trained = train(method, features, labels)

    assert accuracy(trained, features, labels, rows) == 1
    np.testing.assert_allclose(trained.head(features[rows]).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("method", CLASSIFIERS)
def test_features_without_a_class_in_them_stay_at_chance(method):
    features, labels = clusters(n=600)
    shuffled = np.random.default_rng(0).permutation(labels)

    assert accuracy(train(method, features, shuffled), features, shuffled, split_of(600).test) < 0.5


@pytest.mark.parametrize("method", EVERY)
def test_the_same_seed_gives_the_same_head_alone_and_after_others(method):
    features, labels = clusters(spread=1.5)
    alone = train(method, features, labels, FitContext(seed=3))
    train(method, features[::-1].copy(), labels, FitContext(seed=1))
    after = train(method, features, labels, FitContext(seed=3))

    assert equal(alone, after) and alone.fits == after.fits


@pytest.mark.parametrize("method", EVERY)
def test_test_images_change_nothing(method):
    features, labels = clusters(spread=1.5)
    poisoned, wrong = features.copy(), labels.copy()
    poisoned[split_of(120).test], wrong[split_of(120).test] = np.nan, 0

    assert equal(train(method, poisoned, wrong), train(method, features, labels))


@pytest.mark.parametrize("method", EVERY)
def test_features_that_are_no_numbers_are_refused(method):
    for part in ("train", "validation"):
        for value in (np.nan, np.inf):
            features, labels = clusters()
            features[getattr(split_of(120), part)[:2], 4] = value

            with pytest.raises(SteelbenchError, match="2 of 96 images hold NaN or infinity; use --precision float32"):
                train(method, features, labels)


@pytest.mark.parametrize("method", CLASSIFIERS)
@pytest.mark.parametrize(("classes", "absent"), [(4, 1), (3, 0), (3, 2)])
def test_class_that_no_training_image_has_is_never_sure(method, classes, absent):
    features, labels = clusters(classes=classes, spread=0.3)
    split = split_of(120)
    split = Split(split.train[labels[split.train] != absent], split.validation, split.test)

    trained = train(method, features, labels, classes=classes, split=split)
    probabilities = trained.head(features)

    assert probabilities.shape == (120, classes)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    known = split.test[labels[split.test] != absent]
    assert accuracy(trained, features, labels, known) > 0.9


@pytest.mark.parametrize("method", CLASSIFIERS)
def test_a_nearly_constant_feature_changes_no_answer(method):
    features, labels = clusters(spread=0.5)
    features[:, 0] = 1.0
    features[split_of(120).train[0], 0] = 1.0 + 1e-5
    odd = features.copy()
    odd[split_of(120).test, 0] = 1.5

    head = train(method, features, labels).head

    np.testing.assert_allclose(head(odd), head(features), atol=0.2)


@pytest.mark.parametrize("method", EMBEDDED)
def test_an_interrupted_run_ends_as_one_that_was_not(method, tmp_path):
    features, labels = clusters(spread=1.5)
    whole = train(method, features, labels, FitContext(seed=2))
    # Within a stage, and where supcon's first one has ended.
    for stop_at in (1, 3):

        def kill(done, stop=stop_at):
            if done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(method, features, labels, FitContext(seed=2, state=tmp_path, save_seconds=0, progress=kill))
        again = train(method, features, labels, FitContext(seed=2, state=tmp_path, save_seconds=0))
        for path in tmp_path.iterdir():
            path.unlink()

        assert list(again.fits) == list(whole.fits) and again.fits == whole.fits
        assert equal(again, whole)
