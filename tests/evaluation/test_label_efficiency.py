"""What more images bring: against loops, at the ends of the scale, and where nothing can be told."""

import numpy as np
import pytest
from scipy import stats

from steelbench.data.splits import Split
from steelbench.evaluation import label_efficiency as measured
from steelbench.evaluation.label_efficiency import SHARES, label_efficiency
from steelbench.evaluation.learning_curve import Budget, fit_and_predict, nested_subsets

CLASSES = ["dent", "rust", "scratch"]


def images(spread=1.6, per_class=40, seed=0):
    """Features of three overlapping clouds, and a split with the last fifth as test images."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), per_class)
    features = (np.eye(3, 8)[labels] * 2 + random.normal(0, spread, (len(labels), 8))).astype(np.float32)
    order = random.permutation(len(labels))
    cut = len(labels) * 4 // 5
    return features, labels, Split(np.sort(order[: cut - 10]), np.sort(order[cut - 10 : cut]), np.sort(order[cut:]))


def measure(features, labels, split, groups=None):
    groups = np.arange(len(labels)) if groups is None else groups
    return label_efficiency("net", 64, features, labels, groups, CLASSES, [(split.train, split.test)])


def test_levels_and_gains_are_those_of_plain_loops():
    features, labels, split = images()
    found = measure(features, labels, split)

    right = {share: [] for share in SHARES}
    for draw in range(3):
        subsets = nested_subsets(labels, split.train, [Budget(share=share) for share in SHARES], (0, draw))
        for share, rows in zip(SHARES, subsets, strict=True):
            if share < 1 or draw == 0:
                right[share].append(fit_and_predict(features, labels, rows, split.test) == labels[split.test])
    for level in found.levels:
        accuracies = [np.mean(own) for own in right[level.share]]
        assert (level.accuracy, level.low, level.high) == pytest.approx(
            (np.mean(accuracies), min(accuracies), max(accuracies))
        )
        assert level.fits == len(accuracies)
    for label, own in enumerate(found.classes):
        of_class = labels[split.test] == label
        half = np.mean(right[0.5], axis=0)[of_class]
        full = np.mean(right[1.0], axis=0)[of_class]
        ahead = full - half
        error = stats.sem(ahead) * stats.t.ppf(0.975, len(ahead) - 1)
        assert (own.half, own.full, own.gain) == pytest.approx((half.mean(), full.mean(), ahead.mean()))
        assert own.gain_low == pytest.approx(max(ahead.mean() - error, -half.mean()))
        assert own.gain_high == pytest.approx(min(ahead.mean() + error, 1 - half.mean()))
        assert (own.tested, own.groups) == (of_class.sum(), of_class.sum())


def test_images_of_one_group_count_as_one_in_the_interval():
    features, labels, split = images()
    alone = measure(features, labels, split).classes[0]
    tied = measure(features, labels, split, groups=np.arange(len(labels)) // 8).classes[0]

    assert tied.gain == alone.gain and tied.groups < alone.groups


def test_without_a_change_the_interval_is_what_so_many_images_could_hide():
    assert measured._uncertainty(np.zeros(20), np.arange(20)) == (20, pytest.approx(1 - 0.05 ** (1 / 20)))
    assert measured._uncertainty(np.zeros(20), np.zeros(20, int)) == (1, 1.0)


def test_a_class_without_a_test_image_has_no_gain():
    features, labels, split = images()
    test = split.test[labels[split.test] != 1]
    found = measure(features, labels, Split(split.train, split.validation, test))

    assert [own.name for own in found.classes] == ["dent", "scratch"]
    assert found.levels[-1].recalls[1] is None


def test_three_splits_are_drawn_from_once_each():
    features, labels, split = images()
    splits = [(split.train, split.test)] * 5
    found = label_efficiency("net", 64, features, labels, np.arange(len(labels)), CLASSES, splits)

    assert (found.splits, found.draws, [level.fits for level in found.levels]) == (3, 1, [3, 3, 3, 3])
