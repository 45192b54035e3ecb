"""Triplets and pairs on features: which images make one, what is learnt, and how the head classifies."""

import dataclasses

import numpy as np
import pytest
from feature_sets import QUICK, clusters, split_of, training_set

from steelbench.errors import SteelbenchError
from steelbench.experiment import Triplet
from steelbench.training.loop import embedding_stage
from steelbench.training.loop.fit import FitContext
from steelbench.training.methods import triplet

SETTINGS = QUICK["triplet"]
PAIRS = SETTINGS.model_copy(update={"mining": "pairs"})


def train(features, labels, **more):
    return triplet.train_triplet(training_set(features, labels), SETTINGS.model_copy(update=more), FitContext())


def test_pairs_lie_one_behind_the_other_half_of_them_of_one_class():
    data = training_set(*clusters())
    batches = triplet.triplet_batches(data, PAIRS, 0)

    for labels, left, right in pairs_of(batches, data, data.labels):
        same = labels[left] == labels[right]
        assert (left != right).all() and same.tolist() == [True, False] * (len(same) // 2)
    assert not np.array_equal(batches.train(0), batches.train(1))


def pairs_of(batches, data, values):
    """The values of each part's images, and the rows to the left and to the right of its pairs."""
    for rows, chosen in [(data.split.train, batches.train(0)), (data.split.train, batches.train(1)),
                         (data.split.validation, batches.validation)]:  # fmt: skip
        flat = np.concatenate(chosen)
        yield values[rows], flat[0::2], flat[1::2]


def sharing_a_group(data, groups):
    """Count the pairs of the method's batches that have two images of one of these groups."""
    batches = triplet.triplet_batches(data, PAIRS, 0)
    return sum(int(np.sum(of[left] == of[right])) for of, left, right in pairs_of(batches, data, groups))


def test_no_pair_of_a_batch_has_two_images_of_one_group():
    features, labels = clusters()
    # Six groups in a class: as frames of which several images were cut.
    groups = 6 * labels + np.random.default_rng(0).integers(0, 6, len(labels))
    data = training_set(features, labels, groups=groups)

    assert sharing_a_group(data, groups) == 0
    assert sharing_a_group(dataclasses.replace(data, groups=None), groups) > 10


def test_pairs_that_validation_images_cannot_make_are_refused():
    features, labels = clusters()
    data = training_set(features, labels)
    groups = np.arange(len(labels))
    groups[data.split.validation] = labels[data.split.validation] + 1000

    with pytest.raises(SteelbenchError, match="none of the 3 classes has two validation images"):
        triplet.train_triplet(dataclasses.replace(data, groups=groups), PAIRS, FitContext())


def test_soft_pairs_are_refused():
    with pytest.raises(SteelbenchError, match=r"triplet\.soft is for triplets"):
        Triplet(mining="pairs", soft=True)


# Each mining once, and a soft margin; their losses are compared with the papers in models/losses.
@pytest.mark.parametrize(
    ("mining", "soft"), [("batch_all", False), ("batch_hard", True), ("semihard", False), ("pairs", False)]
)
def test_every_triplet_mining_brings_classes_apart(mining, soft):
    features, labels = clusters(spread=2.0)
    trained = train(features, labels, mining=mining, soft=soft, epochs=8)

    losses = [line.loss for line in trained.fits["embedding"].history]
    assert losses[-1] < losses[0]


def test_triplet_classifies_by_the_cosine_to_the_centroids_of_the_training_images():
    features, labels = clusters(spread=2.0)
    split, trained = split_of(len(labels)), train(features, labels)
    z = trained.head.embed(features)
    means = np.stack([z[split.train][labels[split.train] == label].mean(axis=0) for label in range(3)])
    cosines = z @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    logits = trained.notes["scale"] * cosines[split.test].astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    np.testing.assert_allclose(trained.head(features[split.test]), expected, atol=1e-5)


def test_validation_is_not_in_class_order():
    data = training_set(*clusters())
    labels = data.validation[1]

    batches = triplet.triplet_batches(data, SETTINGS, 0)

    assert (np.diff(labels) >= 0).all()
    assert all(len(np.unique(labels[rows])) > 1 for rows in batches.validation)


def test_collapse_stops_the_run():
    data, settings = training_set(*clusters()), SETTINGS
    batches = triplet.triplet_batches(data, settings, 0)
    model = triplet._triplet_model(10, settings, len(batches.train(0))).model

    def same_for_all(samples):
        return np.ones((len(samples), 8), np.float32)

    with pytest.raises(SteelbenchError, match="collapsed"):
        embedding_stage.fit_embedding(model, same_for_all, data, settings, FitContext(), batches)
