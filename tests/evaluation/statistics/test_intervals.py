"""Intervals of accuracy, macro-F1 and recall: against scipy's binomial distribution, enumeration, closed forms."""

import dataclasses

import numpy as np
import pytest
from scipy import optimize, stats
from sklearn.metrics import f1_score, recall_score

from steelbench.evaluation.statistics import Dependence, learn_dependence, row_intervals
from steelbench.evaluation.statistics.intervals import effective_size, proportion_interval

APART = Dependence(images=0.0)


def limits_by_the_book(errors, n, level=0.95):
    """Accuracies at which half of the outcome seen and all more extreme ones have a probability of a tail."""
    tail = (1 - level) / 2

    def fewer(rate):
        return stats.binom.cdf(errors, n, rate) - stats.binom.pmf(errors, n, rate) / 2 - tail

    def more(rate):
        return stats.binom.sf(errors, n, rate) + stats.binom.pmf(errors, n, rate) / 2 - tail

    high = 1.0 if errors == 0 else 1 - optimize.brentq(more, 1e-12, 1 - 1e-12)
    low = 0.0 if errors == n else 1 - optimize.brentq(fewer, 1e-12, 1 - 1e-12)
    return low, high


@pytest.mark.parametrize("errors", [0, 1, 3, 20, 180, 340, 357, 360])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_of_single_images_is_the_mid_p_interval(errors, level):
    interval = proportion_interval(1 - errors / 360, 360, level=level)

    assert (interval.low, interval.high) == pytest.approx(limits_by_the_book(errors, 360, level), abs=1e-7)
    assert (interval.value, interval.n_effective) == (1 - errors / 360, 360)


@pytest.mark.parametrize("n", [1, 20, 360, 1800])
def test_without_an_error_the_rule_of_three_holds(n):
    interval = proportion_interval(1.0, n)

    assert interval.low == pytest.approx(0.05 ** (1 / n))
    assert interval.low == pytest.approx(1 - 3 / n, abs=0.05 / n + 5 / n**2)
    assert interval.high == 1


@pytest.mark.parametrize("n", [120, 360, 1800])
@pytest.mark.parametrize("accuracy", [0.9, 0.95, 0.98, 0.99, 0.997, 359 / 360, 0.999])
def test_the_interval_of_single_images_covers(n, accuracy):
    # Every possible number of errors, weighed with its probability: no chance in this one.
    intervals = [proportion_interval(1 - errors / n, n) for errors in range(min(n, 300) + 1)]
    holds = [interval.low <= accuracy <= interval.high for interval in intervals]

    coverage = stats.binom.pmf(np.arange(len(holds)), n, 1 - accuracy) @ holds

    assert 0.925 < coverage < 0.996


@pytest.mark.parametrize("errors", np.linspace(0, 6, 40))
def test_a_fraction_of_an_error_lies_between(errors):
    below, at, above = (proportion_interval(1 - count / 100, 100) for count in (errors - 0.1, errors, errors + 0.1))

    assert errors < 0.1 or below.low > at.low
    assert at.low > above.low and at.high >= above.high


@pytest.mark.parametrize("value", [0.0, 1e-12, 0.02, 0.5, 0.98, 1 - 1e-12, 1.0])
@pytest.mark.parametrize("n", [1.0, 1.7, 40.3, 5000.0])
def test_the_value_lies_within_and_all_within_0_and_1(value, n):
    interval = proportion_interval(value, n)

    assert 0 <= interval.low <= value <= interval.high <= 1
    assert interval.low < interval.high


def test_the_interval_of_errors_mirrors_that_of_hits():
    hits, errors = proportion_interval(0.97, 88.4), proportion_interval(0.03, 88.4)

    assert (errors.low, errors.high) == pytest.approx((1 - hits.high, 1 - hits.low), abs=1e-8)


@pytest.mark.parametrize("correlation", [0.0, 0.2, 1.0])
def test_the_effective_size_is_kishs(correlation):
    sizes = np.array([1, 1, 2, 5, 9, 20])
    groups = np.repeat(np.arange(6), sizes)
    effect = 1 + correlation * (np.sum(sizes**2) / 38 - 1)
    student = stats.t.ppf(0.975, 37) / stats.t.ppf(0.975, 5)

    assert effective_size(np.ones(38), groups, Dependence(correlation)) == pytest.approx(
        max(1, 38 / effect * student**2)
    )


def test_the_effective_size_of_a_weighted_mean_is_that_of_simulated_variances():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(2000), 4)
    weights = np.where(groups < 1000, 0.3, 0.7)
    shared, own = rng.standard_normal((500, 2000))[:, groups], rng.standard_normal((500, 8000))
    variance = np.var((np.sqrt(0.4) * shared + np.sqrt(0.6) * own) @ weights / weights.sum())

    # The standard error of a variance from 500 draws is 6 %.
    assert effective_size(weights, groups, Dependence(0.4)) == pytest.approx(1 / variance, rel=0.15)


def test_images_that_stand_or_fall_together_are_worth_their_groups():
    groups = np.arange(72) // 4
    student = stats.t.ppf(0.975, 71) / stats.t.ppf(0.975, 17)

    assert effective_size(np.ones(72), groups, Dependence(1.0)) == pytest.approx(18 * student**2)


@pytest.mark.parametrize("n", [1, 5, 30])
@pytest.mark.parametrize("correlation", [0.0, 0.3, 1.0])
def test_one_group_is_worth_one_image(n, correlation):
    assert effective_size(np.ones(n), np.zeros(n), Dependence(correlation)) == 1


def test_seeds_are_no_further_images():
    assert effective_size(np.ones(30), np.arange(30), Dependence(0.0, seeds=0.3)) == 30
    assert 10 < effective_size(np.ones(30), np.arange(30) // 3, Dependence(0.4, seeds=0.3)) < 30


def row(seed=0, num_groups=80, accuracy=0.9, seeds=1, num_classes=4):
    """Groups of 1 to 8 images of one class whose errors come together."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), rng.integers(1, 9, num_groups))
    rates = rng.beta(accuracy * 2, (1 - accuracy) * 2, num_groups)
    y_true = rng.integers(0, num_classes, num_groups)[groups]
    wrong = rng.random((seeds, len(groups))) > rates[groups]
    return y_true, (y_true + wrong) % num_classes, groups


def test_values_are_sklearns_means_over_seeds():
    y_true, y_pred, groups = row(seeds=3)

    found = row_intervals(y_true, y_pred, groups, 5, APART)

    recalls = np.mean([recall_score(y_true, each, average=None) for each in y_pred], axis=0)
    assert found.accuracy.value == pytest.approx(np.mean(y_pred == y_true))
    assert found.macro_f1.value == pytest.approx(np.mean([f1_score(y_true, each, average="macro") for each in y_pred]))
    assert [each.value for each in found.recalls[:4]] == pytest.approx(recalls)
    assert found.recalls[4] is None


def test_every_interval_widens_with_the_correlation():
    y_true, y_pred, groups = row()

    found = [row_intervals(y_true, y_pred, groups, 4, Dependence(each)) for each in (0.0, 0.3, 1.0)]

    for intervals in zip(*([each.accuracy, each.macro_f1, *each.recalls] for each in found), strict=True):
        widths = [each.high - each.low for each in intervals]
        assert widths == sorted(widths) and widths[0] < widths[2]


def test_copies_of_images_add_nothing():
    y_true, y_pred, _ = row()
    copies = np.repeat(np.arange(len(y_true)), 7)
    student = stats.t.ppf(0.975, len(copies) - 1) / stats.t.ppf(0.975, len(y_true) - 1)

    single = row_intervals(y_true, y_pred, np.arange(len(y_true)), 4, APART)
    copied = row_intervals(y_true[copies], y_pred[:, copies], copies, 4, Dependence(1.0))

    assert copied.accuracy.n_effective == pytest.approx(single.accuracy.n_effective * student**2)
    assert copied.macro_f1.n_effective == pytest.approx(single.macro_f1.n_effective * student**2, rel=0.02)


def test_a_perfect_class_is_not_certain():
    y_true = np.repeat([0, 1], 30)
    y_pred = np.where(np.arange(60) < 6, 1, y_true)[None]

    first, second = row_intervals(y_true, y_pred, np.arange(60), 2, APART).recalls

    assert (first.low, first.high) == pytest.approx(limits_by_the_book(6, 30), abs=1e-7)
    assert (second.low, second.high) == pytest.approx((0.05 ** (1 / 30), 1))


def test_an_image_that_was_tested_twice_counts_once():
    y_true, y_pred = np.zeros(40, int), np.zeros((1, 40), int)
    image = np.arange(40) // 2

    found = row_intervals(y_true, y_pred, image, 2, Dependence(0.1), images=image)

    sizes = found.accuracy.n_effective, found.macro_f1.n_effective, found.recalls[0].n_effective
    assert sizes == (20, 20, 20)


def test_order_and_names_of_groups_do_not_matter():
    y_true, y_pred, groups = row()
    rng = np.random.default_rng(1)
    order, names = rng.permutation(len(y_true)), rng.permutation(1000)
    dependence = Dependence(0.3)

    shuffled = row_intervals(y_true[order], y_pred[:, order], names[groups[order]], 4, dependence)
    straight = row_intervals(y_true, y_pred, groups, 4, dependence)

    for one, other in ((shuffled.accuracy, straight.accuracy), (shuffled.macro_f1, straight.macro_f1)):
        assert dataclasses.astuple(one) == pytest.approx(dataclasses.astuple(other), rel=1e-9)


def test_a_higher_level_is_a_wider_interval():
    y_true, y_pred, groups = row()

    usual, wide = (
        row_intervals(y_true, y_pred, groups, 4, Dependence(0.3), level=level).macro_f1 for level in (0.95, 0.99)
    )

    assert wide.low < usual.low < usual.high < wide.high


def test_a_perfect_row_among_peers_is_no_longer_timid():
    """Of 45 groups of 8 a row without an error was worth 45 images by itself, and 117 with peers that err apart."""
    groups = np.arange(360) // 8
    y_true = np.zeros(360, int)
    rng = np.random.default_rng(0)
    peers = [rng.random(360) > 0.03 for _ in range(3)]
    perfect = np.ones(360, bool)

    sizes = [
        row_intervals(y_true, y_true[None], groups, 2, learn_dependence(rows, groups)).accuracy.n_effective
        for rows in ([perfect], [perfect, *peers])
    ]

    assert 45 < sizes[0] < 150 < sizes[1] < 360


def test_one_image_is_enough():
    interval = row_intervals(np.array([1]), np.array([[1]]), np.array([7]), 3, Dependence(0.5)).macro_f1

    assert (interval.value, interval.high, interval.n_effective) == (1, 1, 1)
    assert interval.low == pytest.approx(0.05)
