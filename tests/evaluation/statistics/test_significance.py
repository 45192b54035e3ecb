"""Tests between models: against brute force, scipy, and the formulas of the papers."""

import itertools

import numpy as np
import pytest
from scipy import stats

from steelbench.evaluation.statistics import (
    compare_pair,
    compare_with_best,
    corrected_resampled_t,
    holm,
    smallest_difference,
    tied_for_best,
)
from steelbench.evaluation.statistics.power import mcnemar_power
from steelbench.evaluation.statistics.significance import sign_flip_p_value


def pair(only_a, only_b, both=20, neither=3):
    """Answers of two models that differ on `only_a` + `only_b` images."""
    a = np.repeat([True, False, True, False], [only_a, only_b, both, neither])
    b = np.repeat([False, True, True, False], [only_a, only_b, both, neither])
    return a, b


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (5, 5), (9, 1), (2, 14), (40, 61)])
def test_single_images_are_compared_by_mcnemars_exact_test(only_a, only_b):
    test = compare_pair(*pair(only_a, only_b))

    assert test.p_value == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
    assert test.difference == pytest.approx((only_a - only_b) / (only_a + only_b + 23))
    assert "McNemar" in test.method


def test_equal_answers_are_no_evidence():
    correct, _ = pair(4, 7)

    for groups in (None, np.arange(len(correct)) // 2):
        test = compare_pair(correct, correct, groups)
        assert (test.difference, test.p_value) == (0, 1)


@pytest.mark.parametrize("seed", range(6))
def test_sign_flips_are_all_sign_patterns(seed):
    rng = np.random.default_rng(seed)
    differences = rng.integers(-5, 8, rng.integers(2, 11))
    seen = abs(differences.sum())
    patterns = itertools.product([-1, 1], repeat=len(differences))
    as_far = [abs(np.dot(signs, differences)) >= seen for signs in patterns]

    assert sign_flip_p_value(differences) == pytest.approx(np.mean(as_far))


def test_sign_flips_of_many_groups_are_scipys():
    differences = np.random.default_rng(0).integers(-6, 9, 80)

    def total(sample, axis):
        return np.sum(sample, axis=axis)

    random = stats.permutation_test(
        (differences,), total, permutation_type="samples", vectorized=True, n_resamples=20_000, rng=1
    )

    # The standard error of a p-value of .2 from 20,000 draws is .003.
    assert 0.001 < random.pvalue < 0.2
    assert sign_flip_p_value(differences) == pytest.approx(random.pvalue, abs=0.01)


@pytest.mark.parametrize(("only_a", "only_b"), [(1, 0), (7, 2), (60, 31), (600, 500)])
def test_sign_flips_of_single_images_are_mcnemars_test(only_a, only_b):
    differences = np.repeat([1, -1, 0], [only_a, only_b, 9])

    assert sign_flip_p_value(differences) == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)


def test_sign_flips_do_not_depend_on_the_unit():
    differences = np.array([3, -1, 4, 1, 5, -2, 6])

    assert sign_flip_p_value(differences * 12) == pytest.approx(sign_flip_p_value(differences))


@pytest.mark.parametrize("copies", [2, 5])
def test_copies_of_images_add_no_evidence(copies):
    a, b = pair(11, 3)
    groups = np.repeat(np.arange(len(a)), copies)

    copied, single = compare_pair(np.repeat(a, copies), np.repeat(b, copies), groups), compare_pair(a, b)

    assert copied.p_value == pytest.approx(single.p_value)
    assert copied.difference == pytest.approx(single.difference)
    assert "flips" in copied.method


def random_answers(seed, *accuracies, n=120):
    rng = np.random.default_rng(seed)
    return [rng.random((3, n)) < accuracy for accuracy in accuracies]


def test_swapping_the_models_turns_the_sign_only():
    a, b = random_answers(0, 0.9, 0.85)
    groups = np.arange(120) // 3

    there, back = compare_pair(a, b, groups), compare_pair(b, a, groups)

    assert there.difference == pytest.approx(-back.difference)
    assert there.difference == pytest.approx(a.mean() - b.mean())
    assert there.p_value == pytest.approx(back.p_value)


def test_order_and_names_of_groups_do_not_matter():
    a, b = random_answers(1, 0.9, 0.85)
    groups = np.arange(120) // 3
    rng = np.random.default_rng(0)
    order, names = rng.permutation(120), rng.permutation(40)

    assert compare_pair(a[:, order], b[:, order], names[groups[order]]) == compare_pair(a, b, groups)


def test_numbers_of_seeds_may_differ():
    a, b = random_answers(2, 0.9, 0.8)
    groups = np.arange(120) // 3

    repeated, plain = compare_pair(np.tile(a, (2, 1)), b[:1], groups), compare_pair(a, b[:1], groups)

    assert repeated.p_value == pytest.approx(plain.p_value)
    assert repeated.difference == pytest.approx(plain.difference)


def test_seeds_are_averaged_before_signs_are_flipped():
    a, b = random_answers(3, 0.9, 0.8, n=20)
    groups = np.repeat(np.arange(10), 2)
    means = (a.mean(axis=0) - b.mean(axis=0)).reshape(10, 2).sum(axis=1)
    patterns = np.array(list(itertools.product([-1, 1], repeat=10)))
    expected = np.mean(np.abs(patterns @ means) >= abs(means.sum()) - 1e-9)

    assert compare_pair(a, b, groups).p_value == pytest.approx(expected)


def test_mcnemar_looks_at_the_seed_it_is_told():
    a, b = random_answers(4, 0.9, 0.7)

    assert compare_pair(a, b, seed=1) == compare_pair(a[1], b[1])
    assert compare_pair(a, b) == compare_pair(a[0], b[0])
    assert compare_pair(a, b).p_value != compare_pair(a, b, seed=1).p_value


def test_different_images_are_refused():
    with pytest.raises(ValueError, match="the same images"):
        compare_pair(np.ones(3, dtype=bool), np.ones(4, dtype=bool))


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    assert holm([]).shape == (0,)


def ranked():
    """A best model, one that differs by chance, one that is clearly worse, one in between."""
    right = np.ones(200, dtype=bool)
    best, near, worse, between = right.copy(), right.copy(), right.copy(), right.copy()
    best[:5], near[3:10], worse[:60], between[:12] = False, False, False, False
    return {"worse": worse, "near": near, "best": best, "between": between}


def test_comparisons_with_the_best_are_adjusted_for_their_number():
    models = ranked()
    raw = {name: compare_pair(models["best"], models[name]).p_value for name in ("worse", "near", "between")}

    tests = compare_with_best(models)

    assert list(tests) == ["worse", "near", "between"]
    assert [test.p_value for test in tests.values()] == pytest.approx(holm(list(raw.values())))
    assert tests["between"].p_value == pytest.approx(2 * raw["between"])
    assert all(test.difference > 0 for test in tests.values())


def test_the_clearly_worse_are_not_tied():
    models = ranked()
    tests = compare_with_best(models)

    assert tied_for_best(models) == {"best": 1.0, "near": tests["near"].p_value}
    assert next(iter(tied_for_best(models))) == "best"


def test_a_stricter_level_ties_more():
    models = ranked()
    p_value = compare_with_best(models)["between"].p_value

    assert "between" not in tied_for_best(models, level=p_value + 1e-9)
    assert "between" in tied_for_best(models, level=p_value - 1e-9)


def test_images_that_share_pixels_tie_what_single_images_would_tell_apart():
    models = ranked()

    assert "between" not in tied_for_best(models)
    assert "between" in tied_for_best(models, np.arange(200) // 4)


def test_a_single_model_is_the_best():
    assert tied_for_best({"only": np.array([True, False])}) == {"only": 1.0}


def test_a_model_that_is_better_with_the_tested_seed_is_not_called_worse():
    right = np.ones(40, dtype=bool)
    best = np.stack([~right, right, right])
    other = np.stack([right, np.arange(40) < 20, np.arange(40) < 10])

    tied = tied_for_best({"best": best, "other": other})

    assert list(tied) == ["best", "other"]
    assert tied["other"] < 0.05


DIFFERENCES = [0.02, 0.035, -0.01, 0.015, 0.04, 0.0, 0.025, 0.01, 0.03, 0.02]


def test_without_overlap_the_corrected_test_is_students():
    expected = stats.ttest_1samp(DIFFERENCES, 0).pvalue

    assert corrected_resampled_t(DIFFERENCES, n_train=100, n_test=0).p_value == pytest.approx(expected)


def test_the_correction_is_that_of_nadeau_and_bengio():
    student = stats.ttest_1samp(DIFFERENCES, 0).statistic
    # The variance grows from 1/J to 1/J + n_test/n_train: for ten-fold cross-validation by 1 + 10/9.
    expected = 2 * stats.t.cdf(-student / np.sqrt(1 + 10 / 9), df=9)

    test = corrected_resampled_t(DIFFERENCES, n_train=90, n_test=10)

    assert test.p_value == pytest.approx(expected)
    assert test.difference == pytest.approx(np.mean(DIFFERENCES))


def test_swapping_the_methods_turns_the_sign_only_of_the_resampled_test():
    there, back = (corrected_resampled_t(sign * np.array(DIFFERENCES), 80, 20) for sign in (1, -1))

    assert there.p_value == pytest.approx(back.p_value)
    assert there.difference == pytest.approx(-back.difference)


@pytest.mark.parametrize("differences", [[0.0, 0.0], [0.9 - 0.8, 0.8 - 0.7, 0.7 - 0.6]])
def test_equal_differences_are_nothing_to_judge_by(differences):
    assert corrected_resampled_t(differences, 80, 20).p_value == 1


@pytest.mark.parametrize("differences", [[], [0.1], [[0.1, 0.2]]])
def test_fewer_than_two_differences_are_refused(differences):
    with pytest.raises(ValueError, match="two or more"):
        corrected_resampled_t(differences, 80, 20)


@pytest.mark.parametrize(("a", "b"), [(0.9, 0.2), (0.6, 0.6), (0.3, 0.95)])
def test_the_power_is_that_of_all_outcomes(a, b):
    n, cells = 14, [a * (1 - b), b * (1 - a), a * b + (1 - a) * (1 - b)]
    expected = sum(
        stats.multinomial.pmf([x, y, n - x - y], n, cells)
        for x in range(n + 1)
        for y in range(n + 1 - x)
        if x + y and stats.binomtest(x, x + y).pvalue <= 0.05
    )

    assert mcnemar_power(n, a, b) == pytest.approx(expected)


@pytest.mark.parametrize("power", [0.8, 0.9])
@pytest.mark.parametrize("accuracy", [0.7, 0.9, 0.97])
def test_the_smallest_difference_is_close_to_connors_approximation(accuracy, power):
    n = 8_000
    difference = smallest_difference(n, accuracy, power)
    discordant = accuracy * (1 - accuracy + difference) + (accuracy - difference) * (1 - accuracy)
    z = stats.norm.ppf([0.975, power])
    connor = (z[0] * np.sqrt(discordant) + z[1] * np.sqrt(discordant - difference**2)) ** 2 / difference**2

    assert connor == pytest.approx(n, rel=0.05)


def test_the_smallest_difference_is_found_as_often_as_promised():
    rng = np.random.default_rng(0)
    difference = smallest_difference(150, 0.92)
    a, b = rng.random((1000, 150)) < 0.92, rng.random((1000, 150)) < 0.92 - difference
    p_values = [stats.binomtest(x, x + y).pvalue for x, y in zip((a & ~b).sum(1), (b & ~a).sum(1), strict=True)]

    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.8, abs=0.04)


def test_more_images_show_smaller_differences():
    sizes = [smallest_difference(n, 0.95) for n in (30, 100, 400.7, 2000)]

    assert sizes == sorted(sizes, reverse=True)
    assert 0 < sizes[-1] < sizes[0] < 0.95


@pytest.mark.parametrize("n", [1, 3.9, 5])
def test_a_handful_of_images_shows_nothing(n):
    # Five discordant images out of five still have a p-value of 1/16.
    assert smallest_difference(n, 1.0) == 1
