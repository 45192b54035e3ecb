"""What the losses ask of pairs of images: who has a positive, who a triplet, and how far they are apart."""

import numpy as np
import pytest

from steelbench.models import losses


@pytest.mark.parametrize(("labels", "count"), [([0, 0, 1, 2, 2, 2], 5), ([0, 1, 2], 0), ([7, 7], 2), ([3], 0)], ids=str)
def test_anchors_with_a_positive_are_found(labels, count):
    assert int(np.sum(losses.has_positive(np.int32(labels)))) == count
    assert int(np.sum(losses.has_positive(np.float32(labels)[:, None]))) == count


def test_which_anchors_have_a_positive_and_which_a_triplet():
    assert list(losses.has_positive(np.int32([0, 1, 0, 2]))) == [True, False, True, False]
    assert list(losses.has_triplet(np.int32([0, 1, 0, 2]))) == [True, False, True, False]
    assert list(losses.has_triplet(np.int32([4, 4, 4]))) == [False, False, False]


def test_distances_are_not_squared():
    places = np.float32([[0], [3], [5]])

    assert np.array_equal(losses.pairwise_distances(places), [[0, 3, 5], [3, 0, 2], [5, 2, 0]])


def test_nearly_equal_embeddings_are_told_apart():
    """1e-5 apart; from float32 inner products that would be 0 or 3e-4."""
    near = np.float32([[0.6, 0.8, 0.0], [0.6, 0.8, 1e-5]])

    assert float(losses.pairwise_distances(near)[0, 1]) == pytest.approx(1e-5, rel=1e-5)
