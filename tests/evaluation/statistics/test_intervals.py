"""Intervals of accuracy and recall: against scipy, statsmodels' cluster-robust errors, and closed forms."""

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn.metrics import recall_score

from steelbench.evaluation.statistics import accuracy_interval, design_effect, recall_intervals

COVERAGE = Path(__file__).parents[3] / "benchmarks" / "interval_coverage.py"


def answers(errors, n):
    return np.arange(n) >= errors


def grouped_answers(rng, num_groups=80, accuracy=0.9):
    """Groups of 1 to 8 images whose errors come together."""
    sizes = rng.integers(1, 9, num_groups)
    groups = np.repeat(np.arange(num_groups), sizes)
    hits = rng.beta(accuracy * 2, (1 - accuracy) * 2, num_groups)
    return rng.random(len(groups)) < hits[groups], groups


@pytest.mark.parametrize("seed", range(5))
def test_design_effect_is_that_of_cluster_robust_regression(seed):
    correct, groups = grouped_answers(np.random.default_rng(seed))
    fit = sm.OLS(correct.astype(float), np.ones(len(correct)))
    robust = fit.fit(cov_type="cluster", cov_kwds={"groups": groups}).bse[0] ** 2
    independent = fit.fit().bse[0] ** 2

    effect = design_effect(correct, groups)

    assert effect > 1
    assert effect == pytest.approx(robust / independent, rel=1e-9)


@pytest.mark.parametrize("errors", [0, 1, 7, 30, 60])
def test_design_effect_of_single_images_is_one(errors):
    assert design_effect(answers(errors, 60), np.random.default_rng(0).permutation(60)) == 1.0


def test_design_effect_of_groups_that_stand_or_fall_together():
    groups = np.repeat(np.arange(20), 6)
    correct = np.repeat(answers(3, 20), 6)

    assert design_effect(correct, groups) == pytest.approx(119 / 19)


def test_design_effect_is_never_below_one():
    # One error in every group: the groups are more alike than chance would make them.
    assert design_effect(np.tile([False, True, True], 10), np.repeat(np.arange(10), 3)) == 1.0


@pytest.mark.parametrize("right", [True, False])
def test_design_effect_without_a_difference_among_images_is_the_largest(right):
    groups = np.repeat([0, 1, 2], [1, 2, 5])

    assert design_effect(np.full(8, right), groups) == pytest.approx((1 + 4 + 25) / 8)


@pytest.mark.parametrize("errors", [4, 20, 180, 340, 356])
def test_interval_of_single_images_is_wilsons(errors):
    expected = stats.binomtest(360 - errors, 360).proportion_ci(0.95, "wilson")

    interval = accuracy_interval(answers(errors, 360))

    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert (interval.value, interval.n_effective) == (pytest.approx(1 - errors / 360), 360)
    assert interval.method == "wilson"


@pytest.mark.parametrize("errors", [0, 1, 3, 357, 360])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_interval_near_0_and_1_is_the_exact_one(errors, level):
    expected = stats.binomtest(360 - errors, 360).proportion_ci(level, "exact")

    interval = accuracy_interval(answers(errors, 360), level=level)

    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert interval.method == "exact"


@pytest.mark.parametrize("n", [120, 360, 1800])
@pytest.mark.parametrize("accuracy", [0.9, 0.95, 0.98, 0.99, 0.997, 359 / 360, 0.999])
def test_interval_of_single_images_covers(n, accuracy):
    # Every possible number of errors, weighed with its probability: no chance in this one.
    intervals = [accuracy_interval(answers(errors, n)) for errors in range(min(n, 300) + 1)]
    holds = [interval.low <= accuracy <= interval.high for interval in intervals]

    coverage = stats.binom.pmf(np.arange(len(holds)), n, 1 - accuracy) @ holds

    assert 0.93 < coverage < 0.996


def test_few_errors_do_not_prove_that_images_are_independent():
    # Two errors in two of 45 groups: an effect of 1 was seen twice, one of 8 is added once.
    groups = np.repeat(np.arange(45), 8)
    correct = np.ones(360, dtype=bool)
    correct[[0, 80]] = False
    student = stats.t.ppf(0.975, 359) / stats.t.ppf(0.975, 44)

    interval = accuracy_interval(correct, groups)

    assert interval.n_effective == pytest.approx(360 / ((1 + 1 + 8) / 3) * student**2)


def test_copies_of_images_add_nothing():
    original = answers(12, 100)

    copied = accuracy_interval(np.repeat(original, 7), np.repeat(np.arange(100), 7))
    single = accuracy_interval(original)

    assert copied.value == single.value
    assert copied.low < single.low < single.high < copied.high
    assert (copied.low, copied.high) == pytest.approx((single.low, single.high), abs=0.003)


def test_order_and_names_of_groups_do_not_matter():
    rng = np.random.default_rng(3)
    correct, groups = grouped_answers(rng)
    order = rng.permutation(len(correct))
    names = rng.permutation(1000)

    shuffled = accuracy_interval(correct[order], names[groups[order]])

    assert dataclasses.astuple(shuffled)[:4] == pytest.approx(
        dataclasses.astuple(accuracy_interval(correct, groups))[:4], rel=1e-12
    )


def test_the_interval_of_errors_mirrors_that_of_hits():
    correct, groups = grouped_answers(np.random.default_rng(4), accuracy=0.97)

    hits, errors = accuracy_interval(correct, groups), accuracy_interval(~correct, groups)

    assert (errors.low, errors.value, errors.high) == pytest.approx((1 - hits.high, 1 - hits.value, 1 - hits.low))


def test_the_same_seed_three_times_tells_no_more_than_once():
    correct, groups = grouped_answers(np.random.default_rng(5))

    once, thrice = accuracy_interval(correct, groups), accuracy_interval(np.tile(correct, (3, 1)), groups)

    assert dataclasses.astuple(thrice)[:4] == pytest.approx(dataclasses.astuple(once)[:4])


def test_seeds_are_averaged_and_are_no_further_images():
    rng = np.random.default_rng(6)
    correct = rng.random((4, 200)) < np.array([[0.8], [0.85], [0.9], [0.95]])

    interval = accuracy_interval(correct)

    assert interval.value == pytest.approx(np.mean([seed.mean() for seed in correct]))
    assert interval.n_effective <= 200


@pytest.mark.parametrize("accuracy", [0.0, 0.02, 0.5, 0.98, 1.0])
@pytest.mark.parametrize("num_groups", [1, 2, 3, 40])
def test_the_value_lies_within_and_all_within_0_and_1(accuracy, num_groups):
    correct, groups = grouped_answers(np.random.default_rng(7), num_groups, min(max(accuracy, 1e-3), 0.999))
    correct = np.full(len(correct), accuracy == 1) if accuracy in (0, 1) else correct

    interval = accuracy_interval(correct, groups)

    assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert interval.low < interval.high
    assert 1 <= interval.n_effective <= len(correct)


@pytest.mark.parametrize("correct", [[True], [False], [True] * 5, [True, False, True, True]])
def test_one_group_is_worth_one_image(correct):
    assert accuracy_interval(np.array(correct), np.zeros(len(correct), dtype=int)).n_effective == 1


@pytest.mark.parametrize(
    ("correct", "groups", "message"),
    [
        (np.zeros(0), None, "at least one image"),
        (np.zeros((2, 0)), None, "at least one image"),
        (np.zeros((2, 2, 2)), None, "at least one image"),
        (np.zeros(3), np.zeros(4), "one per image"),
    ],
)
def test_wrong_shapes_are_refused(correct, groups, message):
    with pytest.raises(ValueError, match=message):
        accuracy_interval(correct, groups)


def test_recalls_are_sklearns_and_a_perfect_class_is_not_certain():
    rng = np.random.default_rng(8)
    y_true = np.repeat([0, 1, 2], 30)
    y_pred = np.where((rng.random(90) < 0.8) | (y_true == 1), y_true, 0)
    y_pred[y_true == 1] = 1

    intervals = recall_intervals(y_true, y_pred, None, 4)

    assert [each.value for each in intervals[:3]] == pytest.approx(recall_score(y_true, y_pred, average=None))
    assert intervals[3] is None
    assert intervals[1].low == pytest.approx(stats.binomtest(30, 30).proportion_ci(0.95, "exact").low)
    assert intervals[1].high == 1


def test_recalls_of_copied_images_are_less_sure_than_as_many_images():
    y_true = np.repeat([0, 1], 40)
    y_pred = np.where(np.arange(80) % 8 < 4, 0, 1)
    pairs = np.arange(80) // 4

    for grouped, single in zip(
        recall_intervals(y_true, y_pred, pairs, 2), recall_intervals(y_true, y_pred, None, 2), strict=True
    ):
        assert grouped.low < single.low < single.high < grouped.high


@pytest.fixture(scope="module")
def coverage():
    spec = importlib.util.spec_from_file_location("interval_coverage", COVERAGE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize(("icc", "accuracy"), [(0.3, 0.95), (0.6, 0.98)])
def test_intervals_of_grouped_images_cover_where_wilsons_does_not(coverage, icc, accuracy):
    world = coverage.World(8, icc, accuracy, np.random.default_rng(0))
    held = np.zeros(2)
    for _ in range(500):
        y_true, y_pred, groups = world.draw(1)
        correct = y_pred[0] == y_true
        intervals = accuracy_interval(correct, groups), accuracy_interval(correct)
        held += [coverage.holds(interval, accuracy) for interval in intervals]

    # Three standard errors of 500 draws are .03.
    assert held[0] / 500 > 0.92
    assert held[1] / 500 < 0.88


def test_the_coverage_program_writes_its_table(coverage, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(coverage, "ACCURACIES", (0.9,))
    monkeypatch.setattr(sys, "argv", ["interval_coverage.py", "--sets", "2", "--out", str(tmp_path / "table.csv")])

    coverage.main()

    rows = (tmp_path / "table.csv").read_text().splitlines()
    assert len(rows) == 1 + len(coverage.SETTINGS)
    assert rows[0].startswith("setting,truth,accuracy")
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(coverage.SETTINGS)


def test_the_coverage_program_knows_its_truth(coverage):
    world = coverage.World(8, 0.3, 0.9, np.random.default_rng(1))
    draws = [world.draw(1) for _ in range(200)]
    y_true, y_pred = (np.concatenate([np.ravel(draw[part]) for draw in draws]) for part in (0, 1))
    scores = recall_score(y_true, y_pred, average=None)

    np.testing.assert_allclose(scores, 1 - world.error_rates, atol=0.02)
    assert coverage.macro_f1(np.histogram2d(y_true, y_pred, bins=6)[0]) == pytest.approx(
        world.true_macro_f1(), abs=0.01
    )
