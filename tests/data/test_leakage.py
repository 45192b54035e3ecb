"""The two shares of leaking test images: expected of a random split, and of a given one."""

import numpy as np
import pytest

from steelbench.data.groups import NO_LINKS
from steelbench.data.leakage import expected_random_leakage, split_leakage
from steelbench.data.splits import Split


def test_the_leak_of_disjoint_pairs_is_their_chance_to_be_divided():
    # One class of 400 in 200 pairs: a test image leaks if its partner is one of the other 399's training part.
    labels, links = np.zeros(400, np.int64), np.arange(400).reshape(-1, 2)

    assert expected_random_leakage(labels, links, 0.2) == pytest.approx(320 / 399, abs=0.03)
    assert expected_random_leakage(labels, links, 0.3) == pytest.approx(280 / 399, abs=0.03)


def test_without_pairs_nothing_leaks():
    assert expected_random_leakage(np.zeros(3, np.int64), NO_LINKS, 0.3) == 0


def test_three_images_of_each_class_are_enough_for_the_expected_leak():
    # One test image in three: its copy is one of the other two images of its class, which both train.
    labels, links = np.repeat([0, 1, 2, 3], 3), np.array([[0, 1], [3, 4]])

    found = expected_random_leakage(labels, links, 0.3)

    assert 0 < found < 0.5
    assert found == expected_random_leakage(labels, links, 0.3)


def test_share_of_a_case_counted_by_hand():
    split = Split(np.array([0, 1, 2]), np.array([3]), np.array([4, 5, 6, 7]))
    # Of the test images, 4 and 7 are of groups that stand in training.
    assert split_leakage(split, np.array([0, 1, 2, 3, 0, 4, 3, 2])) == 0.5


def test_share_counts_images_that_share_pixels_with_a_training_image():
    split = Split(np.array([0, 1]), np.array([2]), np.array([3, 4, 5]))
    alone = np.arange(6)

    # 3 lies on 0, 4 only on 2, which validates; 5 lies on 3, not on a training image.
    assert split_leakage(split, alone, np.array([[3, 0], [2, 4], [5, 3]])) == pytest.approx(1 / 3)
    assert split_leakage(split, alone, np.array([[0, 3], [4, 1]])) == pytest.approx(2 / 3)
