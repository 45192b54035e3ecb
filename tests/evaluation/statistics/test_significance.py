"""Tests between models: against brute force, scipy, and the formulas of the papers."""

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from steelbench.evaluation.statistics import compare_pair, compare_with_best, corrected_resampled_t, holm
from steelbench.evaluation.statistics.significance import sign_flip_p_value


def pair(only_a, only_b, both=20, neither=3):
    """Answers of two models that differ on `only_a` + `only_b` images."""
    a = np.repeat([True, False, True, False], [only_a, only_b, both, neither])
    b = np.repeat([False, True, True, False], [only_a, only_b, both, neither])
    return a, b


def apart(correct):
    return np.arange(len(correct))


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (5, 5), (9, 1), (2, 14), (40, 61)])
def test_single_images_are_compared_by_mcnemars_exact_test(only_a, only_b):
    a, b = pair(only_a, only_b)

    test = compare_pair(a, b, apart(a))

    assert test.p_value == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)
    assert test.difference == pytest.approx((only_a - only_b) / (only_a + only_b + 23))
    assert "McNemar" in test.method


def test_equal_answers_are_no_evidence():
    correct, _ = pair(4, 7)

    for groups in (apart(correct), np.arange(len(correct)) // 2):
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

    copied, single = compare_pair(np.repeat(a, copies), np.repeat(b, copies), groups), compare_pair(a, b, apart(a))

    assert copied.p_value == pytest.approx(single.p_value)
    assert copied.difference == pytest.approx(single.difference)
    assert "flips" in copied.method


def random_answers(seed, *accuracies, n=120):
    rng = np.random.default_rng(seed)
    return [rng.random(n) < accuracy for accuracy in accuracies]


def test_swapping_the_models_turns_the_sign_only():
    a, b = random_answers(0, 0.9, 0.8)
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

    assert compare_pair(a[order], b[order], names[groups[order]]) == compare_pair(a, b, groups)


def test_tests_of_several_seeds_add_up_by_group_before_signs_are_flipped():
    a, b = random_answers(3, 0.9, 0.8, n=60)
    groups = np.tile(np.repeat(np.arange(10), 2), 3)
    sums = np.bincount(groups, a.astype(int) - b.astype(int))
    patterns = np.array(list(itertools.product([-1, 1], repeat=10)))
    expected = np.mean(np.abs(patterns @ sums) >= abs(sums.sum()) - 1e-9)

    assert compare_pair(a, b, groups).p_value == pytest.approx(expected)


@pytest.mark.parametrize("sizes", [(3, 4, 4), (4, 3, 4), (4, 4, 3)])
def test_different_tests_are_refused(sizes):
    a, b, groups = (np.ones(size, dtype=int) for size in sizes)

    with pytest.raises(ValueError, match=r"expected \[T\]"):
        compare_pair(a, b, groups)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.5]), [0.04, 0.09, 0.09, 0.5])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    assert holm([]).shape == (0,)


@pytest.mark.parametrize("seed", range(3))
def test_holm_is_statsmodels(seed):
    p_values = np.round(np.random.default_rng(seed).beta(0.3, 2, 9), 2)

    np.testing.assert_allclose(holm(p_values), multipletests(p_values, method="holm")[1], rtol=1e-12)


def ranked():
    """A best model, one that differs by chance, one that is clearly worse, one in between."""
    right = np.ones(200, dtype=bool)
    best, near, worse, between = right.copy(), right.copy(), right.copy(), right.copy()
    best[:5], near[3:10], worse[:60], between[:12] = False, False, False, False
    return {"worse": worse, "near": near, "best": best, "between": between}


def test_comparisons_with_the_best_are_adjusted_for_their_number():
    models, single = ranked(), np.arange(200)
    raw = {name: compare_pair(models["best"], models[name], single).p_value for name in ("worse", "near", "between")}

    tests = compare_with_best("best", models, single)

    assert list(tests) == ["worse", "near", "between"]
    assert [test.p_value for test in tests.values()] == pytest.approx(holm(list(raw.values())))
    assert tests["between"].p_value == pytest.approx(2 * raw["between"])
    assert all(test.difference > 0 and test.method == "exact McNemar, Holm" for test in tests.values())


def shown(models, groups, level=0.05):
    return [name for name, test in compare_with_best("best", models, groups).items() if test.shows_worse(level)]


def test_the_clearly_worse_are_shown_to_be_so():
    assert shown(ranked(), np.arange(200)) == ["worse", "between"]


def test_a_stricter_level_shows_less():
    p_value = compare_with_best("best", ranked(), np.arange(200))["between"].p_value

    assert "between" in shown(ranked(), np.arange(200), p_value + 1e-9)
    assert "between" not in shown(ranked(), np.arange(200), p_value - 1e-9)


def test_images_that_share_pixels_do_not_show_what_single_images_would():
    assert "between" not in shown(ranked(), np.arange(200) // 4)


def test_a_better_model_is_never_shown_to_be_worse():
    tests = compare_with_best("worse", ranked(), np.arange(200))

    assert tests["best"].p_value < 0.05 and tests["best"].difference < 0
    assert not tests["best"].shows_worse(0.05)


def test_a_single_model_is_compared_with_nothing():
    assert compare_with_best("only", {"only": np.array([True, False])}, np.arange(2)) == {}


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
