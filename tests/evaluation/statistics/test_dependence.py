"""How alike answers within a group are: against statsmodels' cluster-robust errors, loops over pairs, closed forms."""

import itertools

import numpy as np
import pytest
import statsmodels.api as sm

from steelbench.evaluation.statistics import PRIOR, Dependence, learn_dependence
from steelbench.evaluation.statistics.dependence import PRIOR_GROUPS


def grouped_answers(rng, sizes, accuracy=0.9, correlation=0.3):
    """Groups whose rates come from a beta distribution; the intraclass correlation is that of the beta-binomial."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    strength = (1 - correlation) / correlation
    rates = rng.beta(accuracy * strength, (1 - accuracy) * strength, len(sizes))
    return rng.random(len(groups)) < rates[groups], groups


def unshrunk(found, groups_with_errors, prior=PRIOR.images):
    """Take the prior out of a learned value."""
    return (found * (groups_with_errors + PRIOR_GROUPS) - PRIOR_GROUPS * prior) / groups_with_errors


@pytest.mark.parametrize("seed", range(4))
def test_of_equal_groups_the_correlation_is_that_of_cluster_robust_regression(seed):
    correct, groups = grouped_answers(np.random.default_rng(seed), [5] * 60)
    fit = sm.OLS(correct.astype(float), np.ones(300)).fit()
    robust = fit.get_robustcov_results("cluster", groups=groups, use_correction=False).bse[0] ** 2
    design_effect = robust * 300 / (correct.mean() * (1 - correct.mean()))
    with_errors = np.unique(groups[~correct]).size

    found = learn_dependence([correct], groups)

    assert unshrunk(found.images, with_errors) == pytest.approx((design_effect - 1) / 4, rel=1e-9)
    assert found.seeds == pytest.approx(1)


def test_of_unequal_groups_every_image_weighs_the_same():
    rng = np.random.default_rng(0)
    rows = [grouped_answers(rng, [1, 1, 2, 3, 3, 4, 7, 9], accuracy)[0] for accuracy in (0.5, 0.7, 0.8)]
    groups = np.repeat(np.arange(8), [1, 1, 2, 3, 3, 4, 7, 9])
    products, variances = 0.0, 0.0
    for row in rows:
        for group in range(8):
            own = row[groups == group] - row.mean()
            if len(own) > 1:
                products += sum(a * b for a, b in itertools.permutations(own, 2)) / (len(own) - 1)
                variances += len(own) * row.mean() * (1 - row.mean())
    wrong, right = ({group for row in rows for group in groups[row == answer] if group > 1} for answer in (False, True))

    found = learn_dependence(rows, groups)

    assert unshrunk(found.images, min(len(wrong), len(right))) == pytest.approx(products / variances)


@pytest.mark.parametrize("correlation", [0.1, 0.3, 0.6])
def test_many_errors_tell_the_true_correlation(correlation):
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 20, 3000)

    correct, groups = grouped_answers(rng, sizes, correlation=correlation)

    assert learn_dependence([correct], groups).images == pytest.approx(correlation, abs=0.03)


def test_rows_together_tell_more_than_one():
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 8, 100)
    found = {1: [], 6: []}
    for _ in range(200):
        rows = [grouped_answers(rng, sizes, 0.97, 0.6)[0] for _ in range(6)]
        groups = np.repeat(np.arange(100), sizes)
        for number, learned in found.items():
            learned.append(learn_dependence(rows[:number], groups).images)

    # Six rows that err on other images than each other tell six times as much.
    assert np.mean(np.square(np.subtract(found[6], 0.6))) < 0.5 * np.mean(np.square(np.subtract(found[1], 0.6)))


def test_a_row_without_an_error_learns_from_its_peers():
    groups = np.arange(60) // 3
    peer = np.repeat(np.arange(20) > 4, 3)

    alone, together = (learn_dependence(rows, groups) for rows in ([np.ones(60, bool)], [np.ones(60, bool), peer]))

    assert alone == PRIOR
    assert together.images == pytest.approx((5 * 1 + PRIOR_GROUPS * PRIOR.images) / (5 + PRIOR_GROUPS))


def test_rows_that_err_on_one_group_are_one_piece_of_evidence():
    groups = np.arange(60) // 3
    row = np.repeat(np.arange(20) > 4, 3)

    assert learn_dependence([row] * 7, groups).images == pytest.approx(learn_dependence([row], groups).images)


def test_a_few_errors_apart_do_not_prove_that_images_are_independent():
    groups = np.arange(360) // 8
    correct = np.ones(360, bool)
    correct[[0, 80]] = False

    assert learn_dependence([correct], groups).images == pytest.approx(
        PRIOR_GROUPS * PRIOR.images / (2 + PRIOR_GROUPS), abs=0.003
    )


def test_a_group_of_one_image_is_no_evidence():
    groups = np.array([*range(50), *np.repeat([100, 101, 102], 4)])
    correct = np.arange(62) >= 20

    assert learn_dependence([correct], groups).images == pytest.approx(PRIOR.images)


@pytest.mark.parametrize("rows", [[np.ones(8, bool)], [np.zeros(8, bool)], [np.ones((3, 8), bool)] * 2])
def test_without_a_difference_among_images_the_prior_holds(rows):
    prior = Dependence(0.7, 0.5)

    assert learn_dependence(rows, np.repeat([0, 1, 2], [1, 2, 5]), prior) == prior


def test_independent_seeds_leave_a_share_of_the_variance():
    rng = np.random.default_rng(3)
    seeds = rng.random((4, 60_000)) < 0.8

    assert learn_dependence([seeds], np.arange(60_000) // 2).seeds == pytest.approx(1 / 4, abs=0.01)


def test_seeds_that_agree_are_one():
    correct, groups = grouped_answers(np.random.default_rng(4), [4] * 50)

    assert learn_dependence([np.tile(correct, (3, 1))], groups) == learn_dependence([correct], groups)


def test_hits_of_hopeless_rows_tell_as_much_as_errors_of_good_ones():
    correct, groups = grouped_answers(np.random.default_rng(5), [4] * 50)

    assert learn_dependence([~correct], groups).images == pytest.approx(learn_dependence([correct], groups).images)


def test_order_and_names_of_groups_do_not_matter():
    rng = np.random.default_rng(6)
    correct, groups = grouped_answers(rng, rng.integers(1, 8, 60))
    order, names = rng.permutation(len(correct)), rng.permutation(1000)

    assert learn_dependence([correct[order]], names[groups[order]]).images == pytest.approx(
        learn_dependence([correct], groups).images
    )


@pytest.mark.parametrize(
    ("row", "groups", "message"),
    [
        (np.zeros(0), np.zeros(0), "at least one image"),
        (np.zeros((2, 0)), np.zeros(0), "at least one image"),
        (np.zeros((2, 2, 2)), np.zeros(2), "at least one image"),
        (np.zeros(3), np.zeros(4), "one per image"),
    ],
)
def test_wrong_shapes_are_refused(row, groups, message):
    with pytest.raises(ValueError, match=message):
        learn_dependence([row], groups)
