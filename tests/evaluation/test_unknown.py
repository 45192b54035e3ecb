"""Scores of how unfamiliar an image is, against closed forms and scikit-learn."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.neighbors import NearestNeighbors

from steelbench.evaluation.unknown import Mahalanobis, Neighbours, energy, max_probability, shrunk_covariance


def embeddings(count=80, size=12, classes=4, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    mixed = random.normal(size=(count, size)) @ random.normal(size=(size, size))
    return (mixed + 3 * random.normal(size=(classes, size))[labels]).astype(np.float32), labels


def test_scores_of_the_answer_are_their_formulas():
    logits = np.random.default_rng(0).normal(0, 5, (30, 6)).astype(np.float32)
    shares = np.exp(logits.astype(float) - logsumexp(logits.astype(float), axis=1, keepdims=True))

    np.testing.assert_allclose(energy(logits), -logsumexp(logits.astype(float), axis=1), rtol=1e-12)
    np.testing.assert_allclose(max_probability(shares), 1 - shares.max(axis=1), atol=1e-7)
    assert max_probability(np.array([[0.25] * 4]))[0] == 0.75 and energy(np.zeros((1, 4)))[0] == -np.log(4)


def test_confident_images_differ_beyond_the_resolution_of_one_minus_float32():
    sure, surer = np.array([[1, 1e-9, 1e-12]], np.float32), np.array([[1, 1e-20, 0]], np.float32)

    assert max_probability(sure)[0] == pytest.approx(1.001e-9) and max_probability(surer)[0] == pytest.approx(1e-20)


def test_energy_keeps_what_probabilities_lose_and_does_not_overflow():
    logits = np.array([[1.0, 2.0], [11.0, 12.0], [1e4, -1e4]])

    assert energy(logits)[1] == pytest.approx(energy(logits)[0] - 10)
    assert energy(logits)[2] == -1e4


@pytest.mark.parametrize("k", [1, 3, 10])
def test_distances_to_neighbours_are_those_of_scikit_learn(k):
    (train, _), (new, _) = embeddings(700), embeddings(600, seed=1)
    unit = [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (train, new)]

    expected = NearestNeighbors(n_neighbors=k).fit(unit[0]).kneighbors(unit[1])[0][:, -1]

    np.testing.assert_allclose(Neighbours.fit(train, k)(new), expected, atol=1e-3)


def test_opposite_directions_are_two_apart_and_few_images_lower_k():
    found = Neighbours.fit(np.array([[3.0, 0.0], [0.0, 2.0]], np.float32), k=10)

    assert found.k == 2
    np.testing.assert_allclose(found(np.array([[-1.0, 0.0], [5.0, 0.0]], np.float32)), [2, np.sqrt(2)], atol=1e-6)


def test_of_very_many_images_a_drawn_part_is_compared_with_and_of_few_all(monkeypatch):
    (train, _), (new, _) = embeddings(300), embeddings(20, seed=1)
    whole = Neighbours.fit(train)
    monkeypatch.setattr("steelbench.evaluation.unknown.MOST_REFERENCE", 100)

    part = Neighbours.fit(train)

    assert len(whole.reference) == 300 and len(part.reference) == 100
    assert {row.tobytes() for row in part.reference} < {row.tobytes() for row in whole.reference}
    assert np.all(part(new) >= whole(new) - 1e-6)


@pytest.mark.parametrize(("count", "size"), [(200, 12), (40, 60)])
def test_the_covariance_is_shrunk_as_scikit_learn_does(count, size):
    vectors = embeddings(count, size)[0].astype(float)
    vectors -= vectors.mean(axis=0)
    expected = LedoitWolf(assume_centered=True).fit(vectors)

    covariance, shrinkage = shrunk_covariance(vectors)

    assert shrinkage == pytest.approx(expected.shrinkage_, rel=1e-9)
    np.testing.assert_allclose(covariance, expected.covariance_, rtol=1e-6, atol=1e-6 * np.abs(covariance).max())


def test_mahalanobis_is_the_distance_to_the_nearest_class_mean_of_scikit_learn():
    train, labels = embeddings(300, 12)
    new, _ = embeddings(50, 12, seed=1)
    means = np.stack([train[labels == label].mean(axis=0) for label in range(4)])
    fitted = LedoitWolf(assume_centered=True).fit((train - means[labels]).astype(float))

    expected = np.min([np.sqrt(fitted.mahalanobis(new - mean)) for mean in means], axis=0)

    np.testing.assert_allclose(Mahalanobis.fit(train, labels)(new), expected, rtol=1e-3)


def test_with_many_images_it_is_that_of_the_covariance_itself():
    train, labels = embeddings(20_000, 3, classes=2)
    means = np.stack([train[labels == label].mean(axis=0) for label in range(2)])
    plain = EmpiricalCovariance(assume_centered=True).fit((train - means[labels]).astype(float))

    expected = np.min([np.sqrt(plain.mahalanobis(train[:40] - mean)) for mean in means], axis=0)

    np.testing.assert_allclose(Mahalanobis.fit(train, labels)(train[:40]), expected, rtol=5e-3)


def test_equal_images_and_fewer_images_than_features_have_finite_distances():
    same = np.ones((6, 20), np.float32)
    few, labels = embeddings(8, 50, classes=4)

    assert np.isfinite(Mahalanobis.fit(same, np.arange(6) % 2)(few[:, :20])).all()
    found = Mahalanobis.fit(few, labels)(few + 100)
    assert (found > Mahalanobis.fit(few, labels)(few)).all()
