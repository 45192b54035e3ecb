"""What a stage that trains an embedding refuses, and how its validation images are scored."""

import numpy as np
import pytest

from steelbench.errors import SteelbenchError
from steelbench.training.loop import embedding_stage


def test_collapse_is_told():
    rng = np.random.default_rng(0)
    same = np.tile(rng.standard_normal(8), (20, 1)) + 1e-4 * rng.standard_normal((20, 8))

    with pytest.raises(SteelbenchError, match="collapsed"):
        embedding_stage.refuse_collapse(same.astype(np.float32))
    embedding_stage.refuse_collapse(rng.standard_normal((20, 8)).astype(np.float32))


def test_batches_without_a_positive_stop_the_run():
    labels = np.arange(40)

    with pytest.raises(SteelbenchError, match="no two images of one class"):
        embedding_stage.refuse_batches_without_positives(labels, [np.arange(8)] * 3)
    embedding_stage.refuse_batches_without_positives(labels // 2, [np.arange(8)] * 3)


def test_knn_accuracy_counts_no_image_as_its_own_neighbour():
    # Two of the three other images are of the other class; an image that counted itself would be right half the time.
    train = np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1]], np.float32)
    labels = np.array([0, 1, 0, 1])
    own, _ = embedding_stage.knn_accuracy(train, labels, train, labels)

    assert own == 0


def test_knn_accuracy_of_validation_images_is_that_of_their_nearest_training_images():
    train = np.array([[1, 0]] * 6 + [[0, 1]] * 6, np.float32)
    validation = np.array([[1, 0.1], [0.9, 0], [0.1, 1], [0, 0.9]], np.float32)
    own, found = embedding_stage.knn_accuracy(train, np.repeat([0, 1], 6), validation, np.array([0, 0, 1, 0]))

    assert (own, found) == (1, 0.75)
