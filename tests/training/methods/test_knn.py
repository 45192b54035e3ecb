"""The nearest neighbours by cosine, as a layer: against scikit-learn and the formula."""

import numpy as np
from feature_sets import clusters, split_of, training_set
from sklearn.neighbors import KNeighborsClassifier

from steelbench.experiment import Knn
from steelbench.training.loop.fit import FitContext
from steelbench.training.methods.knn import train_knn


def knn(features, labels, **settings):
    return train_knn(training_set(features, labels), Knn(**settings), FitContext())


def test_knn_with_a_low_temperature_is_the_nearest_neighbour():
    features, labels = clusters(spread=2.5)
    split = split_of(len(labels))
    head = knn(features, labels, temperature=(0.0005,)).head
    oracle = KNeighborsClassifier(1, metric="cosine").fit(features[split.train], labels[split.train])

    assert np.array_equal(head(features[split.test]).argmax(axis=1), oracle.predict(features[split.test]))


def test_knn_weighs_every_training_image_by_its_cosine():
    features, labels = clusters(n=30, spread=2.0)
    split = split_of(30)
    head = knn(features, labels, temperature=(0.1,)).head

    for row in split.test:
        weights = {}
        for other in split.train:
            a, b = features[row].astype(float), features[other].astype(float)
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            weights[labels[other]] = weights.get(labels[other], 0) + np.exp(cosine / 0.1)
        expected = np.array([weights.get(label, 0) for label in range(3)]) / sum(weights.values())
        np.testing.assert_allclose(head(features[[row]])[0], expected, atol=1e-4)


def test_knn_keeps_no_more_than_it_is_told_and_some_of_each_class():
    features, labels = clusters(spread=0.3)
    trained = knn(features, labels, most=12)

    assert trained.notes["kept"] <= 12
    assert (trained.head.layers[-1].kernel.sum(axis=0) >= 1).all()
