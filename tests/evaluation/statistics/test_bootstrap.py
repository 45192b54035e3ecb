"""Macro-F1 and balanced accuracy over resampled groups: against scikit-learn, one slow draw at a time."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score
from sklearn.utils import resample as sklearn_resample

from steelbench.evaluation.statistics import accuracy_interval, balanced_accuracy_interval, macro_f1_interval
from steelbench.evaluation.statistics.bootstrap import group_confusions, macro_f1, resample, smallest_size


def predictions(seed=0, num_classes=4, num_groups=60, accuracy=0.85):
    """Unequal classes, groups of 1 to 5 images of one class, errors that come together."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, num_groups)
    groups = np.repeat(np.arange(num_groups), sizes)
    y_true = rng.choice(num_classes, num_groups, p=np.arange(1, num_classes + 1) / (num_classes**2 + num_classes) * 2)
    wrong = rng.random(len(groups)) > rng.beta(accuracy * 2, (1 - accuracy) * 2, num_groups)[groups]
    y_true = y_true[groups]
    return y_true, (y_true + wrong) % num_classes, groups


@pytest.mark.parametrize("seed", range(3))
def test_values_are_sklearns(seed):
    y_true, y_pred, groups = predictions(seed)

    f1 = macro_f1_interval(y_true, y_pred, groups, 4, draws=50)
    balanced = balanced_accuracy_interval(y_true, y_pred, groups, 4, draws=50)

    assert f1.value == pytest.approx(f1_score(y_true, y_pred, average="macro"))
    assert balanced.value == pytest.approx(balanced_accuracy_score(y_true, y_pred))


def test_a_class_that_does_not_occur_is_left_out_as_sklearn_does():
    y_true, y_pred, groups = predictions()

    interval = macro_f1_interval(y_true, y_pred, groups, 9, draws=50)

    assert interval.value == pytest.approx(f1_score(y_true, y_pred, average="macro"))


def test_seeds_are_averaged():
    y_true, y_pred, groups = predictions()
    other = np.where(np.arange(len(y_true)) % 3 == 0, 0, y_pred)

    interval = macro_f1_interval(y_true, np.stack([y_pred, other]), groups, 4, draws=50)

    assert interval.value == pytest.approx(
        np.mean([f1_score(y_true, each, average="macro") for each in (y_pred, other)])
    )


def test_group_confusions_are_sklearns():
    y_true, y_pred, groups = predictions()

    counts = group_confusions(y_true, y_pred[None], groups, 4)

    for group in np.unique(groups):
        own = groups == group
        expected = confusion_matrix(y_true[own], y_pred[own], labels=range(4))
        np.testing.assert_array_equal(counts[group, 0], expected)


def test_draws_are_distributed_as_a_slow_bootstrap_over_groups():
    y_true, y_pred, groups = predictions(num_groups=40)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    slow = []
    for draw in range(1000):
        images = np.concatenate([members[i] for i in sklearn_resample(range(40), random_state=draw)])
        slow.append(f1_score(y_true[images], y_pred[images], average="macro"))

    fast = resample(group_confusions(y_true, y_pred[None], groups, 4), macro_f1, 4000, seed=0)

    # Standard errors: of a standard deviation from 1000 draws 2.2 %, of a mean .03 deviations.
    assert np.std(fast) == pytest.approx(np.std(slow), rel=0.08)
    assert np.mean(fast) == pytest.approx(np.mean(slow), abs=0.12 * np.std(slow))
    np.testing.assert_allclose(
        np.quantile(fast, [0.1, 0.5, 0.9]), np.quantile(slow, [0.1, 0.5, 0.9]), atol=0.2 * np.std(slow)
    )


def test_the_effective_size_is_that_of_the_slow_bootstraps_variance():
    # Many errors: the one group that stands for what was not seen weighs little.
    y_true, y_pred, groups = predictions(num_groups=300, accuracy=0.5)
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = (np.concatenate([members[i] for i in rng.integers(0, 300, 300)]) for _ in range(500))
    slow = np.var([f1_score(y_true[images], y_pred[images], average="macro") for images in drawn])

    interval = macro_f1_interval(y_true, y_pred, groups, 4)

    assert interval.n_effective == pytest.approx(interval.value * (1 - interval.value) / slow, rel=0.2)
    assert interval.n_effective < len(y_true)


@pytest.mark.parametrize("interval_of", [macro_f1_interval, balanced_accuracy_interval])
@pytest.mark.parametrize("wrong", [0, 1])
def test_without_a_difference_among_images_it_is_the_accuracys(interval_of, wrong):
    y_true = np.repeat(np.arange(5), 20)
    y_pred = (y_true + wrong) % 5

    interval, expected = interval_of(y_true, y_pred, None, 5), accuracy_interval(y_pred == y_true)

    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.low < interval.high


@pytest.mark.parametrize("wrong", [0, 1])
def test_groups_without_a_difference_among_images_count_as_one_image_each(wrong):
    y_true = np.repeat(np.arange(3), 24)
    student = stats.t.ppf(0.975, 71) / stats.t.ppf(0.975, 17)

    interval = macro_f1_interval(y_true, (y_true + wrong) % 3, np.arange(72) // 4, 3)

    assert interval.n_effective == pytest.approx(18 * student**2)


def test_one_error_does_not_prove_that_images_are_independent():
    y_true = np.repeat([0, 1], 180)
    y_pred = y_true.copy()
    y_pred[0] = 1

    single, grouped = (macro_f1_interval(y_true, y_pred, groups, 2) for groups in (None, np.arange(360) // 8))

    # The mean of 1/360 or less, from the one error, and 1/45, from the groups, is more than 1/90.
    assert single.n_effective == 360
    assert 45 < grouped.n_effective < 90


def test_there_are_never_more_effective_images_than_images():
    # Recalls of 1 and .5: their mean .75 varies by .5 * .5 / 100 / 4, as a proportion of 300 images would.
    y_true = np.repeat([0, 1], 100)
    y_pred = np.where(np.arange(200) < 150, y_true, 0)

    assert balanced_accuracy_interval(y_true, y_pred, None, 2).n_effective == 200


def test_the_smallest_size_of_equal_classes_of_equal_groups_is_the_number_of_groups():
    y_true = np.repeat(np.arange(3), 24)

    assert smallest_size(y_true, np.arange(72) // 4) == pytest.approx(18)


def test_the_smallest_class_rules_the_smallest_size():
    # Variances 1/10 and 1/1000 of a unit: their mean's is (1/10 + 1/1000) / 4.
    y_true = np.repeat([0, 1], [10, 1000])

    assert smallest_size(y_true, np.arange(1010)) == pytest.approx(4 / (1 / 10 + 1 / 1000))


def test_order_and_names_of_groups_do_not_matter():
    y_true, y_pred, groups = predictions()
    rng = np.random.default_rng(1)
    order, names = rng.permutation(len(y_true)), rng.permutation(500)

    shuffled = macro_f1_interval(y_true[order], y_pred[order], names[groups[order]], 4, draws=300)

    assert shuffled == macro_f1_interval(y_true, y_pred, groups, 4, draws=300)


def test_the_seed_decides_the_draws():
    y_true, y_pred, groups = predictions()

    first, again, other = (macro_f1_interval(y_true, y_pred, groups, 4, draws=100, seed=seed) for seed in (0, 0, 1))

    assert first == again
    assert first.low != other.low
    assert first.value == other.value


@pytest.mark.parametrize("interval_of", [macro_f1_interval, balanced_accuracy_interval])
def test_copies_of_images_add_nothing(interval_of):
    y_true, y_pred, _ = predictions()
    copies = np.repeat(np.arange(len(y_true)), 5)

    # As if independent it would be less than half as wide.
    copied = interval_of(y_true[copies], y_pred[copies], copies, 4)
    single = interval_of(y_true, y_pred, None, 4)

    assert copied.value == pytest.approx(single.value)
    assert (copied.low, copied.high) == pytest.approx((single.low, single.high), abs=0.02)
    assert copied.high - copied.low > 0.9 * (single.high - single.low)


def test_a_higher_level_is_a_wider_interval():
    y_true, y_pred, groups = predictions()

    usual, wide = (macro_f1_interval(y_true, y_pred, groups, 4, level=level) for level in (0.95, 0.99))

    assert wide.low < usual.low < usual.high < wide.high


def test_one_image_is_enough():
    interval = macro_f1_interval(np.array([1]), np.array([1]), np.array([7]), 3)

    assert (interval.value, interval.high, interval.n_effective) == (1, 1, 1)
    assert interval.low == pytest.approx(0.025)
