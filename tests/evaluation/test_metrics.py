"""A row's numbers against scikit-learn and scipy; with groups and holes against statsmodels' cluster-robust errors."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from steelbench.evaluation.metrics import naive_accuracy, row_scores
from steelbench.evaluation.predictions import UNTESTED, RowPredictions
from steelbench.records import RunRecord

CLASSES = ["a", "b", "c"]


def answers_of(y_true, y_pred):
    y_pred = np.atleast_2d(y_pred)
    return RowPredictions([f"{place:03d}" for place in range(len(y_true))], np.asarray(y_true), y_pred, [])


def groups_of(numbers):
    return {f"{place:03d}": str(number) for place, number in enumerate(numbers)}


def made_up(seeds=1, images=240, size=4, seed=0):
    """Groups of `size` images whose errors come together."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(images) // size
    y_true = numbers % 3
    hard = rng.random(images // size)[numbers] < 0.25
    wrong = rng.random((seeds, images)) < np.where(hard, 0.7, 0.05)
    return y_true, (y_true + wrong) % 3, numbers


def effective(correct, groups, images):
    """By cluster-robust regression; few errors are mended by one more group that stands or falls together."""
    fit = sm.OLS(correct.astype(float), np.ones(len(correct)))
    effect = fit.fit(cov_type="cluster", cov_kwds={"groups": groups}).bse[0] ** 2 / fit.fit().bse[0] ** 2
    sizes = np.unique(groups, return_counts=True)[1]
    with_errors = np.unique(groups[~correct]).size
    effect = (with_errors * effect + np.sum(sizes**2) / np.sum(sizes)) / (with_errors + 1)
    student = stats.t.ppf(0.975, len(correct) - 1) / stats.t.ppf(0.975, len(sizes) - 1)
    return min(len(correct) / effect * student**2, images)


def test_with_groups_the_effective_images_are_those_of_cluster_robust_regression():
    y_true, y_pred, numbers = made_up()

    scores = row_scores(answers_of(y_true, y_pred), CLASSES, groups_of(numbers))

    assert scores["n_effective"] == pytest.approx(effective(y_pred[0] == y_true, numbers, 240), rel=1e-9)
    assert scores["n_effective"] < 200


def test_with_holes_an_image_that_several_seeds_tested_is_a_group_of_tests():
    y_true, y_pred, numbers = made_up(seeds=3)
    tested = np.random.default_rng(1).random((3, 240)) < 0.4
    tested[:, :4] = True  # some images by all seeds
    y_pred[~tested] = UNTESTED
    keep = tested.any(axis=0)
    seed, image = np.nonzero(tested)

    scores = row_scores(answers_of(y_true[keep], y_pred[:, keep]), CLASSES, groups_of(numbers[keep]))

    correct = y_pred[seed, image] == y_true[image]
    assert scores["n_test"] == keep.sum() < tested.sum()
    assert scores["n_effective"] == pytest.approx(effective(correct, numbers[image], keep.sum()), rel=1e-9)
    assert scores["accuracy"] == pytest.approx(np.mean([correct[seed == each].mean() for each in range(3)]))
    assert scores["accuracy_low"] < scores["accuracy"] < scores["accuracy_high"]


def test_seeds_are_no_further_images_with_holes_or_without():
    rng = np.random.default_rng(2)
    y_true = np.arange(90) % 3
    y_pred = (y_true + (rng.random((5, 90)) < 0.2)) % 3
    holes = np.where(rng.random((5, 90)) < 0.9, y_pred, UNTESTED)

    assert row_scores(answers_of(y_true, y_pred), CLASSES, {})["n_effective"] == 90
    assert row_scores(answers_of(y_true, holes), CLASSES, {})["n_effective"] == 90


def test_seeds_that_tested_one_half_each_tell_as_much_as_one_that_tested_both():
    y_true, y_pred, numbers = made_up()
    halves = np.where(np.stack([np.arange(240) < 120, np.arange(240) >= 120]), y_pred, UNTESTED)

    one = row_scores(answers_of(y_true, y_pred), CLASSES, groups_of(numbers))
    two = row_scores(answers_of(y_true, halves), CLASSES, groups_of(numbers))

    for name in ("accuracy", "accuracy_low", "accuracy_high", "n_effective"):
        assert two[name] == pytest.approx(one[name])


def test_balanced_accuracy_is_sklearns_mean_over_seeds():
    rng = np.random.default_rng(3)
    y_true = np.repeat([0, 1, 2], [80, 15, 5])
    y_pred = np.where(rng.random((2, 100)) < 0.7, y_true, 0)

    scores = row_scores(answers_of(y_true, y_pred), CLASSES, {})

    assert scores["balanced_accuracy"] == pytest.approx(
        np.mean([balanced_accuracy_score(y_true, seed) for seed in y_pred])
    )


def test_recalls_of_single_images_have_scipys_intervals():
    y_true = np.repeat([0, 1], [40, 30])
    y_pred = y_true.copy()
    y_pred[:9] = 1  # 9 of 40 wrong: Wilson; none of 30: exact

    first, second, third = row_scores(answers_of(y_true, y_pred), CLASSES, {})["per_class"]

    wilson = stats.binomtest(31, 40).proportion_ci(0.95, "wilson")
    exact = stats.binomtest(30, 30).proportion_ci(0.95, "exact")
    assert (first.recall_low, first.recall, first.recall_high) == pytest.approx((wilson.low, 31 / 40, wilson.high))
    assert (second.recall_low, second.recall_high) == pytest.approx((exact.low, 1.0))
    assert (third.support, third.recall_low, third.recall_high) == (0, None, None)


@pytest.mark.parametrize("wrong", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("holes", [False, True])
def test_every_interval_holds_its_value_within_0_and_1(wrong, holes):
    rng = np.random.default_rng(4)
    y_true = np.arange(60) % 3
    y_pred = (y_true + (rng.random((3, 60)) < wrong)) % 3
    if holes:
        y_pred = np.where((np.arange(60) + np.arange(3)[:, None]) % 4 > 0, y_pred, UNTESTED)

    scores = row_scores(answers_of(y_true, y_pred), CLASSES, groups_of(np.arange(60) // 2))

    for name in ("accuracy", "macro_f1"):
        assert 0 <= scores[f"{name}_low"] <= scores[name] <= scores[f"{name}_high"] <= 1
        assert scores[f"{name}_low"] < scores[f"{name}_high"]
    for score in scores["per_class"]:
        assert 0 <= score.recall_low <= score.recall <= score.recall_high <= 1
    assert 1 <= scores["n_effective"] <= 60


def run(seed, fold, naive=None):
    metrics = {"test": {"accuracy": 0.5}} | ({"naive": naive} if naive else {})
    return RunRecord(
        backbone="x", method="m", seed=seed, fold=fold, settings={}, fingerprint="f", classes=CLASSES, n_train=8,
        n_validation=2, n_test=4, image_size=8, weights={}, engine="", precision="", params=0, metrics=metrics,
        seconds={},
    )  # fmt: skip


def test_the_naive_accuracy_is_of_seed_0_each_fold_by_its_images():
    runs = [
        run(0, 0, {"accuracy": 1.0, "images": 30.0}),
        run(0, 1, {"accuracy": 0.5, "images": 10.0}),
        run(0, 2),
        run(1, 0, {"accuracy": 0.0, "images": 99.0}),
    ]

    assert naive_accuracy(runs) == pytest.approx(35 / 40)
    assert naive_accuracy([run(0, 0), run(1, 0, {"accuracy": 0.5, "images": 5.0})]) is None
