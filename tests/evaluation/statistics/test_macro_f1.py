"""Macro-F1, balanced accuracy and their variance: against scikit-learn and a slow bootstrap over groups."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

from steelbench.evaluation.statistics import Dependence, learn_dependence
from steelbench.evaluation.statistics.intervals import macro_f1_size, row_intervals
from steelbench.evaluation.statistics.macro_f1 import balanced_accuracy, confusion_counts, macro_f1, macro_f1_variance


def predictions(seed=0, num_classes=4, num_groups=60, accuracy=0.85, largest=5):
    """Unequal classes, groups of one class, errors that come together."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, largest + 1, num_groups)
    groups = np.repeat(np.arange(num_groups), sizes)
    y_true = rng.choice(num_classes, num_groups, p=np.arange(1, num_classes + 1) / (num_classes**2 + num_classes) * 2)
    wrong = rng.random(len(groups)) > rng.beta(accuracy * 2, (1 - accuracy) * 2, num_groups)[groups]
    y_true = y_true[groups]
    return y_true, (y_true + wrong) % num_classes, groups


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [4, 9])
def test_values_are_sklearns(seed, classes):
    y_true, y_pred, _ = predictions(seed)
    counts = confusion_counts(y_true, y_pred[None], classes)

    assert macro_f1(counts) == pytest.approx([f1_score(y_true, y_pred, average="macro")])
    assert balanced_accuracy(counts) == pytest.approx([balanced_accuracy_score(y_true, y_pred)])


@pytest.mark.parametrize("called", [0, 1, 5])
def test_a_class_without_a_true_image_is_left_out_whether_it_is_predicted_or_not(called):
    y_true, y_pred, groups = predictions()
    y_pred[:called] = 5
    counts = confusion_counts(y_true, y_pred[None], 6)

    expected = f1_score(y_true, y_pred, labels=np.unique(y_true), average="macro")
    assert macro_f1(counts) == pytest.approx([expected])
    assert row_intervals(y_true, y_pred[None], groups, 6, Dependence(0.0)).macro_f1.value == pytest.approx(expected)


def test_all_right_is_one_though_a_class_has_no_test_image():
    y_true, _, groups = predictions()

    found = row_intervals(y_true, y_true[None], groups, 6, Dependence(0.0))

    assert found.macro_f1.value == found.macro_f1.high == 1


def test_the_variance_counts_tested_classes_only():
    """Nudge one image after the other: the influence of each is the slope of macro-F1 over the tested classes."""
    counts = np.array([[30, 3, 1.0], [4, 20, 2], [0, 0, 0]])

    def value(matrix):
        return np.mean([2 * matrix[c, c] / (matrix[c].sum() + matrix[:, c].sum()) for c in (0, 1)])

    step, expected = 1e-6, 0.0
    for cell in np.ndindex(2, 3):
        nudged = counts.copy()
        nudged[cell] += step
        expected += counts[cell] * ((value(nudged) - value(counts)) / step) ** 2
    assert macro_f1_variance(counts) == pytest.approx(expected, rel=1e-4)


def test_confusion_counts_of_each_seed_are_sklearns():
    y_true, y_pred, _ = predictions()
    seeds = np.stack([y_pred, np.roll(y_pred, 1)])

    for counted, each in zip(confusion_counts(y_true, seeds, 5), seeds, strict=True):
        np.testing.assert_array_equal(counted, confusion_matrix(y_true, each, labels=range(5)))


def slow_macro_f1(y_true, y_pred):
    """scikit-learn's takes 2 ms a call, which 2000 draws would feel."""
    hits, both = (np.bincount(each, minlength=9) for each in (y_true[y_true == y_pred], np.append(y_true, y_pred)))
    return np.mean(2 * hits[both > 0] / both[both > 0])


def bootstrap_variance(y_true, y_pred, groups, draws=500):
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = (np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))]) for _ in range(draws))
    return np.var([slow_macro_f1(y_true[images], y_pred[images]) for images in drawn])


@pytest.mark.parametrize("accuracy", [0.5, 0.8, 0.95])
def test_the_variance_of_single_images_is_that_of_a_bootstrap(accuracy):
    y_true, y_pred, _ = predictions(num_groups=200, accuracy=accuracy)

    variance = macro_f1_variance(confusion_counts(y_true, y_pred[None], 4))[0]

    # The standard error of a variance from 500 draws is 6 %.
    assert variance == pytest.approx(bootstrap_variance(y_true, y_pred, np.arange(len(y_true))), rel=0.2)


@pytest.mark.parametrize("classes", [4, 7])
def test_the_variance_is_the_sum_of_squares_of_what_each_image_moves(classes):
    y_true, y_pred, _ = predictions(num_groups=40)
    counts = confusion_counts(y_true, y_pred[None], classes)[0]
    moved = 0.0
    for true, predicted in zip(y_true, y_pred, strict=True):
        more, less = counts.copy(), counts.copy()
        more[true, predicted] += 1e-4
        less[true, predicted] -= 1e-4
        moved += ((macro_f1(more) - macro_f1(less)) / 2e-4) ** 2

    assert macro_f1_variance(counts) == pytest.approx(moved, rel=1e-6)


def test_the_effective_size_is_that_of_a_bootstrap_over_groups():
    y_true, y_pred, groups = predictions(num_groups=300, accuracy=0.6)
    dependence = learn_dependence([y_pred == y_true], groups)

    value, size = macro_f1_size(y_true, y_pred[None], groups, 4, dependence)

    assert size == pytest.approx(value * (1 - value) / bootstrap_variance(y_true, y_pred, groups), rel=0.2)
    assert size < len(y_true)


@pytest.mark.parametrize("wrong", [0, 1])
def test_without_a_difference_among_images_it_is_the_accuracys(wrong):
    y_true = np.repeat(np.arange(5), 20)
    groups = np.arange(100) // 4

    found = row_intervals(y_true, (y_true + wrong)[None] % 5, groups, 5, Dependence(0.3))

    assert (found.macro_f1.low, found.macro_f1.high) == pytest.approx((found.accuracy.low, found.accuracy.high))


def test_the_smallest_class_rules_the_size_without_errors():
    # Variances 1/10 and 1/1000 of a unit: their mean's is (1/10 + 1/1000) / 4.
    y_true = np.repeat([0, 1], [10, 1000])

    _, size = macro_f1_size(y_true, y_true[None], np.arange(1010), 2, Dependence(0.0))

    assert size == pytest.approx(4 / (1 / 10 + 1 / 1000))


def test_one_error_does_not_prove_that_macro_f1_is_sure():
    # By itself the one error, in a class of 1000, would make macro-F1 as sure as of 4000 images.
    y_true = np.repeat([0, 1], [10, 1000])
    y_pred = np.where(np.arange(1010) == 500, 0, y_true)

    _, size = macro_f1_size(y_true, y_pred[None], np.arange(1010), 2, Dependence(0.0))

    assert size < 2 * 4 / (1 / 10 + 1 / 1000)
